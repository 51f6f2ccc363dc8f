//! The ledger of proofs against its rule, written down plainly.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shard::proof::{Ledger, MAX_AGE_MS, Proof, Report, SETTLED_MS};

const NUM_SHARDS: u32 = 2;

/// A report some milliseconds after the one before.
#[derive(Debug, Clone)]
struct Step {
    after: u64,
    known: BTreeSet<String>,
    rf: u32,
    counted: u32,
    proofs: Vec<(Proof, i64)>,
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(String::from)
}

/// A proof, and how old it is when it is told; some are from the future.
fn proof() -> impl Strategy<Value = (Proof, i64)> {
    let shards = prop::collection::btree_set(0..=NUM_SHARDS, 1..4);
    let age = prop_oneof![4 => 0..3_000_i64, 1 => 8_000..12_000_i64, 1 => -2_000..0_i64];
    (name(), shards, any::<bool>(), age).prop_map(|(peer, shards, peer_absent, age)| {
        let shards = shards.into_iter().collect();
        let proof = Proof {
            peer,
            shards,
            proved_at: 0,
            peer_absent,
        };
        (proof, age)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let known = prop::collection::btree_set(name(), 1..4).prop_map(|mut known| {
        known.insert("a".into());
        known
    });
    let after = prop_oneof![5 => 0..2_000_u64, 1 => 9_000..11_000_u64];
    let proofs = prop::collection::vec(proof(), 0..5);
    (after, known, 1..4_u32, 0..4_u32, proofs).prop_map(|(after, known, rf, counted, proofs)| {
        Step {
            after,
            known,
            rf,
            counted,
            proofs,
        }
    })
}

/// All proofs ever told that were none from the future, with who was known since.
#[derive(Default)]
struct Model {
    absent: bool,
    wide: bool,
    /// Older proofs are none.
    since: u64,
    others: BTreeSet<String>,
    /// Copies of whatever may not be here.
    rf: usize,
    /// The number that was told last, and since when.
    told: (usize, u64),
    contained: BTreeMap<(String, u32), u64>,
    proved: BTreeMap<(String, u32), u64>,
}

impl Model {
    fn take(&mut self, now: u64, step: &Step, proofs: &[Proof]) {
        self.others = step
            .known
            .iter()
            .filter(|name| *name != "a")
            .cloned()
            .collect();
        let told = step.rf as usize;
        if self.told.0 != told {
            self.told = (told, now);
        }
        if self.rf == 0 {
            self.rf = step.counted as usize;
        }
        if self.rf == 0 || told < self.rf {
            self.rf = told;
        }
        // Once there were more members than copies, fewer of them prove nothing by being few.
        let few = self.others.len() < self.rf;
        if few && self.wide {
            self.absent = true;
            self.since = now;
            self.contained.clear();
            self.proved.clear();
        }
        self.wide = !few;
        // A peer that is no longer known is forgotten with all it proved.
        self.contained
            .retain(|(peer, _), _| self.others.contains(peer));
        self.proved
            .retain(|(peer, _), _| self.others.contains(peer));
        for proof in proofs {
            let dated = (self.since..=now).contains(&proof.proved_at);
            if !self.others.contains(&proof.peer) || !dated {
                continue;
            }
            for shard in &proof.shards {
                let place = (proof.peer.clone(), *shard);
                let latest = self.contained.entry(place.clone()).or_default();
                *latest = proof.proved_at.max(*latest);
                if !proof.peer_absent {
                    let latest = self.proved.entry(place).or_default();
                    *latest = proof.proved_at.max(*latest);
                }
            }
        }
        let contains_since = |since: u64| {
            let has =
                |peer: &String, shard| fresh(&self.contained, peer, shard, now) >= Some(since);
            let all = |peer| (0..=NUM_SHARDS).all(|shard| has(peer, shard));
            self.others.iter().all(all)
        };
        self.absent &= !contains_since(0);
        // What has fewer copies is here: more of them count.
        if !self.absent && told > self.rf && contains_since(self.told.1 + SETTLED_MS) {
            self.rf = told;
            self.wide = self.others.len() >= told;
        }
    }

    /// The greatest date through which enough others prove both shards, each of them on its own.
    fn complete(&self, now: u64, shard: u32) -> Option<u64> {
        let through = |shard: u32| {
            let needed = self.others.len().saturating_sub(self.rf - 1);
            let dates = self
                .others
                .iter()
                .filter_map(|peer| fresh(&self.proved, peer, shard, now));
            let dates: Vec<u64> = dates.collect();
            let enough = |date: &u64| dates.iter().filter(|other| *other >= date).count() >= needed;
            if needed == 0 {
                Some(now)
            } else {
                dates.iter().copied().filter(enough).max()
            }
        };
        if self.absent {
            None
        } else {
            Some(through(shard)?.min(through(NUM_SHARDS)?))
        }
    }
}

fn fresh(dates: &BTreeMap<(String, u32), u64>, peer: &str, shard: u32, now: u64) -> Option<u64> {
    dates
        .get(&(peer.to_owned(), shard))
        .copied()
        .filter(|at| now - at <= MAX_AGE_MS)
}

proptest! {
    #[test]
    fn the_ledger_follows_its_rule(absent in any::<bool>(), steps in prop::collection::vec(step(), 1..25), later in 0..12_000_u64) {
        let mut ledger = Ledger::new(absent);
        let mut model = Model { absent, ..Model::default() };
        let mut now = 1_000_000;
        for shard in 0..=NUM_SHARDS {
            prop_assert_eq!(ledger.complete(now, shard, NUM_SHARDS), None, "nothing was reported");
        }
        for step in steps {
            now += step.after;
            let proofs: Vec<Proof> = step.proofs.iter().cloned().map(|(proof, age)| Proof {
                proved_at: now.saturating_add_signed(-age),
                ..proof
            }).collect();
            ledger.report(now, Report {
                node: "a".into(),
                known: step.known.clone(),
                replication_factor: step.rf,
                counted: step.counted,
                owned: vec![0, NUM_SHARDS],
                proofs: proofs.clone(),
            });
            model.take(now, &step, &proofs);
            prop_assert_eq!(ledger.is_absent(), model.absent);
            prop_assert_eq!(ledger.gathers(), !model.absent && step.rf as usize > model.rf);
            prop_assert_eq!(ledger.lasting().replication_factor as usize, model.rf);
            for shard in 0..=NUM_SHARDS {
                prop_assert_eq!(ledger.complete(now, shard, NUM_SHARDS), model.complete(now, shard));
                let then = now + later;
                let expected = model.complete(then, shard).filter(|_| later <= MAX_AGE_MS);
                prop_assert_eq!(ledger.complete(then, shard, NUM_SHARDS), expected, "{} ms later", later);
            }
        }
    }
}
