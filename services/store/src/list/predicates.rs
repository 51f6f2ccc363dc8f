//! Predicates of the claims about a subject: one look into the index for each.

use bytes::Bytes;
use futures::TryStreamExt as _;
use proto::{listing, v1};
use sqlx::{Row as _, SqlitePool};

use super::{Found, Page};
use crate::error::CallError;
use crate::prefix;
use crate::subjects::{COUNTED_MAX, COUNTED_ON_PAGE_MAX};

const PREDICATES: &str = "
    WITH RECURSIVE found (predicate) AS (
        SELECT (SELECT predicate FROM topic WHERE kind = 0 AND subject = ?1 AND predicate >= ?2 ORDER BY predicate LIMIT 1)
        UNION ALL
        SELECT (SELECT t.predicate FROM topic t
                WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate > found.predicate ORDER BY t.predicate LIMIT 1)
        FROM found WHERE found.predicate IS NOT NULL)
    SELECT predicate,
           (SELECT count(*) FROM (SELECT 1 FROM topic t
                                  WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate = found.predicate LIMIT ?3))
    FROM found WHERE predicate IS NOT NULL LIMIT ?4";

pub(super) async fn list(
    readers: &SqlitePool,
    request: &v1::ListRequest,
) -> Result<Found, CallError> {
    let first = match &request.after[..] {
        [] => String::new(),
        after => prefix::next(listing::text(after)?),
    };
    let mut rows = sqlx::query(PREDICATES)
        .bind(request.subject.clone())
        .bind(first)
        .bind(COUNTED_MAX)
        .bind(request.limit + 1)
        .fetch(readers);
    let mut page = Page::new(request);
    let (mut counted, mut last) = (0, Bytes::new());
    while let Some(row) = rows.try_next().await? {
        if page.is_full() || counted >= COUNTED_ON_PAGE_MAX {
            return Ok(page.end_at(last));
        }
        last = Bytes::copy_from_slice(row.try_get::<&str, _>(0)?.as_bytes());
        let claims: u64 = row.try_get(1)?;
        counted += claims;
        page.add(v1::ListedRow {
            key: last.clone(),
            claims,
            ..v1::ListedRow::default()
        });
        tokio::task::consume_budget().await;
    }
    Ok(page.found)
}
