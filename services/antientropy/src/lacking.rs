//! What is still to be brought here from all peers together, each record once.
//!
//! Several peers may have what this node lacks: all owners of a shard, and whoever owned it before. Each peer's own task counts what
//! that peer has; added up they count most records twice. Of a shard the peer that has most of what is lacking says how much that is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use proto::v1;

/// What peers have and this node lacks. It holds a number for each shard and peer that differ.
#[derive(Debug, Default)]
pub struct Lacking(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since something is lacking.
    began: Option<Instant>,
    /// About how many records of a shard each peer has that are not here.
    shards: BTreeMap<u32, BTreeMap<String, u64>>,
    records_done: u64,
    bytes_done: u64,
}

impl Lacking {
    /// A session with a peer found what differs: about how many records of which shards.
    pub fn found(&self, peer: &str, lacking: &[(u32, u64)]) {
        let mut state = self.state();
        state.forget(peer);
        for (shard, records) in lacking {
            let peers = state.shards.entry(*shard).or_default();
            peers.insert(peer.to_owned(), *records);
        }
        state.settle();
    }

    /// Records that were not here are: so many of each shard, and their bytes. Whoever has them as well has less to bring.
    pub fn brought(&self, records: &BTreeMap<u32, u64>, bytes: u64) {
        let mut state = self.state();
        if state.began.is_none() {
            return;
        }
        for (shard, records) in records {
            state.records_done += records;
            let peers = state.shards.get_mut(shard);
            for left in peers.into_iter().flat_map(BTreeMap::values_mut) {
                *left = left.saturating_sub(*records);
            }
        }
        state.bytes_done += bytes;
        // A peer that does not answer any more will not say that others have brought what it had.
        state.shards.retain(|_, peers| {
            peers.retain(|_, left| *left > 0);
            !peers.is_empty()
        });
        state.settle();
    }

    /// A peer left or was forgotten.
    pub fn gone(&self, peer: &str) {
        self.found(peer, &[]);
    }

    /// How far it is; nothing, when nothing is lacking.
    pub fn message(&self) -> Option<v1::RepairTask> {
        let state = self.state();
        let took = state.began?.elapsed();
        let most = |peers: &BTreeMap<String, u64>| peers.values().max().copied();
        let records_to_do: u64 = state.shards.values().filter_map(most).sum();
        let mean = state.bytes_done.checked_div(state.records_done);
        Some(v1::RepairTask {
            shards: state.shards.keys().copied().collect(),
            records_done: state.records_done,
            records_to_do,
            bytes_done: state.bytes_done,
            bytes_to_do: records_to_do.saturating_mul(mean.unwrap_or(0)),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers are replaced, never left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, peer: &str) {
        self.shards.retain(|_, peers| {
            peers.remove(peer);
            !peers.is_empty()
        });
    }

    /// It begins with what is found first, and ends when nothing is left of it.
    fn settle(&mut self) {
        if self.shards.is_empty() {
            *self = State::default();
        } else {
            self.began.get_or_insert_with(Instant::now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_two_peers_have_is_counted_once() {
        let lacking = Lacking::default();
        assert_eq!(lacking.message(), None);
        lacking.found("node1", &[(3, 100), (5, 20)]);
        lacking.found("node2", &[(3, 80), (9, 7)]);
        let of = |lacking: &Lacking| {
            let task = lacking.message().unwrap();
            (task.records_done, task.records_to_do)
        };
        assert_eq!(of(&lacking), (0, 127));
        assert_eq!(lacking.message().unwrap().shards, [3, 5, 9]);
        // Whichever of the two brings them.
        lacking.brought(&BTreeMap::from([(3, 60)]), 6_000);
        lacking.brought(&BTreeMap::from([(3, 40), (9, 7)]), 4_700);
        assert_eq!(of(&lacking), (107, 20));
        let task = lacking.message().unwrap();
        assert_eq!((task.bytes_done, task.bytes_to_do), (10_700, 2_000));
        // The next sessions say how it is by then.
        lacking.found("node2", &[]);
        lacking.found("node1", &[(5, 18)]);
        assert_eq!(of(&lacking), (107, 18));
        lacking.gone("node1");
        assert_eq!(lacking.message(), None);
        lacking.brought(&BTreeMap::from([(5, 1)]), 100);
        lacking.found("node1", &[(5, 1)]);
        assert_eq!(of(&lacking), (0, 1), "it begins anew");
        lacking.brought(&BTreeMap::from([(5, 1)]), 100);
        assert_eq!(lacking.message(), None, "nobody has to say so");
    }
}
