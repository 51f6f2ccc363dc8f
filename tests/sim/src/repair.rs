//! Sessions: the side that lacks pulls, and knows then that all the peer had is on its own disk.

use std::collections::{BTreeMap, BTreeSet};

use merkle::{Digest, Id};
use shard::proof::{Ledger, MAX_AGE_MS, Proof, Report};

use crate::copies;
use crate::disk::Record;
use crate::network::{Compared, Mail};
use crate::node::{Then, Timer, name};
use crate::plan::{BATCH, Broken, SESSION_EVERY_MS, SESSION_LIMIT_MS, YOUNG_MS};
use crate::world::World;

impl Session {
    /// Rows of a shard were given up here: nothing that was seen of it counts.
    pub(crate) fn forget(&mut self, shard: u32) {
        self.roots.remove(&shard);
        self.contained.remove(&shard);
    }
}

/// A session with one peer.
#[derive(Debug)]
pub(crate) struct Session {
    id: u64,
    began: u64,
    absent: bool,
    /// The peer's root of each compared shard, when all of it was looked at.
    roots: BTreeMap<u32, Option<Digest>>,
    store: u64,
    /// Found, not on the own disk yet.
    owed: BTreeSet<Record>,
    contained: BTreeSet<u32>,
}

impl World {
    /// One with every known peer that has none.
    pub(crate) fn repair(&mut self, node: usize) {
        let every = self
            .random
            .between(SESSION_EVERY_MS * 3 / 4, SESSION_EVERY_MS * 5 / 4);
        self.later(node, every, Timer::Repair);
        if !self.nodes[node].disk.joined {
            return;
        }
        let shards = self.pulled_shards(node);
        let peers: Vec<usize> = self.nodes[node].disk.known.iter().copied().collect();
        for peer in peers {
            if peer != node && !self.nodes[node].sessions.contains_key(&peer) {
                self.begin(node, peer, shards.clone());
            }
        }
        self.report(node, Vec::new());
    }

    /// What it owns; and everything while its store counts as absent, for it may have held any shard for somebody else, or gathers.
    fn pulled_shards(&self, node: usize) -> Vec<u32> {
        let ledger = &self.nodes[node].ledger;
        let absent = ledger.is_absent() && self.broken != Broken::OwnedShardsAreEnough;
        if absent || ledger.gathers() {
            (0..=self.plan.num_shards).collect()
        } else {
            self.owned(node)
        }
    }

    fn owned(&self, node: usize) -> Vec<u32> {
        let here = &self.nodes[node];
        let mut owned = here.placement.owned_by(&here.name);
        // The global shard is everybody's, also in a view that leaves this node out; not of one that leaves.
        if !here.disk.leaving && owned.last() != Some(&self.plan.num_shards) {
            owned.push(self.plan.num_shards);
        }
        owned
    }

    fn begin(&mut self, node: usize, peer: usize, shards: Vec<u32>) {
        let id = self.fresh();
        let session = Session {
            id,
            began: self.now,
            absent: false,
            roots: BTreeMap::new(),
            store: 0,
            owed: BTreeSet::new(),
            contained: BTreeSet::new(),
        };
        self.nodes[node].sessions.insert(peer, session);
        self.send(
            node,
            peer,
            Mail::Compare {
                session: id,
                shards,
            },
        );
        self.later(node, SESSION_LIMIT_MS, Timer::Limit { session: id });
    }

    /// A peer's store answers.
    pub(crate) fn compare(&mut self, store: usize, asking: usize, session: u64, shards: &[u32]) {
        let skips_young = self.random.permille(500);
        let here = &self.nodes[store];
        if !here.disk.joined {
            return;
        }
        let young_from = if skips_young {
            (self.now + 1).saturating_sub(YOUNG_MS)
        } else {
            u64::MAX
        };
        let compared = Compared {
            session,
            store: here.disk.store,
            absent: here.ledger.is_absent() && self.broken != Broken::WipedStoreCounts,
            known: here.disk.known.clone(),
            gone: here.disk.gone.clone(),
            words: here.disk.words.clone(),
            trees: shards
                .iter()
                .map(|shard| (*shard, here.disk.tree(*shard).clone()))
                .collect(),
            young: here
                .disk
                .since(young_from, self.broken != Broken::RepairedIdsAreYoung),
        };
        self.send(store, asking, Mail::Compared(Box::new(compared)));
    }

    /// What does this node lack of it?
    pub(crate) fn compared(&mut self, node: usize, peer: usize, seen: &Compared) {
        let here = &mut self.nodes[node];
        let Some(session) = here
            .sessions
            .get_mut(&peer)
            .filter(|session| session.id == seen.session)
        else {
            return;
        };
        if self.broken != Broken::ProofsDoNotTeach {
            // A proof counts among the members that either side knows.
            here.disk.learn(&seen.known, &seen.gone);
            copies::learn(&mut here.disk.words, &seen.words);
        }
        session.absent = seen.absent;
        session.store = seen.store;
        let mut owed = BTreeSet::new();
        for (shard, tree) in &seen.trees {
            let root = tree.root();
            let remembered =
                here.remembered.get(&(peer, *shard)) == Some(&(here.disk.store, seen.store, root));
            if remembered || root == here.disk.tree(*shard).root() {
                session.contained.insert(*shard);
                continue;
            }
            let records = tree
                .ids_after(None, tree.len())
                .into_iter()
                .map(|id| Record { id, shard: *shard });
            let lacking: Vec<Record> = records.filter(|record| !here.disk.holds(record)).collect();
            let whole = !lacking
                .iter()
                .any(|record| is_young(&seen.young, &record.id));
            session.roots.insert(*shard, whole.then_some(root));
            owed.extend(
                lacking
                    .into_iter()
                    .filter(|record| !is_young(&seen.young, &record.id)),
            );
        }
        session.owed = owed;
        self.go_on(node, peer);
    }

    /// Settles the shards of which nothing is owed any more; fetches, or ends.
    fn go_on(&mut self, node: usize, peer: usize) {
        let here = &mut self.nodes[node];
        let Some(session) = here.sessions.get_mut(&peer) else {
            return;
        };
        let owing: BTreeSet<u32> = session.owed.iter().map(|record| record.shard).collect();
        let settled: Vec<(u32, Option<Digest>)> = session
            .roots
            .iter()
            .filter(|(shard, _)| !owing.contains(shard))
            .map(|(shard, root)| (*shard, *root))
            .collect();
        for (shard, root) in settled {
            session.roots.remove(&shard);
            session.contained.insert(shard);
            if let Some(root) = root {
                here.remembered
                    .insert((peer, shard), (here.disk.store, session.store, root));
            }
        }
        let records: Vec<Record> = session.owed.iter().take(BATCH).copied().collect();
        let id = session.id;
        if records.is_empty() {
            self.end(node, peer);
        } else {
            self.send(
                node,
                peer,
                Mail::Fetch {
                    session: id,
                    records,
                },
            );
        }
    }

    pub(crate) fn fetch(
        &mut self,
        store: usize,
        asking: usize,
        session: u64,
        records: Vec<Record>,
    ) {
        let here = &self.nodes[store];
        let held = records
            .into_iter()
            .filter(|record| here.disk.holds(record))
            .collect();
        self.send(
            store,
            asking,
            Mail::Fetched {
                session,
                records: held,
            },
        );
    }

    pub(crate) fn fetched(&mut self, node: usize, session: u64, records: Vec<Record>) {
        let store_life = self.nodes[node].store_life;
        let takes = self.random.between(1, 20);
        let then = Then::Session { session };
        self.later(
            node,
            takes,
            Timer::Commit {
                store_life,
                records,
                then,
            },
        );
    }

    /// Records of a session are on the disk.
    pub(crate) fn brought(&mut self, node: usize, id: u64, records: &[Record]) {
        let mut sessions = self.nodes[node].sessions.iter_mut();
        let Some((&peer, session)) = sessions.find(|(_, session)| session.id == id) else {
            return;
        };
        for record in records {
            session.owed.remove(record);
        }
        if records.is_empty() {
            // The peer has lost what it showed.
            self.end(node, peer);
        } else {
            self.go_on(node, peer);
        }
    }

    /// A session that has not ended by itself.
    pub(crate) fn limit(&mut self, node: usize, id: u64) {
        let peer = self.nodes[node]
            .sessions
            .iter()
            .find(|(_, session)| session.id == id)
            .map(|(peer, _)| *peer);
        if let Some(peer) = peer {
            self.end(node, peer);
        }
    }

    fn end(&mut self, node: usize, peer: usize) {
        let Some(session) = self.nodes[node].sessions.remove(&peer) else {
            return;
        };
        if session.contained.is_empty() {
            return;
        }
        let moment = match self.broken {
            Broken::DatedAtTheEnd => self.now,
            _ => session.began,
        };
        let boot = self.nodes[node].boot(moment);
        let proof = Proof {
            peer: name(peer),
            shards: session.contained.into_iter().collect(),
            proved_at: if self.broken == Broken::DatedAtTheEnd {
                boot
            } else {
                boot.saturating_sub(YOUNG_MS)
            },
            peer_absent: session.absent,
        };
        let takes = self.random.between(1, 30);
        self.later(
            node,
            takes,
            Timer::Report {
                proofs: vec![proof],
            },
        );
    }

    /// Repair tells the store what it knows.
    pub(crate) fn report(&mut self, node: usize, proofs: Vec<Proof>) {
        if self.broken == Broken::OwnedShardsAreEnough {
            self.believe_early(node, &proofs);
        }
        let report = self.what_is_known(node, proofs);
        if self.broken == Broken::RaiseCountsAtOnce {
            self.raise_early(node, &report);
        }
        let boot = self.nodes[node].boot(self.now);
        let here = &mut self.nodes[node];
        here.tenure.report(boot, here.viewed.0, &report.owned);
        here.ledger.report(boot, report);
        here.disk.lost = here.ledger.is_absent();
        here.disk.wide = here.ledger.lasting().wide;
        here.disk.counted = here.ledger.lasting().replication_factor;
        here.told.clone_from(&here.disk.known);
    }

    fn what_is_known(&self, node: usize, proofs: Vec<Proof>) -> Report {
        let here = &self.nodes[node];
        Report {
            node: here.name.clone(),
            known: here.disk.known.iter().map(|member| name(*member)).collect(),
            replication_factor: self.least(node),
            counted: self.counted(node),
            owned: self.owned(node),
            proofs,
        }
    }

    /// The broken rule: proofs for the owned shards alone end a store's absence.
    fn believe_early(&mut self, node: usize, proofs: &[Proof]) {
        let owned = self.owned(node);
        let boot = self.nodes[node].boot(self.now);
        let here = &mut self.nodes[node];
        for proof in proofs {
            let peer = here
                .disk
                .known
                .iter()
                .copied()
                .find(|member| name(*member) == proof.peer);
            for (peer, shard) in peer
                .into_iter()
                .flat_map(|peer| proof.shards.iter().map(move |shard| (peer, *shard)))
            {
                here.contained.insert((peer, shard), proof.proved_at);
            }
        }
        let others = || here.disk.known.iter().filter(|member| **member != node);
        let fresh = |place: &(usize, u32)| {
            here.contained
                .get(place)
                .is_some_and(|at| boot - at <= MAX_AGE_MS)
        };
        let all = others().all(|peer| owned.iter().all(|shard| fresh(&(*peer, *shard))));
        if here.ledger.is_absent() && all && here.disk.joined {
            here.ledger = Ledger::new(false);
        }
    }
}

fn is_young(young: &BTreeSet<Id>, id: &Id) -> bool {
    young.contains(id)
}
