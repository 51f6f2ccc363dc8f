//! What a client is told when something is not done: RFC 9457 problem+json, from one place.
//!
//! Every problem has a stable `code`, and says what to do next in `next_step`. `path` names the field or parameter,
//! `limit` what was exceeded.

use std::ops::Deref;

use assertion::Invalid;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use metrics::counter;
use serde_json::{Map, Value, json};

use crate::metrics::SHED;

/// Content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What types of problems are named by: the code is the last part.
const TYPE_PREFIX: &str = "urn:stemedb:problem:";

/// What to do about a node that becomes ready by itself.
pub const WAIT: &str = "wait until GET /v1/health answers 200, or ask another gateway";

/// A refusal. Boxed: it is what every result of the API may be, and most are not.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

/// What a refusal says.
#[derive(Debug, Clone)]
pub struct Parts {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
    /// What to do about it.
    pub next_step: String,
    /// The field or parameter.
    pub path: Option<String>,
    /// The limit that was passed.
    pub limit: Option<u64>,
    /// Seconds until another try is worth it.
    pub retry_after: Option<u32>,
    /// Whatever else the client should know.
    pub members: Map<String, Value>,
}

impl Deref for Problem {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Problem {
    /// A problem from what it has to say.
    pub fn new(
        status: StatusCode,
        code: impl Into<String>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Problem {
        Problem(Box::new(Parts {
            status,
            code: code.into(),
            detail: detail.into(),
            next_step: next_step.into(),
            path: None,
            limit: None,
            retry_after: None,
            members: Map::new(),
        }))
    }

    /// Names the field or parameter.
    pub fn at(mut self, path: impl Into<String>) -> Problem {
        self.0.path = Some(path.into());
        self
    }

    /// Names the limit.
    pub fn limit(mut self, limit: u64) -> Problem {
        self.0.limit = Some(limit);
        self
    }

    /// Adds a member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Asks for another try after so many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.0.retry_after = Some(seconds);
        self
    }

    /// A request that does not make sense as it is.
    pub fn bad_request(
        code: &str,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail, next_step)
    }

    /// A request that is well-formed and asks for what cannot be.
    pub fn unprocessable(
        code: &str,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, next_step)
    }

    /// Not now: another gateway may, or this one later.
    pub fn unavailable(
        code: &str,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail, next_step).retry_after(1)
    }

    /// More requests than this gateway takes. Counted, whoever turns one away.
    pub fn overloaded(why: &str) -> Problem {
        counter!(SHED).increment(1);
        Problem::unavailable(
            "overloaded",
            format!("this gateway has too much in hand: {why}"),
            "send it again after the time in Retry-After, or to another gateway",
        )
    }

    /// The node is not ready for this.
    pub fn not_ready(why: impl Into<String>) -> Problem {
        Problem::not_ready_until(why, WAIT)
    }

    /// The node is not ready for this, and something has to happen before it is.
    pub fn not_ready_until(why: impl Into<String>, next_step: impl Into<String>) -> Problem {
        Problem::unavailable("not_ready", why, next_step)
    }

    /// A fault of ours.
    pub fn internal(detail: &str) -> Problem {
        tracing::error!(detail, "a request failed by a fault of this gateway");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this gateway made a mistake",
            "report it with the X-Trace-Id of the reply; the request may be sent again",
        )
    }

    /// Longer than it may be.
    pub fn too_large(code: &str, detail: impl Into<String>, limit: usize, next: &str) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, code, detail, next).limit(limit as u64)
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("type".into(), format!("{TYPE_PREFIX}{}", self.code).into());
        object.insert(
            "title".into(),
            self.status.canonical_reason().unwrap_or("refused").into(),
        );
        object.insert("status".into(), self.status.as_u16().into());
        object.insert("code".into(), self.code.clone().into());
        object.insert("detail".into(), self.detail.clone().into());
        if let Some(path) = &self.path {
            object.insert("path".into(), path.clone().into());
        }
        if let Some(limit) = self.limit {
            object.insert("limit".into(), limit.into());
        }
        object.insert("next_step".into(), self.next_step.clone().into());
        object.extend(self.members.clone());
        Value::Object(object)
    }
}

/// The last part of a path, decoded.
///
/// # Errors
/// 400 when it is not UTF-8.
pub fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(segment)| segment).map_err(|error| {
        let next_step = "percent-encode the path as UTF-8";
        Problem::bad_request("malformed_url", error.body_text(), next_step)
    })
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        let status = match invalid.code {
            "malformed_json" | "invalid_utf8" => StatusCode::BAD_REQUEST,
            "record_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let detail = format!("{} {}", invalid.path, invalid.detail);
        let mut problem = Problem::new(status, invalid.code, detail, invalid.next_step);
        problem.0.limit = invalid.limit;
        problem.at(invalid.path)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        (self.status, headers, Body::from(self.to_json().to_string())).into_response()
    }
}

/// JSON as a reply.
pub fn json_reply(status: StatusCode, body: impl Into<Body>) -> Response {
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, body.into()).into_response()
}

/// A value as a reply of 200.
pub fn ok(value: &Value) -> Response {
    json_reply(StatusCode::OK, value.to_string())
}

/// Several faults of one request, each with its place.
pub fn several(faults: Vec<(usize, Problem)>, total: usize, what: &str) -> Problem {
    let worst = faults
        .iter()
        .map(|(_, problem)| problem.status)
        .max()
        .unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    let errors: Vec<Value> = faults
        .iter()
        .map(|(index, problem)| {
            let mut error = problem.to_json();
            error["index"] = json!(index);
            error
        })
        .collect();
    Problem::new(
        worst,
        "invalid_records",
        format!("{total} of the {what} cannot be taken; nothing was stored"),
        "mend or remove the records named in `errors` (by index, from 0), then send it again",
    )
    .with("invalid", total)
    .with("errors", errors)
}

/// Name of the header that carries the trace of a request.
pub const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_record_becomes_a_problem_with_everything_in_it() {
        let invalid = assertion::Record::from_client_json(b"{\"subject\":\"\"}", 0).unwrap_err();
        let problem = Problem::from(invalid.clone()).to_json();
        assert_eq!(problem["status"], 422);
        assert_eq!(problem["code"], invalid.code);
        assert_eq!(problem["path"], invalid.path);
        assert_eq!(problem["next_step"], invalid.next_step);
        let broken = assertion::Record::from_client_json(b"{", 0).unwrap_err();
        assert_eq!(Problem::from(broken).status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn every_problem_says_what_to_do() {
        let problem = Problem::overloaded("512 requests");
        let reply = problem.clone().into_response();
        assert_eq!(reply.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(reply.headers()["retry-after"], "1");
        let json = problem.to_json();
        assert!(!json["next_step"].as_str().unwrap().is_empty());
        assert_eq!(json["type"], "urn:stemedb:problem:overloaded");
        assert!(json.get("path").is_none());
    }
}
