//! What lenses look at beside claims: sources, votes, epochs. Its statements serve the lenses of this store too.

use assertion::{Record, RecordId};
use bytes::Bytes;
use futures::TryStreamExt as _;
use proto::convert::WireError;
use proto::v1;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqlitePool};

use crate::error::CallError;
use crate::held;

/// Most uris of one request.
const SOURCES_MAX: usize = 1_000;

/// Records of one reply.
const PAGE_RECORDS: usize = 1_000;

/// The same in canonical bytes: a message holds no more.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Of each uri the records of its latest moment, in the order of the uris. Uris go as hex: JSON may be written in many ways.
const SOURCES: &str = "
    SELECT CAST(j.key AS INTEGER), r.sequence, r.id_head, r.canonical
    FROM json_each(?1) j
    CROSS JOIN topic t ON t.kind = 3 AND t.subject = CAST(unhex(j.value) AS TEXT) AND t.predicate = '' AND t.at_ms = (
        SELECT max(m.at_ms) FROM topic m
        WHERE m.kind = 3 AND m.subject = CAST(unhex(j.value) AS TEXT) AND m.predicate = '' AND m.at_ms <= ?2)
    CROSS JOIN record r ON r.sequence = t.sequence";

/// In the order of the index, as the next one.
const VOTES: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical, t.predicate
    FROM topic t CROSS JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 1 AND t.subject = ?1 AND (t.predicate, t.at_ms, t.sequence) > (?2, ?3, ?4) AND t.at_ms <= ?5
    ORDER BY t.predicate, t.at_ms, t.sequence LIMIT ?6";

const EPOCHS: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical, t.subject
    FROM topic t CROSS JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 2 AND (t.subject, t.predicate, t.at_ms, t.sequence) > (?1, '', ?2, ?3) AND t.at_ms <= ?4
    ORDER BY t.subject, t.predicate, t.at_ms, t.sequence LIMIT ?5";

type Statement = Query<'static, Sqlite, SqliteArguments>;

/// The last row of a page in the order of the index. Default: before all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    /// Of a vote the id of its claim, of an epoch the name.
    about: String,
    at_ms: i64,
    sequence: i64,
}

impl Default for Last {
    fn default() -> Last {
        Last {
            about: String::new(),
            at_ms: i64::MIN,
            sequence: 0,
        }
    }
}

impl Last {
    fn of(row: &SqliteRow) -> Result<Last, sqlx::Error> {
        Ok(Last {
            about: row.try_get(4)?,
            at_ms: row.try_get(0)?,
            sequence: row.try_get(1)?,
        })
    }
}

/// What is known of sources up to a time: of each uri the records of its latest moment.
pub(crate) fn sources<'a>(uris: impl IntoIterator<Item = &'a str>, latest: i64) -> Statement {
    let mut list = String::from("[");
    for (number, uri) in uris.into_iter().enumerate() {
        list.push_str(if number == 0 { "\"" } else { ",\"" });
        for byte in uri.bytes() {
            for half in [byte >> 4, byte & 0xf] {
                list.extend(char::from_digit(half.into(), 16));
            }
        }
        list.push('"');
    }
    list.push(']');
    sqlx::query(SOURCES).bind(list).bind(latest)
}

/// Votes on the claims of a subject.
pub(crate) fn votes(subject: &str, after: &Last, latest: i64, limit: i64) -> Statement {
    sqlx::query(VOTES)
        .bind(subject.to_owned())
        .bind(after.about.clone())
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// All epochs.
pub(crate) fn epochs(after: &Last, latest: i64, limit: i64) -> Statement {
    sqlx::query(EPOCHS)
        .bind(after.about.clone())
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// At this uri of the list.
    Sources(u32),
    Votes(Last),
    Epochs(Last),
}

impl Place {
    fn write(&self) -> Bytes {
        let (form, at_ms, sequence, about) = match self {
            Place::Sources(next) => (0, i64::from(*next), 0, ""),
            Place::Votes(last) => (1, last.at_ms, last.sequence, last.about.as_str()),
            Place::Epochs(last) => (2, last.at_ms, last.sequence, last.about.as_str()),
        };
        let mut token = vec![form];
        token.extend_from_slice(&at_ms.to_be_bytes());
        token.extend_from_slice(&sequence.to_be_bytes());
        token.extend_from_slice(about.as_bytes());
        token.into()
    }

    fn read(token: &[u8]) -> Result<Place, WireError> {
        let parsed = || {
            let (form, rest) = token.split_first()?;
            let (at_ms, rest) = rest.split_first_chunk()?;
            let (sequence, about) = rest.split_first_chunk()?;
            let last = Last {
                about: std::str::from_utf8(about).ok()?.to_owned(),
                at_ms: i64::from_be_bytes(*at_ms),
                sequence: i64::from_be_bytes(*sequence),
            };
            match form {
                0 => Some(Place::Sources(u32::try_from(last.at_ms).ok()?)),
                1 => Some(Place::Votes(last)),
                2 => Some(Place::Epochs(last)),
                _ => None,
            }
        };
        match token {
            [] => Ok(Place::Sources(0)),
            _ => parsed().ok_or_else(|| {
                WireError::new("cursor", "is not one of ours; send it as it was returned")
            }),
        }
    }
}

#[derive(Default)]
struct Page {
    records: Vec<v1::FoundRecord>,
    bytes: usize,
}

impl Page {
    fn take(&mut self, record: &Record) {
        self.bytes += record.canonical().len();
        self.records.push(held::found(record));
    }

    fn is_full(&self) -> bool {
        self.records.len() >= PAGE_RECORDS || self.bytes >= PAGE_BYTES
    }

    /// Rows to ask for: one more than there is room, to know whether there is one.
    fn rows(&self) -> i64 {
        i64::try_from(PAGE_RECORDS - self.records.len() + 1).unwrap_or(i64::MAX)
    }
}

/// Answers a Context.
///
/// # Errors
/// When the request means nothing, or the database cannot be read.
pub async fn get(
    readers: &SqlitePool,
    counts_as_absent: bool,
    request: &v1::ContextRequest,
) -> Result<v1::ContextReply, CallError> {
    if request.sources.len() > SOURCES_MAX {
        let problem = format!("are {}, give at most {SOURCES_MAX}", request.sources.len());
        return Err(WireError::new("sources", problem).into());
    }
    let mut page = Page::default();
    let next = fill(readers, request, &mut page).await?;
    Ok(v1::ContextReply {
        records: page.records,
        cursor: next.map(|next| next.write()).unwrap_or_default(),
        counts_as_absent,
    })
}

/// Sources, then votes, then epochs, each from where the page before ended. Says where this one does.
async fn fill(
    readers: &SqlitePool,
    request: &v1::ContextRequest,
    page: &mut Page,
) -> Result<Option<Place>, CallError> {
    let latest = request.as_of_ms.unwrap_or(i64::MAX);
    let mut place = Place::read(&request.cursor)?;
    if let Place::Sources(first) = place {
        let rest = request.sources.get(first as usize..).unwrap_or_default();
        if let Some(number) = latest_sources(readers, rest, latest, page).await? {
            return Ok(Some(Place::Sources(first.saturating_add(number))));
        }
        place = Place::Votes(Last::default());
    }
    if let Place::Votes(last) = &place {
        if let Some(subject) = &request.votes_of {
            let query = votes(subject, last, latest, page.rows());
            if let Some(last) = gather(readers, query, page).await? {
                return Ok(Some(Place::Votes(last)));
            }
        }
        place = Place::Epochs(Last::default());
    }
    match place {
        Place::Epochs(last) if request.epochs => {
            let query = epochs(&last, latest, page.rows());
            Ok(gather(readers, query, page).await?.map(Place::Epochs))
        }
        _ => Ok(None),
    }
}

/// Takes rows while there is room. Says which one was the last when there are more.
async fn gather(
    readers: &SqlitePool,
    query: Statement,
    page: &mut Page,
) -> Result<Option<Last>, CallError> {
    let mut rows = query.fetch(readers);
    let mut last = Last::default();
    while let Some(row) = rows.try_next().await? {
        if page.is_full() {
            return Ok(Some(last));
        }
        last = Last::of(&row)?;
        if let Some(record) = held::record(&row)? {
            page.take(&record);
        }
        tokio::task::consume_budget().await;
    }
    Ok(None)
}

/// Takes the latest record of each uri while there is room; of several of one moment, the one with the greatest id. Says which
/// uri of the list comes next when there are more.
async fn latest_sources(
    readers: &SqlitePool,
    uris: &[String],
    latest: i64,
    page: &mut Page,
) -> Result<Option<u32>, CallError> {
    if uris.is_empty() {
        return Ok(None);
    }
    let mut rows = sources(uris.iter().map(String::as_str), latest).fetch(readers);
    let mut best: Option<(u32, Record)> = None;
    while let Some(row) = rows.try_next().await? {
        let number: u32 = row.try_get(0)?;
        if let Some((_, done)) = best.take_if(|(known, _)| *known != number) {
            page.take(&done);
        }
        if page.is_full() {
            return Ok(Some(number));
        }
        let known = best.as_ref().map(|(_, record)| record.id());
        if let Some(record) = held::record(&row)?
            && known.is_none_or(|known: RecordId| known < record.id())
        {
            best = Some((number, record));
        }
        tokio::task::consume_budget().await;
    }
    if let Some((_, done)) = best {
        page.take(&done);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_there_and_back_and_nothing_else_is_one() {
        let last = Last {
            about: "é\0".into(),
            at_ms: -5,
            sequence: 7,
        };
        for place in [
            Place::Sources(3),
            Place::Votes(last.clone()),
            Place::Epochs(Last::default()),
            Place::Epochs(last),
        ] {
            assert_eq!(Place::read(&place.write()), Ok(place));
        }
        assert_eq!(Place::read(&[]), Ok(Place::Sources(0)));
        let mut strange = Place::Votes(Last::default()).write().to_vec();
        strange[0] = 3;
        assert!(Place::read(&strange).is_err());
        assert!(Place::read(&strange[..9]).is_err());
        assert!(Place::read(b"x").is_err());
    }
}
