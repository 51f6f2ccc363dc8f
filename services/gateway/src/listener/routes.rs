//! Which path leads where. `/cluster` is on the internal listener only.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{Method, StatusCode, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use super::layers::{guard, observe};
use crate::app::App;
use crate::problem::Problem;
use crate::{api, cluster, scrape};

/// What clients may ask.
pub fn public_router(app: &Arc<App>, cors: CorsLayer) -> Router {
    dress(public(), app, cors)
}

/// The same, and what operators and the other nodes may ask.
pub fn cluster_router(app: &Arc<App>, cors: CorsLayer) -> Router {
    let routes = public()
        .route("/cluster/members", get(cluster::members::members))
        .route(
            "/cluster/members/{name}/forget",
            post(cluster::members::forget),
        )
        .route("/cluster/verify", get(cluster::verify::verify))
        .route("/cluster/sync", post(cluster::repair::sync))
        .route("/cluster/tasks", get(cluster::repair::tasks));
    dress(routes, app, cors)
}

fn public() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/assert", post(api::assert::assert))
        .route("/v1/assert/batch", post(api::batch::batch))
        .route("/v1/vote", post(api::assert::vote))
        .route("/v1/epoch", post(api::assert::epoch))
        .route("/v1/sources", post(api::assert::source))
        .route("/v1/query", get(api::query::get).post(api::query::post))
        .route("/v1/skeptic", get(api::query::skeptic))
        .route("/v1/layered", get(api::query::layered))
        .route("/v1/subjects", get(api::subjects::subjects))
        .route("/v1/trace/{id}", get(api::trace::trace))
        .route("/v1/records/{id}", get(api::records::record))
        .route("/v1/records/{id}/replicas", get(api::records::replicas))
        .route("/v1/health", get(api::health::ready))
        .route("/v1/health/live", get(api::health::live))
        .route("/metrics", get(scrape::metrics))
}

/// Layers, the outermost last.
fn dress(routes: Router<Arc<App>>, app: &Arc<App>, cors: CorsLayer) -> Router {
    routes
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(app), guard))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors)
        .layer(from_fn(observe))
        .layer(sidecar::spans::http_server())
        .with_state(Arc::clone(app))
}

async fn not_found(uri: Uri) -> Problem {
    let next_step = if uri.path().starts_with("/cluster") {
        "ask the internal listener (port 18181) for /cluster/members, verify, sync and tasks; docs/api.md lists all paths"
    } else {
        "docs/api.md lists all paths; reads are GET /v1/query, writes POST /v1/assert"
    };
    let path: String = uri.path().chars().take(128).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        format!("nothing is at {path}"),
        next_step,
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(128).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        format!("{path} does not take {method}"),
        "see the Allow header and docs/api.md",
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal("a handler panicked").into_response()
}
