//! Writes: to all owners at once, to stand-ins for those that are silent, acknowledged at min(rf, known) durable copies.

use std::collections::BTreeSet;

use shard::Placement;

use crate::disk::Record;
use crate::network::Mail;
use crate::node::{Then, Timer};
use crate::plan::{ACKNOWLEDGED_WITHIN_MS, Broken, HEDGE_MS};
use crate::world::World;

/// Silences in a row after which a store is out.
const SILENCES_MAX: u32 = 3;

/// A write on its way.
#[derive(Debug)]
pub(crate) struct Write {
    record: Record,
    began: u64,
    needed: usize,
    asked: BTreeSet<usize>,
    confirmed: BTreeSet<usize>,
    acknowledged: bool,
}

impl World {
    /// A client gives a record to a node's gateway.
    pub(crate) fn write(&mut self, node: usize, record: Record) {
        let known = self.nodes[node].disk.known.len();
        let needed = match self.broken {
            Broken::OneCopyIsEnough => 1,
            _ => known.min(self.most(node) as usize),
        };
        let asked = self.targets(node, record.shard, &BTreeSet::new());
        let id = self.fresh();
        for store in &asked {
            self.send(node, *store, Mail::Append { write: id, record });
        }
        let write = Write {
            record,
            began: self.now,
            needed,
            asked,
            confirmed: BTreeSet::new(),
            acknowledged: false,
        };
        self.nodes[node].writes.insert(id, write);
        self.later(node, HEDGE_MS, Timer::Hedge { write: id });
    }

    /// owners(shard, placement) ∪ owners(shard, placement − those that do not answer), less the latter; all out counts as
    /// none out.
    fn targets(&self, node: usize, shard: u32, silent: &BTreeSet<usize>) -> BTreeSet<usize> {
        let here = &self.nodes[node];
        let out = |member: &usize| {
            let silences = here
                .silences
                .get(member)
                .is_some_and(|count| *count >= SILENCES_MAX);
            silences || silent.contains(member)
        };
        let whole = self.owners(&here.placement, shard);
        let left: BTreeSet<usize> = here
            .members
            .iter()
            .copied()
            .filter(|member| !out(member))
            .collect();
        if left.is_empty() || left.len() == here.members.len() {
            return whole;
        }
        let names = left.iter().map(|member| self.nodes[*member].name.clone());
        let rest = Placement::new(names, self.plan.num_shards, self.most(node));
        let answering = whole.into_iter().filter(|owner| left.contains(owner));
        answering.chain(self.owners(&rest, shard)).collect()
    }

    /// The stores that have not confirmed a write are silent once more.
    pub(crate) fn hedge(&mut self, node: usize, id: u64) {
        let now = self.now;
        let here = &mut self.nodes[node];
        let Some(write) = here.writes.get(&id) else {
            return;
        };
        let over = now - write.began >= ACKNOWLEDGED_WITHIN_MS;
        if write.acknowledged || over {
            here.writes.remove(&id);
            return;
        }
        let record = write.record;
        let silent: BTreeSet<usize> = write.asked.difference(&write.confirmed).copied().collect();
        for store in &silent {
            *here.silences.entry(*store).or_default() += 1;
        }
        let targets = self.targets(node, record.shard, &silent);
        if let Some(write) = self.nodes[node].writes.get_mut(&id) {
            write.asked.extend(&targets);
        }
        for store in silent.union(&targets) {
            self.send(node, *store, Mail::Append { write: id, record });
        }
        self.later(node, HEDGE_MS * 2, Timer::Hedge { write: id });
    }

    /// A store takes a record: on the disk first, then the reply.
    pub(crate) fn append(&mut self, store: usize, gateway: usize, write: u64, record: Record) {
        let disk = &self.nodes[store].disk;
        if !disk.joined || disk.leaving {
            return;
        }
        let commit = Timer::Commit {
            store_life: self.nodes[store].store_life,
            records: vec![record],
            then: Then::Gateway {
                node: gateway,
                write,
            },
        };
        let takes = self.random.between(1, 8);
        self.later(store, takes, commit);
    }

    /// A store confirms.
    pub(crate) fn appended(&mut self, node: usize, store: usize, id: u64) {
        let now = self.now;
        let here = &mut self.nodes[node];
        here.silences.remove(&store);
        let Some(write) = here.writes.get_mut(&id) else {
            return;
        };
        write.confirmed.insert(store);
        let (record, needed, began) = (write.record, write.needed, write.began);
        let confirmed = write.confirmed.clone();
        // Not covered by the rule (docs/adr/0008-completeness.md): a copy that is lost before it counts.
        let counted = confirmed
            .iter()
            .filter(|holder| self.nodes[**holder].disk.holds(&record));
        let enough = counted.count() >= needed && now - began <= ACKNOWLEDGED_WITHIN_MS;
        if let Some(write) = self.nodes[node].writes.get_mut(&id)
            && enough
            && !std::mem::replace(&mut write.acknowledged, true)
        {
            self.oracle.acknowledge(now, record);
        }
    }
}
