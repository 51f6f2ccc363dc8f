//! Sources: of each uri the record that decides, which is the latest.

use assertion::Record;
use bytes::Bytes;
use futures::TryStreamExt as _;
use proto::{listing, v1};
use sqlx::{Row as _, SqlitePool};

use super::{Found, Page};
use crate::error::CallError;
use crate::held::{self, canonical_of};
use crate::prefix;

/// In the order of the uris, one look into the index for each; of each the records of its latest moment.
const SOURCES: &str = concat!(
    "WITH RECURSIVE found (uri) AS (
        SELECT (SELECT subject FROM topic WHERE kind = 3 AND subject >= ?1 AND subject < ?2 ORDER BY subject LIMIT 1)
        UNION ALL
        SELECT (SELECT t.subject FROM topic t
                WHERE t.kind = 3 AND t.subject > found.uri AND t.subject < ?2 ORDER BY t.subject LIMIT 1)
        FROM found WHERE found.uri IS NOT NULL)
    SELECT found.uri, t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    " FROM found
    CROSS JOIN topic t ON t.kind = 3 AND t.subject = found.uri AND t.predicate = '' AND t.at_ms = (
        SELECT max(m.at_ms) FROM topic m WHERE m.kind = 3 AND m.subject = found.uri AND m.predicate = '')
    LEFT JOIN record r ON r.sequence = t.sequence
    WHERE found.uri IS NOT NULL",
);

pub(super) async fn list(
    readers: &SqlitePool,
    request: &v1::ListRequest,
) -> Result<Found, CallError> {
    let start = &request.prefix;
    let after = listing::text(&request.after)?;
    let first = match after.is_empty() || after < start.as_str() {
        true => start.clone(),
        false => prefix::next(after),
    };
    let query = prefix::bind(
        sqlx::query(SOURCES).bind(first),
        prefix::above(start).as_deref(),
    );
    let mut rows = query.fetch(readers);
    let mut page = Page::new(request);
    let mut present: Option<Source> = None;
    while let Some(row) = rows.try_next().await? {
        let uri: &str = row.try_get(0)?;
        if let Some(before) = present.take_if(|source| source.uri != uri) {
            let key = before.key();
            before.put(request, &mut page);
            if page.is_full() {
                return Ok(page.end_at(key));
            }
        }
        page.looked_at += 1;
        let source = present.get_or_insert_with(|| Source {
            uri: uri.to_owned(),
            record: None,
        });
        let fits = |record: &Record| record.source().is_some_and(|known| known.uri == source.uri);
        if let Some(record) = held::record_of_line(&row, fits)? {
            source.offer(record);
        }
        tokio::task::consume_budget().await;
    }
    if let Some(last) = present {
        last.put(request, &mut page);
    }
    Ok(page.found)
}

/// A uri, and the record that decides so far.
struct Source {
    uri: String,
    record: Option<Record>,
}

impl Source {
    fn key(&self) -> Bytes {
        Bytes::copy_from_slice(self.uri.as_bytes())
    }

    /// Of several of one moment the greatest id decides.
    fn offer(&mut self, record: Record) {
        let known = self.record.as_ref().map(Record::id);
        if known.is_none_or(|known| known < record.id()) {
            self.record = Some(record);
        }
    }

    fn put(self, request: &v1::ListRequest, page: &mut Page) {
        let key = self.key();
        let Some(record) = self.record else { return };
        let retracted = record.source().and_then(|source| source.retracted);
        let wanted = request.retracted;
        if wanted.is_none_or(|wanted| wanted == retracted.unwrap_or(false)) {
            page.add(v1::ListedRow {
                key,
                record: Some(held::found(&record)),
                ..v1::ListedRow::default()
            });
        }
    }
}
