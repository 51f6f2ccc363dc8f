//! Repair on demand: `POST /cluster/sync`; how repair stands: `GET /cluster/tasks`; and how it goes on: pause, resume, rate.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use proto::v1;
use proto::v1::antientropy_client::AntientropyClient;
use serde_json::{Value, json};
use tonic::Status;

use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::{Steered, Synced, Tasks};
use crate::description::questions::{RateParameters, SyncParameters};
use crate::description::replies::Problem as Refusal;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, ok};
use crate::store::within;

/// Antientropy answers after 120 s at the latest.
const SYNC_MAX: Duration = Duration::from_secs(150);

/// A look at what is in memory.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// Runs a session with every peer now. `?dry_run=true` counts and moves nothing.
///
/// # Errors
/// 503 while antientropy or the own store is away.
#[utoipa::path(
    post,
    path = "/cluster/sync",
    tag = "cluster",
    operation_id = "sync",
    description = "A repair session between this node and every other one, both ways, now.",
    params(SyncParameters),
    responses(
        (status = 200, description = "done", body = Synced, example = json!({"node": "node1", "dry_run": false, "peers": [{"peer": "node2", "pulled": 0, "pushed": 0,
        "record_bytes": 0, "round_trips": 1, "took_ms": 35, "error": ""}]})),
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json"),
        (status = 409, description = "repair is paused on this node", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn sync(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let given = Parameters::of_uri(&uri)?;
    given.only(&["dry_run", "peer"])?;
    let dry_run = given
        .parsed::<bool>("dry_run", "true or false")?
        .unwrap_or(false);
    // Without it every session fails, and each would name the peer that it was with.
    if let Some(Some(why)) = app.readiness.services().get("store") {
        return Err(Problem::unavailable(
            "store_unavailable",
            format!("the store of this node, {}: {why}", app.nodes.own()),
            "ask another node, or see GET /v1/health of this one",
        ));
    }
    let request = v1::SyncRequest {
        peers: given.list("peer")?,
        dry_run,
    };
    let mut client = AntientropyClient::new(app.antientropy.clone());
    let reply = within(SYNC_MAX, client.sync(caller.request(request)))
        .await
        .map_err(|status| refused(&status))?;
    let peers: Vec<Value> = reply
        .peers
        .into_iter()
        .map(|peer| {
            json!({
                "peer": peer.peer,
                "pulled": peer.pulled,
                "pushed": peer.pushed,
                "record_bytes": peer.record_bytes,
                "round_trips": peer.round_trips,
                "took_ms": peer.took_ms,
                "error": peer.error,
            })
        })
        .collect();
    Ok(ok(
        &json!({ "node": app.nodes.own().to_string(), "dry_run": dry_run, "peers": peers }),
    ))
}

/// How repair stands with every peer.
///
/// # Errors
/// 503 while antientropy is away.
#[utoipa::path(
    get,
    path = "/cluster/tasks",
    tag = "cluster",
    operation_id = "tasks",
    description = "How repair of this node stands with every peer, and with records here that others own.",
    responses(
        (status = 200, description = "the tasks", body = Tasks, example = json!({"node": "node1", "paused": false, "bytes_per_s": null,
        "moving": {"shards": [3, 77], "records_done": 4100, "records_to_do": 900, "percent": 82.0, "bytes_done": 1131600, "bytes_to_do": 248400,
        "bytes_per_s": 377200.0, "eta_s": 0.7},
        "tasks": [{"peer": "node2", "state": "moving", "lag_seconds": 3.1,
        "last_success": 1795637791342_i64, "last_error": "", "pulled": 4100, "pushed": 0, "refused": 0, "sessions": 23,
        "moving": {"shards": [3, 77], "records_done": 4100, "records_to_do": 900, "percent": 82.0, "bytes_done": 1131600, "bytes_to_do": 248400,
        "bytes_per_s": 377200.0, "eta_s": 0.7}}],
        "home": {"state": "idle", "foreign_records": 0, "foreign_shards": 0, "released_records": 12, "waiting_for": ""}}))
    )
)]
pub async fn tasks(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let mut client = AntientropyClient::new(app.antientropy.clone());
    let status = client.status(caller.request(v1::RepairStatusRequest {}));
    let reply = within(STATUS_MAX, status)
        .await
        .map_err(|status| refused(&status))?;
    let tasks: Vec<Value> = reply
        .peers
        .into_iter()
        .map(|peer| {
            json!({
                "peer": peer.peer,
                "state": peer.state,
                "lag_seconds": peer.lag_seconds,
                "last_success": Some(peer.last_success_ms).filter(|ms| *ms != 0),
                "last_error": peer.last_error,
                "pulled": peer.pulled,
                "pushed": peer.pushed,
                "refused": peer.refused,
                "sessions": peer.sessions,
                "moving": peer.task.as_ref().map(moving),
            })
        })
        .collect();
    let home = reply.home.unwrap_or_default();
    Ok(ok(&json!({
        "node": app.nodes.own().to_string(),
        "paused": reply.paused,
        "bytes_per_s": limit(reply.bytes_per_s),
        "moving": reply.moving.as_ref().map(moving),
        "tasks": tasks,
        "home": {
            "state": home.state,
            "foreign_records": home.foreign_records,
            "foreign_shards": home.foreign_shards,
            "released_records": home.released_records,
            "waiting_for": home.waiting_for,
        },
    })))
}

/// What is on its way, with what follows from it.
fn moving(task: &v1::RepairTask) -> Value {
    let seconds = task.took_ms as f64 / 1_000.0;
    let (done, to_do) = (task.records_done as f64, task.records_to_do as f64);
    let rounded = |value: f64| (value * 10.0).round() / 10.0;
    let all = done + to_do;
    json!({
        "shards": task.shards,
        "records_done": task.records_done,
        "records_to_do": task.records_to_do,
        "percent": if all > 0.0 { rounded(100.0 * done / all) } else { 0.0 },
        "bytes_done": task.bytes_done,
        "bytes_to_do": task.bytes_to_do,
        "bytes_per_s": if seconds > 0.0 { rounded(task.bytes_done as f64 / seconds) } else { 0.0 },
        "eta_s": (done > 0.0).then(|| rounded(to_do * seconds / done)),
    })
}

/// A limit as people read it: none is null.
fn limit(bytes_per_s: u64) -> Option<u64> {
    Some(bytes_per_s).filter(|limit| *limit > 0)
}

/// Pauses repair.
///
/// # Errors
/// 503 while antientropy is away.
#[utoipa::path(
    post,
    path = "/cluster/tasks/pause",
    tag = "cluster",
    operation_id = "pause",
    description = "This node goes on comparing, and moves and gives up nothing, until it is resumed or its antientropy starts again.",
    responses((status = 200, description = "paused", body = Steered, example = json!({"node": "node1", "paused": true, "bytes_per_s": null})))
)]
pub async fn pause(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let request = v1::SteerRequest {
        paused: Some(true),
        bytes_per_s: None,
    };
    steer(&app, &caller, request).await
}

/// Lets repair go on.
///
/// # Errors
/// 503 while antientropy is away.
#[utoipa::path(
    post,
    path = "/cluster/tasks/resume",
    tag = "cluster",
    operation_id = "resume",
    description = "Repair of this node goes on where it was paused.",
    responses((status = 200, description = "going on", body = Steered, example = json!({"node": "node1", "paused": false, "bytes_per_s": null})))
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let request = v1::SteerRequest {
        paused: Some(false),
        bytes_per_s: None,
    };
    steer(&app, &caller, request).await
}

/// The largest limit, as that of the setting `replication.repair_bytes_per_s`: no disk or network moves more.
const RATE_MAX: u64 = 1 << 40;

/// Changes the limit.
///
/// # Errors
/// 400 without a number; 503 while antientropy is away.
#[utoipa::path(
    post,
    path = "/cluster/tasks/rate",
    tag = "cluster",
    operation_id = "rate",
    description = "Limits what repair of this node may move, until its antientropy starts again and takes `replication.repair_bytes_per_s`.",
    params(RateParameters),
    responses((status = 200, description = "limited", body = Steered, example = json!({"node": "node1", "paused": false, "bytes_per_s": 2000000})))
)]
pub async fn rate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    const WANTED: &str = "bytes of records per second, up to 1099511627776; 0 for no limit";
    let given = Parameters::of_uri(&uri)?;
    given.only(&["bytes_per_s"])?;
    let limit = given.parsed::<u64>("bytes_per_s", WANTED)?;
    if let Some(beyond) = limit.filter(|limit| *limit > RATE_MAX) {
        return Err(bad_value("bytes_per_s", &beyond.to_string(), WANTED));
    }
    let request = v1::SteerRequest {
        paused: None,
        bytes_per_s: Some(limit.ok_or_else(|| bad_value("bytes_per_s", "", WANTED))?),
    };
    steer(&app, &caller, request).await
}

async fn steer(app: &App, caller: &Caller, request: v1::SteerRequest) -> Result<Response, Problem> {
    let mut client = AntientropyClient::new(app.antientropy.clone());
    let steered = within(STATUS_MAX, client.steer(caller.request(request))).await;
    let steered = steered.map_err(|status| refused(&status))?;
    Ok(ok(&json!({
        "node": app.nodes.own().to_string(),
        "paused": steered.paused,
        "bytes_per_s": limit(steered.bytes_per_s),
    })))
}

fn refused(status: &Status) -> Problem {
    match status.code() {
        tonic::Code::NotFound => Problem::new(
            http::StatusCode::NOT_FOUND,
            "no_such_peer",
            status.message(),
            "see GET /cluster/members for the names",
        )
        .at("peer"),
        tonic::Code::FailedPrecondition => Problem::new(
            http::StatusCode::CONFLICT,
            "repair_paused",
            status.message(),
            "POST /cluster/tasks/resume first, or ask with dry_run=true",
        ),
        _ => Problem::unavailable(
            "antientropy_unavailable",
            format!("the antientropy service of this node: {}", status.message()),
            "ask another node, or see GET /v1/health of this one",
        ),
    }
}
