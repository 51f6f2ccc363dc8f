//! Which path leads where. `/cluster` is on the internal listener only.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layers::{guard, observe};
use crate::app::App;
use crate::problem::Problem;
use crate::{api, cluster, description, feed, scrape};

/// What clients may ask.
pub fn public_router(app: &Arc<App>, cors: CorsLayer) -> Router {
    let (routes, described) = public().split_for_parts();
    dress(description::serve(routes, described), app, cors)
}

/// The same, and what operators and the other nodes may ask.
pub fn cluster_router(app: &Arc<App>, cors: CorsLayer) -> Router {
    let (routes, described) = internal().split_for_parts();
    dress(description::serve(routes, described), app, cors)
}

fn public() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(description::frame())
        .routes(routes!(api::assert::assert))
        .routes(routes!(api::batch::batch))
        .routes(routes!(api::assert::vote))
        .routes(routes!(api::assert::epoch))
        .routes(routes!(api::assert::source, api::lists::sources))
        .routes(routes!(api::query::get, api::query::post))
        .routes(routes!(api::query::skeptic))
        .routes(routes!(api::query::layered))
        .routes(routes!(api::subjects::subjects))
        .routes(routes!(api::lists::epochs))
        .routes(routes!(api::lists::votes))
        .routes(routes!(api::lists::predicates))
        .routes(routes!(feed::feed))
        .routes(routes!(api::trace::trace))
        .routes(routes!(api::find::find))
        .routes(routes!(api::records::record))
        .routes(routes!(api::records::replicas))
        .routes(routes!(api::health::ready))
        .routes(routes!(api::health::live))
        .routes(routes!(scrape::metrics))
}

fn internal() -> OpenApiRouter<Arc<App>> {
    public()
        .routes(routes!(cluster::members::members))
        .routes(routes!(cluster::members::forget))
        .routes(routes!(cluster::leave::leave))
        .routes(routes!(cluster::placement::placement))
        .routes(routes!(cluster::verify::verify))
        .routes(routes!(cluster::repair::sync))
        .routes(routes!(cluster::verify::diff::diff))
        .routes(routes!(cluster::repair::tasks))
        .routes(routes!(cluster::repair::pause))
        .routes(routes!(cluster::repair::resume))
        .routes(routes!(cluster::repair::rate))
        .routes(routes!(cluster::scrub::scrubs, cluster::scrub::scrub))
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
        "ask the internal listener (port 18181) for /cluster/members, verify, diff, sync, tasks and scrub; docs/api.md lists all paths"
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::super::layers::{label, takes_body};
    use super::internal;

    #[test]
    fn every_call_with_a_body_gets_its_place_when_the_body_is_there() {
        let (_, described) = internal().split_for_parts();
        for (path, item) in described.paths.paths {
            let has_body = item.post.is_some_and(|call| call.request_body.is_some());
            let request = Request::post(path.replace(['{', '}'], "x"));
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(takes_body(&request), has_body, "{path}");
        }
    }

    #[test]
    fn every_call_is_counted_under_its_own_name() {
        let (_, described) = internal().split_for_parts();
        for path in described.paths.paths.keys() {
            assert_eq!(label(path), path);
        }
    }
}
