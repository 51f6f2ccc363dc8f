//! What is known to be damaged: rows in quarantine whose records have not come again, and a database that SQLite cannot read.
//!
//! Both make answers incomplete ([`crate::completeness`]) and raise alarms. Rows are in the database and outlive a restart; that
//! SQLite could not read the database is noted in a file beside it, since it may not take that note itself. Whoever moves the
//! database away and starts the store again has an empty one, which fills itself from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use merkle::Id;
use sidecar::clock::unix_ms;
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::Notify;

use crate::error::{CallError, is_malformed};
use crate::metrics;
use crate::trees::id;

/// Beside the database while SQLite could not read it.
const FILE: &str = "store.unreadable";

/// Rows that wait to be looked at because an answer met them; more are found by the pass that follows anyhow.
const SUSPECTED_MAX: usize = 256;

/// A row whose record is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The record.
    pub id: Id,
    /// Where it lies.
    pub shard: u32,
    /// The row that it had.
    pub sequence: i64,
    /// Unix milliseconds.
    pub noticed_at_ms: i64,
    /// What was wrong, for people.
    pub reason: String,
}

/// Something an operator should know of while the store serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// For programs.
    pub code: &'static str,
    /// For people, with the next step.
    pub message: String,
    /// Unix milliseconds.
    pub since_ms: i64,
}

/// What is known to be damaged. One per store.
#[derive(Debug)]
pub struct Damage {
    directory: PathBuf,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    lost: BTreeMap<Id, Lost>,
    suspected: Vec<i64>,
    unreadable: Option<Unreadable>,
    losses: u64,
}

#[derive(Debug, Clone)]
struct Unreadable {
    why: String,
    since_ms: i64,
}

impl Damage {
    /// Nothing, of a database in this directory.
    pub fn none(directory: &Path) -> Damage {
        Damage {
            directory: directory.to_path_buf(),
            state: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// What was known when the store ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open(
        connection: &mut SqliteConnection,
        directory: &Path,
    ) -> Result<Damage, sqlx::Error> {
        let damage = Damage::none(directory);
        let rows = sqlx::query(
            "SELECT id, shard, sequence, noticed_at_ms, reason FROM quarantine WHERE healed_at_ms IS NULL",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut lost = Vec::with_capacity(rows.len());
        for row in rows {
            lost.push(Lost {
                id: id(row.try_get(0)?)?,
                shard: row.try_get(1)?,
                sequence: row.try_get(2)?,
                noticed_at_ms: row
                    .try_get::<Option<i64>, _>(3)
                    .ok()
                    .flatten()
                    .unwrap_or_else(unix_ms),
                reason: row
                    .try_get::<Option<String>, _>(4)
                    .ok()
                    .flatten()
                    .unwrap_or_default(),
            });
        }
        let losses = sqlx::query_scalar("SELECT losses FROM store")
            .fetch_one(connection)
            .await?;
        damage.lose(lost);
        damage.state().losses = losses;
        if let Ok(why) = std::fs::read_to_string(damage.file()) {
            let since_ms = unix_ms();
            damage.state().unreadable = Some(Unreadable { why, since_ms });
            damage.wake.notify_one();
        }
        damage.gauge();
        Ok(damage)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Values are replaced, never left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn gauge(&self) {
        let state = self.state();
        metrics::lost(state.lost.len(), state.unreadable.is_some());
    }

    /// Records that are waited for from now on.
    pub fn lose(&self, lost: Vec<Lost>) {
        let mut state = self.state();
        state
            .lost
            .extend(lost.into_iter().map(|lost| (lost.id, lost)));
        drop(state);
        self.gauge();
    }

    /// Ids have gone without being given up, `losses` times so far.
    pub fn shrunk(&self, losses: u64) {
        self.state().losses = losses;
    }

    /// How often ids have gone without being given up.
    pub fn losses(&self) -> u64 {
        self.state().losses
    }

    /// Of these ids those that are waited for, with the rows that they had.
    pub fn waited_for(&self, ids: impl Iterator<Item = Id>) -> Vec<Lost> {
        let state = self.state();
        if state.lost.is_empty() {
            return Vec::new();
        }
        ids.filter_map(|id| state.lost.get(&id).cloned()).collect()
    }

    /// They have come.
    pub fn heal(&self, healed: &[Lost]) {
        if healed.is_empty() {
            return;
        }
        let mut state = self.state();
        for lost in healed {
            state.lost.remove(&lost.id);
        }
        let left = state.lost.len();
        drop(state);
        tracing::info!(
            healed = healed.len(),
            left,
            "good copies of damaged records have come"
        );
        metrics::healed(healed.len());
        self.gauge();
    }

    /// Whether a record of one of the shards is waited for, or nothing that is read can be relied on.
    pub fn touches(&self, shards: &[u32]) -> bool {
        let state = self.state();
        state.unreadable.is_some()
            || (!state.lost.is_empty()
                && state.lost.values().any(|lost| shards.contains(&lost.shard)))
    }

    /// Shards of records that are waited for.
    pub fn shards(&self) -> BTreeSet<u32> {
        let state = self.state();
        state.lost.values().map(|lost| lost.shard).collect()
    }

    /// Records that are waited for, up to so many, and how many there are.
    pub fn lost(&self, limit: usize) -> (Vec<Lost>, usize) {
        let state = self.state();
        let some = state.lost.values().take(limit).cloned().collect();
        (some, state.lost.len())
    }

    /// Looks at an error that an answer met: a damaged row is to be looked at, and so is all when SQLite cannot read.
    pub fn met(&self, error: &CallError) {
        match error {
            CallError::Damaged { sequence } => self.suspect(*sequence),
            CallError::Read(error) => self.sqlite(error),
            _ => {}
        }
    }

    /// A row is to be looked at soon.
    pub fn suspect(&self, sequence: i64) {
        let mut state = self.state();
        if state.suspected.len() < SUSPECTED_MAX && !state.suspected.contains(&sequence) {
            state.suspected.push(sequence);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Rows to be looked at; each is named once.
    pub fn suspected(&self) -> Vec<i64> {
        std::mem::take(&mut self.state().suspected)
    }

    /// Waits until something is to be looked at.
    pub async fn noticed(&self) {
        self.wake.notified().await;
    }

    /// Notes an error of SQLite when it says that the database is malformed.
    pub fn sqlite(&self, error: &sqlx::Error) {
        if is_malformed(error) {
            self.unreadable(&error.to_string());
        }
    }

    /// SQLite cannot read the database, or not find its rows: nothing here can be relied on any more.
    pub fn unreadable(&self, why: &str) {
        let mut state = self.state();
        if state.unreadable.is_some() {
            return;
        }
        state.unreadable = Some(Unreadable {
            why: why.to_owned(),
            since_ms: unix_ms(),
        });
        drop(state);
        let next = self.next_step();
        tracing::error!(why, next, "the database is malformed");
        if let Err(error) = std::fs::write(self.file(), why) {
            tracing::error!(%error, "that the database is malformed could not be noted beside it");
        }
        self.gauge();
        self.wake.notify_one();
    }

    /// A whole look found the database readable.
    ///
    /// # Errors
    /// When the note cannot be taken away.
    pub fn readable(&self) -> io::Result<()> {
        match std::fs::remove_file(self.file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.state().unreadable = None;
        self.gauge();
        Ok(())
    }

    /// The database cannot be relied on.
    pub fn is_unreadable(&self) -> bool {
        self.state().unreadable.is_some()
    }

    /// Why the database cannot be relied on, with the next step.
    pub fn why_unreadable(&self) -> Option<String> {
        let unreadable = self.state().unreadable.clone()?;
        Some(format!("{}; {}", unreadable.why, self.next_step()))
    }

    fn next_step(&self) -> String {
        format!(
            "stop this node, move {}/store.* away, start it again: its store fills itself from the other nodes",
            self.directory.display()
        )
    }

    /// What an operator should know.
    pub fn alarms(&self) -> Vec<Alarm> {
        let state = self.state();
        let lost = state.lost.values().map(|lost| lost.noticed_at_ms).min();
        let rows = state.lost.len();
        let unreadable = state.unreadable.clone();
        drop(state);
        let quarantined = lost.map(|since_ms| Alarm {
            code: "quarantined_rows",
            message: format!(
                "{rows} damaged records were taken out and no good copy has come yet; repair fetches them from the other nodes: see GET /cluster/scrub for which, and bring back nodes that are down; the last way is to import them from a backup"
            ),
            since_ms,
        });
        let malformed = unreadable.map(|unreadable| Alarm {
            code: "database_malformed",
            message: format!("{}; {}", unreadable.why, self.next_step()),
            since_ms: unreadable.since_ms,
        });
        malformed.into_iter().chain(quarantined).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(number: u8, shard: u32) -> Lost {
        Lost {
            id: [number; 32],
            shard,
            sequence: number.into(),
            noticed_at_ms: 1_000 + i64::from(number),
            reason: "flipped".into(),
        }
    }

    #[test]
    fn a_shard_is_touched_until_its_record_has_come() {
        let directory = tempfile::tempdir().unwrap();
        let damage = Damage::none(directory.path());
        assert!(!damage.touches(&[1, 2]) && damage.alarms().is_empty());
        damage.lose(vec![lost(7, 2), lost(8, 3)]);
        assert!(damage.touches(&[1, 2]) && !damage.touches(&[1]));
        let alarms = damage.alarms();
        assert_eq!(alarms.len(), 1);
        assert_eq!(
            (alarms[0].code, alarms[0].since_ms),
            ("quarantined_rows", 1_007)
        );
        let healed = damage.waited_for([[7; 32], [9; 32]].into_iter());
        assert_eq!(healed, [lost(7, 2)]);
        damage.heal(&healed);
        assert!(!damage.touches(&[1, 2]) && damage.touches(&[3]));
        assert_eq!(damage.lost(10), (vec![lost(8, 3)], 1));
    }

    #[test]
    fn rows_are_suspected_once_and_few_wait() {
        let directory = tempfile::tempdir().unwrap();
        let damage = Damage::none(directory.path());
        for sequence in (0..1_000).chain(0..1_000) {
            damage.met(&CallError::Damaged { sequence });
        }
        assert_eq!(damage.suspected().len(), SUSPECTED_MAX);
        assert!(damage.suspected().is_empty());
    }

    #[test]
    fn a_malformed_database_is_noted_beside_it_until_it_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let damage = Damage::none(directory.path());
        damage.unreadable("page 7 is torn");
        damage.unreadable("and so is page 8");
        let note = directory.path().join(FILE);
        assert_eq!(std::fs::read_to_string(&note).unwrap(), "page 7 is torn");
        assert!(damage.touches(&[]));
        assert_eq!(damage.alarms()[0].code, "database_malformed");
        assert!(damage.why_unreadable().unwrap().contains("move"));
        damage.readable().unwrap();
        assert!(!note.exists() && !damage.touches(&[1]));
    }
}
