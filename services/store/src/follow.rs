//! Rows in their order of arrival, for feeds: a page at a time, and a wait when there is none.
//!
//! A reader is a position that the caller keeps. While it is away, or takes its time, nothing of it is here: no queue, no
//! statement, no transaction; so a slow reader costs the writer nothing.

use std::sync::Arc;
use std::time::Duration;

use assertion::{Content, Kind, Record, hex};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lens::{Match, Selection};
use proto::convert::{self, WireError};
use proto::{FOLLOW_CALLS_MAX, FOLLOW_WAIT_MAX_MS, v1};
use sidecar::Shutdown;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::damage::Damage;
use crate::error::CallError;
use crate::held::{self, canonical_of};
use crate::intake::shard_of_record;
use crate::limit;
use crate::trees::Trees;

/// Canonical bytes of a page.
const PAGE_BYTES: usize = 1024 * 1024;

/// Rows that one page passes over; the caller comes again for the rest, and others have their turn.
const PASSED_OVER_MAX: usize = 20_000;

const ROWS: &str = concat!(
    "SELECT 0, r.sequence, r.id_head, ",
    canonical_of!("r.sequence"),
    ", r.received_at_ms, r.arrival, r.origin_store, r.origin_sequence, r.trace_id
    FROM record r WHERE r.sequence > ?1 AND r.sequence <= ?2 ORDER BY r.sequence",
);

/// Answers Follow.
#[derive(Debug)]
pub struct Follows {
    readers: SqlitePool,
    trees: Arc<Trees>,
    damage: Arc<Damage>,
    store_id: [u8; 16],
    num_shards: u32,
    calls: Semaphore,
    shutdown: Shutdown,
}

/// What a caller wants.
#[derive(Debug)]
struct Wanted {
    limit: usize,
    kinds: Vec<Kind>,
    selection: Selection,
}

/// What was found so far.
#[derive(Debug)]
struct Page {
    records: Vec<v1::HeldRecord>,
    bytes: usize,
    passed_over: usize,
    through: i64,
    /// The last sequence up to there that has no row; 0: none.
    gone_through: i64,
}

impl Follows {
    /// Over these connections.
    pub fn new(
        readers: SqlitePool,
        (trees, damage): (Arc<Trees>, Arc<Damage>),
        (store_id, num_shards): ([u8; 16], u32),
        shutdown: Shutdown,
    ) -> Follows {
        Follows {
            readers,
            trees,
            damage,
            store_id,
            num_shards,
            calls: Semaphore::new(FOLLOW_CALLS_MAX),
            shutdown,
        }
    }

    /// The page behind a position; an empty one when nothing came in time.
    ///
    /// # Errors
    /// When the request means nothing, the position is one of another database, or this one cannot be read.
    pub async fn page(&self, request: v1::FollowRequest) -> Result<v1::FollowReply, CallError> {
        self.check(&request)?;
        let _turn = self
            .calls
            .try_acquire()
            .map_err(|_| CallError::Overloaded)?;
        let deadline = Instant::now() + Duration::from_millis(request.wait_ms.into());
        let mut sequences = self.trees.sequences();
        let mut page = Page {
            records: Vec::new(),
            bytes: 0,
            passed_over: 0,
            through: position(request.after)?,
            gone_through: 0,
        };
        let wanted = Wanted::new(request)?;
        let mut head = position(*sequences.borrow_and_update())?;
        if page.through > head {
            let problem = format!("is {}, the last row here is {head}", page.through);
            return Err(WireError::new("after", problem).into());
        }
        loop {
            self.read(&wanted, head, &mut page).await?;
            if !page.records.is_empty() || page.passed_over >= PASSED_OVER_MAX {
                break;
            }
            tokio::select! {
                _ = sequences.changed() => {}
                () = tokio::time::sleep_until(deadline) => break,
                () = self.shutdown.cancelled() => break,
            }
            head = position(*sequences.borrow_and_update())?;
        }
        Ok(v1::FollowReply {
            records: page.records,
            through: u64::try_from(page.through).unwrap_or_default(),
            head: u64::try_from(head).unwrap_or_default(),
            gone_through: u64::try_from(page.gone_through).unwrap_or_default(),
        })
    }

    fn check(&self, request: &v1::FollowRequest) -> Result<(), CallError> {
        if request.store_id.len() != self.store_id.len() {
            let problem = format!("has {} bytes, not 16", request.store_id.len());
            return Err(WireError::new("store_id", problem).into());
        }
        if request.store_id != self.store_id[..] {
            return Err(CallError::OtherStore {
                named: hex::write(&request.store_id),
                store: hex::write(&self.store_id),
            });
        }
        limit::check(request.limit)?;
        if request.wait_ms > FOLLOW_WAIT_MAX_MS {
            let problem = format!("is {}, give at most {FOLLOW_WAIT_MAX_MS}", request.wait_ms);
            return Err(WireError::new("wait_ms", problem).into());
        }
        Ok(())
    }

    /// Goes through the rows up to `head`, or until the page is done.
    async fn read(&self, wanted: &Wanted, head: i64, page: &mut Page) -> Result<(), CallError> {
        if page.through == head {
            return Ok(());
        }
        let mut rows = sqlx::query(ROWS)
            .bind(page.through)
            .bind(head)
            .fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            let record = match held::record(&row) {
                Ok(record) => record.filter(|record| wanted.takes(record)),
                // It is gone, as one that was given up: the caller takes its record from another copy, which comes here again once
                // repair has fetched it.
                Err(error @ CallError::Damaged { sequence }) => {
                    tracing::error!(%error, "a row is passed over");
                    self.damage.met(&error);
                    page.gone_through = sequence;
                    None
                }
                Err(error) => return Err(error),
            };
            if !page.take(wanted, &row, record, self.num_shards)? {
                return Ok(());
            }
            tokio::task::consume_budget().await;
        }
        // Rows that were given up leave gaps, at the end too.
        page.pass(head + 1);
        page.through = head;
        Ok(())
    }
}

impl Page {
    /// Notes which sequences before the next row have none: sequences are given without gaps.
    fn pass(&mut self, next: i64) {
        if next > self.through + 1 {
            self.gone_through = self.gone_through.max(next - 1);
        }
    }

    /// Takes a row, with its record when that is wanted. False: there is no room for it, or for another one.
    fn take(
        &mut self,
        wanted: &Wanted,
        row: &SqliteRow,
        record: Option<Record>,
        num_shards: u32,
    ) -> Result<bool, sqlx::Error> {
        let sequence: i64 = row.try_get(1)?;
        let Some(record) = record else {
            self.pass(sequence);
            self.through = sequence;
            self.passed_over += 1;
            return Ok(self.passed_over < PASSED_OVER_MAX);
        };
        let bytes = self.bytes + record.canonical().len();
        if !self.records.is_empty() && bytes > PAGE_BYTES {
            return Ok(false);
        }
        self.bytes = bytes;
        self.pass(sequence);
        self.through = sequence;
        self.records.push(v1::HeldRecord {
            id: Bytes::copy_from_slice(record.id().as_bytes()),
            canonical: Bytes::copy_from_slice(record.canonical()),
            sequence: u64::try_from(sequence).unwrap_or_default(),
            shard: shard_of_record(&record, num_shards),
            ..held::provenance(row)
        });
        Ok(self.records.len() < wanted.limit)
    }
}

impl Wanted {
    fn new(request: v1::FollowRequest) -> Result<Wanted, WireError> {
        let parse = |name: &String| {
            name.parse::<Kind>()
                .map_err(|error| WireError::new("kinds", error))
        };
        let mut kinds: Vec<Kind> = request.kinds.iter().map(parse).collect::<Result<_, _>>()?;
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Wanted {
            limit: request.limit as usize,
            kinds,
            selection: convert::selection(request.selection.unwrap_or_default())?,
        })
    }

    /// Whether a record passes the filters: one without what a filter asks for does not.
    fn takes(&self, record: &Record) -> bool {
        let Selection {
            predicate,
            source,
            classes,
            lifecycles,
            min_confidence,
            epoch,
            ..
        } = &self.selection;
        if !self.kinds.is_empty() && !self.kinds.contains(&record.kind()) {
            return false;
        }
        if let Some(claim) = record.claim() {
            let found = self.selection.matches(&claim);
            return matches!(found, Match::Yes | Match::Withdrawn);
        }
        let of_claims = predicate.is_some()
            || !lifecycles.is_empty()
            || min_confidence.is_some()
            || epoch.is_some();
        let from = match record.content() {
            Content::Source(known) => {
                self.selection.covers_source(&known.uri)
                    && (classes.is_empty() || classes.contains(&known.class))
            }
            _ => source.is_none() && classes.is_empty(),
        };
        let (_, about, _, at_ms) = record.topic();
        !of_claims
            && from
            && self.selection.covers_subject(about)
            && self.selection.covers_time(at_ms)
    }
}

fn position(sequence: u64) -> Result<i64, WireError> {
    i64::try_from(sequence).map_err(|_| WireError::new("after", "is beyond what a store can count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        Record::from_client_json(json.as_bytes(), 1_000).unwrap()
    }

    #[test]
    fn a_filter_passes_what_has_what_it_asks_for() {
        let claim = r#""predicate":"p","object":{"type":"boolean","value":true},"asserted_at":5,"source":{"uri":"u","class":"expert"}"#;
        let records = [
            record(&format!(r#"{{"subject":"s",{claim}}}"#)),
            record(&format!(
                r#"{{"subject":"s","lifecycle":"rejected",{claim}}}"#
            )),
            record(&format!(
                r#"{{"kind":"vote","subject":"s","assertion":"{}","voter":"v","weight":1,"voted_at":6}}"#,
                "0".repeat(64)
            )),
            record(r#"{"kind":"epoch","name":"e","started_at":7}"#),
            record(r#"{"kind":"source","uri":"u","class":"clinical","recorded_at":8}"#),
        ];
        let taken = |kinds: &[Kind], selection: Selection| -> Vec<usize> {
            let wanted = Wanted {
                limit: 1,
                kinds: kinds.to_vec(),
                selection,
            };
            (0..records.len())
                .filter(|number| wanted.takes(&records[*number]))
                .collect()
        };
        let all = Selection::default;
        assert_eq!(taken(&[], all()), [0, 1, 2, 3, 4]);
        assert_eq!(taken(&[Kind::Vote, Kind::Source], all()), [2, 4]);
        let text = |text: &str| Some(text.to_owned());
        let subject = Selection {
            subject: text("s"),
            ..all()
        };
        assert_eq!(taken(&[], subject), [0, 1, 2]);
        let prefix = Selection {
            subject_prefix: text("e"),
            ..all()
        };
        assert_eq!(taken(&[], prefix), [3]);
        let predicate = Selection {
            predicate: text("p"),
            ..all()
        };
        assert_eq!(taken(&[], predicate), [0, 1]);
        let source = Selection {
            source: text("u"),
            ..all()
        };
        assert_eq!(taken(&[], source), [0, 1, 4]);
        let class = Selection {
            classes: vec!["clinical".parse().unwrap()],
            ..all()
        };
        assert_eq!(taken(&[], class), [4]);
        let approved = Selection {
            lifecycles: vec!["rejected".parse().unwrap()],
            ..all()
        };
        assert_eq!(taken(&[], approved), [1]);
        assert_eq!(
            taken(
                &[],
                Selection {
                    as_of: Some(6),
                    ..all()
                }
            ),
            [0, 1, 2]
        );
    }
}
