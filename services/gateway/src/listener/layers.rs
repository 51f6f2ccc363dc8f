//! What every request passes: identity of its trace, limits, and a count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use metrics::{counter, gauge, histogram};
use tonic::metadata::MetadataValue;
use tower_http::cors::{Any, CorsLayer};

use crate::app::{App, Work};
use crate::caller::{API_KEY_HEADER, Caller};
use crate::error::Error;
use crate::metrics::{REQUEST_SECONDS, REQUESTS, REQUESTS_RUNNING};

use crate::problem::{Problem, X_TRACE_ID};

/// Longest path with query. A question with all its parameters is a tenth of it.
const URL_MAX: usize = 8 * 1024;

/// Bytes of all header lines of a request.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How long a request may take. Writes, reads and bodies have shorter limits of their own; this ends what they do not see.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The same for calls that go over everything.
const WALK_MAX: Duration = Duration::from_secs(180);

/// How long a browser may remember what it was allowed.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// Which origins may call, from the settings. None given: any.
///
/// # Errors
/// When one is no origin.
pub fn cors(allowed_origins: &[String]) -> Result<CorsLayer, Error> {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            ACCEPT,
            CONTENT_TYPE,
            HeaderName::from_static(API_KEY_HEADER),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ])
        .expose_headers([X_TRACE_ID, RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    if allowed_origins.is_empty() {
        tracing::info!("browsers may call from any origin; http.allowed_origins narrows that");
        return Ok(layer.allow_origin(Any));
    }
    let origins = allowed_origins
        .iter()
        .map(|origin| {
            let uri: Option<http::Uri> = origin.parse().ok();
            let is_origin = uri.is_some_and(|uri| {
                uri.scheme().is_some() && uri.authority().is_some() && !origin.ends_with('/')
            });
            HeaderValue::from_str(origin)
                .ok()
                .filter(|_| is_origin)
                .ok_or_else(|| Error::Origin(origin.clone()))
        })
        .collect::<Result<Vec<HeaderValue>, Error>>()?;
    Ok(layer.allow_origin(origins))
}

/// Tells the handler who asks, the client which trace it was, and the metrics that it happened.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", |path| label(path.as_str()));
    let trace = sidecar::trace::current();
    let trace_id = trace.map_or_else(
        || format!("{:032x}", rand::random::<u128>()),
        |context| context.trace_hex(),
    );
    let api_key = request
        .headers()
        .get(API_KEY_HEADER)
        .map(|key| MetadataValue::try_from(key.as_bytes()))
        .transpose();
    let api_key = api_key.map(|key| {
        key.map(|mut key| {
            key.set_sensitive(true);
            key
        })
    });
    let mut response = match api_key {
        Ok(api_key) => {
            request.extensions_mut().insert(Caller {
                api_key,
                trace,
                trace_id: trace_id.clone(),
            });
            next.run(request).await
        }
        Err(_) => Problem::bad_request(
            "malformed_header",
            "X-API-Key holds bytes that no key has",
            "send the key as it was given to you",
        )
        .at("X-API-Key")
        .into_response(),
    };
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        response.headers_mut().insert(X_TRACE_ID, value);
    }
    let class = match response.status().as_u16() {
        100..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    counter!(REQUESTS, "route" => route, "class" => class).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(began.elapsed());
    response
}

/// The label of a route. The list bounds the label whatever routes there are; one that is not in it is `other`.
pub(super) fn label(path: &str) -> &'static str {
    const ROUTES: &[&str] = &[
        "/v1/assert",
        "/v1/assert/batch",
        "/v1/vote",
        "/v1/epoch",
        "/v1/sources",
        "/v1/query",
        "/v1/skeptic",
        "/v1/layered",
        "/v1/subjects",
        "/v1/epochs",
        "/v1/votes",
        "/v1/predicates",
        "/v1/feed",
        "/v1/trace/{id}",
        "/v1/records",
        "/v1/records/{id}",
        "/v1/records/{id}/replicas",
        "/v1/health",
        "/v1/health/live",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/{*rest}",
        "/cluster/members",
        "/cluster/members/{name}/forget",
        "/cluster/members/{name}/leave",
        "/cluster/placement",
        "/cluster/verify",
        "/cluster/diff",
        "/cluster/scrub",
        "/cluster/sync",
        "/cluster/tasks",
        "/cluster/tasks/pause",
        "/cluster/tasks/resume",
        "/cluster/tasks/rate",
    ];
    let known = ROUTES.iter().find(|route| **route == path);
    known.copied().unwrap_or("other")
}

/// Turns away what is too long, too much or too late; ends what takes too long.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if let Err(problem) = measure(&request) {
        return problem.into_response();
    }
    let path = request.uri().path();
    // Whoever asks how this process is gets an answer however busy it is.
    if path.starts_with("/v1/health") || path == "/metrics" {
        return next.run(request).await;
    }
    if app.readiness.is_draining() {
        let next_step = "send it to another gateway";
        return Problem::unavailable("draining", "this node is stopping", next_step)
            .into_response();
    }
    // With a body it gets its place when the body is there.
    let place = match takes_body(&request) {
        true => None,
        false => match app.places.enter(Work::Read) {
            Ok(place) => Some(place),
            Err(problem) => return problem.into_response(),
        },
    };
    let walk = matches!(path, "/cluster/sync" | "/cluster/verify" | "/cluster/diff");
    let limit = if walk { WALK_MAX } else { REQUEST_MAX };
    let _running = Running::new();
    let reply = tokio::time::timeout(limit, next.run(request)).await;
    drop(place);
    reply.unwrap_or_else(|_| {
        Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "request_timeout",
            format!("the request took more than {} s", limit.as_secs()),
            "ask for less at a time, or send it again",
        )
        .into_response()
    })
}

/// Whether its handler reads a body, all by [`crate::api::body`], which gives it a place.
pub(super) fn takes_body(request: &Request) -> bool {
    const PATHS: [&str; 6] = [
        "/v1/assert",
        "/v1/assert/batch",
        "/v1/vote",
        "/v1/epoch",
        "/v1/sources",
        "/v1/query",
    ];
    request.method() == Method::POST && PATHS.contains(&request.uri().path())
}

/// A request in hand, however it ends: a client that hangs up ends it as well.
struct Running;

impl Running {
    fn new() -> Running {
        gauge!(REQUESTS_RUNNING).increment(1.0);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(REQUESTS_RUNNING).decrement(1.0);
    }
}

fn measure(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if length > URL_MAX {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "url_too_long",
            format!("the path with its query has {length} bytes"),
            "send the question as POST /v1/query",
        )
        .limit(URL_MAX as u64));
    }
    let headers = request.headers().iter();
    let bytes: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            format!("the headers have {bytes} bytes"),
            "leave out headers that this API does not know",
        )
        .limit(HEADER_BYTES_MAX as u64));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_origins() {
        let given = |origin: &str| cors(&[origin.to_owned()]);
        assert!(given("https://console.example.org").is_ok());
        assert!(given("http://127.0.0.1:3000").is_ok());
        for wrong in ["console.example.org", "https://example.org/", "*", "\n"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
        assert!(cors(&[]).is_ok());
    }
}
