//! One chunk, one gateway: the request and the lines of its reply.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::client::{Call, Client, GatewayUrl, NoReply, is_passing};
use crate::failure::Problem;

use super::lines::Chunk;

/// A gateway answers each line within its own deadline of 4 s (`maybe_stored`); silence for longer means that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A reply line holds an id and a few numbers, or one problem.
const REPLY_LINE_BYTES_MAX: usize = 256 * 1024;

/// What became of one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// New, on enough nodes.
    Stored,
    /// All that must hold it held it already.
    Present,
    /// Durable on fewer nodes than it shall be; repair finishes it.
    Pending,
    /// Refused for good: the problem.
    Refused(Value),
    /// Not settled here: send it again.
    Unsettled {
        /// Why.
        why: String,
        /// It may be stored all the same.
        maybe_stored: bool,
    },
}

impl Outcome {
    /// Not settled, and perhaps stored.
    fn unknown(why: impl Into<String>) -> Outcome {
        Outcome::Unsettled {
            why: why.into(),
            maybe_stored: true,
        }
    }
}

/// How a whole request ended.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// One outcome for each line of the chunk, and what went wrong with the stream itself, if anything did.
    Lines(Vec<Outcome>, Option<String>),
    /// The request was refused, not its lines; no other gateway would take it.
    Refused(Problem),
}

/// Sends a chunk to a gateway and reads what it says of each line.
pub(crate) async fn exchange(client: &Client, gateway: &GatewayUrl, chunk: &Chunk) -> Exchange {
    let call = Call::post("/v1/assert/batch", "application/x-ndjson", chunk.body())
        .accepting("application/x-ndjson");
    let opened = match tokio::time::timeout(SILENCE_MAX, client.open(gateway, &call)).await {
        Ok(opened) => opened,
        Err(_) => Err(NoReply {
            why: silent(),
            arrived: true,
        }),
    };
    let response = match opened {
        Ok(response) => response,
        Err(NoReply { why, arrived }) => return unsettled(chunk, why, arrived),
    };
    let status = response.status();
    if status.is_success() {
        return read_lines(response.into_body(), chunk).await;
    }
    let body = tokio::time::timeout(SILENCE_MAX, response.into_body().collect()).await;
    let bytes = body
        .ok()
        .and_then(Result::ok)
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let problem = Problem::read(status.as_u16(), &bytes);
    if is_passing(problem.status) || problem.status == 429 {
        // Turned away at the door; what is between us and a gateway speaks for itself alone.
        let turned_away = matches!(problem.status, 429 | 503) && problem.text("code").is_some();
        return unsettled(chunk, problem.to_string(), !turned_away);
    }
    Exchange::Refused(problem)
}

fn silent() -> String {
    format!("silent for {} s", SILENCE_MAX.as_secs())
}

fn unsettled(chunk: &Chunk, why: String, maybe_stored: bool) -> Exchange {
    let outcome = Outcome::Unsettled {
        why: why.clone(),
        maybe_stored,
    };
    Exchange::Lines(vec![outcome; chunk.len()], Some(why))
}

async fn read_lines(mut body: Incoming, chunk: &Chunk) -> Exchange {
    let missing = Outcome::unknown("the reply ended before this line");
    let mut outcomes = vec![missing; chunk.len()];
    let mut buffer = BytesMut::new();
    let broken = loop {
        match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
            Err(_) => break Some(silent()),
            Ok(None) => break None,
            Ok(Some(Err(error))) => break Some(format!("the reply broke off: {error}")),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                buffer.extend_from_slice(&data);
                take_lines(&mut buffer, &mut outcomes);
                if buffer.len() > REPLY_LINE_BYTES_MAX {
                    break Some("the reply holds a line without end".to_owned());
                }
            }
        }
    };
    // The last line may come without a newline.
    note(&buffer, &mut outcomes);
    Exchange::Lines(outcomes, broken)
}

fn take_lines(buffer: &mut BytesMut, outcomes: &mut [Outcome]) {
    while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
        let line = buffer.split_to(end);
        buffer.advance(1);
        note(&line, outcomes);
    }
}

/// Writes down what one reply line says. The summary line and lines from a later version have no place of ours.
fn note(line: &[u8], outcomes: &mut [Outcome]) {
    let Ok(reply) = serde_json::from_slice::<Value>(line) else {
        return;
    };
    let place = reply
        .get("line")
        .and_then(Value::as_u64)
        .and_then(|line| usize::try_from(line).ok());
    let Some(outcome) = place.and_then(|line| outcomes.get_mut(line.wrapping_sub(1))) else {
        return;
    };
    *outcome = judge(&reply);
}

fn judge(reply: &Value) -> Outcome {
    if let Some(error) = reply.get("error") {
        let status = error
            .get("status")
            .or_else(|| reply.get("status"))
            .and_then(Value::as_u64)
            .unwrap_or(400);
        // Whatever speaks of the moment and not of the line is worth another try.
        return match u16::try_from(status) {
            Ok(status) if status >= 500 || status == 429 => Outcome::unknown(
                Problem {
                    status,
                    body: error.clone(),
                }
                .to_string(),
            ),
            _ => Outcome::Refused(error.clone()),
        };
    }
    match reply.get("status") {
        Some(Value::String(word)) => match word.as_str() {
            "stored" | "created" => Outcome::Stored,
            "present" => Outcome::Present,
            "accepted" | "pending" => Outcome::Pending,
            other => Outcome::unknown(format!("unknown status {other:?}")),
        },
        Some(number) => match number.as_u64() {
            Some(201) => Outcome::Stored,
            Some(200) => Outcome::Present,
            Some(202) => Outcome::Pending,
            other => Outcome::unknown(format!("unknown status {other:?}")),
        },
        None => Outcome::unknown("a reply line without status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_reply_line_is_understood() {
        let mut outcomes = vec![Outcome::unknown("unanswered"); 6];
        let mut reply = BytesMut::from(
            concat!(
                "{\"line\":1,\"id\":\"aa\",\"status\":201,\"copies\":2}\n",
                "{\"line\":3,\"id\":\"bb\",\"status\":\"present\",\"copies\":2}\n",
                "{\"line\":2,\"id\":\"cc\",\"status\":202,\"copies\":1}\n",
                "{\"line\":4,\"error\":{\"status\":400,\"code\":\"number_not_exact\"}}\n",
                "{\"line\":5,\"error\":{\"status\":503,\"code\":\"maybe_stored\",\"detail\":\"no copy\"}}\n",
                "{\"line\":77,\"status\":201}\nnot json\n",
                "{\"summary\":{\"stored\":1}}\n{\"line\":6,\"sta",
            )
            .as_bytes(),
        );
        take_lines(&mut reply, &mut outcomes);
        assert_eq!(
            outcomes[..3],
            [Outcome::Stored, Outcome::Pending, Outcome::Present]
        );
        assert!(
            matches!(&outcomes[3], Outcome::Refused(problem) if problem["code"] == "number_not_exact")
        );
        assert!(
            matches!(&outcomes[4], Outcome::Unsettled { why, maybe_stored: true } if why.contains("maybe_stored"))
        );
        assert_eq!(
            outcomes[5],
            Outcome::unknown("unanswered"),
            "half a line says nothing"
        );
        assert_eq!(&reply[..], b"{\"line\":6,\"sta");
    }
}
