//! How many copies: each node has a setting from its last start on, says it, and goes by what it has heard of all known members.

use std::collections::BTreeMap;

use shard::proof::{Lasting, Ledger, Report};

use crate::plan::Broken;
use crate::world::World;

/// What a member said last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// When: the later word counts.
    at: u64,
    /// Its setting.
    set: u32,
    /// Copies that its store counts on; 0: it was never told.
    counted: u32,
    /// It has shards, or had.
    served: bool,
}

/// By member.
pub(crate) type Words = BTreeMap<usize, Said>;

/// Takes what another one has heard.
pub(crate) fn learn(words: &mut Words, others: &Words) {
    for (member, theirs) in others {
        let ours = words.entry(*member).or_insert(*theirs);
        if theirs.at > ours.at {
            *ours = *theirs;
        }
    }
}

impl World {
    /// A node that starts reads its settings.
    pub(crate) fn read_settings(&mut self, node: usize) {
        let now = self.now;
        let change = self.plan.change.filter(|(at, _)| now >= *at);
        self.nodes[node].disk.set = change.map_or(self.plan.copies, |(_, copies)| copies);
        self.say(node);
    }

    /// A node says what it is set to, and what its store counts on.
    pub(crate) fn say(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let said = Said {
            at: self.now,
            set: here.disk.set,
            counted: here.ledger.lasting().replication_factor,
            served: here.disk.serving,
        };
        here.disk.words.insert(node, said);
    }

    /// What is known of those that have a vote: this node, and members with shards.
    fn words(&self, node: usize) -> impl Iterator<Item = &Said> {
        let disk = &self.nodes[node].disk;
        let votes = move |(member, said): &(&usize, &Said)| {
            **member == node || (said.served && disk.known.contains(member))
        };
        disk.words.iter().filter(votes).map(|(_, said)| said)
    }

    /// The highest setting: so many copies a record shall have.
    pub(crate) fn most(&self, node: usize) -> u32 {
        let most = self.words(node).map(|said| said.set).max();
        most.unwrap_or(self.plan.copies)
    }

    /// What a store is told: the lowest setting.
    pub(crate) fn least(&self, node: usize) -> u32 {
        let own = self.nodes[node].disk.set;
        let least = self.words(node).map(|said| said.set).min();
        match self.broken {
            Broken::OwnSettingCounts => own,
            Broken::OneMoreMayMiss => least.unwrap_or(own) + 1,
            _ => least.unwrap_or(own),
        }
    }

    /// What gateways go by, and new stores: the lowest that a store counts on; 0: none says.
    pub(crate) fn counted(&self, node: usize) -> u32 {
        let least = self.words(node).map(|said| said.set).min();
        let counted = self.words(node).map(|said| said.counted);
        let counted = counted.filter(|copies| *copies > 0).min();
        counted.unwrap_or(0).min(least.unwrap_or(0))
    }

    /// The broken rule: a store counts on more copies as soon as it is told of them.
    pub(crate) fn raise_early(&mut self, node: usize, report: &Report) {
        let ledger = &mut self.nodes[node].ledger;
        let lasting = ledger.lasting();
        if (1..report.replication_factor).contains(&lasting.replication_factor) {
            *ledger = Ledger::restored(Lasting {
                replication_factor: report.replication_factor,
                ..lasting
            });
        }
    }
}
