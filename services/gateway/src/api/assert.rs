//! `POST /v1/assert`, `/v1/vote`, `/v1/epoch` and `/v1/sources`: one record.

use std::sync::Arc;

use assertion::{Invalid, Kind, Record, is_agent};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use sidecar::clock;

use super::{body, warnings};
use crate::app::{App, Work};
use crate::caller::Caller;
use crate::description::questions::WriteParameters;
use crate::description::records::{Assertion, Epoch, SourceRecord, Vote};
use crate::description::replies::Written as WrittenReply;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply};
use crate::write::{Durability, Verdict};
use crate::writer::{Written, outcome};

/// Takes a claim.
///
/// # Errors
/// What is wrong with it, or 503 when nobody confirms it.
#[utoipa::path(
    post,
    path = "/v1/assert",
    tag = "write",
    operation_id = "assert",
    description = "503 `maybe_stored`: nobody confirmed it in time; send it again with the time that the problem returns. A claim that names an epoch may come back with `warnings`.",
    params(WriteParameters),
    request_body(content = Assertion, example = json!({"subject": "constant:hubble", "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4},
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "confidence": 0.95,
        "asserted_at": 1531785600000_i64})),
    responses(
        (status = 201, description = "acknowledged: on enough disks, new on one of them", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "asserted_at": 1531785600000_i64})),
        (status = 200, description = "acknowledged: all of them had it", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "present", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "asserted_at": 1531785600000_i64})),
        (status = 202, description = "on disk, but on too few nodes so far", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "accepted", "shard": 236,
        "copies": 1, "holders": ["node2"], "asserted_at": 1531785600000_i64}))
    )
)]
pub async fn assert(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, caller, &uri, &headers, body, Kind::Assertion).await
}

/// Takes a vote on a claim.
///
/// # Errors
/// As [`assert()`].
#[utoipa::path(
    post,
    path = "/v1/vote",
    tag = "write",
    operation_id = "vote",
    description = "A vote lies with its claim: `subject` is the claim's. `warnings` say when it cannot count.",
    params(WriteParameters),
    request_body(content = Vote, example = json!({"subject": "constant:hubble", "assertion": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221",
        "voter": "ann", "weight": 0.5, "voted_at": 1531785600000_i64})),
    responses(
        (status = 201, description = "acknowledged: on enough disks, new on one of them", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "voted_at": 1531785600000_i64,
        "warnings": [{"code": "other_subject", "detail": "the assertion is about \"constant:hubble\": under another subject the vote never counts; vote again with that one"}]})),
        (status = 200, description = "acknowledged: all of them had it", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "present", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "voted_at": 1531785600000_i64})),
        (status = 202, description = "on disk, but on too few nodes so far", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "accepted", "shard": 236,
        "copies": 1, "holders": ["node2"], "voted_at": 1531785600000_i64}))
    )
)]
pub async fn vote(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, caller, &uri, &headers, body, Kind::Vote).await
}

/// Takes an epoch.
///
/// # Errors
/// As [`assert()`].
#[utoipa::path(
    post,
    path = "/v1/epoch",
    tag = "write",
    operation_id = "epoch",
    description = "It goes to all known members; `pending` names those that have not confirmed it.",
    params(WriteParameters),
    request_body(content = Epoch, example = json!({"name": "ITS-90", "supersedes": [], "started_at": 631152000000_i64})),
    responses(
        (status = 201, description = "acknowledged: on enough disks, new on one of them", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "pending": ["node1"], "started_at": 1531785600000_i64})),
        (status = 200, description = "acknowledged: all of them had it", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "present", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "pending": ["node1"], "started_at": 1531785600000_i64})),
        (status = 202, description = "on disk, but on too few nodes so far", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "accepted", "shard": 236,
        "copies": 1, "holders": ["node2"], "pending": ["node1"], "started_at": 1531785600000_i64}))
    )
)]
pub async fn epoch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, caller, &uri, &headers, body, Kind::Epoch).await
}

/// Takes what is known of a source.
///
/// # Errors
/// As [`assert()`].
#[utoipa::path(
    post,
    path = "/v1/sources",
    tag = "write",
    operation_id = "source",
    description = "It goes to all known members; `pending` names those that have not confirmed it.",
    params(WriteParameters),
    request_body(content = SourceRecord, example = json!({"uri": "doi:10.1051/0004-6361/201833910", "class": "observational", "retracted": true,
        "recorded_at": 1531785600000_i64})),
    responses(
        (status = 201, description = "acknowledged: on enough disks, new on one of them", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "pending": ["node1"], "recorded_at": 1531785600000_i64})),
        (status = 200, description = "acknowledged: all of them had it", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "present", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "pending": ["node1"], "recorded_at": 1531785600000_i64})),
        (status = 202, description = "on disk, but on too few nodes so far", body = WrittenReply, example = json!({"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "accepted", "shard": 236,
        "copies": 1, "holders": ["node2"], "pending": ["node1"], "recorded_at": 1531785600000_i64}))
    )
)]
pub async fn source(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, caller, &uri, &headers, body, Kind::Source).await
}

async fn take(
    app: &App,
    caller: Caller,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    kind: Kind,
) -> Result<Response, Problem> {
    let durability = durability(uri)?;
    let bytes = body::read_json(&app.places, Work::Write, headers, body).await?;
    let record = admit(Record::from_client_json_as(kind, &bytes, clock::unix_ms()))?;
    app.readiness.formed()?;
    let records = vec![record.clone()];
    let room = app.writer.room(&records).await?;
    let write = app.writer.write(records, durability, caller.clone(), room);
    let (written, warnings) = tokio::join!(write, warnings::of(app, &caller, &record));
    let written = written?;
    let written = written
        .first()
        .ok_or_else(|| Problem::internal("a write came back without its record"))?;
    match status(&written.verdict) {
        Some(status) => {
            let mut said = describe(written);
            if !warnings.is_empty() {
                said["warnings"] = warnings.into();
            }
            Ok(json_reply(status, said.to_string()))
        }
        None => Err(problem(written)),
    }
}

/// A record as clients may send it. A voter in the form of a key is whoever holds the key: nobody else votes in that name.
///
/// # Errors
/// What is wrong with it.
pub fn admit(read: Result<Record, Invalid>) -> Result<Record, Problem> {
    let record = read.map_err(refused)?;
    let is_key = record.vote().is_some_and(|vote| is_agent(&vote.voter));
    if record.signatures().is_empty() && is_key {
        return Err(Problem::unprocessable(
            "voter_not_signer",
            "voter has the form of a public key, and the vote is not signed",
            "sign the vote with that key, or vote under another name",
        )
        .at("voter"));
    }
    Ok(record)
}

/// What is wrong with a record, with more to say where a client may expect that we know.
fn refused(invalid: Invalid) -> Problem {
    if (invalid.code, invalid.path.as_str()) == ("missing_field", "voter") {
        return Problem::unprocessable(
            "voter_required",
            "voter is missing, and no key says who votes",
            "give `voter`: a name of yours, or one of the agents that sign the vote",
        )
        .at("voter");
    }
    invalid.into()
}

/// What a client calls stored, by `?durability=`.
///
/// # Errors
/// 400 and 422, naming the parameter.
pub fn durability(uri: &Uri) -> Result<Durability, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["durability"])?;
    match given.one("durability")? {
        None => Ok(Durability::Copies),
        Some("local") => Ok(Durability::Local),
        Some("all") => Ok(Durability::All),
        Some(other) => Err(bad_value(
            "durability",
            other,
            "local, all, or leave it out",
        )),
    }
}

/// The status of a record that is on a disk.
pub fn status(verdict: &Verdict) -> Option<StatusCode> {
    match verdict {
        Verdict::Stored => Some(StatusCode::CREATED),
        Verdict::Present => Some(StatusCode::OK),
        Verdict::Accepted => Some(StatusCode::ACCEPTED),
        Verdict::MaybeStored | Verdict::Refused(_) => None,
    }
}

/// A record as replies show it.
pub fn describe(written: &Written) -> Value {
    let holders: Vec<&str> = written.holders.iter().map(|name| &**name).collect();
    let mut said = json!({
        "id": written.id.to_string(),
        "status": outcome(&written.verdict),
        "shard": written.shard,
        "copies": holders.len(),
        "holders": holders,
    });
    if let Some(pending) = &written.pending {
        said["pending"] = pending.iter().map(|name| &**name).collect::<Value>();
    }
    said[written.kind.time_field()] = written.at_ms.into();
    said
}

/// The problem of a record that is on no disk for sure. Id and time make the resend the same record.
pub fn problem(written: &Written) -> Problem {
    let problem = match &written.verdict {
        Verdict::Refused(reason) => Problem::unprocessable(
            "refused_by_store",
            format!("the stores do not take this record: {reason}"),
            "the nodes may run different versions; see GET /cluster/members on port 18181",
        ),
        _ => Problem::unavailable(
            "maybe_stored",
            "no store confirmed the record in time; it may be stored all the same",
            format!(
                "send it again with the same {}: it is the same record then, and cannot be stored twice",
                written.kind.time_field()
            ),
        ),
    };
    problem
        .with("id", written.id.to_string())
        .with(written.kind.time_field(), written.at_ms)
}
