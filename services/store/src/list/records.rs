//! Records of any kind by the beginning of their ids. An id does not say its shard: one look into each.

use assertion::Record;
use bytes::Bytes;
use futures::TryStreamExt as _;
use proto::{listing, v1};
use sqlx::{Row as _, SqlitePool};

use super::{Found, Page};
use crate::error::CallError;
use crate::held::{self, canonical_of};

const RECORDS: &str = concat!(
    "SELECT p.id, p.sequence, r.id_head, ",
    canonical_of!("p.sequence"),
    " FROM shard s
    CROSS JOIN place p ON p.shard = s.shard AND p.id >= ?1 AND p.id <= ?2
    LEFT JOIN record r ON r.sequence = p.sequence
    ORDER BY p.id LIMIT ?3",
);

pub(super) async fn list(
    readers: &SqlitePool,
    request: &v1::ListRequest,
) -> Result<Found, CallError> {
    let [first, last] = listing::ids_from(&request.prefix)?;
    // The next blob above the key that the page before ended at.
    let first = match &request.after[..] {
        [] => first.to_vec(),
        after => [after, &[0]].concat(),
    };
    let mut rows = sqlx::query(RECORDS)
        .bind(first)
        .bind(last.to_vec())
        .bind(request.limit + 1)
        .fetch(readers);
    let mut page = Page::new(request);
    let mut through = Bytes::new();
    while let Some(row) = rows.try_next().await? {
        if page.is_full() {
            return Ok(page.end_at(through));
        }
        through = Bytes::copy_from_slice(row.try_get(0)?);
        // Of one that was redacted there is nothing to show.
        let fits = |record: &Record| record.id().as_bytes()[..] == through;
        if let Some(record) = held::record_of_line(&row, fits)? {
            page.add(v1::ListedRow {
                key: through.clone(),
                record: Some(held::found(&record)),
                ..v1::ListedRow::default()
            });
        }
        tokio::task::consume_budget().await;
    }
    Ok(page.found)
}
