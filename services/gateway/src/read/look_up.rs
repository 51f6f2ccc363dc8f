//! One record by its id, wherever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use assertion::{Record, RecordId};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::StatusCode;
use proto::v1;

use super::Reader;
use super::union::{Asked, checked_bytes};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::Fault;

/// How long a store may take to look up one id.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// The same for a node that does not answer writes.
const OUT_LOOK_UP_MAX: Duration = Duration::from_millis(500);

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A copy: the first that is found is enough.
    Copy,
    /// Who has it, and how it came there; not the bytes.
    Holders,
    /// Both.
    CopyAndHolders,
}

/// What the nodes said about one id.
#[derive(Debug)]
pub struct Found {
    /// Copies by the name of their node.
    pub held: BTreeMap<Name, v1::HeldRecord>,
    /// The record, when a copy was looked for and found.
    pub record: Option<Record>,
    /// Known members that did not answer, or may have lost what they had.
    pub missing: BTreeSet<String>,
    /// Those are so few that they cannot hold it alone, or a node can prove that there is none.
    pub complete: bool,
}

impl Found {
    /// What a client is told when nobody has it.
    pub fn absence(&self, id: RecordId) -> Problem {
        if self.complete {
            return Problem::new(
                StatusCode::NOT_FOUND,
                "no_such_record",
                format!("no node holds {id}"),
                "check the id; ids are lowercase hex of the hash of the canonical form",
            );
        }
        let missing: Vec<&str> = self.missing.iter().map(String::as_str).collect();
        Problem::unavailable(
            "incomplete",
            format!("no node that answers holds {id}, but not enough of them answer"),
            "ask again when the missing nodes are back",
        )
        .with("missing", missing)
    }
}

impl Reader {
    /// Asks all nodes that may answer.
    ///
    /// # Errors
    /// 503 before the cluster has formed.
    pub async fn look_up(
        &self,
        id: RecordId,
        wanted: Wanted,
        caller: &Caller,
    ) -> Result<Found, Problem> {
        let route = self.readiness.formed()?;
        let begun = Asked::now();
        let request = v1::GetRequest {
            ids: vec![Bytes::copy_from_slice(id.as_bytes())],
            provenance_only: wanted == Wanted::Holders,
        };
        let lanes = self.nodes.lanes().into_iter();
        let mut asked: FuturesUnordered<_> = lanes
            .map(|lane| {
                let request = request.clone();
                let out = route.out().contains(lane.store().node());
                let limit = if out { OUT_LOOK_UP_MAX } else { LOOK_UP_MAX };
                async move {
                    let reply = lane.store().get(request, caller, limit).await;
                    (lane, reply)
                }
            })
            .collect();
        let mut held = BTreeMap::new();
        let mut record = None;
        let mut counted = BTreeSet::new();
        let mut proved = false;
        while let Some((lane, reply)) = asked.next().await {
            let node = Name::clone(lane.store().node());
            match reply {
                Ok(reply) => {
                    let copy = reply.records.into_iter().next();
                    if wanted != Wanted::Holders
                        && let Some(copy) = &copy
                    {
                        let Ok(whole) = checked_bytes(id.as_bytes(), &copy.canonical) else {
                            // A damaged copy is none, and its node is no witness: the next one may have a good copy.
                            tracing::error!(%node, %id, "a node sent other bytes than the id's");
                            continue;
                        };
                        record = Some(whole);
                    }
                    proved |= reply.complete;
                    if !reply.counts_as_absent {
                        counted.insert(node.to_string());
                    }
                    if let Some(copy) = copy {
                        held.insert(node, copy);
                        if wanted == Wanted::Copy {
                            break;
                        }
                    }
                }
                Err(status) => {
                    if Fault::of(&status) == Fault::Gone {
                        lane.lost();
                    }
                    tracing::debug!(%node, %status, "a node did not look up a record");
                }
            }
        }
        let missing = self.missing(&counted, &route);
        Ok(Found {
            complete: proved || self.are_few(&missing, &route, begun),
            held,
            record,
            missing,
        })
    }

    /// Known members that are not among those who answered for all they acknowledged.
    pub(crate) fn missing(&self, counted: &BTreeSet<String>, route: &Route) -> BTreeSet<String> {
        let known = route.view().known_names();
        known.difference(counted).cloned().collect()
    }

    /// Whether so few members are missing that no acknowledged record can be with them alone. A view that nobody keeps up may
    /// not know a member that holds what is missing here, and of answers that are far apart each may lack what was on its way.
    pub(crate) fn are_few(&self, missing: &BTreeSet<String>, route: &Route, asked: Asked) -> bool {
        missing.len() < route.copies_counted()
            && self.readiness.view_is_kept_up()
            && asked.is_recent()
    }
}
