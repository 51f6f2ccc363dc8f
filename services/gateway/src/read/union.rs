//! All live nodes answer together. An acknowledged record is on min(rf, known) disks, so what that many minus one nodes
//! take away with them is nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use assertion::{Lifecycle, Record, RecordId};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lens::Selection;
use metrics::counter;
use proto::{cursor, v1};
use sidecar::clock;
use tokio::sync::{SemaphorePermit, mpsc};
use tonic::Status;

use super::context::Context;
use super::merged::Merged;
use super::pages::{page_json, read_page};
use super::question::LIMIT_MAX;
use super::scales::Scales;
use super::{Answer, CALL_MAX, Question, Reader, UNION_WAIT, refusal};
use crate::caller::Caller;
use crate::metrics::UNIONS;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::{Fault, Store};

/// Pages on the way from the nodes to the lens: the nodes wait while it works.
const PAGES_WAITING: usize = 4;

/// Until a question that took too long is worth another try: half the time that it would take again.
const TOO_SLOW_RETRY_SECONDS: u32 = 5;

/// Answers of several nodes that are further apart are not complete together, in boot milliseconds. An owner has had a record for
/// longer than that when another node gives it up, so one that moved is seen at one end or the other.
const TOGETHER_MAX_MS: u64 = shard::proof::MAX_AGE_MS;
const _: () = assert!(TOGETHER_MAX_MS < shard::homecoming::SETTLED_MS);

/// How long a node that does not answer writes may take: it may have come back, and must not hold up the answer.
const OUT_CALL_MAX: Duration = Duration::from_millis(500);

/// When several nodes began to be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    unix_ms: i64,
    boot_ms: u64,
}

impl Asked {
    /// Right now. Whatever was acknowledged before was on its disks before the nodes are asked.
    pub(crate) fn now() -> Asked {
        Asked {
            unix_ms: clock::unix_ms(),
            boot_ms: clock::boot_ms(),
        }
    }

    /// Whether what has come since may be complete together. A process that was stopped meanwhile finds all answers waiting.
    pub(super) fn is_recent(self) -> bool {
        clock::boot_ms().saturating_sub(self.boot_ms) <= TOGETHER_MAX_MS
    }
}

/// What one node said in all.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(super) counts_as_absent: bool,
    /// Proved by the node alone.
    proved_through: i64,
    missing: Vec<Bytes>,
}

impl Said {
    /// From a node that proves nothing alone.
    pub(super) fn unproved(counts_as_absent: bool) -> Said {
        Said {
            counts_as_absent,
            ..Said::default()
        }
    }

    fn of(reply: &v1::QueryReply) -> Said {
        Said {
            counts_as_absent: reply.counts_as_absent,
            proved_through: reply.proved_through_ms,
            missing: reply.missing.clone(),
        }
    }

    /// Takes one of several pages. What the node held when it was asked first is on them, unless it says at one of them that it
    /// may have lost or given up rows meanwhile.
    pub(super) fn hear(said: &mut Option<Said>, reply: &v1::QueryReply) {
        let said = said.get_or_insert_with(|| Said::of(reply));
        said.counts_as_absent |= reply.counts_as_absent;
        said.proved_through = said.proved_through.min(reply.proved_through_ms);
    }
}

/// Who said what; the others are missing.
pub(crate) type Heard = BTreeMap<Name, Said>;

impl Reader {
    /// Asks all live nodes. The second part: ids to include that none of them holds.
    pub(super) async fn union(
        &self,
        question: &Question,
        caller: &Caller,
        route: &Route,
    ) -> Result<(Answer, Vec<RecordId>), Problem> {
        let _turn = self.turn().await?;
        let asked = Asked::now();
        let gathered = async {
            match &question.lens {
                Some(parameters) => self.weigh(question, parameters, caller, route).await,
                None => self.merge(question, caller, route).await,
            }
        };
        let (result, heard) = tokio::time::timeout(self.union_max, gathered)
            .await
            .map_err(|_| too_slow())??;
        self.somebody(&heard)?;
        let unseen = unseen(question, &heard);
        let mut answer = self.worth(result, &heard, asked, route);
        if question.subject().is_none() && !answer.complete {
            // What a node proves alone is about its own shards, and the question is about all of them.
            answer.proved_through = None;
        }
        Ok((answer, unseen))
    }

    /// Waits for a place among the reads that ask everybody.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let turn = tokio::time::timeout(UNION_WAIT, self.unions.acquire());
        let Ok(Ok(turn)) = turn.await else {
            return Err(Problem::overloaded("too many reads need all nodes at once"));
        };
        counter!(UNIONS).increment(1);
        Ok(turn)
    }

    /// Refuses to make an answer of nothing.
    pub(super) fn somebody(&self, heard: &Heard) -> Result<(), Problem> {
        if heard.is_empty() {
            return Err(no_store_answers());
        }
        Ok(())
    }

    pub(super) fn worth(
        &self,
        result: Bytes,
        heard: &Heard,
        asked: Asked,
        route: &Route,
    ) -> Answer {
        let counted: BTreeSet<String> = heard
            .iter()
            .filter(|(_, said)| !said.counts_as_absent)
            .map(|(name, _)| name.to_string())
            .collect();
        let missing = self.missing(&counted, route);
        let complete = self.are_few(&missing, route, asked);
        let proved_alone = heard.values().map(|said| said.proved_through).max();
        Answer {
            result,
            complete,
            proved_through: if complete {
                Some(asked.unix_ms)
            } else {
                proved_alone.filter(|ms| *ms != 0)
            },
            node: self.nodes.own().to_string(),
            union: Some((
                heard.keys().map(|name| name.to_string()).collect(),
                missing.into_iter().collect(),
            )),
        }
    }

    /// Stores that may answer, each with its time.
    pub(crate) fn stores(&self, route: &Route) -> Vec<(Store, Duration)> {
        let live: BTreeSet<&str> = route
            .view()
            .live()
            .map(|member| member.name.as_str())
            .collect();
        let lanes = self.nodes.lanes().into_iter();
        lanes
            .filter_map(|lane| {
                let store = lane.store().clone();
                let out = route.out().contains(store.node());
                let limit = if out { OUT_CALL_MAX } else { CALL_MAX };
                (!out || live.contains(&**store.node())).then_some((store, limit))
            })
            .collect()
    }

    /// Runs the lens here, over the claims of all nodes.
    async fn weigh(
        &self,
        question: &Question,
        parameters: &lens::Parameters,
        caller: &Caller,
        route: &Route,
    ) -> Result<(Bytes, Heard), Problem> {
        let mut scales = Scales::new(parameters, Context::new(self, caller, route));
        let (pages, mut arriving) = mpsc::channel::<Vec<v1::FoundRecord>>(PAGES_WAITING);
        let mut readers: FuturesUnordered<BoxFuture<'_, (Name, Result<Said, Status>)>> =
            FuturesUnordered::new();
        for (store, limit) in self.stores(route) {
            let node = Name::clone(store.node());
            let work = read_all(store, question, caller, limit, pages.clone());
            readers.push(Box::pin(async move { (node, work.await) }));
        }
        drop(pages);
        // Side by side: what is looked up for one page must not keep the next ones from coming.
        let weighing = async {
            while let Some(page) = arriving.recv().await {
                scales.weigh(&page).await?;
            }
            Ok::<Scales<'_>, Problem>(scales)
        };
        let reading = async {
            let mut heard = Heard::new();
            while let Some((node, said)) = readers.next().await {
                self.note(&mut heard, node, said)?;
            }
            Ok::<Heard, Problem>(heard)
        };
        let (scales, mut heard) = tokio::try_join!(weighing, reading)?;
        let result = scales.finish(&mut heard).await?;
        Ok((result, heard))
    }

    /// One page of records, put together from the pages of all nodes.
    async fn merge(
        &self,
        question: &Question,
        caller: &Caller,
        route: &Route,
    ) -> Result<(Bytes, Heard), Problem> {
        let stores = self.stores(route).into_iter();
        let mut readers: FuturesUnordered<_> = stores
            .map(|(store, limit)| async move {
                let node = Name::clone(store.node());
                (node, read_page(&store, question, caller, limit).await)
            })
            .collect();
        let mut heard = Heard::new();
        let mut merged = Merged::new();
        while let Some((node, read)) = readers.next().await {
            let said = read.map(|(said, records, end)| {
                merged.add(records, end, |_, _| ());
                said
            });
            self.note(&mut heard, node, said)?;
        }
        let (records, end) = merged.page(question.limit as usize);
        let records: Vec<v1::FoundRecord> = records.into_iter().map(|(_, record)| record).collect();
        let cursor = end.map(|end| cursor::write(&question.selection, end));
        let marks = self.marks(question, &records, caller, route, &mut heard);
        let page = page_json(&records, &marks.await?, &cursor.unwrap_or_default())?;
        Ok((page, heard))
    }

    pub(super) fn note(
        &self,
        heard: &mut Heard,
        node: Name,
        said: Result<Said, Status>,
    ) -> Result<(), Problem> {
        match said {
            Ok(said) => {
                heard.insert(node, said);
                Ok(())
            }
            Err(status) => {
                if Fault::of(&status) == Fault::Gone {
                    self.lost(&node);
                }
                tracing::debug!(%node, %status, "a node is missing in a union");
                refusal(&status).map_or(Ok(()), Err)
            }
        }
    }
}

/// 503: with less to do the nodes answer the same question in time, so it is not the question that is wrong.
fn too_slow() -> Problem {
    Problem::unavailable(
        "too_slow",
        "the nodes together did not answer in time",
        "send it again after the time in Retry-After; a narrower question (predicate=, class=, source=, as_of=) takes less time",
    )
    .retry_after(TOO_SLOW_RETRY_SECONDS)
}

/// 503.
pub(crate) fn no_store_answers() -> Problem {
    Problem::unavailable(
        "no_store_answers",
        "no store that this gateway can reach answers",
        "see GET /cluster/members on port 18181, or ask another gateway",
    )
}

/// Ids to include that nobody holds.
fn unseen(question: &Question, heard: &Heard) -> Vec<RecordId> {
    let missing = |id: &RecordId| {
        heard.values().all(|said| {
            said.missing
                .iter()
                .any(|missing| **missing == id.as_bytes()[..])
        })
    };
    question.include.iter().copied().filter(missing).collect()
}

/// The claims that a lens looks at before it filters: what it leaves out is counted in the answer, so it has to see it.
fn about(selection: &Selection) -> Selection {
    let mut about = Selection {
        subject: selection.subject.clone(),
        subject_prefix: selection.subject_prefix.clone(),
        predicate: selection.predicate.clone(),
        as_of: selection.as_of,
        lifecycles: Lifecycle::ALL.to_vec(),
        ..Selection::default()
    };
    about.normalise();
    about
}

/// All claims of one node about the subject or subjects, page by page.
async fn read_all(
    store: Store,
    question: &Question,
    caller: &Caller,
    limit: Duration,
    pages: mpsc::Sender<Vec<v1::FoundRecord>>,
) -> Result<Said, Status> {
    let whole = Question {
        selection: about(&question.selection),
        lens: None,
        limit: LIMIT_MAX,
        from: None,
        ..question.clone()
    };
    let mut query = whole.to_wire();
    let mut first = None;
    loop {
        let reply = store.query(query.clone(), caller, limit).await?;
        Said::hear(&mut first, &reply);
        if pages.send(reply.records).await.is_err() {
            return Err(Status::cancelled("the union ended"));
        }
        if reply.cursor.is_empty() {
            return Ok(first.unwrap_or_default());
        }
        query.cursor = reply.cursor;
        query.include.clear();
    }
}

/// A record as it came.
pub(crate) fn checked(found: &v1::FoundRecord) -> Result<Record, Problem> {
    checked_bytes(&found.id, &found.canonical)
}

/// A record from bytes as they came, hash-checked. Its signatures were verified at the store's door, before it was written.
pub(crate) fn checked_bytes(id: &[u8], canonical: &[u8]) -> Result<Record, Problem> {
    let record = Record::from_stored(canonical)
        .map_err(|error| Problem::internal(&format!("a store sent what is no record: {error}")))?;
    if record.id().as_bytes()[..] != *id {
        return Err(Problem::internal(
            "a store sent a record under the id of another",
        ));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_were_waited_for_too_long_are_not_complete_together() {
        let asked = |ago: u64| Asked {
            unix_ms: 0,
            boot_ms: clock::boot_ms().saturating_sub(ago),
        };
        assert!(Asked::now().is_recent() && asked(1_000).is_recent());
        assert!(!asked(TOGETHER_MAX_MS + 1_000).is_recent());
    }
}
