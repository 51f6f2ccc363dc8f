//! The statements of the writer: several rows each, in a few fixed sizes, so that all of them stay prepared.
//!
//! A statement costs a round trip to SQLite's thread whatever it does, so rows go in chunks; and one text holds the inserts
//! into all four tables of a chunk.

use std::fmt::Write as _;
use std::sync::Arc;

use assertion::{Record, RecordId};
use merkle::Digest;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::intake::{Arrival, Incoming};
use crate::mentions::{self, Mention};

/// Rows of one statement: a chunk of any length is a few of these.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// Numbers of the kinds in `topic.kind`, in the order of the migration's comment.
pub(crate) fn kind_number(kind: assertion::Kind) -> i64 {
    match kind {
        assertion::Kind::Assertion => 0,
        assertion::Kind::Vote => 1,
        assertion::Kind::Epoch => 2,
        assertion::Kind::Source => 3,
    }
}

/// A record with its place in the order of arrival.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) sequence: i64,
    pub(super) received_at: i64,
    pub(super) incoming: &'a Incoming,
}

/// A line of the `shard` table.
#[derive(Debug)]
pub(super) struct ShardRow {
    pub(super) shard: u32,
    pub(super) root: Digest,
    pub(super) ids: usize,
    pub(super) last_sequence: i64,
}

/// All statements, as text, by size.
#[derive(Debug)]
pub(crate) struct Statements {
    insert: [Arc<str>; SIZES.len()],
    mention: [Arc<str>; SIZES.len()],
    supersession: [Arc<str>; SIZES.len()],
    upsert: [Arc<str>; SIZES.len()],
}

type Sqlite<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// A line without a key is left out, and so is the second of two that are equal because their keys collide: whoever sends records
/// can make that happen, and it must not fail the transaction.
const MENTION: &str = "INSERT OR IGNORE INTO mention (key, minus_at_ms, sequence) VALUES ";

/// Lines of epochs alone, of which there are few: they go in statements of their own, so that all others keep their shape.
const SUPERSESSION: &str = "INSERT OR IGNORE INTO supersession (epoch, at_ms, sequence) VALUES ";

impl Statements {
    pub(crate) fn new() -> Statements {
        Statements {
            insert: SIZES.map(|rows| {
                let record = "INSERT INTO record (sequence, id_head, canonical, received_at_ms, arrival, origin_store, origin_sequence, trace_id) VALUES ";
                let place = "; INSERT INTO place (shard, id, sequence) VALUES ";
                let topic = "; INSERT INTO topic (kind, subject, predicate, at_ms, sequence) VALUES ";
                let lines = mentions::OF_A_RECORD * rows;
                [
                    values(record, rows, 8),
                    values(place, rows, 3),
                    values(topic, rows, 5),
                    values(&format!("; {MENTION}"), lines, 3),
                ]
                .concat()
                .into()
            }),
            mention: SIZES.map(|rows| values(MENTION, rows, 3).into()),
            supersession: SIZES.map(|rows| values(SUPERSESSION, rows, 3).into()),
            upsert: SIZES.map(|rows| {
                let mut text = values("INSERT INTO shard (shard, root, ids, last_sequence) VALUES ", rows, 4);
                text.push_str(
                    " ON CONFLICT (shard) DO UPDATE SET root = excluded.root, ids = excluded.ids, last_sequence = excluded.last_sequence",
                );
                text.into()
            }),
        }
    }

    pub(super) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        rows: &[Row<'_>],
    ) -> Result<(), sqlx::Error> {
        for (size, chunk) in chunks(rows) {
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&self.insert[size])));
            for row in chunk {
                let incoming = row.incoming;
                let (arrival, origin) = match incoming.arrival {
                    Arrival::Push => (0, None),
                    Arrival::Repair(origin) => (1, origin),
                };
                query = query
                    .bind(row.sequence)
                    .bind(id_head(incoming.record.id().as_bytes()))
                    .bind(incoming.record.canonical().to_vec())
                    .bind(row.received_at)
                    .bind(arrival)
                    .bind(origin.map(|origin| origin.store_id.to_vec()))
                    .bind(origin.map(|origin| origin.sequence))
                    .bind(incoming.trace_id.map(|trace| trace.to_vec()));
            }
            for row in chunk {
                query = query
                    .bind(row.incoming.shard)
                    .bind(row.incoming.record.id().as_bytes().to_vec())
                    .bind(row.sequence);
            }
            for row in chunk {
                let (kind, about, detail, at_ms) = row.incoming.record.topic();
                query = query
                    .bind(kind_number(kind))
                    .bind(about)
                    .bind(detail)
                    .bind(at_ms)
                    .bind(row.sequence);
            }
            for row in chunk {
                for mention in mentions::of(&row.incoming.record, row.sequence) {
                    query = bind_mention(query, &mention);
                }
            }
            query.execute(&mut *connection).await?;
        }
        self.supersede(connection, rows).await
    }

    /// What the epochs among these rows supersede.
    async fn supersede(
        &self,
        connection: &mut SqliteConnection,
        rows: &[Row<'_>],
    ) -> Result<(), sqlx::Error> {
        let lines = |row: &Row<'_>| {
            let named = superseded(&row.incoming.record);
            let (at, sequence) = (row.incoming.record.at_ms(), row.sequence);
            let lines = named.map(|id| (id.to_bytes().to_vec(), at, sequence));
            lines.collect::<Vec<_>>()
        };
        let lines: Vec<_> = rows.iter().flat_map(lines).collect();
        for (size, chunk) in chunks(&lines) {
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&self.supersession[size])));
            for (epoch, at, sequence) in chunk {
                query = query.bind(epoch.clone()).bind(*at).bind(*sequence);
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Lines of `mention` alone: of rows that are older than it.
    pub(crate) async fn mention(
        &self,
        connection: &mut SqliteConnection,
        lines: &[Mention],
    ) -> Result<(), sqlx::Error> {
        for (size, chunk) in chunks(lines) {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.mention[size])));
            let query = chunk.iter().fold(query, bind_mention);
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    pub(super) async fn upsert(
        &self,
        connection: &mut SqliteConnection,
        shards: &[ShardRow],
    ) -> Result<(), sqlx::Error> {
        for (size, chunk) in chunks(shards) {
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&self.upsert[size])));
            for row in chunk {
                query = query
                    .bind(row.shard)
                    .bind(row.root.to_vec())
                    .bind(i64::try_from(row.ids).unwrap_or(i64::MAX))
                    .bind(row.last_sequence);
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// The epochs that a record supersedes.
pub(crate) fn superseded(record: &Record) -> impl Iterator<Item = RecordId> {
    let epoch = record.epoch().into_iter();
    let named = epoch.flat_map(|epoch| &epoch.supersedes);
    named.filter_map(|id| id.parse::<RecordId>().ok())
}

fn bind_mention<'q>(query: Sqlite<'q>, mention: &Mention) -> Sqlite<'q> {
    query
        .bind(mention.key)
        .bind(mention.minus_at_ms)
        .bind(mention.sequence)
}

/// The first four bytes of an id, as `record.id_head` has them.
pub(crate) fn id_head(id: &[u8; 32]) -> i64 {
    let [a, b, c, d, ..] = *id;
    i64::from(u32::from_be_bytes([a, b, c, d]))
}

fn values(head: &str, rows: usize, columns: usize) -> String {
    let mut text = head.to_owned();
    let row = vec!["?"; columns].join(",");
    for number in 0..rows {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}({row})");
    }
    text
}

/// Cuts rows into chunks of the fixed sizes; each comes with the place of its size.
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = (usize, &[T])> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.iter().position(|size| *size <= rest.len())?;
        let (chunk, others) = rest.split_at(SIZES[size]);
        rest = others;
        Some((size, chunk))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_fixed_sizes_and_lose_nothing() {
        let rows: Vec<usize> = (0..153).collect();
        let sizes: Vec<usize> = chunks(&rows).map(|(size, _)| SIZES[size]).collect();
        assert_eq!(sizes, [64, 64, 16, 8, 1]);
        let all: Vec<usize> = chunks(&rows)
            .flat_map(|(_, chunk)| chunk.iter().copied())
            .collect();
        assert_eq!(all, rows);
        assert_eq!(chunks::<usize>(&[]).count(), 0);
    }
}
