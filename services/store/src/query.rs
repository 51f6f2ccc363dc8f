//! Questions: a lens over the claims about a subject, or a page of claims; and what gateways ask beside them.

mod claims;
mod fold;
mod marks;
mod page;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::{Record, RecordId};
use futures::TryStreamExt as _;
use lens::{Match, Parameters, Selection};
use merkle::Id;
use proto::convert::{self, WireError};
use proto::{GET_IDS_MAX, cursor, v1};
use shard::{global_shard, shard_of};
use sqlx::SqlitePool;
use tokio::sync::Semaphore;

use crate::completeness::Completeness;
use crate::error::CallError;
use crate::trees::Trees;
use crate::{context, held, limit, list, metrics, subjects};
use claims::Way;
pub(crate) use claims::{mentions, through};
pub(crate) use page::Page;

/// Lenses that run at a time: each may keep tens of megabytes of distinct values.
const LENSES_AT_A_TIME: usize = 4;

/// How long a lens waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one answer may take. A question that takes longer is too wide, and would take a reader from all others.
const ANSWER_SECONDS: u64 = 2;

/// The same with a lens. It weighs a million claims in less than half of it on a machine that has nothing else to do, and keeps
/// the log from being copied into the file meanwhile.
const LENS_SECONDS: u64 = 6;

/// Rows that one page looks through when filters leave out most; the rest is for the next page.
const PAGE_ROWS_MAX: usize = 20_000;

/// Answers questions.
#[derive(Debug)]
pub struct Queries {
    readers: SqlitePool,
    trees: Arc<Trees>,
    completeness: Arc<Completeness>,
    num_shards: u32,
    lenses: Semaphore,
}

impl Queries {
    /// Over these connections.
    pub fn new(
        readers: SqlitePool,
        trees: Arc<Trees>,
        completeness: Arc<Completeness>,
        num_shards: u32,
    ) -> Queries {
        Queries {
            readers,
            trees,
            completeness,
            num_shards,
            lenses: Semaphore::new(LENSES_AT_A_TIME),
        }
    }

    /// Answers one question from this store alone.
    ///
    /// # Errors
    /// When it means nothing, is too wide, or the database cannot be read.
    pub async fn answer(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, CallError> {
        let begun = Instant::now();
        let selection = request.selection.unwrap_or_default();
        let global = global_shard(self.num_shards);
        let shard = subject_of(&selection)?.map(|subject| shard_of(subject, self.num_shards));
        let include = include(&request.include)?;
        // Both before the rows are read: these then hold all that was proved, and all that was found to be here.
        let (standing, places) = match shard {
            Some(shard) => (self.completeness.of(shard), vec![shard, global]),
            None => (self.completeness.of_owned(), (0..=global).collect()),
        };
        let missing = self.missing(&places, include).await?;
        let mut reply = v1::QueryReply {
            missing,
            ..v1::QueryReply::default()
        };
        let lens = match &request.lens {
            Some(_) if shard.is_none() => return Err(without_subject().into()),
            Some(call) => {
                let parameters = convert::parameters(call, selection)?;
                let name = parameters.lens().name();
                let turn = tokio::time::timeout(TURN_TIMEOUT, self.lenses.acquire());
                let _turn = turn.await.map_err(|_| CallError::Overloaded)?;
                reply.result_json = within(LENS_SECONDS, self.fold(parameters)).await?.into();
                name
            }
            None => {
                let mut selection = convert::selection(selection)?;
                selection.normalise();
                let page = self.page(&selection, request.limit, &request.cursor);
                (reply.records, reply.cursor) = in_time(page).await?;
                // Of another answer the gateway asks all stores.
                if shard.is_some() && standing.judge().0 && self.is_global_used() {
                    let marks = marks::of(&self.readers, &reply.records, &selection);
                    reply.marks = in_time(marks).await?;
                }
                "none"
            }
        };
        reply.counts_as_absent = standing.counts_as_absent();
        // No store holds all shards: about many subjects, only all of them together may be complete.
        if shard.is_some() {
            (reply.complete, reply.proved_through_ms) = standing.judge();
        }
        metrics::answered(lens, begun.elapsed());
        Ok(reply)
    }

    /// What lenses look at beside claims.
    ///
    /// # Errors
    /// When the request means nothing, or the database cannot be read in time.
    pub async fn context(
        &self,
        request: v1::ContextRequest,
    ) -> Result<v1::ContextReply, CallError> {
        let global = global_shard(self.num_shards);
        let standing = self.completeness.of_owned();
        let mut reply = in_time(context::get(&self.readers, global, &request)).await?;
        reply.counts_as_absent = standing.counts_as_absent();
        Ok(reply)
    }

    /// Subjects, ascending.
    ///
    /// # Errors
    /// When the request means nothing, or the database cannot be read in time.
    pub async fn subjects(
        &self,
        request: v1::ListSubjectsRequest,
    ) -> Result<v1::ListSubjectsReply, CallError> {
        let standing = self.completeness.of_owned();
        let mut reply = in_time(subjects::list(&self.readers, &request)).await?;
        reply.counts_as_absent = standing.counts_as_absent();
        Ok(reply)
    }

    /// A page of a list, and whether it is all that was acknowledged.
    ///
    /// # Errors
    /// When the request means nothing, or the database cannot be read in time.
    pub async fn list(&self, request: v1::ListRequest) -> Result<v1::ListReply, CallError> {
        // Before the rows are read: these then hold all that was proved.
        let standing = match request.kind() {
            v1::ListKind::Votes | v1::ListKind::Predicates => self
                .completeness
                .of(shard_of(&request.subject, self.num_shards)),
            v1::ListKind::Records => self.completeness.of_all(),
            _ => self.completeness.of(global_shard(self.num_shards)),
        };
        let found = in_time(list::get(&self.readers, &request)).await?;
        let (complete, proved_through_ms) = standing.judge();
        Ok(v1::ListReply {
            rows: found.rows,
            through: found.through.unwrap_or_default(),
            complete,
            proved_through_ms,
            counts_as_absent: standing.counts_as_absent(),
        })
    }

    /// Of ids, those that are in none of these shards.
    async fn missing(
        &self,
        places: &[u32],
        include: Vec<Id>,
    ) -> Result<Vec<bytes::Bytes>, CallError> {
        if include.is_empty() {
            return Ok(Vec::new());
        }
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        for id in include {
            match self.trees.locate(&id) {
                Ok(place) if places.contains(&place) => {}
                Ok(_) => missing.push(id),
                Err(shards) if places.iter().any(|place| shards.contains(place)) => {
                    unknown.push(id)
                }
                Err(_) => missing.push(id),
            }
        }
        if !unknown.is_empty() {
            let present = held::present(&self.readers, places, &unknown).await?;
            missing.extend(unknown.into_iter().filter(|id| !present.contains(id)));
        }
        Ok(missing
            .iter()
            .map(|id| bytes::Bytes::copy_from_slice(id))
            .collect())
    }

    /// Feeds a lens row by row: what it keeps is bounded, what it is fed is not kept.
    async fn fold(&self, parameters: Parameters) -> Result<Vec<u8>, CallError> {
        let global = global_shard(self.num_shards);
        let global = self.is_global_used().then_some(global);
        let ballot = fold::fold(&self.readers, parameters, global).await?;
        tracing::debug!(kept = ?ballot.kept(), "a lens has looked at everything");
        Ok(ballot.finish().to_json())
    }

    /// Whether there are epochs or sources at all.
    fn is_global_used(&self) -> bool {
        let (_, records) = self.trees.root(global_shard(self.num_shards));
        records > 0
    }

    async fn page(
        &self,
        selection: &Selection,
        limit: u32,
        token: &[u8],
    ) -> Result<(Vec<v1::FoundRecord>, bytes::Bytes), CallError> {
        limit::check(limit)?;
        let from = cursor::read(selection, token)?;
        let next = |page: &Page| {
            let next = page.next.map(|position| cursor::write(selection, position));
            next.unwrap_or_default()
        };
        let mut page = Page::new(limit as usize, from);
        let mut looked_at = 0;
        let mut connection = self.readers.acquire().await?;
        let way = Way::to(&mut connection, selection).await?;
        let mut rows = way.rows(selection, from).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if page.turn(way.through(&row)?, looked_at >= PAGE_ROWS_MAX) {
                let next = next(&page);
                return Ok((page.records, next));
            }
            looked_at += 1;
            let matches = |record: &Record| {
                let claim = record.claim();
                claim.is_some_and(|claim| selection.matches(&claim) == Match::Yes)
            };
            let fits = |record: &Record| way.fits(record);
            if let Some(record) = held::record_of_line(&row, fits)?.filter(matches) {
                page.offer(&record);
            }
            tokio::task::consume_budget().await;
        }
        page.end();
        let next = next(&page);
        Ok((page.records, next))
    }
}

/// The subject of a question; none when it is about many.
fn subject_of(selection: &v1::Selection) -> Result<Option<&str>, WireError> {
    let v1::Selection {
        subject,
        subject_prefix,
        predicate,
        source,
        ..
    } = selection;
    match (subject, subject_prefix) {
        (Some(subject), None) => Ok(Some(subject)),
        (Some(_), Some(_)) => Err(WireError::new(
            "selection",
            "has both subject and subject_prefix; leave one of them out",
        )),
        (None, None) if predicate.is_none() && source.is_none() => Err(WireError::new(
            "selection",
            "names nothing, so every record would be looked at; add subject=, subject_prefix=, source= or predicate=",
        )),
        (None, _) => Ok(None),
    }
}

fn without_subject() -> WireError {
    WireError::new(
        "selection",
        "names no subject, and one store does not hold all subjects; ask every store for the claims, and the lens over them",
    )
}

/// What a question may take; whoever asks it comes back with a narrower one.
async fn in_time<T>(answer: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    within(ANSWER_SECONDS, answer).await
}

async fn within<T>(
    seconds: u64,
    answer: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(Duration::from_secs(seconds), answer)
        .await
        .map_err(|_| CallError::TooSlow(seconds))?
}

fn include(ids: &[bytes::Bytes]) -> Result<Vec<Id>, WireError> {
    if ids.len() > GET_IDS_MAX {
        return Err(WireError::new(
            "include",
            format!("has {} ids, give at most {GET_IDS_MAX}", ids.len()),
        ));
    }
    ids.iter()
        .map(|id| convert::record_id(id).map(RecordId::to_bytes))
        .collect()
}
