//! The index of sources, predicates and epochs, newest first: what a question without a subject goes by.

use std::time::{Duration, Instant};

use assertion::{Content, Record};
use futures::TryStreamExt as _;
use sidecar::Shutdown;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::held;
use crate::writer::Statements;

/// Lines of one record, those without a key included.
pub(crate) const OF_A_RECORD: usize = 2;

/// Records that one transaction enters: a stop loses little, and the log stays short.
const BATCH_RECORDS: usize = 4_000;

/// The same in canonical bytes: they are in memory at once.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Between two words on how far it has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A line of `mention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mention {
    /// None: the record has no such line, and it is not written.
    pub(crate) key: Option<i64>,
    pub(crate) minus_at_ms: i64,
    pub(crate) sequence: i64,
}

/// The lines of a record.
pub(crate) fn of(record: &Record, sequence: i64) -> [Mention; OF_A_RECORD] {
    let keys = match record.content() {
        Content::Assertion(claim) => [
            Some(key_of_source(&claim.source.uri)),
            Some(key_of_predicate(&claim.predicate)),
        ],
        Content::Epoch(_) => [Some(key_of_epochs()), None],
        Content::Vote(_) | Content::Source(_) => [None, None],
    };
    keys.map(|key| Mention {
        key,
        // Times of records are within ±2^53.
        minus_at_ms: -record.at_ms(),
        sequence,
    })
}

/// The key of all claims of a source.
pub(crate) fn key_of_source(uri: &str) -> i64 {
    key(b"source\0", uri)
}

/// The key of all claims with a predicate.
pub(crate) fn key_of_predicate(name: &str) -> i64 {
    key(b"predicate\0", name)
}

/// The key of all epochs.
pub(crate) fn key_of_epochs() -> i64 {
    key(b"kind\0", "epoch")
}

fn key(what: &[u8], name: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what);
    hasher.update(name.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Enters the rows that are older than the index. Returns whether it is whole: not when the shutdown came first; the next start
/// goes on where this one stopped.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn fill(
    connection: &mut SqliteConnection,
    shutdown: &Shutdown,
) -> Result<bool, sqlx::Error> {
    let backlog = sqlx::query_scalar("SELECT through FROM mention_backlog");
    let Some(mut through): Option<i64> = backlog.fetch_optional(&mut *connection).await? else {
        return Ok(true);
    };
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM record")
        .fetch_one(&mut *connection)
        .await?;
    let statements = Statements::new();
    let begun = Instant::now();
    let mut said = begun;
    tracing::info!(
        through,
        last,
        "records of an earlier version are entered into the index of sources and predicates"
    );
    while !shutdown.is_cancelled() {
        let batch = read(connection, through).await?;
        let mut transaction = connection.begin().await?;
        statements.mention(&mut transaction, &batch.lines).await?;
        let note = match batch.more {
            true => sqlx::query("UPDATE mention_backlog SET through = ?").bind(batch.through),
            false => sqlx::query("DELETE FROM mention_backlog"),
        };
        note.execute(&mut *transaction).await?;
        transaction.commit().await?;
        if !batch.more {
            let seconds = begun.elapsed().as_secs_f64();
            tracing::info!(
                last,
                seconds,
                "the index of sources and predicates is whole"
            );
            return Ok(true);
        }
        through = batch.through;
        if said.elapsed() >= PROGRESS_INTERVAL {
            said = Instant::now();
            tracing::info!(through, last, "records are entered into the index");
        }
    }
    tracing::info!(
        through,
        last,
        "the shutdown came before the index was whole"
    );
    Ok(false)
}

/// Lines of the rows behind a place, and where they end.
struct Batch {
    lines: Vec<Mention>,
    through: i64,
    more: bool,
}

async fn read(connection: &mut SqliteConnection, after: i64) -> Result<Batch, sqlx::Error> {
    let mut batch = Batch {
        lines: Vec::new(),
        through: after,
        more: false,
    };
    let (mut records, mut bytes) = (0, 0);
    let mut rows = sqlx::query(
        "SELECT 0, sequence, id_head, canonical FROM record WHERE sequence > ? ORDER BY sequence",
    )
    .bind(after)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if records == BATCH_RECORDS || bytes >= BATCH_BYTES {
            batch.more = true;
            break;
        }
        batch.through = row.try_get(1)?;
        records += 1;
        bytes += row.try_get::<Option<&[u8]>, _>(3)?.map_or(0, <[u8]>::len);
        match held::record(&row) {
            Ok(Some(record)) => {
                let lines = of(&record, batch.through);
                batch
                    .lines
                    .extend(lines.iter().filter(|line| line.key.is_some()));
            }
            Ok(None) => {}
            // A damaged row is no answer to anything: it is found by its topic, and then said to be damaged.
            Err(error) => tracing::error!(%error, "a row is left out of the index"),
        }
        tokio::task::consume_budget().await;
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_a_predicate_of_one_name_are_two_things() {
        assert_ne!(key_of_source("x"), key_of_predicate("x"));
        let hash = blake3::hash(b"predicate\0boiling_point_k");
        let head = <[u8; 8]>::try_from(&hash.as_bytes()[..8]).unwrap();
        assert_eq!(
            key_of_predicate("boiling_point_k"),
            i64::from_be_bytes(head)
        );
    }

    #[test]
    fn a_claim_has_two_lines() {
        let claim = r#"{"subject":"s","predicate":"p","object":{"type":"number","value":1},"asserted_at":5,
            "source":{"uri":"u","class":"expert"}}"#;
        let claim = Record::from_client_json(claim.as_bytes(), 0).unwrap();
        let [source, predicate] = of(&claim, 7);
        assert_eq!(source.key, Some(key_of_source("u")));
        assert_eq!(predicate.key, Some(key_of_predicate("p")));
        assert_eq!((source.minus_at_ms, source.sequence), (-5, 7));
    }

    #[test]
    fn an_epoch_has_the_line_of_the_migration_and_other_records_none() {
        let epoch = br#"{"kind":"epoch","name":"e","started_at":5}"#;
        let epoch = Record::from_client_json(epoch, 0).unwrap();
        let [line, none] = of(&epoch, 8);
        assert_eq!((line.minus_at_ms, line.sequence, none.key), (-5, 8, None));
        let migration = include_str!("../migrations/0006_epochs_by_time.sql");
        let key = line.key.unwrap();
        assert!(migration.contains(&format!("SELECT {key}, ")), "{key}");
        let source = br#"{"kind":"source","uri":"u","class":"expert","recorded_at":5}"#;
        let source = Record::from_client_json(source, 0).unwrap();
        assert!(of(&source, 9).iter().all(|line| line.key.is_none()));
    }
}
