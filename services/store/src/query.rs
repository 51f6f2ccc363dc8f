//! Questions: a lens over the claims about a subject, or a page of them.

mod page;

use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::{Record, RecordId};
use futures::TryStreamExt as _;
use lens::{Match, Parameters, Resolver, Selection};
use merkle::Id;
use proto::convert::{self, WireError};
use proto::cursor::{self, Position};
use proto::v1;
use shard::{global_shard, shard_of};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};
use tokio::sync::Semaphore;

use crate::completeness::Completeness;
use crate::error::CallError;
use crate::held;
use crate::metrics;
use crate::trees::Trees;
use crate::writer::id_head;
use page::Page;

/// Lenses that run at a time: each may keep tens of megabytes of distinct values.
const LENSES_AT_A_TIME: usize = 4;

/// How long a lens waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one answer may take. A question that takes longer is too wide, and would take a reader from all others.
const ANSWER_SECONDS: u64 = 2;

/// Most records of a page.
const PAGE_MAX: u32 = 1_000;

/// Most ids of `include`, as of Get.
const INCLUDE_MAX: usize = 1_000;

/// Rows about one subject that are sorted for a page when no predicate is given: beyond, every page would take long.
const SUBJECT_ROWS_MAX: i64 = 50_000;

/// Rows that one page looks through when filters leave out most; the rest is for the next page.
const PAGE_ROWS_MAX: usize = 20_000;

const CLAIMS_OF_TOPIC: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical
    FROM topic t CROSS JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate = ?2 AND t.at_ms <= ?3
    ORDER BY t.at_ms DESC";

/// Sorted before the rows are read: what is sorted is small.
const CLAIMS_OF_SUBJECT: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical
    FROM (SELECT at_ms, sequence FROM topic WHERE kind = 0 AND subject = ?1 AND at_ms <= ?3
          ORDER BY at_ms DESC LIMIT ?2) t
    CROSS JOIN record r ON r.sequence = t.sequence";

const HAS_MANY_CLAIMS: &str =
    "SELECT 1 FROM topic WHERE kind = 0 AND subject = ?1 LIMIT 1 OFFSET ?2";

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
        let subject = subject_of(&selection)?;
        let include = include(&request.include)?;
        let shard = shard_of(subject, self.num_shards);
        // Both before the rows are read: these then hold all that was proved, and all that was found to be here.
        let standing = self.completeness.of(shard);
        let missing = self.missing(shard, include).await?;
        let mut reply = v1::QueryReply {
            counts_as_absent: standing.counts_as_absent,
            missing,
            ..v1::QueryReply::default()
        };
        let limit = Duration::from_secs(ANSWER_SECONDS);
        let slow = |_| CallError::TooSlow(ANSWER_SECONDS);
        let lens = match &request.lens {
            Some(call) => {
                let parameters = convert::parameters(call, selection)?;
                let name = parameters.lens.name();
                let turn = tokio::time::timeout(TURN_TIMEOUT, self.lenses.acquire());
                let _turn = turn.await.map_err(|_| CallError::Overloaded)?;
                let fold = tokio::time::timeout(limit, self.fold(parameters));
                reply.result_json = fold.await.map_err(slow)??.into();
                name
            }
            None => {
                let mut selection = convert::selection(selection)?;
                selection.normalise();
                let page = self.page(&selection, request.limit, &request.cursor);
                (reply.records, reply.cursor) =
                    tokio::time::timeout(limit, page).await.map_err(slow)??;
                "none"
            }
        };
        (reply.complete, reply.proved_through_ms) = standing.judge();
        metrics::answered(lens, begun.elapsed());
        Ok(reply)
    }

    async fn missing(&self, shard: u32, include: Vec<Id>) -> Result<Vec<bytes::Bytes>, CallError> {
        if include.is_empty() {
            return Ok(Vec::new());
        }
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        let places = [shard, global_shard(self.num_shards)];
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
            let present = held::present(&self.readers, &places, &unknown).await?;
            missing.extend(unknown.into_iter().filter(|id| !present.contains(id)));
        }
        Ok(missing
            .iter()
            .map(|id| bytes::Bytes::copy_from_slice(id))
            .collect())
    }

    /// Feeds a lens row by row: what it keeps is bounded, what it is fed is not kept.
    async fn fold(&self, parameters: Parameters) -> Result<Vec<u8>, CallError> {
        let selection = parameters.selection.clone();
        let mut resolver = Resolver::new(parameters);
        let mut rows = claims(&selection, i64::MAX).fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            if let Some(record) = record(&row)? {
                resolver.push(&record)?;
            }
            tokio::task::consume_budget().await;
        }
        Ok(resolver.finish().to_json())
    }

    async fn page(
        &self,
        selection: &Selection,
        limit: u32,
        token: &[u8],
    ) -> Result<(Vec<v1::FoundRecord>, bytes::Bytes), CallError> {
        if !(1..=PAGE_MAX).contains(&limit) {
            let problem = format!("is {limit}, give 1 to {PAGE_MAX}");
            return Err(WireError::new("limit", problem).into());
        }
        let from = cursor::read(selection, token)?;
        let next = |page: &Page| {
            let next = page.next.map(|position| cursor::write(selection, position));
            next.unwrap_or_default()
        };
        if selection.predicate.is_none() {
            self.refuse_many(selection).await?;
        }
        let latest = from.map_or(i64::MAX, |from: Position| from.at);
        let mut page = Page::new(limit as usize, from);
        let mut looked_at = 0;
        let mut rows = claims(selection, latest).fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            if page.turn(row.try_get(0)?, looked_at >= PAGE_ROWS_MAX) {
                let next = next(&page);
                return Ok((page.records, next));
            }
            looked_at += 1;
            if let Some(record) = record(&row)?
                && selection.matches(record.assertion()) == Match::Yes
            {
                page.offer(&record);
            }
            tokio::task::consume_budget().await;
        }
        page.end();
        let next = next(&page);
        Ok((page.records, next))
    }

    async fn refuse_many(&self, selection: &Selection) -> Result<(), CallError> {
        let many = sqlx::query(HAS_MANY_CLAIMS)
            .bind(selection.subject.clone())
            .bind(SUBJECT_ROWS_MAX)
            .fetch_optional(&self.readers)
            .await?;
        match many {
            None => Ok(()),
            Some(_) => Err(CallError::TooLarge(
                "the subject has more than 50,000 claims; narrow the question: add predicate=",
            )),
        }
    }
}

fn subject_of(selection: &v1::Selection) -> Result<&str, WireError> {
    match (&selection.subject, &selection.subject_prefix) {
        (Some(subject), None) => Ok(subject),
        (Some(_), Some(_)) => Err(WireError::new(
            "selection",
            "has both subject and subject_prefix",
        )),
        (None, _) => Err(WireError::new(
            "selection",
            "names no subject, so every record would be looked at; add subject=",
        )),
    }
}

fn include(ids: &[bytes::Bytes]) -> Result<Vec<Id>, WireError> {
    if ids.len() > INCLUDE_MAX {
        return Err(WireError::new(
            "include",
            format!("has {} ids, give at most {INCLUDE_MAX}", ids.len()),
        ));
    }
    ids.iter()
        .map(|id| convert::record_id(id).map(RecordId::to_bytes))
        .collect()
}

type Sqlite<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The claims about what a selection names, newest first.
fn claims(selection: &Selection, latest: i64) -> Sqlite<'static> {
    let latest = latest.min(selection.as_of.unwrap_or(i64::MAX));
    let query = match &selection.predicate {
        Some(predicate) => sqlx::query(CLAIMS_OF_TOPIC)
            .bind(selection.subject.clone())
            .bind(predicate.clone()),
        None => sqlx::query(CLAIMS_OF_SUBJECT)
            .bind(selection.subject.clone())
            .bind(i64::MAX),
    };
    query.bind(latest)
}

/// The record of a row, checked against its id; `None` when it was redacted.
fn record(row: &SqliteRow) -> Result<Option<Record>, CallError> {
    let Some(canonical) = row.try_get::<Option<&[u8]>, _>(3)? else {
        return Ok(None);
    };
    match Record::from_canonical(canonical) {
        Ok(record) if id_head(record.id().as_bytes()) == row.try_get::<i64, _>(2)? => {
            Ok(Some(record))
        }
        _ => {
            metrics::damaged();
            Err(CallError::Damaged {
                sequence: row.try_get(1)?,
            })
        }
    }
}
