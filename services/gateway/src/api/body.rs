//! Bodies, read with a bound.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::{Places, Work};
use crate::arrivals::{Arrival, Memory};
use crate::problem::Problem;

/// Largest body that is read as a whole.
pub const BODY_MAX: usize = 8 * 1024 * 1024;

/// How much of a body that is too long is read and thrown away, so that its sender is still there to read the refusal.
const DISCARD_MAX: usize = 64 * 1024 * 1024;

/// How long that may take.
const DISCARD_WAIT: Duration = Duration::from_secs(5);

/// How long a body may take, however short it is. Lost packets are sent again within it, several times.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Bytes that buy it a second more: the longest body gets 26 s, which ends before its request does.
const BYTES_PER_SECOND: usize = 512 * 1024;

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
    let encodings = headers.get_all(CONTENT_ENCODING).into_iter();
    if encodings
        .into_iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "the body is compressed",
            "send it as it is; `stemedb import` takes .gz files",
        )
        .at("Content-Encoding"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let given = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().unwrap_or("not text"),
        (Some(_), Some(_)) => "given twice",
        (None, _) => "missing",
    };
    let mut parts = given.split(';');
    let essence = parts.next().unwrap_or_default();
    let read = match essence.trim().to_ascii_lowercase().as_str() {
        "application/json" => Some(Form::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Form::Ndjson),
        _ => None,
    };
    read.filter(|_| parts.all(is_of_utf8)).ok_or_else(|| {
        let given: String = given.chars().take(64).collect();
        unsupported(&given, wanted)
    })
}

/// Whether a parameter of a Content-Type leaves the text what it has to be. JSON is UTF-8, whatever its sender calls it.
fn is_of_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"').to_ascii_lowercase();
    !name.trim().eq_ignore_ascii_case("charset") || matches!(value.as_str(), "utf-8" | "utf8")
}

/// 415.
pub fn unsupported(given: &str, wanted: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("Content-Type is {given}"),
        format!("send Content-Type: {wanted}, in UTF-8"),
    )
    .at("Content-Type")
}

/// A body that is there, with a place for its request.
#[derive(Debug)]
pub struct Whole {
    bytes: Bytes,
    _memory: Option<Memory>,
    _place: OwnedSemaphorePermit,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a JSON body.
///
/// # Errors
/// 415, and as [`read`].
pub async fn read_json(
    places: &Places,
    work: Work,
    headers: &HeaderMap,
    body: Body,
) -> Result<Whole, Problem> {
    match form(headers, "application/json")? {
        Form::Json => read(places, work, headers, body).await,
        Form::Ndjson => Err(unsupported(
            "NDJSON",
            "application/json, or use /v1/assert/batch",
        )),
    }
}

/// Reads a body up to the bound, and gives its request a place.
///
/// # Errors
/// 413, 408, 400 when it breaks off, 503 when there is no place.
pub async fn read(
    places: &Places,
    work: Work,
    headers: &HeaderMap,
    body: Body,
) -> Result<Whole, Problem> {
    let arrival = places.arrivals.enter()?;
    let (bytes, memory) = tokio::select! {
        taken = take(&arrival, headers, body) => taken?,
        () = arrival.overtaken() => {
            return Err(Problem::overloaded("this body came slowly, and others waited for its place"));
        }
    };
    drop(arrival);
    Ok(Whole {
        bytes,
        _memory: memory,
        _place: places.enter(work)?,
    })
}

async fn take(
    arrival: &Arrival,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<Memory>), Problem> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let began = Instant::now();
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut memory: Option<Memory> = None;
    if announced.is_some_and(|length| length > BODY_MAX) {
        discard(stream).await;
        return Err(too_large());
    }
    loop {
        let earned = Duration::from_secs((whole.len() / BYTES_PER_SECOND) as u64);
        let next = tokio::time::timeout_at(began + BODY_WAIT + earned, stream.next());
        let part = match next.await {
            Err(_) => return Err(slow()),
            Ok(None) => return Ok((whole.freeze(), memory)),
            Ok(Some(part)) => part.map_err(|error| broken(&error))?,
        };
        if whole.len() + part.len() > BODY_MAX {
            drop((whole, memory));
            discard(stream).await;
            return Err(too_large());
        }
        let more = arrival.hold(part.len())?;
        match &mut memory {
            Some(memory) => memory.merge(more),
            None => memory = Some(more),
        }
        // The usual body is one part: it is handed on as it is.
        if whole.is_empty() && announced == Some(part.len()) {
            return Ok((part, memory));
        }
        whole.extend_from_slice(&part);
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

fn slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        format!(
            "the body did not come within {} s and a second more for every {} KiB",
            BODY_WAIT.as_secs(),
            BYTES_PER_SECOND / 1024
        ),
        "send it at once; less at a time over a slow connection, or lines as application/x-ndjson to /v1/assert/batch",
    )
}

/// 400.
pub fn broken(error: &axum::Error) -> Problem {
    tracing::debug!(%error, "a body broke off");
    Problem::bad_request("body_broken", "the body broke off", "send it again")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http::HeaderValue;

    use super::*;

    /// A body of so many parts, one every second.
    fn paced(parts: usize, bytes: usize) -> Body {
        let part = Bytes::from(vec![b' '; bytes]);
        let second = Duration::from_secs(1);
        let clock = tokio::time::interval_at(Instant::now() + second, second);
        let parts = stream::unfold((clock, 0), move |(mut clock, sent)| {
            let part = part.clone();
            async move {
                if sent == parts {
                    return None;
                }
                clock.tick().await;
                Some((Ok::<Bytes, Infallible>(part), (clock, sent + 1)))
            }
        });
        Body::from_stream(parts)
    }

    async fn taken(body: Body) -> Result<usize, Problem> {
        let read = read(&Places::default(), Work::Write, &HeaderMap::new(), body).await;
        read.map(|whole| whole.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_to_come_at_a_pace() {
        let began = Instant::now();
        let refused = taken(paced(1_000, 1)).await.unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.code.as_str()),
            (408, "body_timeout")
        );
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(taken(paced(9, 1)).await.unwrap(), 9);
        // A connection of 4 Mbit/s brings the longest body.
        assert_eq!(taken(paced(16, BODY_MAX / 16)).await.unwrap(), BODY_MAX);
        let began = Instant::now();
        assert!(taken(paced(1_000, BYTES_PER_SECOND / 4)).await.is_err());
        assert!(began.elapsed().as_secs() < 15);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(taken(never).await.unwrap_err().code, "body_timeout");
    }

    #[test]
    fn a_text_is_utf_8_or_refused() {
        let of = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for given in given {
                headers.append(CONTENT_TYPE, HeaderValue::from_str(given).unwrap());
            }
            form(&headers, "JSON")
        };
        for good in [
            "application/json",
            "Application/JSON ; Charset=\"UTF-8\"",
            "application/json;profile=x",
            "application/json; charset=utf8",
        ] {
            assert_eq!(of(&[good]).unwrap(), Form::Json, "{good}");
        }
        for bad in [
            &["application/json; charset=utf-16"][..],
            &["application/json; charset="],
            &["application/x-ndjson; charset=latin1"],
            &["application/json", "application/json"],
            &["text/plain"],
            &[],
        ] {
            let refused = of(bad).unwrap_err();
            assert_eq!(refused.code, "unsupported_media_type", "{bad:?}");
            assert_eq!(refused.path.as_deref(), Some("Content-Type"));
        }
    }
}
