//! Rows that a scrub suspects: looked at again where nobody else writes, and put right in one transaction.
//!
//! The record's bytes are the truth when they hash to what the row or the set of ids says; the lines of all indexes follow from
//! them. A row whose bytes do not goes into quarantine and out of the set, so that repair fetches the record again. Roots are
//! derived anew from the set.

mod lines;
mod rows;
mod waited;

use std::collections::BTreeSet;
use std::sync::Arc;

use merkle::Tree;
use sqlx::{Executor as _, Row as _, SqliteConnection};
use tokio::sync::oneshot;

use crate::completeness::Completeness;
use crate::damage::{Damage, Lost};
use crate::error::Refusal;
use crate::metrics;
use crate::trees::{self, Change, Trees};

/// Something that may not be as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// A row of `record`, or a line that it should have.
    Row(i64),
    /// A line of `place`.
    Place(i64, Vec<u8>, i64),
    /// A line of an index.
    Line(Line),
    /// The root of a shard.
    Tree(u32),
    /// A record that is waited for, and may be here.
    Waited(Lost),
}

/// A line of an index, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// kind, subject, predicate, at_ms, sequence
    Topic(i64, Vec<u8>, Vec<u8>, i64, i64),
    /// key, minus_at_ms, sequence
    Mention(i64, i64, i64),
    /// epoch, at_ms, sequence
    Supersession(Vec<u8>, i64, i64),
}

/// What was put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Rows that went into quarantine.
    pub quarantined: u64,
    /// Lines that were written from their record, or taken away because there is none.
    pub lines: u64,
    /// Roots that were derived anew.
    pub roots: u64,
}

impl Mended {
    /// Adds what another transaction put right.
    pub(crate) fn add(&mut self, more: &Mended) {
        self.quarantined += more.quarantined;
        self.lines += more.lines;
        self.roots += more.roots;
    }
}

/// Suspects on their way to the writer.
#[derive(Debug)]
pub(super) struct Mend {
    pub(super) suspects: Vec<Suspect>,
    pub(super) completeness: Arc<Completeness>,
    pub(super) reply: oneshot::Sender<Result<Mended, Refusal>>,
}

/// One transaction.
struct Mending<'a> {
    connection: &'a mut SqliteConnection,
    num_shards: u32,
    /// The last sequence that was given to a row.
    given: u64,
    mended: Mended,
    lost: Vec<Lost>,
    /// Records that need not be waited for any more.
    healed: Vec<Lost>,
    /// Shards whose lines of `place` changed.
    touched: BTreeSet<u32>,
    /// Shards whose root is looked at.
    looked_at: BTreeSet<u32>,
    /// Shards of which ids went.
    lacking: BTreeSet<u32>,
    /// An id went that is not known.
    unknown: bool,
    /// An id may have gone of a shard that is known, and nothing else will say so after a restart.
    untold: bool,
    /// How often all ids were read.
    scans: u32,
}

/// Looks at the suspects again and puts right what is wrong.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    trees: &Trees,
    damage: &Damage,
    mend: &Mend,
) -> Result<Mended, sqlx::Error> {
    // Pages that this connection keeps may be better than those on the disk, which others read.
    connection.execute("PRAGMA shrink_memory").await?;
    connection.execute("BEGIN IMMEDIATE").await?;
    let shards = u32::try_from(trees.shards()).unwrap_or(u32::MAX);
    let mut mending = Mending {
        connection: &mut *connection,
        num_shards: shards.saturating_sub(1),
        given: trees.sequence(),
        mended: Mended::default(),
        lost: Vec::new(),
        healed: Vec::new(),
        touched: BTreeSet::new(),
        looked_at: BTreeSet::new(),
        lacking: BTreeSet::new(),
        unknown: false,
        untold: false,
        scans: 0,
    };
    for suspect in &mend.suspects {
        match suspect {
            Suspect::Row(sequence) => mending.row(*sequence).await?,
            Suspect::Place(shard, id, sequence) => mending.place(*shard, id, *sequence).await?,
            Suspect::Line(line) => mending.line(line).await?,
            Suspect::Tree(shard) => {
                mending.looked_at.insert(*shard);
            }
            Suspect::Waited(lost) => mending.waited(lost).await?,
        }
        tokio::task::consume_budget().await;
    }
    let changes = mending.derive(trees).await?;
    let losses = mending.note_losses().await?;
    let Mending {
        mended,
        lost,
        healed,
        lacking,
        unknown,
        ..
    } = mending;
    let unchanged = changes.is_empty() && healed.is_empty();
    if mended == Mended::default() && losses.is_none() && unchanged {
        connection.execute("ROLLBACK").await?;
        return Ok(mended);
    }
    // Before anybody can read less than was proved, and again once nobody can read more: a session between the two saw neither.
    if losses.is_some() {
        damage.lose(lost);
        mend.completeness.lose(&lacking, unknown);
    }
    connection.execute("COMMIT").await?;
    trees.publish(changes, trees.sequence());
    damage.heal(&healed);
    if let Some(losses) = losses {
        damage.shrunk(losses);
        mend.completeness.lose(&lacking, unknown);
    }
    metrics::mended(&mended);
    Ok(mended)
}

impl Mending<'_> {
    /// Roots of the shards that were touched or are suspected, from their ids.
    async fn derive(&mut self, trees: &Trees) -> Result<Vec<Change>, sqlx::Error> {
        let mut changes = Vec::new();
        let shards: BTreeSet<u32> = self.touched.union(&self.looked_at).copied().collect();
        for shard in shards {
            let derived = trees::derive(&mut *self.connection, shard, self.given).await?;
            let stored = sqlx::query("SELECT root, ids, last_sequence FROM shard WHERE shard = ?")
                .bind(shard)
                .fetch_optional(&mut *self.connection)
                .await?;
            let (root, ids) = (derived.tree.root(), derived.tree.len());
            let ids_stored = i64::try_from(ids).unwrap_or(i64::MAX);
            let stored = match &stored {
                Some(row) => Some((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
                None => None,
            };
            let is_stored = match stored {
                Some((stored, count, last)) => {
                    let stored: &[u8] = stored;
                    let (count, last): (i64, i64) = (count, last);
                    stored == root && count == ids_stored && last >= derived.last_sequence
                }
                None => ids == 0,
            };
            let is_shown = trees.root(shard) == (root, ids as u64)
                && trees
                    .in_memory(shard)
                    .is_none_or(|tree| tree.root() == root);
            if is_stored && is_shown {
                continue;
            }
            if !self.touched.contains(&shard) {
                tracing::error!(shard, "a root was not that of its ids, and is derived anew");
                self.mended.roots += 1;
                // Whether the root was damaged or ids have gone, it does not say, and no row of quarantine will.
                self.lacking.insert(shard);
                self.untold = true;
            }
            self.upsert(shard, &derived.tree, derived.last_sequence)
                .await?;
            changes.push(Change {
                shard,
                tree: derived.tree,
                root,
            });
        }
        Ok(changes)
    }

    async fn upsert(&mut self, shard: u32, tree: &Tree, last: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO shard (shard, root, ids, last_sequence) VALUES (?, ?, ?, ?)
             ON CONFLICT (shard) DO UPDATE SET root = excluded.root, ids = excluded.ids,
                 last_sequence = max(last_sequence, excluded.last_sequence)",
        )
        .bind(shard)
        .bind(tree.root().to_vec())
        .bind(i64::try_from(tree.len()).unwrap_or(i64::MAX))
        .bind(last)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// When ids went, what was proved to be here may not be any more. When it is not known which, the store counts as absent until
    /// it has what all others have of everything, over a restart as well; when no row of quarantine says which, after a restart.
    async fn note_losses(&mut self) -> Result<Option<u64>, sqlx::Error> {
        if self.lacking.is_empty() && !self.unknown {
            return Ok(None);
        }
        let losses = sqlx::query_scalar(
            "UPDATE store SET losses = losses + 1, counts_as_absent = max(counts_as_absent, ?)
             RETURNING losses",
        )
        .bind(i64::from(self.unknown || self.untold));
        let losses: i64 = losses.fetch_one(&mut *self.connection).await?;
        Ok(Some(u64::try_from(losses).unwrap_or_default()))
    }

    /// Lines of a shard's ids changed.
    fn touch(&mut self, shard: i64) -> Option<u32> {
        let shard = u32::try_from(shard).ok();
        let shard = shard.filter(|shard| *shard <= self.num_shards)?;
        self.touched.insert(shard);
        Some(shard)
    }
}
