//! How the feed is written down: server-sent events, or a JSON object a line.

use std::collections::BTreeSet;

use assertion::{RecordId, public_json};
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http::header::ACCEPT;
use serde_json::json;

use crate::problem::Problem;

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `text/event-stream`.
    Events,
    /// `application/x-ndjson`.
    Lines,
}

impl Form {
    /// What the client accepts; events, when it does not ask for lines.
    pub(super) fn of(headers: &HeaderMap) -> Form {
        let mut accepted = headers.get_all(ACCEPT).iter();
        let lines = |accept: &str| accept.contains("application/x-ndjson");
        if accepted.any(|accept| accept.to_str().is_ok_and(lines)) {
            Form::Lines
        } else {
            Form::Events
        }
    }

    /// The Content-Type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Events => "text/event-stream",
            Form::Lines => "application/x-ndjson",
        }
    }

    /// A place, and no record. An event without data moves the place that a browser goes on from, and nothing else.
    pub(super) fn place(self, token: &str) -> Bytes {
        match self {
            Form::Events => format!("id: {token}\n\n").into(),
            Form::Lines => format!("{{\"token\":\"{token}\"}}\n").into(),
        }
    }

    /// A sign of life.
    pub(super) fn beat(self) -> Bytes {
        match self {
            Form::Events => Bytes::from_static(b": \n\n"),
            Form::Lines => Bytes::from_static(b"\n"),
        }
    }

    /// A record, and the place behind it.
    pub(super) fn record(
        self,
        out: &mut BytesMut,
        token: &str,
        (id, canonical, shard): (&RecordId, &[u8], u32),
    ) {
        let (begin, middle) = match self {
            Form::Events => ("id: ", "\ndata: {\"record\":"),
            Form::Lines => ("{\"token\":\"", "\",\"record\":"),
        };
        out.extend_from_slice(begin.as_bytes());
        out.extend_from_slice(token.as_bytes());
        out.extend_from_slice(middle.as_bytes());
        out.extend_from_slice(&public_json(id, canonical));
        out.extend_from_slice(format!(",\"shard\":{shard}}}\n").as_bytes());
        if self == Form::Events {
            out.extend_from_slice(b"\n");
        }
    }

    /// Everything that was there at the start was sent; who could not be asked for all of it is `missing`, and it is `complete`
    /// when those are few.
    pub(super) fn caught_up(
        self,
        token: &str,
        missing: &BTreeSet<String>,
        complete: bool,
    ) -> Bytes {
        let said =
            json!({ "caught_up": true, "token": token, "missing": missing, "complete": complete });
        match self {
            Form::Events => format!("id: {token}\nevent: caught_up\ndata: {said}\n\n").into(),
            Form::Lines => format!("{said}\n").into(),
        }
    }

    /// Why there is no more.
    pub(super) fn problem(self, problem: &Problem) -> Bytes {
        let said = problem.to_json();
        match self {
            Form::Events => format!("event: problem\ndata: {said}\n\n").into(),
            Form::Lines => format!("{}\n", json!({ "error": said })).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_event_or_one_line() {
        let id = RecordId::from_bytes([1; 32]);
        let written = |form: Form| {
            let mut out = BytesMut::new();
            form.record(&mut out, "AQ", (&id, b"{\"kind\":\"epoch\"}", 16));
            String::from_utf8(out.to_vec()).unwrap()
        };
        let record = format!("{{\"id\":\"{id}\",\"kind\":\"epoch\"}}");
        assert_eq!(
            written(Form::Events),
            format!("id: AQ\ndata: {{\"record\":{record},\"shard\":16}}\n\n")
        );
        assert_eq!(
            written(Form::Lines),
            format!("{{\"token\":\"AQ\",\"record\":{record},\"shard\":16}}\n")
        );
    }

    #[test]
    fn lines_are_for_who_asks_for_them() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            Form::of(&headers)
        };
        assert_eq!(of("application/x-ndjson, */*;q=0.1"), Form::Lines);
        assert_eq!(of("text/event-stream"), Form::Events);
        assert_eq!(of("*/*"), Form::Events);
        assert_eq!(Form::of(&HeaderMap::new()), Form::Events);
    }
}
