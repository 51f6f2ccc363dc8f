//! Lists, page by page in the order of their keys: epochs, sources, votes, predicates, records by the beginning of their ids.

mod epochs;
mod predicates;
mod records;
mod sources;
mod votes;

use bytes::Bytes;
use proto::convert::WireError;
use proto::v1;
use sqlx::SqlitePool;

use crate::error::CallError;
use crate::limit;
pub(crate) use epochs::superseders;

/// Canonical bytes of a page: a message holds no more.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Rows that one page looks through when few of them are shown; the rest is for the next page.
const PAGE_ROWS_MAX: usize = 20_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The rows.
    pub rows: Vec<v1::ListedRow>,
    /// Where the next page starts; none: there are no more.
    pub through: Option<Bytes>,
}

/// Answers a List, but for what it proves.
///
/// # Errors
/// When the request means nothing, or the database cannot be read.
pub async fn get(readers: &SqlitePool, request: &v1::ListRequest) -> Result<Found, CallError> {
    limit::check(request.limit)?;
    match request.kind() {
        v1::ListKind::Epochs => epochs::list(readers, request).await,
        v1::ListKind::Sources => sources::list(readers, request).await,
        v1::ListKind::Votes => votes::list(readers, request).await,
        v1::ListKind::Predicates => predicates::list(readers, request).await,
        v1::ListKind::Records => records::list(readers, request).await,
        v1::ListKind::Unspecified => Err(WireError::new("kind", "is none of this version").into()),
    }
}

/// A page that fills.
#[derive(Debug)]
struct Page {
    found: Found,
    limit: usize,
    bytes: usize,
    looked_at: usize,
}

impl Page {
    fn new(request: &v1::ListRequest) -> Page {
        Page {
            found: Found::default(),
            limit: request.limit as usize,
            bytes: 0,
            looked_at: 0,
        }
    }

    /// No row goes on it any more.
    fn is_full(&self) -> bool {
        self.room() == 0 || self.bytes >= PAGE_BYTES || self.looked_at >= PAGE_ROWS_MAX
    }

    /// Rows that are still wanted.
    fn room(&self) -> usize {
        self.limit - self.found.rows.len()
    }

    fn add(&mut self, row: v1::ListedRow) {
        self.bytes += row.record.as_ref().map_or(0, |found| found.canonical.len());
        self.found.rows.push(row);
    }

    /// There is more behind this key.
    fn end_at(mut self, through: Bytes) -> Found {
        self.found.through = Some(through);
        self.found
    }
}
