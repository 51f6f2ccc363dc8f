//! `POST /v1/assert`: one record.

use std::sync::Arc;

use assertion::Record;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use sidecar::clock;

use super::body;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, json_reply};
use crate::write::{Durability, Verdict};
use crate::writer::{Written, outcome};

/// Takes one record.
///
/// # Errors
/// What is wrong with it, or 503 when nobody confirms it.
pub async fn assert(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let durability = durability(&uri)?;
    let bytes = body::read_json(&headers, body).await?;
    let record = Record::from_client_json(&bytes, clock::unix_ms())?;
    app.readiness.formed()?;
    let records = vec![record];
    let room = app.writer.room(&records).await?;
    let written = app.writer.write(records, durability, caller, room).await?;
    let written = written
        .first()
        .ok_or_else(|| Problem::internal("a write came back without its record"))?;
    match status(&written.verdict) {
        Some(status) => Ok(json_reply(status, describe(written).to_string())),
        None => Err(problem(written)),
    }
}

/// What a client calls stored, by `?durability=`.
///
/// # Errors
/// 400 and 422, naming the parameter.
pub fn durability(uri: &Uri) -> Result<Durability, Problem> {
    let given = Parameters::of_uri(uri)?;
    given.only(&["durability"], &[])?;
    match given.one("durability")? {
        None => Ok(Durability::Copies),
        Some("local") => Ok(Durability::Local),
        Some("all") => Ok(Durability::All),
        Some(other) => Err(bad_value(
            "durability",
            other,
            "local, all, or leave it out",
        )),
    }
}

/// The status of a record that is on a disk.
pub fn status(verdict: &Verdict) -> Option<StatusCode> {
    match verdict {
        Verdict::Stored => Some(StatusCode::CREATED),
        Verdict::Present => Some(StatusCode::OK),
        Verdict::Accepted => Some(StatusCode::ACCEPTED),
        Verdict::MaybeStored | Verdict::Refused(_) => None,
    }
}

/// A record as replies show it.
pub fn describe(written: &Written) -> Value {
    let holders: Vec<&str> = written.holders.iter().map(|name| &**name).collect();
    json!({
        "id": written.id.to_string(),
        "status": outcome(&written.verdict),
        "shard": written.shard,
        "copies": holders.len(),
        "holders": holders,
        "asserted_at": written.asserted_at,
    })
}

/// The problem of a record that is on no disk for sure. Id and time make the resend the same record.
pub fn problem(written: &Written) -> Problem {
    let problem = match &written.verdict {
        Verdict::Refused(reason) => Problem::unprocessable(
            "refused_by_store",
            format!("the stores do not take this record: {reason}"),
            "the nodes may run different versions; see GET /cluster/members on port 18181",
        ),
        _ => Problem::unavailable(
            "maybe_stored",
            "no store confirmed the record in time; it may be stored all the same",
            "send it again with the same asserted_at: it is the same record then, and cannot be stored twice",
        ),
    };
    problem
        .with("id", written.id.to_string())
        .with("asserted_at", written.asserted_at)
}
