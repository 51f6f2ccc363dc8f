//! Messages, and what stands in their way.

use std::collections::BTreeSet;

use merkle::{Id, Tree};

use crate::copies::Words;
use crate::disk::Record;
use crate::random::Random;

/// What nodes tell each other.
#[derive(Debug, Clone)]
pub(crate) enum Mail {
    /// Gateway to store.
    Append { write: u64, record: Record },
    /// It is on the disk.
    Appended { write: u64 },
    /// Repair to a peer's store: what do you hold of these shards?
    Compare { session: u64, shards: Vec<u32> },
    /// The answer.
    Compared(Box<Compared>),
    /// Give me these.
    Fetch { session: u64, records: Vec<Record> },
    /// Here they are.
    Fetched { session: u64, records: Vec<Record> },
    /// To an owner's store: do you vouch for these?
    Confirm { offer: u64, records: Vec<Record> },
    /// For these.
    Confirmed { offer: u64, records: Vec<Record> },
}

/// What a store shows of itself.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    pub(crate) session: u64,
    pub(crate) store: u64,
    /// It counts as absent.
    pub(crate) absent: bool,
    /// The members it knows.
    pub(crate) known: BTreeSet<usize>,
    /// And those that are gone.
    pub(crate) gone: BTreeSet<usize>,
    /// What it heard of settings.
    pub(crate) words: Words,
    pub(crate) trees: Vec<(u32, Tree)>,
    /// Ids of these trees that the asking side may leave for the next time.
    pub(crate) young: BTreeSet<Id>,
}

/// Who reaches whom.
#[derive(Debug)]
pub(crate) struct Network {
    /// From, to.
    cuts: BTreeSet<(usize, usize)>,
    loss: u64,
    latency_ms: u64,
}

impl Network {
    pub(crate) fn new(loss: u64, latency_ms: u64) -> Network {
        Network {
            cuts: BTreeSet::new(),
            loss,
            latency_ms,
        }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        if from != to {
            self.cuts.insert((from, to));
        }
    }

    /// These two reach each other again.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        self.cuts.remove(&(a, b));
        self.cuts.remove(&(b, a));
    }

    /// All that was cut is whole again.
    pub(crate) fn mend(&mut self) {
        self.cuts.clear();
    }

    /// From now on nothing gets lost.
    pub(crate) fn calm(&mut self) {
        self.mend();
        self.loss = 0;
        self.latency_ms = self.latency_ms.min(20);
    }

    /// Both ways, as a call and its answer need it.
    pub(crate) fn connects(&self, a: usize, b: usize) -> bool {
        !self.cuts.contains(&(a, b)) && !self.cuts.contains(&(b, a))
    }

    /// How long a message takes; `None` when it gets lost.
    pub(crate) fn way(&self, from: usize, to: usize, random: &mut Random) -> Option<u64> {
        if from == to {
            return Some(random.between(0, 1));
        }
        let lost = self.cuts.contains(&(from, to)) || random.permille(self.loss);
        // Now and then one is much later than the others.
        let late = if random.permille(20) { 10 } else { 1 };
        (!lost).then(|| random.between(1, self.latency_ms) * late)
    }
}
