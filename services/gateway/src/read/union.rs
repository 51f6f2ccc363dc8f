//! All live nodes answer together. An acknowledged record is on min(rf, known) disks, so what that many minus one nodes
//! take away with them is nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use assertion::{Lifecycle, Record, RecordId, public_json};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lens::{Resolver, Selection};
use metrics::counter;
use proto::cursor::{self, Position};
use proto::{convert, v1};
use sidecar::clock;
use tokio::sync::mpsc;
use tonic::Status;

use super::question::{LIMIT_MAX, hex};
use super::{Answer, CALL_MAX, Question, Reader, UNION_WAIT, refusal};
use crate::caller::Caller;
use crate::metrics::UNIONS;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::{Fault, Store};

/// Most claims that one union weighs. Their ids are kept, so that a copy counts once; a store alone takes more.
const CLAIMS_MAX: usize = 100_000;

/// Pages on the way from the nodes to the lens: the nodes wait while it works.
const PAGES_WAITING: usize = 4;

/// How long a union may take in all.
const UNION_MAX: Duration = Duration::from_secs(10);

/// How long a node that does not answer writes may take: it may have come back, and must not hold up the answer.
const OUT_CALL_MAX: Duration = Duration::from_millis(500);

/// Pages of one node that may hold less than they could before the union gives up on it.
const PAGES_MAX: usize = 64;

/// What one node said in all.
#[derive(Debug, Default)]
struct Said {
    counts_as_absent: bool,
    /// Proved by the node alone.
    proved_through: i64,
    missing: Vec<Bytes>,
}

impl Said {
    fn of(reply: &v1::QueryReply) -> Said {
        Said {
            counts_as_absent: reply.counts_as_absent,
            proved_through: reply.proved_through_ms,
            missing: reply.missing.clone(),
        }
    }
}

/// Who said what; the others are missing.
type Heard = BTreeMap<Name, Said>;

impl Reader {
    /// Asks all live nodes. The second part: ids to include that none of them holds.
    pub(super) async fn union(
        &self,
        question: &Question,
        caller: &Caller,
        route: &Route,
    ) -> Result<(Answer, Vec<RecordId>), Problem> {
        let turn = tokio::time::timeout(UNION_WAIT, self.unions.acquire());
        let Ok(Ok(_turn)) = turn.await else {
            return Err(Problem::overloaded("too many reads need all nodes at once"));
        };
        counter!(UNIONS).increment(1);
        // Whatever was acknowledged before this moment was on its disks before the nodes are asked.
        let asked_at = clock::unix_ms();
        let gathered = async {
            match &question.lens {
                Some(parameters) => self.weigh(question, parameters, caller, route).await,
                None => self.merge(question, caller, route).await,
            }
        };
        let (result, heard) = tokio::time::timeout(UNION_MAX, gathered)
            .await
            .map_err(|_| {
                Problem::unprocessable(
                    "too_slow",
                    format!(
                        "all nodes together took more than {} s",
                        UNION_MAX.as_secs()
                    ),
                    "narrow the question: add predicate=, class=, source= or as_of=",
                )
            })??;
        if heard.is_empty() {
            return Err(Problem::unavailable(
                "no_store_answers",
                "no store that this gateway can reach answers",
                "see GET /cluster/members on port 18181, or ask another gateway",
            ));
        }
        let unseen = unseen(question, &heard);
        Ok((self.worth(result, &heard, asked_at, route), unseen))
    }

    fn worth(&self, result: Bytes, heard: &Heard, asked_at: i64, route: &Route) -> Answer {
        let known = route.view().known_names();
        let counted = |name: &String| {
            heard
                .get(name.as_str())
                .is_some_and(|said| !said.counts_as_absent)
        };
        let missing: Vec<String> = known
            .iter()
            .filter(|name| !counted(name))
            .cloned()
            .collect();
        // A view that nobody keeps up may not know a member that holds what is missing here.
        let complete = missing.len() < route.copies_needed() && self.readiness.view_is_kept_up();
        let proved_alone = heard.values().map(|said| said.proved_through).max();
        Answer {
            result,
            complete,
            proved_through: if complete {
                Some(asked_at)
            } else {
                proved_alone.filter(|ms| *ms != 0)
            },
            node: self.nodes.own().to_string(),
            union: Some((heard.keys().map(|name| name.to_string()).collect(), missing)),
        }
    }

    /// Stores that may answer, each with its time.
    fn stores(&self, route: &Route) -> Vec<(Store, Duration)> {
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
        let (pages, mut arriving) = mpsc::channel(PAGES_WAITING);
        let mut readers: FuturesUnordered<BoxFuture<'_, (Name, Result<Said, Status>)>> =
            FuturesUnordered::new();
        for (store, limit) in self.stores(route) {
            let node = Name::clone(store.node());
            let work = read_all(store, question, caller, limit, pages.clone());
            readers.push(Box::pin(async move { (node, work.await) }));
        }
        drop(pages);
        let mut resolver = Resolver::new(parameters.clone());
        let mut seen = BTreeSet::new();
        let mut heard = Heard::new();
        loop {
            tokio::select! {
                page = arriving.recv() => match page {
                    Some(page) => weigh_page(page, &mut resolver, &mut seen)?,
                    None if readers.is_empty() => break,
                    None => {}
                },
                Some((node, said)) = readers.next() => {
                    self.note(&mut heard, node, said)?;
                }
            }
        }
        Ok((resolver.finish().to_json().into(), heard))
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
        let mut merged = Merged::default();
        while let Some((node, read)) = readers.next().await {
            let said = read.map(|(said, records, end)| {
                merged.add(records, end);
                said
            });
            self.note(&mut heard, node, said)?;
        }
        let (records, end) = merged.page(question.limit as usize);
        let cursor = end.map(|end| cursor::write(&question.selection, end));
        let page = page_json(&records, &cursor.unwrap_or_default())?;
        Ok((page, heard))
    }

    fn note(
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
        predicate: selection.predicate.clone(),
        as_of: selection.as_of,
        lifecycles: Lifecycle::ALL.to_vec(),
        ..Selection::default()
    };
    about.normalise();
    about
}

/// All claims of one node about the subject, page by page.
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
        // What the node says of itself when it was asked first counts: all it held then is on the pages.
        let said = first.get_or_insert_with(|| Said::of(&reply));
        said.counts_as_absent |= reply.counts_as_absent;
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

fn weigh_page(
    page: Vec<v1::FoundRecord>,
    resolver: &mut Resolver,
    seen: &mut BTreeSet<RecordId>,
) -> Result<(), Problem> {
    for found in page {
        let record = checked(&found)?;
        if !seen.insert(record.id()) {
            continue;
        }
        if seen.len() > CLAIMS_MAX {
            return Err(Problem::unprocessable(
                "too_much",
                format!("more than {CLAIMS_MAX} claims, and no owner of the subject is complete"),
                "narrow the question: add predicate= or as_of=, or ask again when the owners are complete",
            )
            .limit(CLAIMS_MAX as u64));
        }
        resolver.push(&record).map_err(|error| {
            let text = error.to_string();
            let (detail, next) = text
                .split_once("; ")
                .unwrap_or((&text, "narrow the question"));
            Problem::unprocessable("too_much", detail, next)
        })?;
    }
    Ok(())
}

type PageOfNode = (Said, Vec<(Position, v1::FoundRecord)>, Option<Position>);

/// One page of one node. Pages that filters left thin are filled up.
async fn read_page(
    store: &Store,
    question: &Question,
    caller: &Caller,
    limit: Duration,
) -> Result<PageOfNode, Status> {
    let mut query = question.to_wire();
    let mut first = None;
    let mut records = Vec::new();
    let broken = |problem: String| Status::data_loss(problem);
    for _ in 0..PAGES_MAX {
        let reply = store.query(query.clone(), caller, limit).await?;
        first.get_or_insert_with(|| Said::of(&reply));
        for found in reply.records {
            let record = checked(&found).map_err(|problem| broken(problem.detail.clone()))?;
            let at = record.assertion().asserted_at;
            records.push((
                Position {
                    at,
                    id: record.id(),
                },
                found,
            ));
        }
        let end = cursor::read(&question.selection, &reply.cursor)
            .map_err(|error| broken(error.to_string()))?;
        if end.is_none() || records.len() >= question.limit as usize {
            return Ok((first.unwrap_or_default(), records, end));
        }
        query.cursor = reply.cursor;
        query.include.clear();
    }
    let end = cursor::read(&question.selection, &query.cursor);
    let end = end.map_err(|error| broken(error.to_string()))?;
    Ok((first.unwrap_or_default(), records, end))
}

/// Pages of several nodes as one.
#[derive(Debug, Default)]
struct Merged {
    records: BTreeMap<Position, v1::FoundRecord>,
    /// Beyond this place some node has more than it showed.
    end: Option<Position>,
}

impl Merged {
    fn add(&mut self, records: Vec<(Position, v1::FoundRecord)>, end: Option<Position>) {
        self.records.extend(records);
        self.end = [self.end, end].into_iter().flatten().min();
    }

    /// The records of the page in order, and where the next one starts.
    fn page(self, limit: usize) -> (Vec<v1::FoundRecord>, Option<Position>) {
        let mut page = Vec::new();
        let mut last = None;
        for (position, record) in self.records {
            if self.end.is_some_and(|end| position > end) {
                return (page, self.end);
            }
            if page.len() == limit {
                return (page, last);
            }
            last = Some(position);
            page.push(record);
        }
        (page, self.end)
    }
}

/// A record as it came, hash-checked.
fn checked(found: &v1::FoundRecord) -> Result<Record, Problem> {
    let record = Record::from_canonical(&found.canonical)
        .map_err(|error| Problem::internal(&format!("a store sent what is no record: {error}")))?;
    if record.id().as_bytes()[..] != found.id[..] {
        return Err(Problem::internal(
            "a store sent a record under the id of another",
        ));
    }
    Ok(record)
}

/// The `result` of a question without a lens.
pub(super) fn page_json(records: &[v1::FoundRecord], cursor: &[u8]) -> Result<Bytes, Problem> {
    let mut out = Vec::with_capacity(
        records
            .iter()
            .map(|r| r.canonical.len() + 80)
            .sum::<usize>()
            + 64,
    );
    out.extend_from_slice(b"{\"records\":[");
    for (place, found) in records.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let id =
            convert::record_id(&found.id).map_err(|error| Problem::internal(&error.to_string()))?;
        out.extend_from_slice(&public_json(&id, &found.canonical));
    }
    out.extend_from_slice(b"],\"cursor\":");
    if cursor.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        out.extend_from_slice(hex(cursor).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(at: i64, id: u8) -> (Position, v1::FoundRecord) {
        let position = Position {
            at,
            id: RecordId::from_bytes([id; 32]),
        };
        let record = v1::FoundRecord {
            id: Bytes::copy_from_slice(&[id; 32]),
            canonical: Bytes::new(),
        };
        (position, record)
    }

    fn ids(page: &[v1::FoundRecord]) -> Vec<u8> {
        page.iter().map(|record| record.id[0]).collect()
    }

    #[test]
    fn pages_of_nodes_become_one_page_without_holes() {
        let mut merged = Merged::default();
        // The first node stopped at its second record, the other one showed all it has.
        merged.add(vec![found(9, 1), found(7, 2)], Some(found(7, 2).0));
        merged.add(vec![found(8, 3), found(7, 2), found(3, 4)], None);
        let (page, end) = merged.page(10);
        assert_eq!(ids(&page), [1, 3, 2], "what is older than 7 may be missing");
        assert_eq!(end, Some(found(7, 2).0));
    }

    #[test]
    fn a_merged_page_is_cut_at_its_limit_and_goes_on_there() {
        let mut merged = Merged::default();
        merged.add(vec![found(9, 1), found(7, 2)], None);
        merged.add(vec![found(8, 3)], None);
        let (page, end) = merged.page(2);
        assert_eq!(ids(&page), [1, 3]);
        assert_eq!(end, Some(found(8, 3).0));
        let mut rest = Merged::default();
        rest.add(vec![found(7, 2)], None);
        assert_eq!(rest.page(2).1, None);
    }
}
