//! `POST /v1/assert/batch`: a JSON array that is taken as a whole, or lines that are taken one by one.

use std::sync::Arc;

use assertion::Record;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sidecar::clock;

use super::assert::{admit, describe, durability, problem, status};
use super::body::{self, Form};
use super::stream;
use crate::app::{App, Work};
use crate::caller::Caller;
use crate::description::questions::WriteParameters;
use crate::description::records::Record as AnyRecord;
use crate::description::replies::Batch;
use crate::problem::{Problem, json_reply, several};
use crate::write::Durability;
use crate::writer::{BATCH_RECORDS, Written};

/// Faults of one array that are named; the rest is counted.
const FAULTS_SHOWN: usize = 100;

/// Records checked before other requests get their turn: a few milliseconds.
const CHECKED_AT_ONCE: usize = 256;

/// Batches of one array on their way at a time, within the window that all of them share with the streams.
const BATCHES_AT_ONCE: usize = 8;

/// Takes an array or a stream of records, by the Content-Type.
///
/// # Errors
/// What is wrong with the request as a whole.
#[utoipa::path(
    post,
    path = "/v1/assert/batch",
    tag = "write",
    operation_id = "batch",
    description = "An array is taken as a whole, lines (application/x-ndjson) one by one: each is answered by a line with `line`, `id`, `status`, `copies` or with `line`, `error`, and the last line is the summary.",
    params(WriteParameters),
    request_body(content(
        (Vec<AnyRecord> = "application/json", example = json!([{"subject": "constant:hubble", "predicate": "h0_km_s_mpc", "object": {"type": "number", "value": 67.4},
        "source": {"uri": "doi:10.1051/0004-6361/201833910", "class": "observational"}, "confidence": 0.95,
        "asserted_at": 1531785600000_i64}])),
        (String = "application/x-ndjson")
    )),
    responses(
        (status = 201, description = "all on enough disks; new", body = Batch, example = json!({"results": [{"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "asserted_at": 1531785600000_i64}], "summary": {"lines": 1, "stored": 1, "present": 0, "accepted": 0, "refused": 0, "failed": 0}})),
        (status = 200, description = "all of them known; or a stream of lines, whatever is in it", content(
            (Batch = "application/json", example = json!({"results": [{"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "asserted_at": 1531785600000_i64}], "summary": {"lines": 1, "stored": 1, "present": 0, "accepted": 0, "refused": 0, "failed": 0}})),
            (String = "application/x-ndjson")
        )),
        (status = 202, description = "one at least on too few nodes so far", body = Batch, example = json!({"results": [{"id": "eea0ac7d1514599553a42050c8a0d986d84a2357bad6b5072296f10123634221", "status": "stored", "shard": 236,
        "copies": 2, "holders": ["node2", "node3"], "asserted_at": 1531785600000_i64}], "summary": {"lines": 1, "stored": 1, "present": 0, "accepted": 0, "refused": 0, "failed": 0}}))
    )
)]
pub async fn batch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let durability = durability(&uri)?;
    match body::form(
        &headers,
        "application/json (an array) or application/x-ndjson (a record a line)",
    )? {
        Form::Ndjson => stream::start(app, caller, durability, body),
        Form::Json => {
            let bytes = body::read(&app.places, Work::Write, &headers, body).await?;
            array(&app, caller, durability, &bytes).await
        }
    }
}

async fn array(
    app: &App,
    caller: Caller,
    durability: Durability,
    bytes: &[u8],
) -> Result<Response, Problem> {
    let records = check(bytes).await?;
    app.readiness.formed()?;
    let room = Arc::new(app.writer.room(&records).await?);
    let mut batches = Vec::new();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        batches.push(
            records
                .by_ref()
                .take(BATCH_RECORDS)
                .collect::<Vec<Record>>(),
        );
    }
    let (caller, room) = (&caller, &room);
    let written: Vec<Vec<Written>> = futures::stream::iter(batches)
        .map(|batch| async move {
            let held = (app.places.window.enter(batch.len()).await, Arc::clone(room));
            app.writer
                .write(batch, durability, caller.clone(), held)
                .await
        })
        .buffered(BATCHES_AT_ONCE)
        .try_collect()
        .await?;
    Ok(reply(&written.concat()))
}

/// All records of an array, or every fault in it: nothing is stored before all are good.
async fn check(bytes: &[u8]) -> Result<Vec<Record>, Problem> {
    let items: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|error| {
        Problem::bad_request(
            "malformed_json",
            format!("the body is not a JSON array: {error}"),
            "send [record, record, …], or one record a line as application/x-ndjson",
        )
    })?;
    let now = clock::unix_ms();
    let total = items.len();
    let mut records = Vec::with_capacity(total);
    let (mut faults, mut invalid) = (Vec::new(), 0);
    for (index, item) in items.into_iter().enumerate() {
        match admit(Record::from_client_json(item.get().as_bytes(), now)) {
            Ok(record) => records.push(record),
            Err(fault) => {
                invalid += 1;
                if faults.len() < FAULTS_SHOWN {
                    faults.push((index, fault));
                }
            }
        }
        if index % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    match invalid {
        0 => Ok(records),
        _ => Err(several(faults, invalid, &format!("{total} records"))),
    }
}

/// One status for all of them, the weakest; every record with its own in the body.
fn reply(written: &[Written]) -> Response {
    let mut worst = StatusCode::OK;
    let mut pause = None;
    let results: Vec<Value> = written
        .iter()
        .map(|written| match status(&written.verdict) {
            Some(status) => {
                worst = worst.max(status);
                describe(written)
            }
            None => {
                let problem = problem(written);
                worst = worst.max(problem.status);
                pause = pause.max(problem.retry_after);
                json!({ "id": written.id.to_string(), "error": problem.to_json() })
            }
        })
        .collect();
    let body = json!({ "results": results, "summary": stream::Summary::of(written).to_json() });
    let mut reply = json_reply(worst, body.to_string());
    if let Some(seconds) = pause.filter(|_| worst == StatusCode::SERVICE_UNAVAILABLE) {
        let headers = reply.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}
