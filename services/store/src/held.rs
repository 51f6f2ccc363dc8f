//! Rows by id, many at a time.

use assertion::{Record, RecordId};
use bytes::Bytes;
use futures::TryStreamExt as _;
use merkle::Id;
use proto::v1;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use crate::error::CallError;
use crate::metrics;
use crate::trees::id;
use crate::writer::id_head;

/// Ids of one statement.
pub const IDS_MAX: usize = 1_000;

/// The canonical bytes of the row `r` of a sequence, as a column: NULL when the row or its bytes are gone, which is damage; a number
/// when they were redacted, which is none. So one column says all that [`canonical`] tells apart.
macro_rules! canonical_of {
    ($sequence:literal) => {
        concat!(
            "ifnull(r.canonical, (SELECT -1 FROM redaction d WHERE d.sequence = ",
            $sequence,
            "))"
        )
    };
}
pub(crate) use canonical_of;

/// Rows of one shard by id, in the order of the ids: `json_each` is the outer loop.
const OF_SHARD: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), p.shard, p.id, p.sequence, r.received_at_ms, r.arrival,
           r.origin_store, r.origin_sequence, r.trace_id, ",
    canonical_of!("p.sequence"),
    " FROM json_each(?1) j
    CROSS JOIN place p ON p.shard = ?2 AND p.id = unhex(j.value)
    LEFT JOIN record r ON r.sequence = p.sequence",
);

/// The same for ids whose shard is not known: one look into each shard of the second list.
const OF_SHARDS: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), p.shard, p.id, p.sequence, r.received_at_ms, r.arrival,
           r.origin_store, r.origin_sequence, r.trace_id, ",
    canonical_of!("p.sequence"),
    " FROM json_each(?1) j
    CROSS JOIN place p ON p.shard IN (SELECT value FROM json_each(?2)) AND p.id = unhex(j.value)
    LEFT JOIN record r ON r.sequence = p.sequence",
);

/// Rows that were read, and how many of the ids that settled.
#[derive(Debug, Default)]
pub struct Batch {
    /// Those that are held.
    pub records: Vec<v1::HeldRecord>,
    /// Canonical bytes in them.
    pub bytes: usize,
    /// Ids from the front that need not be asked for again.
    pub settled: usize,
    /// Rows whose ids are held and whose bytes are gone.
    pub gone: Vec<i64>,
}

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In one shard.
    Shard(u32),
    /// In any of these.
    Shards(&'a [u32]),
}

/// Reads rows by id, [`IDS_MAX`] ids at most, and stops once they hold `max_bytes`: nothing is read while a peer takes its
/// time. At least one row is read.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(
    readers: &SqlitePool,
    place: Place<'_>,
    ids: &[Id],
    max_bytes: usize,
) -> Result<Batch, sqlx::Error> {
    let ids = &ids[..ids.len().min(IDS_MAX)];
    let mut batch = Batch {
        settled: ids.len(),
        ..Batch::default()
    };
    let query = match place {
        Place::Shard(shard) => sqlx::query(OF_SHARD).bind(json(ids)).bind(shard),
        Place::Shards(shards) => sqlx::query(OF_SHARDS)
            .bind(json(ids))
            .bind(format!("{shards:?}")),
    };
    let mut rows = query.fetch(readers);
    while let Some(row) = rows.try_next().await? {
        let Some(record) = held(&row)? else {
            batch.gone.push(row.try_get(3)?);
            continue;
        };
        let bytes = record.canonical.len();
        if !batch.records.is_empty() && batch.bytes + bytes > max_bytes {
            batch.settled = row.try_get::<u32, _>(0)? as usize;
            break;
        }
        batch.bytes += bytes;
        batch.records.push(record);
        tokio::task::consume_budget().await;
    }
    Ok(batch)
}

/// What a column of canonical bytes has.
enum Canonical<'r> {
    Bytes(&'r [u8]),
    /// They were dropped on every node: `redaction` has the row, and statements then put a number here.
    Redacted,
    /// They should be here: the row, or its bytes, are gone.
    Gone,
}

fn canonical(row: &SqliteRow, column: usize) -> Canonical<'_> {
    match row.try_get::<Option<&[u8]>, _>(column) {
        Ok(Some(bytes)) => Canonical::Bytes(bytes),
        Err(_)
            if row
                .try_get::<i64, _>(column)
                .is_ok_and(|number| number == -1) =>
        {
            Canonical::Redacted
        }
        Ok(None) | Err(_) => Canonical::Gone,
    }
}

/// The record of a row of which the second column is the sequence, the third the head of the id, the fourth the canonical bytes.
/// `None` when it was redacted.
///
/// # Errors
/// When the bytes are not those of the id, or are gone: without the record an answer would be wrongly complete.
pub(crate) fn record(row: &SqliteRow) -> Result<Option<Record>, CallError> {
    let sound = match canonical(row, 3) {
        Canonical::Bytes(bytes) => Record::from_stored(bytes).ok(),
        Canonical::Redacted => return Ok(None),
        Canonical::Gone => None,
    };
    let fits = |record: &Record| {
        let head = row.try_get::<i64, _>(2);
        head.is_ok_and(|head| is_head(head, record.id()))
    };
    match sound.filter(fits) {
        Some(record) => Ok(Some(record)),
        None => Err(damaged(row.try_get(1)?)),
    }
}

/// The same of a row that was reached by a line of an index, which has to say what the record says.
///
/// # Errors
/// As [`record`], and when the two contradict each other: one of them is damaged.
pub(crate) fn record_of_line(
    row: &SqliteRow,
    fits: impl FnOnce(&Record) -> bool,
) -> Result<Option<Record>, CallError> {
    match record(row)? {
        Some(record) if !fits(&record) => Err(damaged(row.try_get(1)?)),
        record => Ok(record),
    }
}

/// Whether the id begins so.
pub(crate) fn is_head(head: i64, id: RecordId) -> bool {
    id_head(id.as_bytes()) == head
}

/// Counts a damaged row, and says which it is.
pub(crate) fn damaged(sequence: i64) -> CallError {
    metrics::damaged();
    CallError::Damaged { sequence }
}

/// A record as it is found, without provenance.
pub(crate) fn found(record: &Record) -> v1::FoundRecord {
    v1::FoundRecord {
        id: Bytes::copy_from_slice(record.id().as_bytes()),
        canonical: Bytes::copy_from_slice(record.canonical()),
    }
}

/// A row by its id; nothing when its bytes are gone, none when they were redacted.
fn held(row: &SqliteRow) -> Result<Option<v1::HeldRecord>, sqlx::Error> {
    let canonical = match canonical(row, 9) {
        Canonical::Bytes(bytes) => Bytes::copy_from_slice(bytes),
        Canonical::Redacted => Bytes::new(),
        Canonical::Gone => return Ok(None),
    };
    Ok(Some(v1::HeldRecord {
        shard: row.try_get(1)?,
        id: copied(row.try_get(2)?),
        sequence: u64::try_from(row.try_get::<i64, _>(3)?).unwrap_or_default(),
        canonical,
        ..provenance(row)
    }))
}

/// Bytes of a store's or a trace's id.
const ID_BYTES: usize = 16;

/// What the columns 4 to 8 of a row say: when and how it came, from which row, in which trace. What damage made unreadable there
/// is left out: the record is sound without it.
pub(crate) fn provenance(row: &SqliteRow) -> v1::HeldRecord {
    let number = |column: usize| row.try_get::<Option<i64>, _>(column).ok().flatten();
    let bytes = |column: usize| {
        let bytes = row.try_get::<Option<&[u8]>, _>(column).ok().flatten();
        bytes.filter(|bytes| bytes.len() == ID_BYTES)
    };
    let arrival = match number(5) {
        Some(0) => v1::Arrival::Push,
        _ => v1::Arrival::Repair,
    };
    let origin_sequence = number(7).and_then(|sequence| u64::try_from(sequence).ok());
    v1::HeldRecord {
        received_at_ms: number(4).unwrap_or_default(),
        arrival: arrival.into(),
        origin: bytes(6)
            .zip(origin_sequence)
            .map(|(store, sequence)| v1::Origin {
                store_id: Bytes::copy_from_slice(store),
                sequence,
            }),
        trace_id: copied(bytes(8)),
        ..v1::HeldRecord::default()
    }
}

fn copied(bytes: Option<&[u8]>) -> Bytes {
    bytes.map_or_else(Bytes::new, Bytes::copy_from_slice)
}

/// Ids as a JSON list of hex digits.
pub(crate) fn json(ids: &[Id]) -> String {
    let mut text = String::with_capacity(ids.len() * 67 + 2);
    text.push('[');
    for (number, id) in ids.iter().enumerate() {
        text.push_str(if number == 0 { "\"" } else { ",\"" });
        text.push_str(&RecordId::from_bytes(*id).to_string());
        text.push('"');
    }
    text.push(']');
    text
}

/// Which of the ids are in one of the shards.
///
/// # Errors
/// When the database cannot be read.
pub async fn present(
    readers: &SqlitePool,
    shards: &[u32],
    ids: &[Id],
) -> Result<Vec<Id>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.id FROM json_each(?1) j
         CROSS JOIN place p ON p.shard IN (SELECT value FROM json_each(?2)) AND p.id = unhex(j.value)",
    )
    .bind(json(ids))
    .bind(format!("{shards:?}"))
    .fetch_all(readers)
    .await?;
    rows.iter().map(|row| id(row.try_get(0)?)).collect()
}

/// Ids of a shard after a given one, ascending, of rows that arrived up to a sequence.
///
/// # Errors
/// When the database cannot be read.
pub async fn ids_after(
    readers: &SqlitePool,
    shard: u32,
    after: &[u8],
    max_sequence: i64,
    limit: u32,
) -> Result<Vec<u8>, sqlx::Error> {
    let mut rows = sqlx::query(
        "SELECT id FROM place WHERE shard = ? AND id > ? AND sequence <= ? ORDER BY id LIMIT ?",
    )
    .bind(shard)
    .bind(after)
    .bind(max_sequence)
    .bind(limit)
    .fetch(readers);
    let mut ids = Vec::new();
    while let Some(row) = rows.try_next().await? {
        ids.extend_from_slice(row.try_get::<&[u8], _>(0)?);
        tokio::task::consume_budget().await;
    }
    Ok(ids)
}
