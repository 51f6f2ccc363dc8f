//! Epochs, newest first, and which ones supersede them.

use std::collections::{BTreeMap, BTreeSet};

use assertion::{Kind, Record, RecordId};
use bytes::Bytes;
use futures::TryStreamExt as _;
use proto::cursor::Position;
use proto::{SUPERSEDERS_MAX, listing, v1};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::Found;
use crate::error::CallError;
use crate::held::{self, canonical_of};
use crate::mentions::key_of_epochs;
use crate::query::{Page, mentions, through};
use crate::writer::superseded;

/// Of each of these ids the first epochs that name it: however many there are, no more are read.
const SUPERSEDERS: &str = concat!(
    "SELECT named.value, f.value, r.id_head, ",
    canonical_of!("f.value"),
    " FROM json_each(?1) named
    CROSS JOIN json_each((
        SELECT json_group_array(first.sequence) FROM (
            SELECT s.sequence FROM supersession s
            WHERE s.epoch = unhex(named.value) AND s.at_ms <= ?2 ORDER BY s.at_ms, s.sequence LIMIT ?3) first)) f
    LEFT JOIN record r ON r.sequence = f.value",
);

pub(super) async fn list(
    readers: &SqlitePool,
    request: &v1::ListRequest,
) -> Result<Found, CallError> {
    let from = listing::epoch_place(&request.after)?;
    let mut connection = readers.acquire().await?;
    let mut page = Page::new(request.limit as usize, from);
    let mut rows = mentions(key_of_epochs(), from).fetch(&mut *connection);
    let mut done = false;
    while let Some(row) = rows.try_next().await? {
        done = page.turn(through(&row)?, false);
        if done {
            break;
        }
        // Another key of the index may be the same.
        let is_epoch = |record: &Record| record.kind() == Kind::Epoch;
        if let Some(record) = held::record(&row)?.filter(is_epoch) {
            page.offer(&record);
        }
        tokio::task::consume_budget().await;
    }
    drop(rows);
    if !done {
        page.end();
    }
    let through = page.next.map(listing::epoch_key);
    let placed: Vec<(Position, v1::FoundRecord)> =
        page.records.into_iter().filter_map(placed).collect();
    let ids = placed.iter().map(|(place, _)| place.id);
    let mut superseders = superseders(&mut connection, ids, i64::MAX).await?;
    let rows = placed.into_iter().map(|(place, record)| v1::ListedRow {
        key: listing::epoch_key(place),
        record: Some(record),
        superseded_by: superseders.remove(&place.id).unwrap_or_default(),
        ..v1::ListedRow::default()
    });
    Ok(Found {
        rows: rows.collect(),
        through,
    })
}

fn placed(found: v1::FoundRecord) -> Option<(Position, v1::FoundRecord)> {
    // It was a record when it was read from its row.
    let record = Record::from_stored(&found.canonical).ok()?;
    let place = Position {
        at: record.at_ms(),
        id: record.id(),
    };
    Some((place, found))
}

/// Of epochs the ids of those dated up to a time that supersede them, at most [`SUPERSEDERS_MAX`] each, in ascending order.
pub(crate) async fn superseders(
    connection: &mut SqliteConnection,
    epochs: impl IntoIterator<Item = RecordId>,
    latest: i64,
) -> Result<BTreeMap<RecordId, Vec<Bytes>>, CallError> {
    let asked: Vec<String> = epochs.into_iter().map(|id| format!("\"{id}\"")).collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut rows = sqlx::query(SUPERSEDERS)
        .bind(format!("[{}]", asked.join(",")))
        .bind(latest)
        .bind(SUPERSEDERS_MAX as i64)
        .fetch(connection);
    let mut found: BTreeMap<RecordId, BTreeSet<RecordId>> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let named: Option<RecordId> = row.try_get::<&str, _>(0)?.parse().ok();
        let fits = |record: &Record| superseded(record).any(|id| Some(id) == named);
        if let (Some(record), Some(named)) = (held::record_of_line(&row, fits)?, named) {
            found.entry(named).or_default().insert(record.id());
        }
        tokio::task::consume_budget().await;
    }
    let bytes = |id: &RecordId| Bytes::copy_from_slice(id.as_bytes());
    Ok(found
        .into_iter()
        .map(|(id, by)| (id, by.iter().map(bytes).collect()))
        .collect())
}
