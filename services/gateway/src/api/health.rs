//! Is this node ready, does this process live.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::problem::{json_reply, ok};

/// `GET /v1/health`
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let reasons = app.readiness.reasons();
    let services = services(&app);
    let node = app.nodes.own().to_string();
    if reasons.is_empty() {
        return ok(&json!({ "status": "ready", "node": node, "services": services }));
    }
    let status = if app.readiness.is_draining() {
        "draining"
    } else {
        "not_ready"
    };
    let body = json!({ "status": status, "node": node, "reasons": reasons, "services": services });
    json_reply(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// `GET /v1/health/live`
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
