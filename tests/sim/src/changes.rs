//! Members that come, leave, and die for good.

use std::collections::BTreeSet;

use crate::disk::Disk;
use crate::node::Process;
use crate::plan::FORGET_AFTER_MS;
use crate::world::{Event, World};

/// How often it is looked whether a dead member can be forgotten.
const LOOK_EVERY_MS: u64 = 1_000;

/// What becomes of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Join {
        node: usize,
    },
    Leave,
    Death,
    /// Somebody looks whether everything has its copies without it; `since`: since when.
    Forget {
        node: usize,
        since: Option<u64>,
    },
}

impl World {
    pub(crate) fn plan_changes(&mut self) {
        for (number, at) in self.plan.joins_at_ms.clone().into_iter().enumerate() {
            let node = self.plan.founders + number;
            self.at(at, Event::Change(Change::Join { node }));
        }
        if let Some(at) = self.plan.leave_at_ms {
            self.at(at, Event::Change(Change::Leave));
        }
        if let Some(at) = self.plan.death_at_ms {
            self.at(at, Event::Change(Change::Death));
        }
    }

    /// It has left, or will never be back.
    pub(crate) fn is_gone(&self, node: usize) -> bool {
        let node_is_struck = self.nodes[node].disk.gone.contains(&node);
        node_is_struck || self.nodes[node].dead
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Join { node } => self.start(node),
            Change::Leave => self.leave(),
            Change::Death => self.die(),
            Change::Forget { node, since } => self.forget(node, since),
        }
    }

    /// Members that serve and stay, this one left out.
    fn staying(&self, node: usize) -> usize {
        let stays = |other: &usize| {
            let there = &self.nodes[*other];
            *other != node && there.disk.serving && !there.disk.leaving && !self.is_gone(*other)
        };
        (0..self.nodes.len()).filter(stays).count()
    }

    /// Somebody leaves, when enough stay.
    fn leave(&mut self) {
        let node = self.random.index(self.nodes.len());
        let here = &self.nodes[node];
        let can = here.process == Process::Up && here.disk.serving && here.disk.joined;
        if can && self.staying(node) >= self.plan.most() as usize {
            self.note(format!("node{node} is leaving"));
            self.nodes[node].disk.leaving = true;
        }
    }

    /// Somebody dies for good, and his disk with him.
    fn die(&mut self) {
        let node = self.random.index(self.nodes.len());
        let here = &self.nodes[node];
        let can = here.process == Process::Up && here.disk.joined && !here.disk.leaving;
        let enough = self.staying(node) >= self.plan.most() as usize;
        if !can || !enough || !self.may_lose(node) {
            return;
        }
        self.note(format!("node{node} dies for good"));
        let store = self.fresh();
        let num_shards = self.plan.num_shards;
        let here = &mut self.nodes[node];
        here.stop();
        here.dead = true;
        here.disk = Disk::new(store, num_shards, BTreeSet::from([node]));
        let since = None;
        self.at(LOOK_EVERY_MS, Event::Change(Change::Forget { node, since }));
    }

    /// An operator forgets the dead when everything has had its copies without it for a while.
    fn forget(&mut self, node: usize, since: Option<u64>) {
        let since = match since {
            None if self.all_copied() => Some(self.now),
            since => since,
        };
        let ripe = since.is_some_and(|since| self.now - since >= FORGET_AFTER_MS);
        let up = |other: &usize| self.nodes[*other].is_up() && self.nodes[*other].disk.joined;
        let teller = (0..self.nodes.len()).find(up);
        if let Some(teller) = teller.filter(|_| ripe) {
            self.note(format!("node{teller} forgets node{node}"));
            self.oracle.summary.forgotten += usize::from(!self.is_forgotten(node));
            self.nodes[teller].disk.strike(node);
        }
        // Whoever forgot it may lose its disk before it has told anybody.
        if !self.is_forgotten(node) {
            self.at(LOOK_EVERY_MS, Event::Change(Change::Forget { node, since }));
        }
    }

    /// Every member knows that it is gone.
    fn is_forgotten(&self, node: usize) -> bool {
        let members = self.nodes.iter().filter(|member| member.disk.joined);
        let mut others = members.filter(|member| !member.dead);
        others.all(|member| member.disk.gone.contains(&node))
    }
}
