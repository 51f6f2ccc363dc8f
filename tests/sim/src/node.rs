//! One node: its disk, and what its four processes keep in memory.

use std::collections::{BTreeMap, BTreeSet};

use merkle::Digest;
use shard::Placement;
use shard::homecoming::Tenure;
use shard::proof::{Lasting, Ledger, Proof};

use crate::disk::{Disk, Record};
use crate::gateway::Write;
use crate::homecoming::Offer;
use crate::network::Mail;
use crate::repair::Session;

/// How a node's processes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Up,
    /// Frozen: what arrives waits.
    Paused,
    Down,
}

/// What a node does later.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// Look at the other members.
    Watch,
    /// Start sessions.
    Repair,
    /// A write has not enough copies yet, perhaps.
    Hedge { write: u64 },
    /// The store's group commit; not done by a store that has died meanwhile.
    Commit {
        store_life: u32,
        records: Vec<Record>,
        then: Then,
    },
    /// Repair tells the store what it proved.
    Report { proofs: Vec<Proof> },
    /// Look after rows that do not belong here.
    Homecoming,
    /// Give up what was confirmed, after a while.
    Release { offer: u64 },
    /// A session has taken too long.
    Limit { session: u64 },
}

/// Who waits for a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Gateway { node: usize, write: u64 },
    Session { session: u64 },
}

/// Something that waits until a frozen node goes on.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Mail { from: usize, mail: Mail },
    Timer { life: u32, timer: Timer },
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) process: Process,
    /// Grows with every start: timers of an earlier life mean nothing.
    pub(crate) life: u32,
    /// The same for the store's process alone.
    pub(crate) store_life: u32,
    pub(crate) held: Vec<Held>,
    /// Boot milliseconds at time 0 of the simulation.
    boot_offset: u64,
    pub(crate) disk: Disk,
    pub(crate) ledger: Ledger,
    /// What the store was told that it owns.
    pub(crate) tenure: Tenure,
    /// When the store's process began.
    pub(crate) store_began: u64,
    /// When the view was worked out last, boot milliseconds, and how often it was another one.
    pub(crate) viewed: (u64, u64),
    /// How long it stands still before it gives rows up, when that is told.
    pub(crate) held_up_ms: Option<u64>,
    /// Rows that owners were asked about.
    pub(crate) offers: BTreeMap<u64, Offer>,
    /// Of a node that leaves: rows that all owners confirmed.
    pub(crate) handed: BTreeSet<Record>,
    /// It will never be back.
    pub(crate) dead: bool,
    /// The members that the store was told of last.
    pub(crate) told: BTreeSet<usize>,
    /// When each member was last heard of, and whether it served then.
    pub(crate) heard: BTreeMap<usize, (u64, bool)>,
    /// Until when this node's view is nonsense, and which members it shows.
    pub(crate) confused: Option<(u64, BTreeSet<usize>)>,
    pub(crate) members: BTreeSet<usize>,
    /// Copies that they place of every record.
    pub(crate) copies: u32,
    pub(crate) placement: Placement,
    pub(crate) sessions: BTreeMap<usize, Session>,
    /// By peer and shard: own store, peer's store, and the root that was contained.
    pub(crate) remembered: BTreeMap<(usize, u32), (u64, u64, Digest)>,
    pub(crate) writes: BTreeMap<u64, Write>,
    /// Silences in a row.
    pub(crate) silences: BTreeMap<usize, u32>,
    /// Per shard, how many acknowledged records were seen here: sets only grow.
    pub(crate) seen: Vec<usize>,
    /// For a broken rule: when all that a peer had of an owned shard was contained.
    pub(crate) contained: BTreeMap<(usize, u32), u64>,
}

impl Node {
    pub(crate) fn new(index: usize, boot_offset: u64, disk: Disk, num_shards: u32) -> Node {
        Node {
            name: name(index),
            process: Process::Down,
            life: 0,
            store_life: 0,
            held: Vec::new(),
            boot_offset,
            ledger: Ledger::new(disk.lost),
            tenure: Tenure::new(num_shards),
            store_began: 0,
            viewed: (0, 0),
            held_up_ms: None,
            offers: BTreeMap::new(),
            handed: BTreeSet::new(),
            dead: false,
            disk,
            told: BTreeSet::new(),
            heard: BTreeMap::new(),
            confused: None,
            members: BTreeSet::new(),
            copies: 1,
            placement: Placement::new([], num_shards, 1),
            sessions: BTreeMap::new(),
            remembered: BTreeMap::new(),
            writes: BTreeMap::new(),
            silences: BTreeMap::new(),
            seen: vec![0; num_shards as usize + 1],
            contained: BTreeMap::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process == Process::Up
    }

    /// CLOCK_BOOTTIME of the node at a moment of the simulation.
    pub(crate) fn boot(&self, now: u64) -> u64 {
        self.boot_offset + now
    }

    /// And back. What is before the simulation is its start.
    pub(crate) fn moment(&self, boot: u64) -> u64 {
        boot.saturating_sub(self.boot_offset)
    }

    /// All processes begin anew. Known members count as just seen.
    pub(crate) fn start(&mut self, now: u64) {
        self.process = Process::Up;
        self.life += 1;
        self.held.clear();
        self.start_store(now);
        self.offers.clear();
        self.handed.clear();
        self.heard
            .retain(|member, _| self.disk.known.contains(member));
        for (at, _) in self.heard.values_mut() {
            *at = now;
        }
        self.sessions.clear();
        self.remembered.clear();
        self.writes.clear();
        self.silences.clear();
    }

    /// The store's process alone begins anew.
    pub(crate) fn start_store(&mut self, now: u64) {
        self.store_life += 1;
        self.store_began = now;
        self.ledger = Ledger::restored(Lasting {
            absent: self.disk.lost,
            wide: self.disk.wide,
            replication_factor: self.disk.counted,
        });
        self.tenure = Tenure::new(self.placement.num_shards());
        self.told.clear();
        self.contained.clear();
    }

    pub(crate) fn stop(&mut self) {
        self.process = Process::Down;
        self.life += 1;
        self.store_life += 1;
        self.held.clear();
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("node{index}")
}
