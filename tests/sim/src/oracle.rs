//! Who sees everything: what was acknowledged, and whether answers keep what they promise.

use std::collections::BTreeSet;
use std::fmt;

use shard::homecoming::CONFIRMATION_AGE_MAX_MS;

use crate::disk::Record;
use crate::plan::Broken;
use crate::world::World;

/// A promise that was not kept.
#[derive(Debug)]
pub struct Violation {
    /// Of the history.
    pub seed: u64,
    /// The broken rule.
    pub broken: Broken,
    /// Milliseconds of the simulation.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
    /// It was found at the end, when everything should be at home: what was promised may have held all the time.
    pub at_the_end: bool,
    /// The last events before it.
    pub events: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} ({:?}), {} ms: {}",
            self.seed, self.broken, self.at_ms, self.what
        )?;
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "  {event}"))
    }
}

/// What a history held.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    /// Records that clients sent.
    pub written: usize,
    /// Records that were acknowledged.
    pub acknowledged: usize,
    /// Claims of completeness that were checked.
    pub complete: usize,
    /// Questions to a store that knew itself not to be complete.
    pub incomplete: usize,
    /// Faults.
    pub faults: usize,
    /// Of these, lost disks.
    pub wiped: usize,
    /// Rows that were given up.
    pub released: usize,
    /// Nodes that left.
    pub left: usize,
    /// Nodes that died for good and were forgotten.
    pub forgotten: usize,
}

/// What was acknowledged, by shard, in the order of time.
#[derive(Debug)]
pub(crate) struct Oracle {
    acknowledged: Vec<Vec<(u64, Record)>>,
    promised: BTreeSet<Record>,
    /// When the last disk was lost.
    lost_at: u64,
    /// Nodes whose disks were lost since every record had all its copies.
    lost: BTreeSet<usize>,
    pub(crate) summary: Summary,
}

impl Oracle {
    pub(crate) fn new(num_shards: u32) -> Oracle {
        Oracle {
            acknowledged: vec![Vec::new(); num_shards as usize + 1],
            promised: BTreeSet::new(),
            lost_at: 0,
            lost: BTreeSet::new(),
            summary: Summary::default(),
        }
    }

    pub(crate) fn acknowledge(&mut self, now: u64, record: Record) {
        self.acknowledged[record.shard as usize].push((now, record));
        self.promised.insert(record);
        self.summary.acknowledged += 1;
    }
}

impl World {
    /// Asks every store about every shard, and one gateway for a union.
    pub(crate) fn probe(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.check_claims(node)?;
        }
        self.check_union()
    }

    /// Whatever a store says it is complete through, it holds.
    pub(crate) fn check_claims(&mut self, node: usize) -> Result<(), String> {
        let here = &mut self.nodes[node];
        if !here.is_up() {
            return Ok(());
        }
        let boot = here.boot(self.now);
        for shard in 0..=self.plan.num_shards {
            let Some(through) = here.ledger.complete(boot, shard, self.plan.num_shards) else {
                self.oracle.summary.incomplete += 1;
                continue;
            };
            self.oracle.summary.complete += 1;
            let through = here.moment(through);
            let acknowledged = &self.oracle.acknowledged[shard as usize];
            let seen = &mut here.seen[shard as usize];
            while let Some((at, record)) = acknowledged.get(*seen).filter(|(at, _)| *at < through) {
                if !here.disk.holds(record) {
                    let (name, record) = (here.name.clone(), *record);
                    let lasting = here.ledger.lasting();
                    let holders: Vec<usize> = (0..self.nodes.len())
                        .filter(|node| self.nodes[*node].disk.holds(&record))
                        .collect();
                    return Err(format!(
                        "{name} is complete for shard {shard} through {through} ms and lacks a record acknowledged at {at} ms, which \
                         {holders:?} hold: {lasting:?}"
                    ));
                }
                *seen += 1;
            }
        }
        Ok(())
    }

    /// A gateway asks all nodes it reaches, and answers for all but fewer than rf known members.
    fn check_union(&mut self) -> Result<(), String> {
        let gateway = self.random.index(self.nodes.len());
        let shard =
            u32::try_from(self.random.index(self.plan.num_shards as usize + 1)).unwrap_or(0);
        if !self.nodes[gateway].is_up() || !self.nodes[gateway].disk.joined {
            return Ok(());
        }
        let mut known = self.nodes[gateway].disk.known.clone();
        let mut answering = Vec::new();
        for node in self.nodes[gateway].disk.known.clone() {
            let reached = node == gateway || self.network.connects(gateway, node);
            if reached && self.nodes[node].is_up() && !self.random.permille(100) {
                answering.push(node);
                known.extend(&self.nodes[node].disk.known);
            }
        }
        let absent = |node: &usize| {
            self.nodes[*node].ledger.is_absent() && self.broken != Broken::WipedStoreCounts
        };
        let counted = answering.iter().filter(|node| !absent(node)).count();
        let may_do_without = known.len().min(self.counted(gateway).max(1) as usize);
        if known.len() - counted >= may_do_without {
            return Ok(());
        }
        self.oracle.summary.complete += 1;
        for (at, record) in &self.oracle.acknowledged[shard as usize] {
            if !answering
                .iter()
                .any(|node| self.nodes[*node].disk.holds(record))
            {
                let name = &self.nodes[gateway].name;
                return Err(format!(
                    "a union at {name} is complete and lacks a record acknowledged at {at} ms"
                ));
            }
        }
        Ok(())
    }

    fn copies(&self, record: &Record) -> usize {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(index, node)| node.disk.holds(record) && !self.is_gone(*index))
            .count()
    }

    /// A disk may be lost when no more than rf − 1 are since every acknowledged record had all its copies and every node its
    /// book.
    pub(crate) fn may_lose(&mut self, node: usize) -> bool {
        // A confirmation from before a loss may end a copy that counts until then.
        let settled = self.now > self.oracle.lost_at + CONFIRMATION_AGE_MAX_MS + 500;
        let has_book = |lost: &usize| self.nodes[*lost].disk.joined || self.nodes[*lost].dead;
        if settled && self.all_copied() && self.oracle.lost.iter().all(has_book) {
            self.oracle.lost.clear();
        }
        let others = self
            .oracle
            .lost
            .iter()
            .filter(|lost| **lost != node)
            .count();
        if others + 1 >= self.plan.fewest() as usize {
            return false;
        }
        self.oracle.lost.insert(node);
        self.oracle.lost_at = self.now;
        true
    }

    /// Every acknowledged record has all its copies.
    pub(crate) fn all_copied(&self) -> bool {
        let all = self.copies_wanted();
        let mut acknowledged = self.oracle.acknowledged.iter().flatten();
        acknowledged.all(|(_, record)| self.copies(record) >= all)
    }

    fn copies_wanted(&self) -> usize {
        let is_member = |node: &usize| self.nodes[*node].disk.serving && !self.is_gone(*node);
        let members = (0..self.nodes.len()).filter(is_member).count();
        members.min(self.plan.fewest() as usize)
    }

    /// A node gave a row up: the others hold it often enough.
    pub(crate) fn check_given_up(&self, node: usize, record: &Record) -> Result<(), String> {
        let wanted = self.copies_wanted().saturating_sub(self.oracle.lost.len());
        let left = self.copies(record);
        if left >= wanted || !self.oracle.promised.contains(record) {
            return Ok(());
        }
        Err(format!(
            "node{node} gave up an acknowledged record of which {left} copies are left, {wanted} are promised"
        ))
    }

    /// Long after the last fault everything is at home.
    pub(crate) fn check_healed(&self) -> Result<(), String> {
        let expected: BTreeSet<usize> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| n.is_up())
            .map(|(i, _)| i)
            .collect();
        for (index, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_up())
        {
            if node.members != expected {
                return Err(format!(
                    "{} places shards on {:?}, not on {expected:?}",
                    node.name, node.members
                ));
            }
            for shard in 0..self.plan.num_shards {
                let foreign = node.disk.tree(shard).len();
                if foreign > 0 && !node.placement.owns(&node.name, shard) {
                    return Err(format!(
                        "node{index} still holds {foreign} rows of shard {shard}, which others own, after all healed"
                    ));
                }
            }
            for shard in node.placement.owned_by(&node.name) {
                let lacks = |(_, record): &&(u64, Record)| !node.disk.holds(record);
                if let Some((at, _)) = self.oracle.acknowledged[shard as usize].iter().find(lacks) {
                    return Err(format!(
                        "{} lacks a record acknowledged at {at} ms after all healed",
                        node.name
                    ));
                }
                let root = node.disk.tree(shard).root();
                for owner in self.owners(&node.placement, shard) {
                    if self.nodes[owner].disk.tree(shard).root() != root {
                        return Err(format!(
                            "node{index} and node{owner} differ in shard {shard} after all healed"
                        ));
                    }
                }
                if node
                    .ledger
                    .complete(node.boot(self.now), shard, self.plan.num_shards)
                    .is_none()
                {
                    return Err(format!(
                        "{} is not complete for shard {shard} after all healed",
                        node.name
                    ));
                }
            }
        }
        Ok(())
    }
}
