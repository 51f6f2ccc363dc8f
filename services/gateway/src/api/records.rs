//! `GET /v1/records/{id}` and `/replicas`: one record, and who holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::{Record, RecordId, public_json};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{StatusCode, Uri};
use proto::v1;
use serde_json::{Value, json};

use super::query::asked;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply, ok, segment};
use crate::read::Answer;
use crate::read::question::hex;
use crate::route::{Name, Route};
use crate::store::Fault;

/// How long a store may take to look up one id.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// The same for a node that does not answer writes.
const OUT_LOOK_UP_MAX: Duration = Duration::from_millis(500);

/// One record by its id.
///
/// # Errors
/// 404 when no node has it, 503 when a node that may have it does not answer.
pub async fn record(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = record_id(&uri, &segment(path)?)?;
    let began = Instant::now();
    let found = look_up(&app, &caller, id, false).await;
    asked("records", began);
    let found = found?;
    let Some((node, held)) = found.held.first_key_value() else {
        return Err(found.absence(id));
    };
    let answer = Answer {
        result: public_json(&id, &held.canonical).into(),
        complete: true,
        proved_through: None,
        node: node.to_string(),
        union: None,
    };
    Ok(json_reply(StatusCode::OK, answer.to_body(&caller)))
}

/// Who holds a record, and how it came there.
///
/// # Errors
/// As [`record`].
pub async fn replicas(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = record_id(&uri, &segment(path)?)?;
    let began = Instant::now();
    let found = look_up(&app, &caller, id, true).await;
    asked("replicas", began);
    let found = found?;
    let Some((_, first)) = found.held.first_key_value() else {
        return Err(found.absence(id));
    };
    let route = app.readiness.formed()?;
    let owners: Vec<&str> = route
        .owners(first.shard)
        .iter()
        .map(|name| &**name)
        .collect();
    let replicas: Vec<Value> = found
        .held
        .iter()
        .map(|(node, held)| replica(node, held, &owners))
        .collect();
    Ok(ok(&json!({
        "result": {
            "id": id.to_string(),
            "shard": first.shard,
            "owners": owners,
            "copies": replicas.len(),
            "replicas": replicas,
        },
        "meta": {
            "complete": found.missing.is_empty(),
            "missing": found.missing,
            "node": app.nodes.own().to_string(),
            "trace_id": caller.trace_id,
        },
    })))
}

fn record_id(uri: &Uri, id: &str) -> Result<RecordId, Problem> {
    Parameters::of_uri(uri)?.only(&[], &[])?;
    id.parse()
        .map_err(|_| bad_value("id", id, "the record's id, 64 lowercase hex digits"))
}

fn replica(node: &Name, held: &v1::HeldRecord, owners: &[&str]) -> Value {
    let arrival = match held.arrival() {
        v1::Arrival::Push => "push",
        v1::Arrival::Repair => "repair",
        v1::Arrival::Unspecified => "unknown",
    };
    let origin = held
        .origin
        .as_ref()
        .map(|origin| json!({ "store_id": hex(&origin.store_id), "sequence": origin.sequence }));
    json!({
        "node": node.to_string(),
        "owner": owners.contains(&&**node),
        "received_at": held.received_at_ms,
        "arrival": arrival,
        "sequence": held.sequence,
        "origin": origin,
        "trace_id": Some(hex(&held.trace_id)).filter(|id| !id.is_empty()),
    })
}

/// What the nodes said about one id.
struct Found {
    held: BTreeMap<Name, v1::HeldRecord>,
    /// Known members that did not answer, or may have lost what they had.
    missing: Vec<String>,
    /// Those are so few that they cannot hold it alone, or a node can prove that there is none.
    complete: bool,
}

impl Found {
    fn absence(&self, id: RecordId) -> Problem {
        if self.complete {
            return Problem::new(
                StatusCode::NOT_FOUND,
                "no_such_record",
                format!("no node holds {id}"),
                "check the id; ids are lowercase hex of the hash of the canonical form",
            );
        }
        Problem::unavailable(
            "incomplete",
            format!("no node that answers holds {id}, but not enough of them answer"),
            "ask again when the missing nodes are back",
        )
        .with("missing", self.missing.clone())
    }
}

/// Whether a copy has the bytes that its id is the hash of.
fn is_whole(held: &v1::HeldRecord, id: RecordId) -> bool {
    Record::from_canonical(&held.canonical).is_ok_and(|record| record.id() == id)
}

/// Asks all nodes that may answer. Unless `everywhere`, the first that has it is enough.
async fn look_up(
    app: &App,
    caller: &Caller,
    id: RecordId,
    everywhere: bool,
) -> Result<Found, Problem> {
    let route = app.readiness.formed()?;
    let request = v1::GetRequest {
        ids: vec![Bytes::copy_from_slice(id.as_bytes())],
        provenance_only: everywhere,
    };
    let mut asked: FuturesUnordered<_> = app
        .nodes
        .lanes()
        .into_iter()
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
    let mut counted = BTreeSet::new();
    let mut proved = false;
    while let Some((lane, reply)) = asked.next().await {
        let node = Name::clone(lane.store().node());
        match reply {
            Ok(reply) => {
                let record = reply.records.into_iter().next();
                if !everywhere && record.as_ref().is_some_and(|held| !is_whole(held, id)) {
                    // A damaged copy is none, and its node is no witness: the next one may have a good copy.
                    tracing::error!(%node, %id, "a node sent other bytes than the id's");
                    continue;
                }
                proved |= reply.complete;
                if !reply.counts_as_absent {
                    counted.insert(node.to_string());
                }
                if let Some(record) = record {
                    held.insert(node, record);
                    if !everywhere {
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
    Ok(judge(
        held,
        &counted,
        proved,
        &route,
        app.readiness.view_is_kept_up(),
    ))
}

fn judge(
    held: BTreeMap<Name, v1::HeldRecord>,
    counted: &BTreeSet<String>,
    proved: bool,
    route: &Route,
    view_is_kept_up: bool,
) -> Found {
    let known = route.view().known_names();
    let missing: Vec<String> = known.difference(counted).cloned().collect();
    let few = missing.len() < route.copies_needed() && view_is_kept_up;
    Found {
        complete: proved || few,
        held,
        missing,
    }
}
