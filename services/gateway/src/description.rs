//! `GET /openapi.json` and `/docs`: what this listener serves, as OpenAPI 3.1 and as a page.
//!
//! Paths, methods and parameters are taken from the handlers that the router calls; a path that is not described is not
//! served. What every call has in common is added here.

pub mod damage;
pub mod lists;
pub mod nodes;
pub mod questions;
pub mod records;
pub mod replies;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Type};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::{PROBLEM_JSON, json_reply};

/// Where the description is.
pub const OPENAPI_JSON: &str = "/openapi.json";

/// Where the page is.
pub const DOCS: &str = "/docs";

/// What is not taken from the handlers.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "StemeDB",
        description = "A database of claims: who said what, and what to make of it. docs/api.md tells it as a story. The paths under /cluster (members, verify, sync, tasks, scrub) are on the internal port only, 18181: its own /openapi.json describes them with all others."
    ),
    servers((url = "/", description = "this gateway; every gateway answers every request")),
    components(schemas(replies::Problem, questions::Kind, records::Record)),
    tags(
        (name = "write", description = "Records: claims, votes, epochs, sources"),
        (name = "read", description = "Claims, lenses, provenance"),
        (name = "node", description = "How this node is"),
        (name = "cluster", description = "Who belongs to it, whether all hold the same, repair")
    )
)]
struct Frame;

/// The frame that handlers are described in.
pub fn frame() -> OpenApi {
    Frame::openapi()
}

/// Adds what all calls have in common, and the two places where the description is.
pub fn serve<S: Clone + Send + Sync + 'static>(router: Router<S>, described: OpenApi) -> Router<S> {
    // Values that were checked when the program was built have a text.
    let text = complete(described).to_pretty_json().unwrap_or_default();
    let text = Bytes::from(text);
    let reply = move || std::future::ready(json_reply(StatusCode::OK, text.clone()));
    let page = SwaggerUi::new(DOCS).config(Config::from(OPENAPI_JSON));
    router.route(OPENAPI_JSON, get(reply)).merge(page)
}

/// Refusals that do not depend on what is asked: statuses and what they mean.
const ALWAYS: [(u16, &str); 4] = [
    (400, "malformed: the URL, a header, or the body"),
    (414, "the path with its query is too long"),
    (431, "the headers are too long"),
    (500, "a fault of this gateway"),
];

/// Of all calls but those about the process itself.
const GUARDED: [(u16, &str); 2] = [
    (
        503,
        "not now: `not_ready`, `overloaded`, `draining`, or as the call's description says",
    ),
    (504, "the request took too long"),
];

/// Of calls with a body.
const WITH_BODY: [(u16, &str); 3] = [
    (408, "the body does not come"),
    (413, "the body, or a record, is too long"),
    (415, "not a Content-Type that is taken here, or compressed"),
];

/// Of calls that are asked something.
const ASKED: [(u16, &str); 1] = [(422, "what is asked or sent cannot be; `path` says where")];

fn complete(mut described: OpenApi) -> OpenApi {
    for (path, item) in &mut described.paths.paths {
        let bare = path.starts_with("/v1/health") || path == "/metrics";
        for operation in operations(item) {
            refuse(operation, &ALWAYS);
            if !bare {
                refuse(operation, &GUARDED);
            }
            if operation.request_body.is_some() {
                refuse(operation, &WITH_BODY);
            }
            if operation.request_body.is_some() || operation.parameters.is_some() {
                refuse(operation, &ASKED);
            }
            for reply in operation.responses.responses.values_mut() {
                trace(reply);
            }
        }
    }
    described
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

fn refuse(operation: &mut Operation, statuses: &[(u16, &str)]) {
    for (status, meaning) in statuses {
        let replies = &mut operation.responses.responses;
        let reply = || {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            let reply = ResponseBuilder::new()
                .description(*meaning)
                .content(PROBLEM_JSON, problem);
            RefOr::T(reply.build())
        };
        replies.entry(status.to_string()).or_insert_with(reply);
    }
}

/// Every reply says which trace it belongs to.
fn trace(reply: &mut RefOr<Response>) {
    if let RefOr::T(reply) = reply {
        let header = HeaderBuilder::new()
            .description(Some("the trace of the request, 32 hex digits"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        reply.headers.insert("X-Trace-Id".to_owned(), header.into());
    }
}
