//! Requests whose line, headers or parameters are wrong.

use super::Row;
use super::wire::Sent;

/// What is asked, and where it is sent.
const QUESTIONS: &[(&str, &str)] = &[
    ("an unknown parameter", "/v1/query?subject=a&colour=red"),
    (
        "an unknown parameter `parent`",
        "/v1/query?subject=a&parent=b",
    ),
    ("a parameter twice", "/v1/query?subject=a&subject=b"),
    (
        "a lens that is none",
        "/v1/query?subject=a&lens=crystal_ball",
    ),
    (
        "a tolerance of 2",
        "/v1/query?subject=a&lens=skeptic&tolerance=2",
    ),
    (
        "a tolerance of NaN",
        "/v1/query?subject=a&lens=skeptic&tolerance=NaN",
    ),
    ("a limit of 1001", "/v1/query?subject=a&limit=1001"),
    ("a limit of -1", "/v1/query?subject=a&limit=-1"),
    (
        "a limit of 99999999999999999999",
        "/v1/query?subject=a&limit=99999999999999999999",
    ),
    ("an empty cursor", "/v1/query?subject=a&cursor="),
    ("a cursor that is no hex", "/v1/query?subject=a&cursor=zz"),
    ("a cursor of nobody", "/v1/query?subject=a&cursor=ff"),
    ("an empty list", "/v1/query?subject=a&class="),
    ("a question about everything", "/v1/query"),
    ("a percent-encoding that is broken", "/v1/query?subject=%zz"),
    (
        "a percent-encoding that is not UTF-8",
        "/v1/query?subject=%ff%fe",
    ),
    ("a nought byte in a subject", "/v1/query?subject=%00"),
    ("an empty cursor", "/v1/subjects?cursor="),
    ("an empty cursor", "/v1/epochs?cursor="),
    (
        "a cursor of another prefix",
        "/v1/subjects?prefix=a&cursor=b",
    ),
    ("an id that is no hash", "/v1/records/xyz"),
    (
        "an id of 63 digits",
        "/v1/records/000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "an id in capitals",
        "/v1/records/EEA0AC7D1514599553A42050C8A0D986D84A2357BAD6B5072296F10123634221",
    ),
    ("an id of percent signs", "/v1/records/%25%25%25"),
    ("an id that is not UTF-8", "/v1/records/%ff%fe"),
    ("an id that is a path", "/v1/records/..%2f..%2fetc%2fpasswd"),
    ("an id that is a path", "/v1/trace/..%2f..%2fetc%2fpasswd"),
    (
        "an id that nobody has",
        "/v1/trace/0000000000000000000000000000000000000000000000000000000000000000",
    ),
    ("a token of nobody", "/v1/feed?from=rubbish"),
    ("a path that is not there", "/v1/nothing"),
    ("a path with dots", "/v1/../cluster/members"),
    ("a path of the other port", "/cluster/verify"),
    ("a path that takes POST only", "/v1/assert"),
];

/// What is wrong before the body.
pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = QUESTIONS
        .iter()
        .map(|(what, path)| {
            let shown = path.split('?').next().unwrap_or_default();
            let shown = match shown.strip_prefix("/v1/records/") {
                Some(_) => "/v1/records/{id}",
                None if shown.starts_with("/v1/trace/") => "/v1/trace/{id}",
                None => shown,
            };
            Row::new(*what, &format!("GET {shown}"), Sent::get(path))
        })
        .collect();
    let query = "GET /v1/query";
    let with = |headers: &str| {
        Sent::request(format!(
            "GET /v1/query?subject=a HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}\r\n"
        ))
    };
    let asked = |parameters: &str| Sent::get(&format!("/v1/query?{parameters}"));
    let long = |bytes: usize| format!("x-long: {}\r\n", "x".repeat(bytes));
    rows.extend([
        Row::new("200 parameters", query, asked(&"a=1&".repeat(200))),
        Row::new("10,000 parameters", query, asked(&"a=1&".repeat(10_000))),
        Row::new("a URL of 9 kB", query, asked(&format!("subject={}", "a".repeat(9_000)))),
        Row::new("a URL of 100 kB", query, asked(&format!("subject={}", "a".repeat(100_000)))),
        Row::new("headers of 20 kB", query, with(&long(20_000))),
        Row::new("headers of 100 kB", query, with(&long(100_000))),
        Row::new("200 headers", query, with(&"x-many: 1\r\n".repeat(200))),
        Row::new("a header without a colon", query, with("nonsense\r\n")),
        Row::new("a header with a nought byte", query, with("x-nought: a\0b\r\n")),
        Row::new("an `X-API-Key` that is not ASCII", query, with("x-api-key: \u{e9}\r\n")),
        Row::new("a `traceparent` that is none", query, with("traceparent: rubbish\r\n")),
        Row::new("`Expect: miracles`", query, with("expect: miracles\r\n")),
        Row::new("`Upgrade: websocket`", query, with("upgrade: websocket\r\n")),
        Row::new("no Host", query, Sent::request("GET /v1/query?subject=a HTTP/1.1\r\nconnection: close\r\n\r\n")),
        Row::new("a method that nobody knows", "BREW /v1/query", Sent::request("BREW /v1/query HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")),
        Row::new("a method in lower case", "get /v1/query", Sent::request("get /v1/query HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")),
        Row::new("CONNECT to elsewhere", "CONNECT", Sent::request("CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n")),
        Row::new("a whole URL of another host", "GET http://example.org/", Sent::request("GET http://example.org/ HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n")),
    ]);
    rows
}
