//! Is this node ready, does this process live.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::cluster::scrub::alarms;
use crate::description::nodes::{Health, Live};
use crate::problem::{json_reply, ok};

/// `GET /v1/health`
#[utoipa::path(
    get,
    path = "/v1/health",
    tag = "node",
    operation_id = "health",
    description = "It never waits for other nodes. `alarms` is what an operator should know of while the node serves.",
    responses(
        (status = 200, description = "ready", body = Health, example = json!({"status": "ready", "node": "node1", "services": {"gateway": "ok", "store": "ok", "membership": "ok", "antientropy": "ok"}, "alarms": []})),
        (status = 503, description = "not ready, and why", body = Health, example = json!({"status": "not_ready", "node": "node1",
            "reasons": ["store does not answer"], "services": {"gateway": "ok", "store": "does not answer", "membership": "ok", "antientropy": "ok"}, "alarms": []}))
    )
)]
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.readiness.reasons();
    let services = services(&app);
    let alarms = alarms(&app.readiness.alarms());
    let node = app.nodes.own().to_string();
    if reasons.is_empty() {
        return ok(
            &json!({ "status": "ready", "node": node, "services": services, "alarms": alarms }),
        );
    }
    let status = if app.readiness.is_draining() {
        "draining"
    } else {
        "not_ready"
    };
    let body = json!({
        "status": status,
        "node": node,
        "reasons": reasons,
        "services": services,
        "alarms": alarms,
    });
    json_reply(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// `GET /v1/health/live`
#[utoipa::path(
    get,
    path = "/v1/health/live",
    tag = "node",
    operation_id = "live",
    description = "Answers while the process runs.",
    responses(
        (status = 200, description = "alive", body = Live, example = json!({"status": "live", "node": "node1"}))
    )
)]
pub async fn live(State(app): State<Arc<App>>) -> Response {
    ok(&json!({ "status": "live", "node": app.nodes.own().to_string() }))
}

/// How the four services of this node are: `ok`, or why not.
pub fn services(app: &App) -> Map<String, Value> {
    let mut services = Map::new();
    services.insert("gateway".to_owned(), "ok".into());
    for (name, why) in app.readiness.services() {
        services.insert(
            name.to_owned(),
            why.unwrap_or_else(|| "ok".to_owned()).into(),
        );
    }
    services
}
