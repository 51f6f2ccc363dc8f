//! What lenses look at beside claims: sources, votes, epochs.

pub(crate) mod lines;
mod place;
mod statements;

use assertion::{Kind, Record, RecordId};
use futures::TryStreamExt as _;
use proto::convert::{self, WireError};
use proto::{CONTEXT_LIST_MAX, v1};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use crate::error::CallError;
use crate::held;
use place::Place;
pub(crate) use place::{Last, Spot};
pub(crate) use statements::{
    Statement, chain, of_global_shard, sources, superseding, voted, votes_on,
};
use statements::{epochs, votes};

/// Records of one reply.
const PAGE_RECORDS: usize = 1_000;

/// The same in canonical bytes: a message holds no more.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

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

/// Answers a Context. `global`: the number of the global shard.
///
/// # Errors
/// When the request means nothing, or the database cannot be read.
pub async fn get(
    readers: &SqlitePool,
    global: u32,
    request: &v1::ContextRequest,
) -> Result<v1::ContextReply, CallError> {
    check("sources", request.sources.len())?;
    let asked = Asked {
        readers,
        global,
        latest: request.as_of_ms.unwrap_or(i64::MAX),
        votes_on: ids("votes_on", &request.votes_on)?,
        epochs_of: ids("epochs_of", &request.epochs_of)?,
        request,
    };
    let mut page = Page::default();
    let next = asked.fill(&mut page).await?;
    Ok(v1::ContextReply {
        records: page.records,
        cursor: next.map(|next| next.write()).unwrap_or_default(),
        ..v1::ContextReply::default()
    })
}

fn check(name: &'static str, length: usize) -> Result<(), WireError> {
    match length {
        0..=CONTEXT_LIST_MAX => Ok(()),
        _ => Err(WireError::new(
            name,
            format!("are {length}, give at most {CONTEXT_LIST_MAX}"),
        )),
    }
}

fn ids(name: &'static str, ids: &[bytes::Bytes]) -> Result<Vec<RecordId>, WireError> {
    check(name, ids.len())?;
    ids.iter().map(|id| convert::record_id(id)).collect()
}

struct Asked<'a> {
    readers: &'a SqlitePool,
    global: u32,
    latest: i64,
    votes_on: Vec<RecordId>,
    epochs_of: Vec<RecordId>,
    request: &'a v1::ContextRequest,
}

impl Asked<'_> {
    /// Sources, then votes, then epochs, from where the page before ended. Says where this one does.
    async fn fill(&self, page: &mut Page) -> Result<Option<Place>, CallError> {
        let mut place = Place::read(&self.request.cursor)?;
        loop {
            if let Some(end) = self.fill_from(&place, page).await? {
                return Ok(Some(end));
            }
            match place.next() {
                Some(next) => place = next,
                None => return Ok(None),
            }
        }
    }

    /// All of one kind, when it was asked for. `Some`: the page is full; where the next one starts.
    async fn fill_from(&self, place: &Place, page: &mut Page) -> Result<Option<Place>, CallError> {
        let (latest, rows) = (self.latest, page.rows());
        let start = place.clone();
        match (place, &self.request.votes_of) {
            (Place::Sources(first), _) => {
                let uris = rest(&self.request.sources, *first);
                let number = latest_sources(self.readers, uris, latest, page).await?;
                Ok(number.map(|number| Place::Sources(first.saturating_add(number))))
            }
            (Place::Votes(last), Some(subject)) if self.votes_on.is_empty() => {
                let query = votes(subject, last, latest, rows);
                let place = |row: &SqliteRow| Last::of(row).map(Place::Votes);
                let read = |row: &SqliteRow| lines::vote(row, subject);
                self.gather(query, page, start, (place, read)).await
            }
            (Place::VotesOn(spot), Some(subject)) => {
                let claims = rest(&self.votes_on, spot.number);
                let query = votes_on(subject, claims, spot, latest, rows);
                let place = |row: &SqliteRow| Spot::of(row, spot.number).map(Place::VotesOn);
                let read = |row: &SqliteRow| lines::vote_on(row, subject, claims);
                self.gather(query, page, start, (place, read)).await
            }
            (Place::Epochs(last), _) if self.request.epochs && self.epochs_of.is_empty() => {
                let query = epochs(last, latest, rows);
                let place = |row: &SqliteRow| Last::of(row).map(Place::Epochs);
                self.gather(query, page, start, (place, lines::epoch)).await
            }
            (Place::EpochsOf(first), _) if self.request.epochs => {
                let ids = rest(&self.epochs_of, *first);
                let query = of_global_shard(ids, self.global, rows);
                let place = |row: &SqliteRow| {
                    let number: u32 = row.try_get(0)?;
                    Ok(Place::EpochsOf(first.saturating_add(number + 1)))
                };
                let read = |row: &SqliteRow| lines::of_id(row, ids);
                self.gather(query, page, start, (place, read)).await
            }
            (Place::Superseding(spot), _) if self.request.epochs => {
                let ids = rest(&self.epochs_of, spot.number);
                let query = superseding(ids, spot, latest, rows);
                let place = |row: &SqliteRow| Spot::of(row, spot.number).map(Place::Superseding);
                let read = |row: &SqliteRow| lines::superseding(row, ids);
                self.gather(query, page, start, (place, read)).await
            }
            _ => Ok(None),
        }
    }

    /// Takes rows while there is room, of each the place behind it and its record. Says where the next page starts when there are
    /// more.
    async fn gather(
        &self,
        query: Statement,
        page: &mut Page,
        start: Place,
        (behind, read): (
            impl Fn(&SqliteRow) -> Result<Place, sqlx::Error>,
            impl Fn(&SqliteRow) -> Result<Option<Record>, CallError>,
        ),
    ) -> Result<Option<Place>, CallError> {
        let mut rows = query.fetch(self.readers);
        let mut next = start;
        while let Some(row) = rows.try_next().await? {
            if page.is_full() {
                return Ok(Some(next));
            }
            next = behind(&row)?;
            if let Some(record) = read(&row)?.filter(|record| self.is_asked(record)) {
                page.take(&record);
            }
            tokio::task::consume_budget().await;
        }
        Ok(None)
    }

    /// Statements by id find records of any kind and time.
    fn is_asked(&self, record: &Record) -> bool {
        !matches!(record.kind(), Kind::Assertion | Kind::Source) && record.at_ms() <= self.latest
    }
}

/// The list from a member on.
fn rest<T>(list: &[T], first: u32) -> &[T] {
    list.get(first as usize..).unwrap_or_default()
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
        if let Some(record) = lines::source(&row, uris)?
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
