//! The completeness rule.
//!
//! *Proof* (X, peer, shard): a finished session that compared the whole shard, after which every id the peer had is durable at X.
//! *Complete*: X is complete for a shard when, for it and the global shard, it has fresh proofs from all other known members but
//! at most rf − 1. An acknowledged record has min(rf, known) holders, so the absent ones cannot be all that hold it.
//!
//! A store that started empty, or was restored, may lack what it once acknowledged: it *counts as absent* until it contains all
//! that the other known members have of every shard, and until then what it has to offer proves nothing to others.
//!
//! A store gives up rows that it does not own ([`crate::homecoming`]). It contains less then than it had proved: the proofs of that
//! shard end, and those of sessions that began before. And a store that knew of more members than copies is not among the holders
//! of everything when the members become fewer than that: it counts as absent until it contains what they have.
//!
//! Ids of a shard may be lost as well: a damaged row is put aside. The shard is *lacking* then, and counts as absent until all that
//! the other known members have of it is here.
//!
//! Copies may become more: rf is the old number until this store contains all that the other known members had of every shard a
//! while after it was told ([`SETTLED_MS`]). What was acknowledged with fewer copies is here by then. Until then it *gathers*.
//!
//! Why each part of the rule is there, and what a simulation found without it: docs/adr/0008-completeness.md.

use std::collections::{BTreeMap, BTreeSet};

/// A proof older than this is no proof.
pub const MAX_AGE_MS: u64 = 10_000;

/// So long after a higher number of copies was told, every gateway goes by it, and what was written before is answered.
pub const SETTLED_MS: u64 = 10_000;

/// One finished session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// With whom.
    pub peer: String,
    /// Which shards are contained.
    pub shards: Vec<u32>,
    /// Its date, in boot milliseconds: the session's start less the allowance for young ids.
    pub proved_at: u64,
    /// The peer counted as absent.
    pub peer_absent: bool,
}

/// What repair knows, told to the store regularly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// This node.
    pub node: String,
    /// All known members, this node included.
    pub known: BTreeSet<String>,
    /// Copies that whatever is acknowledged from now on has.
    pub replication_factor: u32,
    /// Copies that the other stores count on; 0: none of them says. A store that was never told anything counts on no more.
    pub counted: u32,
    /// The shards this node owns, the global shard included.
    pub owned: Vec<u32>,
    /// New proofs.
    pub proofs: Vec<Proof>,
}

/// What of a ledger has to outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lasting {
    /// The store counts as absent.
    pub absent: bool,
    /// There were more members than copies since it last contained everything.
    pub wide: bool,
    /// Copies of whatever was acknowledged and may not be here; 0: it was never told.
    pub replication_factor: u32,
}

/// The proofs of one store. Lives in memory: a restart loses them, as it must.
#[derive(Debug, Clone)]
pub struct Ledger {
    lasting: Lasting,
    /// Older proofs are none: it was made absent then.
    since: u64,
    reported_at: Option<u64>,
    others: BTreeSet<String>,
    /// The number of copies that was told last, and since when it is told.
    told: (u32, u64),
    owned: Vec<u32>,
    /// By peer and shard: when all the peer had was contained.
    dates: BTreeMap<(String, u32), Date>,
    /// When rows of a shard were given up last.
    released: BTreeMap<u32, u64>,
    /// Shards of which ids were lost, and when.
    lacking: BTreeMap<u32, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Date {
    contained_at: u64,
    /// The same, only from a peer that did not count as absent.
    proved_at: Option<u64>,
}

impl Ledger {
    /// No proofs yet. `absent`: the store started empty or restored.
    pub fn new(absent: bool) -> Ledger {
        Ledger::restored(Lasting {
            absent,
            ..Lasting::default()
        })
    }

    /// The same with what [`Ledger::lasting`] said before a restart.
    pub fn restored(lasting: Lasting) -> Ledger {
        Ledger {
            lasting,
            since: 0,
            reported_at: None,
            others: BTreeSet::new(),
            told: (0, 0),
            owned: Vec::new(),
            dates: BTreeMap::new(),
            released: BTreeMap::new(),
            lacking: BTreeMap::new(),
        }
    }

    /// It does not count as absent: nobody ever counted on it.
    pub fn set_present(&mut self) {
        self.lasting.absent = false;
    }

    /// Takes a report made just now.
    pub fn report(&mut self, now: u64, report: Report) {
        let Report {
            node,
            known,
            replication_factor,
            counted,
            owned,
            proofs,
        } = report;
        self.reported_at = Some(now);
        self.others = known.into_iter().filter(|name| *name != node).collect();
        self.owned = owned;
        self.hear_factor(now, replication_factor, counted);
        self.widen(now);
        self.dates.retain(|(peer, _), date| {
            self.others.contains(peer) && is_fresh(now, date.contained_at)
        });
        for proof in proofs {
            // A date from the future is a fault of the reporter and no proof.
            if self.others.contains(&proof.peer)
                && (self.since..=now).contains(&proof.proved_at)
                && is_fresh(now, proof.proved_at)
            {
                self.record(&proof);
            }
        }
        if self.lasting.absent && self.is_contained_everywhere(now, 0) {
            self.lasting.absent = false;
        }
        self.raise(now);
        let mut lacking = std::mem::take(&mut self.lacking);
        lacking.retain(|shard, _| !self.is_contained(now, *shard, 0));
        self.lacking = lacking;
    }

    /// Ids of this shard were lost: what was proved before says nothing about what is here.
    pub fn lose(&mut self, now: u64, shard: u32) {
        self.lacking.insert(shard, now);
        self.dates.retain(|(_, of), _| *of != shard);
    }

    /// Shards of which ids were lost that may not have come again.
    pub fn lacking(&self) -> Vec<u32> {
        self.lacking.keys().copied().collect()
    }

    /// Takes the number of copies that was told. A lower one counts at once, a higher one does not: what was acknowledged with fewer
    /// copies is on fewer nodes than may be missing then.
    ///
    /// A new store begins with what the others count on: what was acknowledged with fewer copies is in each of them.
    fn hear_factor(&mut self, now: u64, told: u32, counted: u32) {
        if told == 0 {
            // Whoever says so does not know.
            return;
        }
        if self.told.0 != told {
            self.told = (told, now);
        }
        let counts = &mut self.lasting.replication_factor;
        if *counts == 0 && counted > 0 {
            *counts = counted;
        }
        if *counts == 0 || told < *counts {
            *counts = told;
        }
    }

    /// Lets a higher number of copies count when nothing that has fewer can be missing here.
    fn raise(&mut self, now: u64) {
        let (told, told_at) = self.told;
        let since = told_at.saturating_add(SETTLED_MS);
        if self.gathers() && self.is_contained_everywhere(now, since) {
            self.lasting.replication_factor = told;
            // It contains everything, whatever it had to hold before.
            self.lasting.wide = self.others.len() >= told as usize;
        }
    }

    /// More copies were told than count: this store wants all that the others have of every shard.
    pub fn gathers(&self) -> bool {
        !self.lasting.absent && self.told.0 > self.lasting.replication_factor
    }

    /// All that the other known members had of a shard, at `since` or later, is here.
    fn is_contained(&self, now: u64, shard: u32, since: u64) -> bool {
        let mut others = self.others.iter();
        others.all(|peer| {
            let date = self.dates.get(&(peer.clone(), shard));
            date.is_some_and(|date| date.contained_at >= since && is_fresh(now, date.contained_at))
        })
    }

    /// Notes whether this store is one of the holders of all that is acknowledged. Once it was not, it cannot conclude from a
    /// smaller number of members alone that it is.
    fn widen(&mut self, now: u64) {
        if self.others.len() >= self.lasting.replication_factor as usize {
            self.lasting.wide = true;
        } else if std::mem::take(&mut self.lasting.wide) {
            self.set_absent(now);
        }
    }

    /// Rows of this shard are about to be given up.
    pub fn release(&mut self, now: u64, shard: u32) {
        self.released.insert(shard, now);
        self.dates.retain(|(_, of), _| *of != shard);
    }

    fn record(&mut self, proof: &Proof) {
        let proved_at = (!proof.peer_absent).then_some(proof.proved_at);
        let given_up = &self.released;
        // What a session saw here before the release, or the loss, may be what has gone.
        let after = |at: Option<&u64>| at.is_none_or(|at| proof.proved_at > *at);
        let holds = |shard: &&u32| after(given_up.get(shard)) && after(self.lacking.get(shard));
        for shard in proof.shards.iter().filter(holds) {
            let date = self
                .dates
                .entry((proof.peer.clone(), *shard))
                .or_insert(Date {
                    contained_at: proof.proved_at,
                    proved_at,
                });
            date.contained_at = date.contained_at.max(proof.proved_at);
            date.proved_at = date.proved_at.max(proved_at);
        }
    }

    /// All that the other known members had of every shard there is, absent ones included, is here. The shards that this node
    /// owns now are not enough: it may have held any of them, as an owner of old or as a stand-in.
    fn is_contained_everywhere(&self, now: u64, since: u64) -> bool {
        // The global shard is always owned, and is the last.
        let Some(&last) = self.owned.iter().max() else {
            return false;
        };
        (0..=last).all(|shard| self.is_contained(now, shard, since))
    }

    /// Whether this store counts as absent.
    pub fn is_absent(&self) -> bool {
        self.lasting.absent
    }

    /// To be kept over a restart.
    pub fn lasting(&self) -> Lasting {
        self.lasting
    }

    /// From now on it does: a row was lost, or the cluster went on without this node for a while. What was proved before says
    /// nothing about what was acknowledged since.
    pub fn set_absent(&mut self, now: u64) {
        self.lasting.absent = true;
        self.since = now;
        self.dates.clear();
    }

    /// When complete for the shard (and the global shard): the date through which it is proved, in boot milliseconds. Every
    /// record acknowledged before it is here.
    pub fn complete(&self, now: u64, shard: u32, global_shard: u32) -> Option<u64> {
        if self.lasting.absent || !self.reported_at.is_some_and(|at| is_fresh(now, at)) {
            return None;
        }
        if [shard, global_shard]
            .iter()
            .any(|shard| self.lacking.contains_key(shard))
        {
            return None;
        }
        let of_shard = self.proved(now, shard)?;
        let of_global = self.proved(now, global_shard)?;
        Some(of_shard.min(of_global))
    }

    /// The oldest of the freshest proofs that suffice.
    fn proved(&self, now: u64, shard: u32) -> Option<u64> {
        let may_miss = (self.lasting.replication_factor as usize).saturating_sub(1);
        let needed = self.others.len().saturating_sub(may_miss);
        let mut dates: Vec<u64> = self
            .others
            .iter()
            .filter_map(|peer| self.dates.get(&(peer.clone(), shard))?.proved_at)
            .filter(|at| is_fresh(now, *at))
            .collect();
        dates.sort_unstable_by(|a, b| b.cmp(a));
        match needed {
            // Alone, or no more others than may be absent: this store is one of the holders of whatever was acknowledged.
            0 => Some(now),
            _ => dates.get(needed - 1).copied(),
        }
    }
}

fn is_fresh(now: u64, at: u64) -> bool {
    now.saturating_sub(at) <= MAX_AGE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: u32 = 4;

    fn report(proofs: Vec<Proof>) -> Report {
        Report {
            node: "node1".into(),
            known: ["node1", "node2", "node3"].map(String::from).into(),
            replication_factor: 2,
            counted: 0,
            owned: vec![0, 1, GLOBAL],
            proofs,
        }
    }

    fn proof(peer: &str, proved_at: u64) -> Proof {
        Proof {
            peer: peer.into(),
            shards: vec![0, 1, GLOBAL],
            proved_at,
            peer_absent: false,
        }
    }

    #[test]
    fn more_copies_count_when_all_that_has_fewer_is_here() {
        let with = |factor, proofs| Report {
            replication_factor: factor,
            ..report(proofs)
        };
        let everywhere = |peer: &str, at| Proof {
            shards: (0..=GLOBAL).collect(),
            ..proof(peer, at)
        };
        let from = |peers: &[&str], at| peers.iter().map(|peer| everywhere(peer, at)).collect();
        let both = ["node2", "node3"];
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, with(1, vec![]));
        for restarted in [false, true] {
            let mut ledger = match restarted {
                true => Ledger::restored(ledger.lasting()),
                false => ledger.clone(),
            };
            // One of two others may be missing with two copies, but not with one.
            ledger.report(2_000, with(2, from(&["node2"], 2_000)));
            assert_eq!(ledger.complete(2_000, 0, GLOBAL), None);
            ledger.report(3_000, with(2, from(&both, 3_000)));
            assert_eq!(
                ledger.complete(3_000, 0, GLOBAL),
                Some(3_000),
                "both are here"
            );
            assert!(!ledger.is_absent() && ledger.gathers());
            let told = 2_000 + SETTLED_MS;
            ledger.report(told, with(2, from(&both, told - 1)));
            assert_eq!(
                ledger.lasting().replication_factor,
                1,
                "a write may be under way"
            );
            ledger.report(told + 1, with(2, from(&["node2"], told)));
            assert_eq!(
                ledger.lasting().replication_factor,
                1,
                "node3 may have more"
            );
            ledger.report(told + 2, with(2, from(&both, told)));
            assert_eq!(ledger.lasting().replication_factor, 2);
            assert!(!ledger.gathers());
            let later = told + 2 + MAX_AGE_MS;
            ledger.report(later, with(2, from(&["node2"], later)));
            assert_eq!(
                ledger.complete(later, 0, GLOBAL),
                Some(later),
                "one is enough"
            );
            ledger.report(later, with(1, vec![]));
            assert_eq!(ledger.complete(later, 0, GLOBAL), None, "at once");
        }
    }

    #[test]
    fn a_new_store_begins_with_what_the_others_count_on() {
        for (told, counted, begins) in [(3, 2, 2), (3, 0, 3), (2, 3, 2)] {
            let mut ledger = Ledger::new(false);
            let report = |counted| Report {
                replication_factor: told,
                counted,
                ..report(vec![])
            };
            ledger.report(1_000, report(counted));
            assert_eq!(ledger.lasting().replication_factor, begins);
            ledger.report(2_000, report(3));
            assert_eq!(ledger.lasting().replication_factor, begins, "once");
        }
    }

    #[test]
    fn with_as_many_copies_as_members_a_raise_makes_nobody_absent() {
        let with = |factor, proofs| Report {
            replication_factor: factor,
            ..report(proofs)
        };
        let all = |at| {
            let of = |peer| Proof {
                shards: (0..=GLOBAL).collect(),
                ..proof(peer, at)
            };
            vec![of("node2"), of("node3")]
        };
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, with(2, all(1_000)));
        assert!(ledger.lasting().wide, "three members, two copies");
        for at in [2_000, 2_000 + SETTLED_MS] {
            ledger.report(at, with(3, all(at)));
            assert!(!ledger.is_absent());
        }
        assert!(!ledger.lasting().wide);
        let later = 3_000 + SETTLED_MS + MAX_AGE_MS;
        ledger.report(later, with(3, vec![]));
        assert_eq!(
            ledger.complete(later, 0, GLOBAL),
            Some(later),
            "it has everything"
        );
    }

    #[test]
    fn one_of_two_others_is_enough_for_two_copies_and_its_date_counts() {
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, report(vec![]));
        assert_eq!(ledger.complete(1_000, 0, GLOBAL), None);
        ledger.report(1_100, report(vec![proof("node2", 600)]));
        assert_eq!(ledger.complete(1_100, 0, GLOBAL), Some(600));
        ledger.report(1_200, report(vec![proof("node3", 700)]));
        assert_eq!(ledger.complete(1_200, 0, GLOBAL), Some(700));
        assert_eq!(
            ledger.complete(1_200, 3, GLOBAL),
            None,
            "a shard without proofs"
        );
    }

    #[test]
    fn proofs_and_reports_age() {
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, report(vec![proof("node2", 900)]));
        assert!(ledger.complete(900 + MAX_AGE_MS, 0, GLOBAL).is_some());
        assert_eq!(ledger.complete(901 + MAX_AGE_MS, 0, GLOBAL), None);
    }

    #[test]
    fn an_absent_store_needs_every_shard_of_all_others_and_stays_present_then() {
        let every = |peer| Proof {
            shards: (0..=GLOBAL).collect(),
            ..proof(peer, 900)
        };
        let from_absent = |peer| Proof {
            peer_absent: true,
            ..every(peer)
        };
        let mut ledger = Ledger::new(true);
        ledger.report(1_000, report(vec![every("node2")]));
        assert!(ledger.is_absent(), "node3 may have more");
        ledger.report(1_050, report(vec![proof("node3", 900)]));
        assert!(ledger.is_absent(), "and of shards that are not owned now");
        ledger.report(1_100, report(vec![from_absent("node3")]));
        assert!(
            !ledger.is_absent(),
            "containment in an absent peer is containment"
        );
        assert_eq!(ledger.complete(1_100, 0, GLOBAL), Some(900));
        ledger.report(30_000, report(vec![]));
        assert!(!ledger.is_absent());

        let mut ledger = Ledger::new(true);
        ledger.report(
            1_000,
            report(vec![from_absent("node2"), from_absent("node3")]),
        );
        assert!(!ledger.is_absent());
        assert_eq!(
            ledger.complete(1_000, 0, GLOBAL),
            None,
            "which proves nothing yet"
        );
    }

    #[test]
    fn what_was_proved_before_a_store_became_absent_does_not_end_its_absence() {
        let every = |peer, proved_at| Proof {
            shards: (0..=GLOBAL).collect(),
            ..proof(peer, proved_at)
        };
        let mut ledger = Ledger::new(false);
        let both = |at| report(vec![every("node2", at), every("node3", at)]);
        ledger.report(1_000, both(900));
        assert_eq!(ledger.complete(1_000, 0, GLOBAL), Some(900));
        ledger.set_absent(1_100);
        assert_eq!(ledger.complete(1_100, 0, GLOBAL), None);
        ledger.report(1_200, report(vec![]));
        ledger.report(1_200, both(1_050));
        assert!(ledger.is_absent(), "sessions that began before");
        ledger.report(1_300, both(1_150));
        assert_eq!(ledger.complete(1_300, 0, GLOBAL), Some(1_150));
    }

    #[test]
    fn a_store_that_is_told_of_no_shards_stays_absent() {
        let mut ledger = Ledger::new(true);
        let nothing = Report {
            known: BTreeSet::from(["node1".into()]),
            owned: vec![],
            ..report(vec![])
        };
        ledger.report(1_000, nothing);
        assert!(ledger.is_absent());
    }

    #[test]
    fn an_absent_peer_proves_nothing() {
        let mut ledger = Ledger::new(false);
        let from_absent = Proof {
            peer_absent: true,
            ..proof("node2", 900)
        };
        ledger.report(1_000, report(vec![from_absent]));
        assert_eq!(ledger.complete(1_000, 0, GLOBAL), None);
    }

    #[test]
    fn giving_up_rows_ends_the_proofs_of_their_shard_and_of_running_sessions() {
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, report(vec![proof("node2", 900)]));
        ledger.release(1_500, 1);
        assert_eq!(ledger.complete(1_600, 1, GLOBAL), None);
        assert_eq!(ledger.complete(1_600, 0, GLOBAL), Some(900));
        ledger.report(1_700, report(vec![proof("node2", 1_500)]));
        assert_eq!(ledger.complete(1_700, 1, GLOBAL), None, "it began before");
        ledger.report(2_200, report(vec![proof("node2", 1_501)]));
        assert_eq!(ledger.complete(2_200, 1, GLOBAL), Some(1_501));
    }

    #[test]
    fn a_shard_that_lost_ids_needs_all_others_again_and_the_rest_does_not() {
        let mut ledger = Ledger::new(false);
        let both = |at| report(vec![proof("node2", at), proof("node3", at)]);
        ledger.report(1_000, both(900));
        ledger.lose(1_100, 1);
        assert_eq!(ledger.lacking(), [1]);
        assert_eq!(ledger.complete(1_100, 1, GLOBAL), None);
        assert_eq!(ledger.complete(1_100, 0, GLOBAL), Some(900));
        ledger.report(1_200, both(1_100));
        assert_eq!(ledger.lacking(), [1], "they began before");
        ledger.report(1_300, report(vec![proof("node2", 1_200)]));
        assert_eq!(ledger.lacking(), [1], "node3 may have it");
        assert_eq!(ledger.complete(1_300, 1, GLOBAL), None);
        ledger.report(1_400, report(vec![proof("node3", 1_300)]));
        assert_eq!(ledger.lacking(), Vec::<u32>::new());
        assert_eq!(ledger.complete(1_400, 1, GLOBAL), Some(1_300));
        ledger.lose(1_500, GLOBAL);
        assert_eq!(
            ledger.complete(1_500, 0, GLOBAL),
            None,
            "all need the global shard"
        );
    }

    #[test]
    fn fewer_members_do_not_make_a_holder_of_everything() {
        let few = |proofs| Report {
            known: ["node1", "node2"].map(String::from).into(),
            ..report(proofs)
        };
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, few(vec![]));
        assert!(ledger.complete(1_000, 0, GLOBAL).is_some(), "never more");
        ledger.report(2_000, report(vec![]));
        let mut ledger = Ledger::restored(ledger.lasting());
        ledger.report(3_000, few(vec![]));
        assert!(ledger.is_absent());
        let every = Proof {
            shards: (0..=GLOBAL).collect(),
            ..proof("node2", 3_500)
        };
        ledger.report(4_000, few(vec![every]));
        assert!(!ledger.is_absent() && !ledger.lasting().wide);
        assert_eq!(ledger.complete(4_000, 0, GLOBAL), Some(4_000));
    }

    #[test]
    fn a_node_alone_is_complete_and_a_forgotten_one_does_not_count() {
        let mut ledger = Ledger::new(true);
        let alone = Report {
            known: BTreeSet::from(["node1".into()]),
            ..report(vec![])
        };
        ledger.report(5_000, alone);
        assert_eq!(ledger.complete(5_000, 0, GLOBAL), Some(5_000));
        let mut ledger = Ledger::new(false);
        ledger.report(1_000, report(vec![proof("node9", 900)]));
        assert_eq!(
            ledger.complete(1_000, 0, GLOBAL),
            None,
            "node9 is not known"
        );
    }
}
