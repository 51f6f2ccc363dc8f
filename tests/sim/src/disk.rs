//! What outlives a process.

use std::collections::{BTreeMap, BTreeSet};

use merkle::{Id, Tree};

use crate::copies::Words;

/// A record, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) id: Id,
    pub(crate) shard: u32,
}

/// How a record came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    at: u64,
    id: Id,
    /// By a gateway's write, not by repair.
    pushed: bool,
}

/// The store's database and the book of members.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// A new one for a new database.
    pub(crate) store: u64,
    pub(crate) trees: Vec<Tree>,
    /// In the order of arrival.
    pub(crate) log: Vec<Arrival>,
    /// When each row came last.
    pub(crate) arrived: BTreeMap<Id, u64>,
    /// The store may lack what it once acknowledged.
    pub(crate) lost: bool,
    /// There were more members than copies.
    pub(crate) wide: bool,
    /// Copies of whatever was acknowledged and may not be here; 0: never told.
    pub(crate) counted: u32,
    /// The setting of its last start: copies of every record.
    pub(crate) set: u32,
    /// What the members said of their settings.
    pub(crate) words: Words,
    /// Members this node knows of, itself included.
    pub(crate) known: BTreeSet<usize>,
    /// It belongs to the cluster: another member gave it its book.
    pub(crate) joined: bool,
    /// It may be given shards.
    pub(crate) serving: bool,
    /// It hands everything over.
    pub(crate) leaving: bool,
    /// Members that have left or were forgotten, as far as this node knows.
    pub(crate) gone: BTreeSet<usize>,
}

impl Disk {
    pub(crate) fn new(store: u64, num_shards: u32, known: BTreeSet<usize>) -> Disk {
        Disk {
            store,
            trees: (0..=num_shards).map(|_| Tree::new()).collect(),
            log: Vec::new(),
            arrived: BTreeMap::new(),
            lost: false,
            wide: false,
            counted: 0,
            set: 0,
            words: Words::new(),
            known,
            joined: false,
            serving: false,
            leaving: false,
            gone: BTreeSet::new(),
        }
    }

    /// What another node knows of members.
    pub(crate) fn learn(&mut self, known: &BTreeSet<usize>, gone: &BTreeSet<usize>) {
        self.gone.extend(gone);
        self.known.extend(known);
        self.known = self.known.difference(&self.gone).copied().collect();
    }

    /// Known members and those that are gone.
    pub(crate) fn clone_book(&self) -> (BTreeSet<usize>, BTreeSet<usize>) {
        (self.known.clone(), self.gone.clone())
    }

    /// A member is known no more.
    pub(crate) fn strike(&mut self, member: usize) {
        self.learn(&BTreeSet::new(), &BTreeSet::from([member]));
    }

    /// Gives a row up.
    pub(crate) fn remove(&mut self, record: &Record) {
        self.trees[record.shard as usize].remove(&record.id);
        self.arrived.remove(&record.id);
    }

    pub(crate) fn insert(&mut self, at: u64, record: Record, pushed: bool) {
        if self.trees[record.shard as usize].insert(record.id) {
            self.arrived.insert(record.id, at);
            self.log.push(Arrival {
                at,
                id: record.id,
                pushed,
            });
        }
    }

    pub(crate) fn holds(&self, record: &Record) -> bool {
        self.trees[record.shard as usize].contains(&record.id)
    }

    pub(crate) fn tree(&self, shard: u32) -> &Tree {
        &self.trees[shard as usize]
    }

    /// What came at or after a moment, by push alone or in any way.
    pub(crate) fn since(&self, moment: u64, pushed_alone: bool) -> BTreeSet<Id> {
        let young = self
            .log
            .iter()
            .rev()
            .take_while(|arrival| arrival.at >= moment);
        young
            .filter(|arrival| arrival.pushed || !pushed_alone)
            .map(|arrival| arrival.id)
            .collect()
    }
}
