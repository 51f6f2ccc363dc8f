//! When this store may say `complete`: the ledger of proofs, the durable mark behind it, and dates that people can read.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shard::global_shard;
use shard::proof::{Ledger, MAX_AGE_MS, Report};
use sidecar::clock::{boot_ms, unix_ms};

use crate::error::Refusal;
use crate::writer::Writer;

/// What repair has proved to this store. The proofs live in memory; a restart loses them, as it must.
#[derive(Debug)]
pub struct Completeness {
    state: Mutex<State>,
    /// Reports are taken one after the other: the durable mark is written between two looks at the ledger.
    reports: tokio::sync::Mutex<()>,
    num_shards: u32,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    owned: Vec<u32>,
    known: BTreeSet<String>,
}

/// What was proved when an answer was begun. Taken before reading, so that what is read holds at least that much.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Boot milliseconds.
    proved_at: Option<u64>,
    /// Unix less boot milliseconds, at that moment.
    offset_ms: i64,
    /// The store counts as absent.
    pub counts_as_absent: bool,
}

impl Standing {
    /// Complete, and through which Unix millisecond; to be asked when the answer is ready. A process that was stopped
    /// meanwhile finds its proofs too old.
    pub fn judge(&self) -> (bool, i64) {
        match self.proved_at {
            Some(at) if boot_ms().saturating_sub(at) <= MAX_AGE_MS => (true, self.unix(at)),
            _ => (false, 0),
        }
    }

    fn unix(&self, boot: u64) -> i64 {
        self.offset_ms
            .saturating_add(i64::try_from(boot).unwrap_or(i64::MAX))
    }
}

impl Completeness {
    /// No proofs yet.
    pub fn new(counts_as_absent: bool, num_shards: u32) -> Completeness {
        Completeness {
            state: Mutex::new(State {
                ledger: Ledger::new(counts_as_absent),
                owned: Vec::new(),
                known: BTreeSet::new(),
            }),
            reports: tokio::sync::Mutex::new(()),
            num_shards,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A ledger is changed by replacing values, never left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one shard and the global one.
    pub fn of(&self, shard: u32) -> Standing {
        self.over([shard])
    }

    /// For every shard there is.
    pub fn of_all(&self) -> Standing {
        self.over(0..self.num_shards)
    }

    /// For the shards that this node was told it owns; not proved while it was told nothing.
    pub fn of_owned(&self) -> Standing {
        let owned = self.state().owned.clone();
        let nothing = owned.is_empty();
        let standing = self.over(owned);
        Standing {
            proved_at: standing.proved_at.filter(|_| !nothing),
            ..standing
        }
    }

    fn over(&self, shards: impl IntoIterator<Item = u32>) -> Standing {
        let now = boot_ms();
        let global = global_shard(self.num_shards);
        let state = self.state();
        let proved_at = shards
            .into_iter()
            .map(|shard| state.ledger.complete(now, shard, global))
            .reduce(|one, other| Some(one?.min(other?)))
            .flatten();
        Standing {
            proved_at,
            offset_ms: unix_ms().saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)),
            counts_as_absent: state.ledger.is_absent(),
        }
    }

    /// Takes a report. Returns whether the store counts as absent after it. That it stops doing so is on the disk before
    /// anybody is told.
    ///
    /// # Errors
    /// When that cannot be written; the report is not taken then.
    pub async fn report(&self, report: Report, writer: &Writer) -> Result<bool, Refusal> {
        let _one = self.reports.lock().await;
        let owned = report.owned.clone();
        let known = report.known.clone();
        let mut next = self.state().ledger.clone();
        let was_absent = next.is_absent();
        next.report(boot_ms(), report);
        let is_absent = next.is_absent();
        if was_absent && !is_absent {
            writer.proved().await?;
            tracing::info!("all that the other members had is here: this store counts from now on");
        }
        *self.state() = State {
            ledger: next,
            owned,
            known,
        };
        Ok(is_absent)
    }

    /// Members that this store was last told of.
    pub fn known(&self) -> Vec<String> {
        self.state().known.iter().cloned().collect()
    }

    /// The node's copies count from now on. A store that is not `fresh` counts as absent until it holds all that the others have;
    /// which it is is on the disk before anybody is told.
    ///
    /// # Errors
    /// When that cannot be written; it counts as before then.
    pub async fn admit(&self, fresh: bool, writer: &Writer) -> Result<(), Refusal> {
        let _one = self.reports.lock().await;
        if fresh {
            writer.proved().await?;
            self.state().ledger.set_present();
        } else {
            writer.lost().await?;
            self.state().ledger.set_absent(boot_ms());
        }
        tracing::info!(fresh, "the node was let into the cluster");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_date_is_no_proof_when_the_answer_is_ready() {
        let standing = |age: u64| Standing {
            proved_at: Some(boot_ms().saturating_sub(age)),
            offset_ms: 0,
            counts_as_absent: false,
        };
        assert!(standing(0).judge().0);
        assert_eq!(standing(MAX_AGE_MS + 1_000).judge(), (false, 0));
    }

    #[test]
    fn nothing_is_proved_at_the_start() {
        let completeness = Completeness::new(false, 4);
        assert!(!completeness.of(1).judge().0);
        assert!(!completeness.of_owned().judge().0);
        assert!(Completeness::new(true, 4).of_all().counts_as_absent);
    }
}
