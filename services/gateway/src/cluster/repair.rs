//! Repair on demand: `POST /cluster/sync`, and how repair stands: `GET /cluster/tasks`.

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
use crate::description::nodes::{Synced, Tasks};
use crate::description::questions::SyncParameters;
use crate::description::replies::Problem as Refusal;
use crate::parameters::Parameters;
use crate::problem::{Problem, ok};
use crate::store::within;

/// Antientropy answers after 120 s at the latest.
const SYNC_MAX: Duration = Duration::from_secs(150);

/// A look at what is in memory.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// Runs a session with every peer now. `?dry_run=true` counts and moves nothing.
///
/// # Errors
/// 503 while antientropy is away.
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
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json")
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
    description = "How repair stands with every peer.",
    responses(
        (status = 200, description = "the tasks", body = Tasks, example = json!({"node": "node1", "tasks": [{"peer": "node2", "state": "idle", "lag_seconds": 0.0,
        "last_success": 1795637791342_i64, "last_error": "", "pulled": 0, "pushed": 0, "refused": 0, "sessions": 23}]}))
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
            })
        })
        .collect();
    Ok(ok(
        &json!({ "node": app.nodes.own().to_string(), "tasks": tasks }),
    ))
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
        _ => Problem::unavailable(
            "antientropy_unavailable",
            format!("the antientropy service of this node: {}", status.message()),
            "ask another node, or see GET /v1/health of this one",
        ),
    }
}
