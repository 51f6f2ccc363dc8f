//! Membership: who is heard of, who is known, who has shards.

use std::collections::BTreeSet;

use shard::Placement;

use crate::copies;
use crate::node::Timer;
use crate::plan::{Broken, DOWN_AFTER_MS, REBALANCE_DELAY_MS, WATCH_EVERY_MS};
use crate::world::World;

impl World {
    /// Looks at the others, and works out a view.
    pub(crate) fn watch(&mut self, node: usize) {
        let every = self.random.between(WATCH_EVERY_MS / 2, WATCH_EVERY_MS * 2);
        self.later(node, every, Timer::Watch);
        let reached: Vec<usize> = (0..self.nodes.len())
            .filter(|other| self.reaches(node, *other))
            .collect();
        if !self.nodes[node].disk.joined {
            self.join(node, &reached);
            return;
        }
        self.say(node);
        for other in reached {
            // Books are exchanged whole, but not at every look.
            if self.nodes[other].disk.joined && self.random.permille(300) {
                let theirs = self.nodes[other].disk.clone_book();
                let ours = self.nodes[node].disk.clone_book();
                self.nodes[node].disk.learn(&theirs.0, &theirs.1);
                self.nodes[other].disk.learn(&ours.0, &ours.1);
            }
            let theirs = self.nodes[other].disk.words.clone();
            copies::learn(&mut self.nodes[node].disk.words, &theirs);
            let disk = &self.nodes[other].disk;
            let serving = disk.serving && !disk.leaving;
            if self.nodes[node].disk.known.contains(&other) {
                self.nodes[node].heard.insert(other, (self.now, serving));
            }
        }
        self.serve(node);
        self.place(node);
    }

    /// Directly, or through a third.
    fn reaches(&self, node: usize, other: usize) -> bool {
        let up = |member: usize| self.nodes[member].is_up();
        let direct = |a: usize, b: usize| self.network.connects(a, b);
        node != other
            && up(other)
            && (direct(node, other)
                || (0..self.nodes.len()).any(|third| {
                    third != node
                        && third != other
                        && up(third)
                        && direct(node, third)
                        && direct(third, other)
                }))
    }

    /// A node without a book gets one from a member it reaches, and is in that member's book.
    fn join(&mut self, node: usize, reached: &[usize]) {
        let members: Vec<usize> = reached
            .iter()
            .copied()
            .filter(|other| self.nodes[*other].disk.joined)
            .collect();
        let Some(contact) = self.random.pick(&members) else {
            return;
        };
        self.nodes[contact].disk.known.insert(node);
        let (known, gone) = self.nodes[contact].disk.clone_book();
        let words = self.nodes[contact].disk.words.clone();
        self.nodes[node].disk.learn(&known, &gone);
        copies::learn(&mut self.nodes[node].disk.words, &words);
        self.nodes[node].disk.joined = true;
    }

    /// A member takes copies once the stores of all others were told of it. Rf of them are not enough when two come at a time: a
    /// third store that knows neither may be complete by the proofs of those who know no more, or, with rf known, by itself.
    fn serve(&mut self, node: usize) {
        let others = self.nodes[node]
            .disk
            .known
            .iter()
            .filter(|other| **other != node);
        let count = others.clone().count();
        let aware = others
            .filter(|other| self.nodes[**other].told.contains(&node))
            .count();
        let enough = match self.broken {
            Broken::FewAreTold => aware >= count.min(self.plan.copies as usize),
            _ => aware == count,
        };
        if enough || self.broken == Broken::NewcomerCountsAtOnce {
            self.nodes[node].disk.serving = true;
        }
    }

    /// Known members that serve, or stopped not long ago.
    pub(crate) fn place(&mut self, node: usize) {
        let now = self.now;
        let here = &self.nodes[node];
        let mut members: BTreeSet<usize> = here
            .heard
            .iter()
            .filter(|(_, (at, serving))| *serving && now - at <= DOWN_AFTER_MS + REBALANCE_DELAY_MS)
            .filter(|(member, _)| here.disk.known.contains(member))
            .map(|(member, _)| *member)
            .collect();
        if here.disk.serving && !here.disk.leaving {
            members.insert(node);
        }
        match &here.confused {
            Some((until, shown)) if now < *until => members.clone_from(shown),
            _ => {}
        }
        let boot = here.boot(now);
        let copies = self.most(node);
        self.nodes[node].viewed.0 = boot;
        let here = &self.nodes[node];
        if members != here.members || copies != here.copies {
            let names = members
                .iter()
                .map(|member| self.nodes[*member].name.clone());
            let placement = Placement::new(names, self.plan.num_shards, copies);
            let here = &mut self.nodes[node];
            here.placement = placement;
            here.viewed.1 += 1;
            here.members = members;
            here.copies = copies;
        }
    }

    /// The owners of a shard as indices.
    pub(crate) fn owners(&self, placement: &Placement, shard: u32) -> BTreeSet<usize> {
        let owners = placement.owners(shard);
        let index = |owner: &str| self.nodes.iter().position(|node| node.name == owner);
        owners.iter().filter_map(|owner| index(owner)).collect()
    }
}
