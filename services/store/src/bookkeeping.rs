//! What the database says of itself beside the records, looked at before anything relies on it.
//!
//! A scrub looks at all of it, but comes later than the first write, and damage here would end the store at that write, again and
//! again. So what is cheap to see is seen at the start: numbers that cannot be, and shards that hide their ids. It is derived anew
//! from the rows, which are the truth.

use std::collections::{BTreeMap, BTreeSet};

use merkle::{EMPTY_ROOT, Id};
use sidecar::clock::unix_ms;
use sqlx::{Executor as _, Row as _, SqliteConnection};

use crate::database::Identity;
use crate::error::is_malformed;
use crate::trees;

/// Rows that no store ever gets to: a hundred thousand a second for three thousand years. Numbers up to here are exact everywhere.
const SEQUENCE_MAX: i64 = 1 << 53;

/// How far a sequence may be beyond the mark, which is moved twice a second, and how far the last one that was given may be beyond
/// the last row that is here: this is beyond any reason.
const AHEAD_MAX: i64 = 1 << 40;

/// What the `shard` table says of a shard, where it can be.
#[derive(Debug, Clone, Copy)]
struct Told {
    root: Option<Id>,
    ids: Option<i64>,
    last_sequence: Option<i64>,
}

/// Looks at everything, and writes anew what cannot be. `marked`: how far the mark beside the database came. Returns why it cannot be
/// read as a whole, when it cannot.
///
/// # Errors
/// When the database cannot be read or written.
pub(crate) async fn put_right(
    connection: &mut SqliteConnection,
    identity: &mut Identity,
    marked: u64,
) -> Result<Option<String>, sqlx::Error> {
    connection.execute("BEGIN IMMEDIATE").await?;
    let lost = match look(connection, identity.num_shards, marked).await {
        Ok(lost) => lost,
        Err(error) if is_malformed(&error) => {
            connection.execute("ROLLBACK").await?;
            return Ok(Some(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    // A store that counted as absent before is no better off: what a peer proved to it has to be proved anew there too.
    if lost {
        connection
            .execute(
                "UPDATE store SET losses = losses + 1, counts_as_absent = 1, scrubbed_at_ms = 0",
            )
            .await?;
        identity.lasting.absent = true;
        // A pass is due at once: what repair brings of rows that are here, without their ids, stands twice until then.
        identity.scrubbed_at_ms = 0;
    }
    connection.execute("COMMIT").await?;
    Ok(None)
}

/// True: ids may be gone, of which shards is not known.
async fn look(
    connection: &mut SqliteConnection,
    num_shards: u32,
    marked: u64,
) -> Result<bool, sqlx::Error> {
    losses(connection).await?;
    let last_row = "SELECT coalesce(max(sequence), 0) FROM record WHERE sequence <= ?";
    let marked = i64::try_from(marked).unwrap_or(0).clamp(0, SEQUENCE_MAX);
    let beyond = |sequence: i64| (sequence + AHEAD_MAX).min(SEQUENCE_MAX);
    let last_row: i64 = sqlx::query_scalar(last_row)
        .bind(beyond(marked))
        .fetch_one(&mut *connection)
        .await?;
    let plausible = 0..=beyond(last_row.max(marked));
    let told = told(connection, num_shards).await?;
    let given = told.values().filter_map(|told| told.last_sequence);
    let given = given.filter(|last| plausible.contains(last)).max();
    let last = given.unwrap_or(0).max(last_row);
    let mut lost = false;
    for shard in 0..=num_shards {
        let is_empty = is_empty(connection, shard).await?;
        let told = told.get(&shard).copied();
        if told.is_none() && is_empty {
            continue;
        }
        let root = told.and_then(|told| told.root);
        let ids = told.and_then(|told| told.ids);
        let ids = ids.filter(|ids| (0..=last).contains(ids));
        let is_set = root.is_some_and(|root| (root == EMPTY_ROOT) == is_empty)
            && ids.is_some_and(|ids| (ids == 0) == is_empty);
        let sequence = told.and_then(|told| told.last_sequence);
        let sequence = sequence.filter(|last| plausible.contains(last));
        if !is_set {
            tracing::error!(
                shard,
                "what a shard comes to was damaged, and is derived anew"
            );
            let tree = trees::derive(&mut *connection, shard, u64::MAX).await?.tree;
            let count = i64::try_from(tree.len()).unwrap_or(i64::MAX);
            // Higher than needed does no harm: no sequence is given twice.
            put(
                connection,
                shard,
                tree.root(),
                count,
                sequence.unwrap_or(last),
            )
            .await?;
            lost = true;
        } else if sequence.is_none() {
            tracing::error!(
                shard,
                last,
                "the last sequence of a shard was none that was ever given, and is that of the last row"
            );
            let update = "UPDATE shard SET last_sequence = ? WHERE shard = ?";
            let update = sqlx::query(update).bind(last).bind(shard);
            update.execute(&mut *connection).await?;
        }
    }
    if given.unwrap_or(0) < last_row {
        raise(connection, last_row).await?;
    }
    Ok(lost)
}

/// No sequence is given twice. Any shard will do: the highest of all counts.
async fn raise(connection: &mut SqliteConnection, last_row: i64) -> Result<(), sqlx::Error> {
    tracing::error!(
        last_row,
        "the last sequence was behind the last row, and is that of it"
    );
    let raise = "UPDATE shard SET last_sequence = max(last_sequence, ?)
                 WHERE shard = (SELECT min(shard) FROM shard)";
    let raise = sqlx::query(raise).bind(last_row);
    raise.execute(connection).await?;
    Ok(())
}

/// How often ids went: a number that cannot be becomes one that no peer remembers, so that all compare anew.
async fn losses(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mend = "UPDATE store SET losses = ? WHERE typeof(losses) <> 'integer' OR losses NOT BETWEEN 0 AND ?";
    let mend = sqlx::query(mend).bind(unix_ms()).bind(SEQUENCE_MAX);
    if mend.execute(connection).await?.rows_affected() > 0 {
        tracing::error!("how often ids were lost was damaged, and is counted anew");
    }
    Ok(())
}

/// What is said of each shard. Lines of shards that do not exist are taken away.
async fn told(
    connection: &mut SqliteConnection,
    num_shards: u32,
) -> Result<BTreeMap<u32, Told>, sqlx::Error> {
    let rows = "SELECT shard, root, ids, last_sequence FROM shard";
    let rows = connection.fetch_all(rows).await?;
    let (mut told, mut strange) = (BTreeMap::new(), BTreeSet::new());
    for row in rows {
        let number: i64 = row.try_get(0)?;
        let shard = u32::try_from(number).ok();
        let Some(shard) = shard.filter(|shard| *shard <= num_shards) else {
            strange.insert(number);
            continue;
        };
        let root = row.try_get::<Option<&[u8]>, _>(1).ok().flatten();
        let number = |column: usize| row.try_get::<Option<i64>, _>(column).ok().flatten();
        let said = Told {
            root: root.and_then(|root| Id::try_from(root).ok()),
            ids: number(2),
            last_sequence: number(3),
        };
        told.insert(shard, said);
    }
    for number in strange {
        tracing::error!(number, "a shard that does not exist was said to be here");
        let delete = sqlx::query("DELETE FROM shard WHERE shard = ?").bind(number);
        delete.execute(&mut *connection).await?;
    }
    Ok(told)
}

async fn is_empty(connection: &mut SqliteConnection, shard: u32) -> Result<bool, sqlx::Error> {
    let one = sqlx::query("SELECT 1 FROM place WHERE shard = ? LIMIT 1").bind(shard);
    Ok(one.fetch_optional(connection).await?.is_none())
}

async fn put(
    connection: &mut SqliteConnection,
    shard: u32,
    root: Id,
    ids: i64,
    last_sequence: i64,
) -> Result<(), sqlx::Error> {
    let put = "INSERT OR REPLACE INTO shard (shard, root, ids, last_sequence) VALUES (?, ?, ?, ?)";
    sqlx::query(put)
        .bind(shard)
        .bind(root.to_vec())
        .bind(ids)
        .bind(last_sequence)
        .execute(connection)
        .await?;
    Ok(())
}
