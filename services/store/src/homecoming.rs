//! Copies that go where they belong: this store confirms what it owns, and gives up what others have confirmed.
//!
//! A confirmation and a release must not overlap: a row that is about to go is not vouched for. Confirmations share a gate that a
//! release has for itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assertion::RecordId;
use bytes::Bytes;
use merkle::Id;
use proto::convert;
use proto::v1;
use shard::homecoming::SETTLED_MS;
use sidecar::Shutdown;
use sidecar::clock::boot_ms;
use sqlx::SqlitePool;
use tokio::sync::{RwLock, Semaphore};

use crate::completeness::{Completeness, Order};
use crate::error::CallError;
use crate::held::{self, IDS_MAX, Place};
use crate::trees::Trees;
use crate::writer::Writer;

/// Confirmations at a time: each reads and hashes megabytes.
const CONFIRMS_AT_A_TIME: usize = 2;

/// Canonical bytes that one read holds.
const READ_BYTES: usize = 1024 * 1024;

/// Between two ages of how far the rows had come.
const AGE_INTERVAL: Duration = Duration::from_secs(1);

/// Confirms and releases.
#[derive(Debug)]
pub struct Homecoming {
    readers: SqlitePool,
    trees: Arc<Trees>,
    completeness: Arc<Completeness>,
    writer: Writer,
    gate: RwLock<()>,
    turns: Semaphore,
    ages: Mutex<Ages>,
}

/// How far the rows had come at times of this process, oldest first.
#[derive(Debug, Default)]
struct Ages(VecDeque<(u64, u64)>);

impl Ages {
    fn note(&mut self, now: u64, sequence: u64) {
        self.0.push_back((now, sequence));
        // The newest of those that are old enough is all that is needed of them.
        while self.0.get(1).is_some_and(|(at, _)| is_settled(now, *at)) {
            self.0.pop_front();
        }
    }

    /// Rows up to this sequence have been here for long enough.
    fn settled(&self, now: u64) -> u64 {
        let old = self.0.iter().take_while(|(at, _)| is_settled(now, *at));
        old.last().map_or(0, |(_, sequence)| *sequence)
    }
}

fn is_settled(now: u64, at: u64) -> bool {
    now.saturating_sub(at) >= SETTLED_MS
}

impl Homecoming {
    /// Over these parts. Rows that are there count from now on.
    pub fn new(
        readers: SqlitePool,
        trees: Arc<Trees>,
        completeness: Arc<Completeness>,
        writer: Writer,
    ) -> Homecoming {
        let homecoming = Homecoming {
            readers,
            trees,
            completeness,
            writer,
            gate: RwLock::new(()),
            turns: Semaphore::new(CONFIRMS_AT_A_TIME),
            ages: Mutex::default(),
        };
        homecoming.note_age();
        homecoming
    }

    fn note_age(&self) {
        // The sequence first: what comes between the two counts as younger than it is.
        let sequence = self.trees.sequence();
        let now = boot_ms();
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        ages.note(now, sequence);
    }

    /// Notes how far the rows have come, until the shutdown.
    pub async fn keep_ages(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(AGE_INTERVAL) => self.note_age(),
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Of ids, those that this store vouches for.
    ///
    /// # Errors
    /// When the request means nothing, or the database cannot be read.
    pub async fn confirm(
        &self,
        request: &v1::ConfirmRequest,
    ) -> Result<v1::ConfirmReply, CallError> {
        let shard = request.shard;
        self.trees.check(shard)?;
        let ids = convert::ids(&request.ids, proto::CONFIRM_IDS_MAX)?;
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_| CallError::Overloaded)?;
        let _gate = self.gate.read().await;
        // Before the rows are read: what is released later is released after the end of this ownership.
        if !self.completeness.confirms(shard) {
            return Ok(v1::ConfirmReply::default());
        }
        let settled = {
            let ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
            ages.settled(boot_ms())
        };
        let mut confirmed: Vec<Id> = Vec::new();
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let batch = held::by_id(&self.readers, Place::Shard(shard), rest, READ_BYTES).await?;
            rest = &rest[batch.settled..];
            let good = batch.records.iter().filter(|held| {
                held.sequence <= settled && RecordId::of(&held.canonical).as_bytes()[..] == held.id
            });
            for held in good {
                confirmed.push(convert::record_id(&held.id)?.to_bytes());
            }
            tokio::task::yield_now().await;
        }
        Ok(v1::ConfirmReply {
            ids: Bytes::from(confirmed.concat()),
            owner: true,
        })
    }

    /// Gives up rows.
    ///
    /// # Errors
    /// [`CallError::NotReleased`] when the store was told otherwise; nothing is deleted then.
    pub async fn release(
        &self,
        request: &v1::ReleaseRequest,
    ) -> Result<v1::ReleaseReply, CallError> {
        self.trees.check(request.shard)?;
        let ids = convert::ids(&request.ids, proto::RELEASE_IDS_MAX)?;
        let order = Order {
            shard: request.shard,
            asked_at: request.asked_at_boot_ms,
            hold_ms: request.hold_ms,
            view: (request.view_incarnation, request.view_version),
        };
        // Refused early when it will be: the writer looks again.
        self.completeness.may_release(&order)?;
        let _gate = self.gate.write().await;
        let completeness = Arc::clone(&self.completeness);
        let released = self.writer.release(order, ids, completeness).await??;
        Ok(v1::ReleaseReply {
            released: released.records,
            record_bytes: released.bytes,
        })
    }
}

// A read takes no more ids than a call may name.
const _: () = assert!(IDS_MAX <= proto::CONFIRM_IDS_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_settled_when_a_mark_behind_them_is_old_enough() {
        let mut ages = Ages::default();
        assert_eq!(ages.settled(1_000_000), 0);
        for (at, sequence) in [(1_000, 5), (2_000, 7), (3_000, 7), (4_000, 20)] {
            ages.note(at, sequence);
        }
        let settled = |now| ages.settled(now);
        assert_eq!(settled(999 + SETTLED_MS), 0);
        assert_eq!(settled(1_000 + SETTLED_MS), 5);
        assert_eq!(settled(2_500 + SETTLED_MS), 7);
        assert_eq!(settled(9_000 + SETTLED_MS), 20);
    }

    #[test]
    fn marks_are_few_however_long_the_process_runs() {
        let mut ages = Ages::default();
        for second in 0..1_000 {
            ages.note(second * 1_000, second);
            assert!(ages.0.len() <= 15, "{}", ages.0.len());
        }
        assert_eq!(ages.settled(999_000), 999 - SETTLED_MS / 1_000);
    }
}
