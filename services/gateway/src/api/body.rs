//! Bodies, read with a bound.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// Largest body that is read as a whole.
pub const BODY_MAX: usize = 8 * 1024 * 1024;

/// How much of a body that is too long is read and thrown away, so that its sender is still there to read the refusal.
const DISCARD_MAX: usize = 64 * 1024 * 1024;

/// How long that may take.
const DISCARD_WAIT: Duration = Duration::from_secs(5);

/// How long a body may pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(20);

/// What a body claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// One JSON value a line.
    Ndjson,
}

/// The form of a body by its Content-Type.
///
/// # Errors
/// 415, naming what is `wanted`.
pub fn form(headers: &HeaderMap, wanted: &str) -> Result<Form, Problem> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding.as_bytes() != b"identity") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "the body is compressed",
            "send it as it is; `stemedb import` takes .gz files",
        )
        .at("Content-Encoding"));
    }
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Form::Ndjson),
        _ => {
            let given: String = given.unwrap_or("missing").chars().take(64).collect();
            Err(unsupported(&given, wanted))
        }
    }
}

/// 415.
pub fn unsupported(given: &str, wanted: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("Content-Type is {given}"),
        format!("send Content-Type: {wanted}"),
    )
    .at("Content-Type")
}

/// Reads a JSON body.
///
/// # Errors
/// 415, 413, 408.
pub async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    match form(headers, "application/json")? {
        Form::Json => read(headers, body).await,
        Form::Ndjson => Err(unsupported(
            "NDJSON",
            "application/json, or use /v1/assert/batch",
        )),
    }
}

/// Reads a body up to the bound.
///
/// # Errors
/// 413, 408, 400 when it breaks off.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    if announced.is_some_and(|length| length > BODY_MAX) {
        discard(stream).await;
        return Err(too_large());
    }
    loop {
        match tokio::time::timeout(PAUSE_MAX, stream.next()).await {
            Err(_) => return Err(paused()),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(part))) if whole.len() + part.len() > BODY_MAX => {
                drop(whole);
                discard(stream).await;
                return Err(too_large());
            }
            // The usual body is one part: it is handed on as it is.
            Ok(Some(Ok(part))) if whole.is_empty() && announced == Some(part.len()) => {
                return Ok(part);
            }
            Ok(Some(Ok(part))) => whole.extend_from_slice(&part),
        }
    }
}

async fn discard(mut stream: axum::body::BodyDataStream) {
    let rest = async {
        let mut read = 0;
        while let Some(Ok(part)) = stream.next().await {
            read += part.len();
            if read > DISCARD_MAX {
                break;
            }
        }
    };
    // Late or early, the refusal follows.
    let _ = tokio::time::timeout(DISCARD_WAIT, rest).await;
}

fn too_large() -> Problem {
    Problem::too_large(
        "body_too_large",
        format!("the body has more than {BODY_MAX} bytes"),
        BODY_MAX,
        "send fewer records at a time, or any number as application/x-ndjson to /v1/assert/batch",
    )
}

/// 408.
pub fn paused() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        format!("nothing of the body came for {} s", PAUSE_MAX.as_secs()),
        "send it without pauses",
    )
}

/// 400.
pub fn broken(error: &axum::Error) -> Problem {
    tracing::debug!(%error, "a body broke off");
    Problem::bad_request("body_broken", "the body broke off", "send it again")
}
