//! One pass over all rows.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use thiserror::Error;

use super::page::{self, Page};
use super::{SHARE_ASKED, SHARE_DUE, Scrub};
use crate::error::Refusal;
use crate::metrics;
use crate::trees;
use crate::writer::Suspect;

/// Longest rest between two pages, whatever the page took.
pub(super) const REST_MAX: Duration = Duration::from_secs(5);

/// Records that are waited for of one transaction: others wait to write meanwhile.
const WAITED_FOR: usize = 500;

/// Between two tries of a write while somebody else, a person with a shell, has the lock of the database.
const BUSY_REST: Duration = Duration::from_secs(1);

/// Most tries: a pass that took hours is not given up for a lock of some minutes, and one that nobody lets go is told of.
const BUSY_TRIES: u32 = 150;

/// Where a pass begins.
pub(super) const FIRST: &str = "records";

/// Rows that a pass looks at, about: each record is a row, a line of its id, one of its topic, two of its source and predicate.
pub(super) fn rows_in(records: u64) -> u64 {
    records * 5
}

/// Why a pass did not come to its end.
#[derive(Debug, Error)]
pub(super) enum End {
    /// SQLite cannot read the database.
    #[error("the database cannot be read: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The database is malformed, though SQLite does not say so.
    #[error("{0}")]
    Malformed(String),
    /// The writer did not take what was suspected.
    #[error(transparent)]
    Refused(Refusal),
}

/// Writes what a pass has to write, when somebody else has the lock a little later.
pub(super) async fn patiently<T, F: Future<Output = Result<T, Refusal>>>(
    write: impl Fn() -> F,
) -> Result<T, Refusal> {
    for _ in 1..BUSY_TRIES {
        match write().await {
            Err(Refusal::Busy) => tokio::time::sleep(BUSY_REST).await,
            done => return done,
        }
    }
    write().await
}

/// A pass under way.
pub(super) struct Pass<'a> {
    scrub: &'a Scrub,
    connection: SqliteConnection,
}

impl<'a> Pass<'a> {
    /// Looks at everything once.
    pub(super) async fn run(scrub: &'a Scrub) -> Result<(), End> {
        let connection = scrub.options.connect().await?;
        let mut pass = Pass { scrub, connection };
        let done = pass.all().await;
        if let Err(error) = pass.connection.close().await {
            tracing::warn!(%error, "the connection of a scrub did not close");
        }
        if let Err(End::Malformed(why)) = &done {
            scrub.damage.unreadable(why);
        }
        done
    }

    async fn all(&mut self) -> Result<(), End> {
        if self.scrub.damage.is_unreadable() {
            self.whole().await?;
        }
        let shards = u32::try_from(self.scrub.trees.shards()).unwrap_or(u32::MAX);
        let num_shards = shards.saturating_sub(1);
        let mut records = page::Records::new(num_shards);
        while let Some(page) = self.next(FIRST, &mut records).await? {
            self.take(page).await?;
        }
        let mut places = page::Places::new(num_shards);
        while let Some(page) = self.next("ids", &mut places).await? {
            self.take(page).await?;
        }
        let mut topics = page::Topics::default();
        while let Some(page) = self.next("topics", &mut topics).await? {
            self.take(page).await?;
        }
        let mut mentions = page::Mentions::default();
        while let Some(page) = self.next("mentions", &mut mentions).await? {
            self.take(page).await?;
        }
        let mut supersessions = page::Supersessions::default();
        while let Some(page) = self.next("supersessions", &mut supersessions).await? {
            self.take(page).await?;
        }
        self.waited_for().await?;
        self.roots(shards).await
    }

    /// Records that are waited for, and may be here: it was their ids alone that damage led astray.
    async fn waited_for(&mut self) -> Result<(), End> {
        let (lost, _) = self.scrub.damage.lost(usize::MAX);
        for some in lost.chunks(WAITED_FOR) {
            let suspects = some.iter().cloned().map(Suspect::Waited).collect();
            self.mend(suspects).await?;
        }
        Ok(())
    }

    /// A database that could not be read once is looked at as a whole before it is relied on again.
    async fn whole(&mut self) -> Result<(), End> {
        self.scrub.progress().phase = Some("whole");
        let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut self.connection)
            .await?;
        if said != "ok" {
            return Err(End::Malformed(said));
        }
        tracing::info!("the database is readable again");
        let readable = self.scrub.damage.readable();
        readable.map_err(|error| End::Sqlite(sqlx::Error::Io(error)))
    }

    /// The next page, after the rest that follows from how long it took to read.
    async fn next(
        &mut self,
        phase: &'static str,
        rows: &mut impl page::Rows,
    ) -> Result<Option<Page>, End> {
        self.scrub.progress().phase = Some(phase);
        let begun = Instant::now();
        let page = rows.next(&mut self.connection).await?;
        if let Some(table) = page.unordered {
            return Err(End::Malformed(format!(
                "rows of table {table} are not in order, so that some are not found"
            )));
        }
        self.scrub.progress().rows += page.rows;
        metrics::scrubbing(page.rows);
        self.rest(begun.elapsed()).await;
        // A pass over many rows takes hours.
        self.scrub.look_at_suspected().await;
        Ok((page.rows > 0).then_some(page))
    }

    async fn take(&mut self, page: Page) -> Result<(), End> {
        self.mend(page.suspects).await
    }

    async fn mend(&self, suspects: Vec<Suspect>) -> Result<(), End> {
        let mended = patiently(|| self.scrub.mend(suspects.clone())).await;
        mended.map_err(End::Refused)
    }

    async fn rest(&self, worked: Duration) {
        let share = match self.scrub.progress().asked {
            true => SHARE_ASKED,
            false => SHARE_DUE,
        };
        let rest = worked * (100 - share) / share;
        tokio::time::sleep(rest.min(REST_MAX)).await;
    }

    /// Roots that are stored and shown, against the ids.
    async fn roots(&mut self, shards: u32) -> Result<(), End> {
        self.scrub.progress().phase = Some("roots");
        for shard in 0..shards {
            let begun = Instant::now();
            let shown = self.scrub.trees.root(shard);
            let mut transaction = self.connection.begin().await?;
            let stored: Option<(Vec<u8>, i64, i64)> =
                sqlx::query_as("SELECT root, ids, last_sequence FROM shard WHERE shard = ?")
                    .bind(shard)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let given = self.scrub.trees.sequence();
            let derived = trees::derive(&mut *transaction, shard, given).await?;
            transaction.rollback().await?;
            let (root, ids) = (derived.tree.root(), derived.tree.len() as u64);
            let is_stored = match stored {
                Some((stored, count, last)) => {
                    stored == root
                        && u64::try_from(count) == Ok(ids)
                        && last >= derived.last_sequence
                }
                None => ids == 0,
            };
            // Rows may have come since; then what is shown has changed.
            let is_shown = shown == (root, ids) || self.scrub.trees.root(shard) != shown;
            if !is_stored || !is_shown {
                let suspects = vec![Suspect::Tree(shard)];
                self.mend(suspects).await?;
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(())
    }
}
