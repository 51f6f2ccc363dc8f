//! `GET /metrics`: the four services of the node in one scrape.
//!
//! Each service serves its own metrics on loopback. Here they become one text: one HELP and one TYPE for a family,
//! whoever it comes from, and a label `service` on every series. A service that does not answer drops out and is
//! reported as such; the scrape itself always succeeds.

mod merge;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::future::join_all;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::app::App;
use merge::Merged;

/// Content type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of this node.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    operation_id = "metrics",
    description = "Prometheus text of the four services of this node. One that does not answer drops out.",
    responses((status = 200, description = "the metrics", body = String, content_type = "text/plain",
        example = "stemedb_gateway_service_up{service=\"store\"} 1"))
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let scrapes = app.scrapes.iter().map(async |(service, address)| {
        let text = match app.web.metrics(*address).await {
            Ok((StatusCode::OK, body)) => Ok(String::from_utf8_lossy(&body).into_owned()),
            Ok((status, _)) => Err(format!("answers {status}")),
            Err(why) => Err(why),
        };
        (*service, text)
    });
    let mut merged = Merged::default();
    for (service, text) in join_all(scrapes).await {
        match text {
            Ok(text) => {
                merged.add(service, &text);
                merged.up(service, true);
            }
            Err(why) => {
                tracing::debug!(service, why, "a service drops out of the scrape");
                merged.up(service, false);
            }
        }
    }
    ([(CONTENT_TYPE, TEXT_FORMAT)], merged.render()).into_response()
}
