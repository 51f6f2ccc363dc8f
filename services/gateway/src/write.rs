//! What becomes of one record: whom to send it to, when it counts as stored, when to stop waiting.
//!
//! A [`Write`] is a value: it is told what happened and asked what to do next. It never sees a clock or a socket; the
//! task that drives it ([`crate::writer`]) has both. Its promise: [`Verdict::Stored`] only when enough distinct nodes said
//! that the record is on their disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::route::{Name, Route};

/// First pause before a node is tried again, in milliseconds, doubled with every failure.
const FIRST_PAUSE_MS: u64 = 50;

/// Longest pause: several tries fit into the time that a client waits.
const LONGEST_PAUSE_MS: u64 = 400;

/// What a client calls stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// One node.
    Local,
    /// min(rf, known) nodes. In the global shard also every node that answers, until the deadline: what is retracted is
    /// retracted everywhere when the client hears of it.
    Copies,
    /// Every owner, and min(rf, known) nodes.
    All,
}

/// How long a write waits, in milliseconds from its start.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until it is answered with fewer copies than it needs.
    pub write_ms: u64,
    /// Until it is answered with none.
    pub maybe_stored_ms: u64,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Durable on enough nodes, new on one of them at least.
    Stored,
    /// Durable on enough nodes, all of which had it.
    Present,
    /// Durable on fewer nodes at the deadline.
    Accepted,
    /// Nobody confirmed it; it may still be on a disk.
    MaybeStored,
    /// Every store that was asked said that these bytes are no record.
    Refused(String),
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: this is how it ended.
    Done(Verdict),
    /// Wait for news, until this moment at most.
    Wait(u64),
}

/// How it stands with one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Asked.
    Asked,
    /// Asked, and nothing is heard: others are asked as well.
    Silent,
    /// On its disk.
    Confirmed { new: bool },
    /// The call failed.
    Failed { again_at: u64 },
    /// It does not take these bytes for a record.
    Refused,
}

#[derive(Debug, Clone, Copy)]
struct Try {
    stand: Stand,
    failures: u32,
}

/// One record on its way.
#[derive(Debug)]
pub struct Write {
    shard: u32,
    durability: Durability,
    deadlines: Deadlines,
    started: u64,
    needed: usize,
    tries: BTreeMap<Name, Try>,
    refusal: Option<String>,
}

impl Write {
    /// A write that starts now. Nothing is sent before [`Write::advance`] says so.
    pub fn new(shard: u32, durability: Durability, deadlines: Deadlines, now: u64) -> Write {
        Write {
            shard,
            durability,
            deadlines,
            started: now,
            needed: 0,
            tries: BTreeMap::new(),
            refusal: None,
        }
    }

    /// The shard it lies in.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// The nodes that have it on disk, by name.
    pub fn holders(&self) -> impl Iterator<Item = &Name> {
        self.tries
            .iter()
            .filter(|(_, tried)| matches!(tried.stand, Stand::Confirmed { .. }))
            .map(|(name, _)| name)
    }

    /// Of those, the ones whose copies count.
    pub fn counted<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'a Name> {
        self.holders().filter(|name| route.counts(name))
    }

    /// A node has it on disk; `new`: since now.
    pub fn confirmed(&mut self, node: &Name, new: bool) {
        let before = self.stand(node);
        // It was new once; a second confirmation after a lost reply does not make it old.
        let new = new || before == Some(Stand::Confirmed { new: true });
        self.set(node, Stand::Confirmed { new });
    }

    /// A call to a node failed: what became of the record there is not known.
    pub fn failed(&mut self, node: &Name, now: u64) {
        if let Some(tried) = self.tries.get_mut(node)
            && matches!(tried.stand, Stand::Asked | Stand::Silent)
        {
            let pause = FIRST_PAUSE_MS
                .saturating_mul(1 << tried.failures.min(16))
                .min(LONGEST_PAUSE_MS);
            tried.failures += 1;
            tried.stand = Stand::Failed {
                again_at: now.saturating_add(pause),
            };
        }
    }

    /// A node that was asked does not say anything.
    pub fn silent(&mut self, node: &Name) {
        if let Some(tried) = self.tries.get_mut(node)
            && tried.stand == Stand::Asked
        {
            tried.stand = Stand::Silent;
        }
    }

    /// A node says that the bytes are no record.
    pub fn refused(&mut self, node: &Name, reason: String) {
        self.refusal = Some(reason);
        self.set(node, Stand::Refused);
    }

    fn set(&mut self, node: &Name, stand: Stand) {
        let failures = self.tries.get(node).map_or(0, |tried| tried.failures);
        self.tries
            .insert(Name::clone(node), Try { stand, failures });
    }

    /// Decides. Nodes to send the record to now are added to `send`, and count as asked from here on.
    pub fn advance(&mut self, now: u64, route: &Route, send: &mut Vec<Name>) -> Next {
        // Members may have come since the start: never fewer copies than any view of this write asked for.
        self.needed = self.needed.max(match self.durability {
            Durability::Local => 1,
            Durability::Copies | Durability::All => route.copies_needed().max(1),
        });
        if let Some(verdict) = self.verdict(now, route) {
            return Next::Done(verdict);
        }
        let silent: BTreeSet<Name> = self
            .tries
            .iter()
            .filter(|(_, tried)| tried.stand == Stand::Silent)
            .map(|(name, _)| Name::clone(name))
            .collect();
        let mut wake = self.deadline();
        for node in route.targets(self.shard, &silent) {
            match self.stand(&node) {
                Some(Stand::Failed { again_at }) if now < again_at => wake = wake.min(again_at),
                None | Some(Stand::Failed { .. }) => {
                    self.set(&node, Stand::Asked);
                    send.push(node);
                }
                Some(_) => {}
            }
        }
        Next::Wait(wake)
    }

    fn deadline(&self) -> u64 {
        let wait = match self.holders().next() {
            Some(_) => self.deadlines.write_ms,
            None => self.deadlines.maybe_stored_ms,
        };
        self.started.saturating_add(wait)
    }

    fn verdict(&self, now: u64, route: &Route) -> Option<Verdict> {
        let copies = self.counted(route).count();
        let enough = copies >= self.needed && !self.waits_for_others(now, route);
        if enough {
            let new = self
                .tries
                .values()
                .any(|tried| tried.stand == Stand::Confirmed { new: true });
            return Some(if new {
                Verdict::Stored
            } else {
                Verdict::Present
            });
        }
        let all_refuse = !self.tries.is_empty()
            && self
                .tries
                .values()
                .all(|tried| tried.stand == Stand::Refused);
        match &self.refusal {
            Some(reason) if all_refuse => return Some(Verdict::Refused(reason.clone())),
            _ => {}
        }
        (now >= self.deadline()).then_some(match copies {
            0 => Verdict::MaybeStored,
            _ => Verdict::Accepted,
        })
    }

    /// Whether it has to be on more disks than the number of copies asks for.
    fn waits_for_others(&self, now: u64, route: &Route) -> bool {
        let mut lacking = route
            .owners(self.shard)
            .iter()
            .filter(|owner| !self.holds(owner));
        match self.durability {
            Durability::Local => false,
            Durability::All => lacking.next().is_some(),
            Durability::Copies => {
                let in_time = now < self.started.saturating_add(self.deadlines.write_ms);
                // One that is out or does not read this record would only be waited for in vain.
                let may_come = |owner: &Name| !route.out().contains(owner) && !self.refuses(owner);
                in_time && route.is_global(self.shard) && lacking.any(may_come)
            }
        }
    }

    fn stand(&self, node: &Name) -> Option<Stand> {
        self.tries.get(node).map(|tried| tried.stand)
    }

    fn holds(&self, node: &Name) -> bool {
        matches!(self.stand(node), Some(Stand::Confirmed { .. }))
    }

    fn refuses(&self, node: &Name) -> bool {
        self.stand(node) == Some(Stand::Refused)
    }
}

#[cfg(test)]
mod tests;
