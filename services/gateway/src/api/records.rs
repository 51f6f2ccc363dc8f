//! `GET /v1/records/{id}` and `/replicas`: one record, and who holds it.

use std::sync::Arc;
use std::time::Instant;

use assertion::{RecordId, hex, public_json};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use proto::v1;
use serde_json::{Value, json};

use super::query::asked;
use crate::app::App;
use crate::caller::Caller;
use crate::description::replies::{Problem as Refusal, RecordAnswer, ReplicasAnswer};
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply, ok, segment};
use crate::read::{Answer, Wanted};
use crate::route::Name;

/// One record by its id.
///
/// # Errors
/// 404 when no node has it, 503 when a node that may have it does not answer.
#[utoipa::path(
    get,
    path = "/v1/records/{id}",
    tag = "read",
    operation_id = "record",
    description = "503 `incomplete`: nobody has it, and not enough nodes answer.",
    params(("id" = String, Path, description = "the id of the record", example = "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221")),
    responses(
        (status = 200, description = "found", body = RecordAnswer, example = json!({"result": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64},
        "meta": {"complete": true, "proved_through": null, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}})),
        (status = 404, description = "nobody has it", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn record(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = record_id(&uri, &segment(path)?)?;
    let began = Instant::now();
    let found = app.reader.look_up(id, Wanted::Copy, &caller).await;
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
#[utoipa::path(
    get,
    path = "/v1/records/{id}/replicas",
    tag = "read",
    operation_id = "replicas",
    description = "Who holds a record, and how it came there.",
    params(("id" = String, Path, description = "the id of the record", example = "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221")),
    responses(
        (status = 200, description = "found", body = ReplicasAnswer, example = json!({"result": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "shard": 236, "owners": ["node2", "node3"],
        "copies": 1, "replicas": [{"node": "node2", "owner": true, "received_at": 1795639419155_i64, "arrival": "push",
        "origin": null, "sequence": 5, "trace_id": "58a9e785cc640f1c734202476925ba87"}]}, "meta": {"complete": true, "missing": [], "node": "node1", "trace_id": "a9f555afba21cd7553847cc19b262e16"}})),
        (status = 404, description = "nobody has it", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn replicas(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = record_id(&uri, &segment(path)?)?;
    let began = Instant::now();
    let found = app.reader.look_up(id, Wanted::Holders, &caller).await;
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

/// The id in the path of a call that has no parameters.
///
/// # Errors
/// 400 and 422.
pub fn record_id(uri: &Uri, id: &str) -> Result<RecordId, Problem> {
    Parameters::of_uri(uri)?.only(&[])?;
    id.parse()
        .map_err(|_| bad_value("id", id, "the record's id, 64 lowercase hex digits"))
}

/// One copy.
pub fn replica(node: &Name, held: &v1::HeldRecord, owners: &[&str]) -> Value {
    let arrival = match held.arrival() {
        v1::Arrival::Push => "push",
        v1::Arrival::Repair => "repair",
        v1::Arrival::Unspecified => "unknown",
    };
    let origin = held.origin.as_ref().map(
        |origin| json!({ "store_id": hex::write(&origin.store_id), "sequence": origin.sequence }),
    );
    json!({
        "node": node.to_string(),
        "owner": owners.contains(&&**node),
        "received_at": held.received_at_ms,
        "arrival": arrival,
        "sequence": held.sequence,
        "origin": origin,
        "trace_id": Some(hex::write(&held.trace_id)).filter(|id| !id.is_empty()),
    })
}
