//! `GET` and `POST /v1/query`, and its aliases `/v1/skeptic` and `/v1/layered`.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, Uri};
use lens::Lens;
use metrics::{counter, histogram};
use serde::Deserialize;
use serde_json::{Value, json};
use sidecar::clock;

use super::body;
use crate::app::{App, Work};
use crate::caller::Caller;
use crate::description::questions::{Question as Asked, Questions};
use crate::description::replies::{Answer, Answers};
use crate::metrics::{QUERIES, QUERY_SECONDS};
use crate::parameters::{Members, Parameters};
use crate::problem::{Problem, json_reply};
use crate::read::Question;
use crate::read::question::KNOWN;

/// Questions in one request.
const QUESTIONS_MAX: usize = 100;

/// Of those, answered at a time.
const QUESTIONS_AT_ONCE: usize = 8;

/// Asks one question by URL.
///
/// # Errors
/// What is wrong with it, or with the nodes.
#[utoipa::path(
    get,
    path = "/v1/query",
    tag = "read",
    operation_id = "query",
    description = "No match is 200 with nulls or an empty page. 422 `unbounded`: it names nothing to begin with; `too_much`: it covers more than one answer weighs.",
    params(Asked),
    responses(
        (status = 200, description = "found", body = Answer, example = json!({"result": {"lens": "authority", "parameters": {"subject": "constant:hubble", "tolerance": null},
        "winner": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64},
        "value": {"type": "number", "value": 67.4}, "confidence": 0.95, "candidates": 1, "conflict_score": 0.0, "groups": 1,
        "left_out": {"withdrawn": 0, "superseded": 0, "retracted": 0, "filtered": 0},
        "set_digest": "39343aac273d76b3b7e97295c453b6f24525e8bb12ccab8f08509e3df6d823f7"},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let question = Question::read(&Parameters::of_uri(&uri)?, None, clock::unix_ms())?;
    one(&app, &caller, "query", &question).await
}

/// The skeptic's question by URL.
///
/// # Errors
/// As [`get`].
#[utoipa::path(
    get,
    path = "/v1/skeptic",
    tag = "read",
    operation_id = "skeptic",
    description = "The same as `/v1/query` with `lens=skeptic`.",
    params(Asked),
    responses(
        (status = 200, description = "found", body = Answer, example = json!({"result": {"lens": "skeptic", "parameters": {"subject": "constant:hubble", "tolerance": null},
        "winner": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64},
        "value": {"type": "number", "value": 67.4}, "confidence": 0.95, "candidates": 1, "conflict_score": 0.0, "groups": [], "groups_total": 0, "verdict": "unanimous",
        "left_out": {"withdrawn": 0, "superseded": 0, "retracted": 0, "filtered": 0},
        "set_digest": "39343aac273d76b3b7e97295c453b6f24525e8bb12ccab8f08509e3df6d823f7"},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn skeptic(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    by_path(&app, &caller, &uri, Lens::Skeptic).await
}

/// The strongest claim of each tier, by URL.
///
/// # Errors
/// As [`get`].
#[utoipa::path(
    get,
    path = "/v1/layered",
    tag = "read",
    operation_id = "layered",
    description = "The same as `/v1/query` with `lens=layered`.",
    params(Asked),
    responses(
        (status = 200, description = "found", body = Answer, example = json!({"result": {"lens": "layered", "parameters": {"subject": "constant:hubble", "tolerance": null},
        "winner": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64},
        "value": {"type": "number", "value": 67.4}, "confidence": 0.95, "candidates": 1, "conflict_score": 0.0, "groups": 1, "layers": [],
        "left_out": {"withdrawn": 0, "superseded": 0, "retracted": 0, "filtered": 0},
        "set_digest": "39343aac273d76b3b7e97295c453b6f24525e8bb12ccab8f08509e3df6d823f7"},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}))
    )
)]
pub async fn layered(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    by_path(&app, &caller, &uri, Lens::Layered).await
}

async fn by_path(app: &App, caller: &Caller, uri: &Uri, lens: Lens) -> Result<Response, Problem> {
    let given = Parameters::of_uri(uri)?;
    let question = Question::read(&given, Some(lens), clock::unix_ms())?;
    one(app, caller, lens.name(), &question).await
}

/// Asks one question, or several at once, by body.
///
/// # Errors
/// What is wrong with the request as a whole, or with its one question.
#[utoipa::path(
    post,
    path = "/v1/query",
    tag = "read",
    operation_id = "query_by_body",
    description = "The parameters of the URL as members of an object, lists as arrays; or `queries`, each answered or refused by itself.",
    request_body(content = Questions, example = json!({"queries": [{"subject": "constant:hubble", "lens": "authority"}]})),
    responses((status = 200, description = "answered", body = Answers, example = json!({"results": [{"result": {"lens": "authority", "parameters": {"subject": "constant:hubble", "tolerance": null},
        "winner": {"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "kind": "assertion", "v": 1, "subject": "constant:hubble",
        "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4}, "confidence": 0.95, "lifecycle": "proposed",
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "asserted_at": 1531785600000_i64},
        "value": {"type": "number", "value": 67.4}, "confidence": 0.95, "candidates": 1, "conflict_score": 0.0, "groups": 1,
        "left_out": {"withdrawn": 0, "superseded": 0, "retracted": 0, "filtered": 0},
        "set_digest": "39343aac273d76b3b7e97295c453b6f24525e8bb12ccab8f08509e3df6d823f7"},
        "meta": {"complete": true, "proved_through": 1795639420996_i64, "node": "node1",
        "trace_id": "a9f555afba21cd7553847cc19b262e16"}}]})))
)]
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let bytes = body::read_json(&app.places, Work::Read, &headers, body).await?;
    let asked: Members = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(
            "malformed_json",
            format!("the body is not a JSON object: {error}"),
            "send one question as an object, or {\"queries\": [question, …]}",
        )
    })?;
    let Some(queries) = asked.only("queries") else {
        let given = Parameters::of_json(&asked, &KNOWN)?;
        let question = Question::read(&given, None, clock::unix_ms())?;
        return one(&app, &caller, "query", &question).await;
    };
    let too_many = || {
        Problem::unprocessable(
            "bad_value",
            format!("`queries` is not a list of at most {QUESTIONS_MAX} questions"),
            "send {\"queries\": [question, …]}, alone in its object; each question is an object of its own",
        )
        .at("queries")
        .limit(QUESTIONS_MAX as u64)
    };
    // Read again, for a question may hold a member twice as well.
    let Queries { queries } = match queries {
        Value::Array(questions) if questions.len() <= QUESTIONS_MAX => {
            serde_json::from_slice(&bytes).map_err(|_| too_many())?
        }
        _ => return Err(too_many()),
    };
    Ok(several(&app, &caller, &queries).await)
}

/// Several questions.
#[derive(Deserialize)]
struct Queries {
    queries: Vec<Members>,
}

async fn one(
    app: &App,
    caller: &Caller,
    endpoint: &'static str,
    question: &Question,
) -> Result<Response, Problem> {
    let body = answer(app, caller, endpoint, question).await?;
    Ok(json_reply(StatusCode::OK, body))
}

async fn answer(
    app: &App,
    caller: &Caller,
    endpoint: &'static str,
    question: &Question,
) -> Result<Bytes, Problem> {
    let began = Instant::now();
    let answer = app.reader.answer(question, caller).await;
    asked(endpoint, began);
    Ok(answer?.to_body(caller))
}

/// Counts a read.
pub fn asked(endpoint: &'static str, began: Instant) {
    counter!(QUERIES, "endpoint" => endpoint).increment(1);
    histogram!(QUERY_SECONDS, "endpoint" => endpoint).record(began.elapsed());
}

async fn one_of_several(app: &App, caller: &Caller, asked: &Members) -> Bytes {
    let answered = async {
        let given = Parameters::of_json(asked, &KNOWN)?;
        let question = Question::read(&given, None, clock::unix_ms())?;
        answer(app, caller, "query", &question).await
    };
    answered.await.unwrap_or_else(|problem: Problem| {
        let refused = json!({ "error": problem.to_json() });
        refused.to_string().into()
    })
}

/// Each question is answered or refused by itself, in the order they were asked.
async fn several(app: &App, caller: &Caller, questions: &[Members]) -> Response {
    let answers: Vec<_> = questions
        .iter()
        .map(|asked| one_of_several(app, caller, asked))
        .collect();
    let answers: Vec<Bytes> = futures::stream::iter(answers)
        .buffered(QUESTIONS_AT_ONCE)
        .collect()
        .await;
    let mut body = b"{\"results\":[".to_vec();
    for (place, answer) in answers.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(answer);
    }
    body.extend_from_slice(b"]}");
    json_reply(StatusCode::OK, body)
}
