//! Bodies that are no records, or no questions.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::Row;
use super::wire::Sent;

/// A megabyte of noughts, over and over: as many as inflate to a gigabyte.
const BOMB_MEMBERS: usize = 1_024;

const ASSERT: &str = "POST /v1/assert";
const BATCH: &str = "POST /v1/assert/batch";
const QUERY: &str = "POST /v1/query";

/// A claim that would be taken.
fn claim() -> String {
    r#"{"subject":"hostile:claim","predicate":"p","object":{"type":"number","value":1},"source":{"uri":"u","class":"expert"},"asserted_at":1700000000000}"#.to_owned()
}

/// The claim with a piece of its text replaced.
fn spoiled(good: &str, bad: &str) -> String {
    let claim = claim();
    assert!(claim.contains(good), "{good} is not in {claim}");
    claim.replacen(good, bad, 1)
}

fn to_path(to: &str) -> &str {
    to.split_once(' ').expect("a method and a path").1
}

fn json_to(what: &str, to: &str, body: impl AsRef<[u8]>) -> Row {
    Row::new(what, to, Sent::json(to_path(to), body))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Texts that are no JSON, or no JSON of ours.
fn texts() -> Vec<Row> {
    let value = |text: &str| spoiled("\"value\":1", &format!("\"value\":{text}"));
    let assert = |what: &str, body: String| json_to(what, ASSERT, body);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        assert("nothing", String::new()),
        assert("half an object", "{\"subject\":".to_owned()),
        assert("`null`", "null".to_owned()),
        assert("100,000 brackets", deep.clone()),
        assert("100,000 brackets as a value", value(&deep)),
        assert("two objects", format!("{}{}", claim(), claim())),
        assert("a byte order mark", format!("\u{feff}{}", claim())),
        assert("a field twice", spoiled("{", "{\"subject\":\"a\",")),
        assert("a field twice, once by escapes", spoiled("{", "{\"subj\\u0065ct\":\"a\",")),
        assert("an unknown field", spoiled("{", "{\"colour\":\"red\",")),
        assert("an unknown field of `source`", spoiled("\"uri\"", "\"url\":1,\"uri\"")),
        assert("a lone surrogate", spoiled("hostile:claim", "\\ud800")),
        assert("surrogates in the wrong order", spoiled("hostile:claim", "\\udc00\\ud800")),
        assert("a control character in a string", spoiled("hostile:claim", "a\u{1}b")),
        json_to("bytes that are not UTF-8", ASSERT, b"\xff\xfe{}"),
        json_to("a string that is not UTF-8", ASSERT, [b"{\"subject\":\"", &b"\xc3\x28"[..], b"\"}"].concat()),
        assert("`NaN`", value("NaN")),
        assert("`Infinity`", value("Infinity")),
        assert("`1e400`", value("1e400")),
        assert("`1e-400`", value("1e-400")),
        assert("`9007199254740993`, which is no double", value("9007199254740993")),
        assert("a number of 400 digits", value(&"7".repeat(400))),
        assert("`01`", value("01")),
        assert("`-0`", value("-0")).taken(),
        assert("confidence `-0.5`", spoiled("{", "{\"confidence\":-0.5,")),
        assert("an empty subject", spoiled("hostile:claim", "")),
        assert("a subject of 513 bytes", spoiled("hostile:claim", &"x".repeat(513))),
        assert("a note of 16,385 bytes", spoiled("{", &format!("{{\"note\":\"{}\",", "x".repeat(16_385)))),
        assert("JSON of 1 MiB and a byte", format!("{}{}", claim(), " ".repeat(1_048_577 - claim().len()))),
        assert("a time in the year 5138", spoiled("1700000000000", "100000000000000")),
        assert("seconds with a fraction", spoiled("1700000000000", "1700000000.5")),
        assert("the id of another record", spoiled("{", &format!("{{\"id\":\"{}\",", "0".repeat(64)))),
        assert("a signature of nobody", spoiled("{", &format!(
            "{{\"kind\":\"assertion\",\"v\":1,\"lifecycle\":\"proposed\",\"confidence\":1,\"signatures\":[{{\"agent\":\"{}\",\"signature\":\"{}\"}}],",
            "0".repeat(64), "0".repeat(128)))),
        json_to("a vote dated in the year 5138", "POST /v1/vote", json!({
            "subject": "s", "assertion": "0".repeat(64), "voter": "ann", "weight": 1, "voted_at": 100_000_000_000_000_i64 }).to_string()),
        json_to("a vote in the name of a key, unsigned", "POST /v1/vote", json!({
            "subject": "s", "assertion": "0".repeat(64), "voter": "0".repeat(64), "weight": 1 }).to_string()),
        json_to("a claim", "POST /v1/epoch", spoiled("{", "{\"kind\":\"assertion\",")),
    ]
}

/// Arrays, lines and questions.
fn several() -> Vec<Row> {
    let ndjson = "content-type: application/x-ndjson\r\n";
    let lines = |what: &str, body: Vec<u8>| {
        Row::new(what, BATCH, Sent::post("/v1/assert/batch", ndjson, body))
    };
    let mut many = String::from("{\"queries\":[");
    for _ in 0..101 {
        // Writing to a string does not fail.
        let _ = write!(many, "{{\"subject\":\"s\"}},");
    }
    many.pop();
    many.push_str("]}");
    vec![
        json_to(
            "an array of a claim and rubbish",
            BATCH,
            format!("[{},7]", claim()),
        ),
        json_to("a claim instead of an array", BATCH, claim()),
        json_to("100,000 brackets", BATCH, "[".repeat(100_000)),
        lines("a line of 10 MB", vec![b'x'; 10_000_000]),
        lines("a line of bytes that are not UTF-8", b"\xff\xfe\n".to_vec()),
        lines(
            "100,000 brackets in a line",
            "[".repeat(100_000).into_bytes(),
        ),
        json_to("a subject that is a number", QUERY, r#"{"subject":5}"#),
        json_to(
            "a number in quotes",
            QUERY,
            r#"{"subject":"s","lens":"skeptic","tolerance":"0.1"}"#,
        ),
        json_to(
            "a list that holds a number",
            QUERY,
            r#"{"subject":"s","class":["expert",5]}"#,
        ),
        json_to(
            "a parameter twice",
            QUERY,
            r#"{"subject":"s","subject":"t"}"#,
        ),
        json_to(
            "an unknown parameter",
            QUERY,
            r#"{"subject":"s","colour":"red"}"#,
        ),
        json_to("an empty cursor", QUERY, r#"{"subject":"s","cursor":""}"#),
        json_to(
            "a tolerance of `1e400`",
            QUERY,
            r#"{"subject":"s","lens":"skeptic","tolerance":1e400}"#,
        ),
        json_to("101 questions", QUERY, many),
        json_to("100,000 brackets", QUERY, "[".repeat(100_000)),
        json_to(
            "a question that is none, among others",
            QUERY,
            r#"{"queries":[{"subject":5},{"subject":"s"}]}"#,
        ),
    ]
}

/// Bodies that are too long, compressed, of another type, or never there.
fn shapes() -> Vec<Row> {
    let limit = 8 * 1024 * 1024;
    let typed = |what: &str, headers: &str, body: Vec<u8>| {
        Row::new(what, ASSERT, Sent::post("/v1/assert", headers, body))
    };
    let zipped = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let whole = gzip(claim().as_bytes());
    let bomb = gzip(&vec![0; 1024 * 1024]).repeat(BOMB_MEMBERS);
    let head = "POST /v1/assert HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000)).repeat(9);
    let mut rows = vec![typed(
        "half a gzip",
        zipped,
        whole[..whole.len() / 2].to_vec(),
    )];
    rows.extend([
        typed(
            "a gzip of a megabyte that inflates to a gigabyte",
            zipped,
            bomb,
        ),
        typed(
            "a gzip that is not called so",
            "content-type: application/json\r\n",
            whole,
        ),
        typed(
            "`Content-Encoding: br`",
            "content-type: application/json\r\ncontent-encoding: br\r\n",
            b"x".to_vec(),
        ),
        typed(
            "`Content-Encoding: identity, gzip`",
            "content-type: application/json\r\ncontent-encoding: identity, gzip\r\n",
            b"x".to_vec(),
        ),
        typed("no Content-Type", "", claim().into_bytes()),
        typed(
            "`Content-Type: text/plain`",
            "content-type: text/plain\r\n",
            claim().into_bytes(),
        ),
        typed(
            "`Content-Type: application/x-ndjson`",
            "content-type: application/x-ndjson\r\n",
            claim().into_bytes(),
        ),
        typed(
            "`charset=utf-16`",
            "content-type: application/json; charset=utf-16\r\n",
            claim().into_bytes(),
        ),
        typed(
            "two Content-Types",
            "content-type: application/json\r\ncontent-type: text/plain\r\n",
            claim().into_bytes(),
        ),
    ]);
    for to in [ASSERT, BATCH, QUERY] {
        rows.push(json_to("8 MiB and a byte", to, vec![b' '; limit + 1]));
    }
    rows.extend([
        Row::new("chunks that never end", ASSERT, Sent::slowly(format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}"))),
        Row::new("a chunk, then silence", ASSERT, Sent::slowly(format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"))),
        Row::new("a byte of 1,000, then silence", ASSERT, Sent::slowly(format!("{head}content-length: 1000\r\n\r\n{{"))),
        Row::new("a chunk whose length is no number", ASSERT, Sent::request(format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\n"))),
        Row::new("two different Content-Lengths", ASSERT, Sent::request(format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"))),
        Row::new("a Content-Length that is no number", ASSERT, Sent::request(format!("{head}content-length: -1\r\n\r\n{{}}"))),
        Row::new("a Content-Length beside chunks", ASSERT, Sent::request(format!("{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"))),
        Row::new("a `Transfer-Encoding` that nobody knows", ASSERT, Sent::request(format!("{head}transfer-encoding: cow\r\n\r\n{{}}"))),
    ]);
    rows
}

/// Every body but those of other types.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = texts();
    rows.extend(several());
    rows.extend(shapes());
    rows
}

/// Every field of every kind with a value of another type.
pub(super) fn of_other_types() -> Vec<Row> {
    let hash = "0".repeat(64);
    let claim = json!({ "kind": "assertion", "v": 1, "subject": "s", "predicate": "p",
        "object": { "type": "number", "value": 1 }, "source": { "uri": "u", "class": "expert", "hash": hash },
        "confidence": 1, "lifecycle": "proposed", "epoch": hash, "parent": hash, "note": "n", "signatures": [],
        "asserted_at": 1_700_000_000_000_i64 });
    let vote =
        json!({ "subject": "s", "assertion": hash, "voter": "ann", "weight": 1, "voted_at": 5 });
    let epoch = json!({ "name": "e", "supersedes": [], "reason": "r", "started_at": 5 });
    let source =
        json!({ "uri": "u", "class": "expert", "title": "t", "retracted": true, "recorded_at": 5 });
    let mut rows = Vec::new();
    for (to, good) in [
        (ASSERT, claim),
        ("POST /v1/vote", vote),
        ("POST /v1/epoch", epoch),
        ("POST /v1/sources", source),
    ] {
        let mut places = Vec::new();
        for (name, value) in good.as_object().expect("an object") {
            places.push(format!("/{name}"));
            let inner = value.as_object().into_iter().flatten();
            places.extend(inner.map(|(inner, _)| format!("/{name}/{inner}")));
        }
        for place in places {
            let mut bad = good.clone();
            let value = bad.pointer_mut(&place).expect("a field");
            *value = match value {
                Value::Object(_) | Value::Bool(_) => json!("x"),
                Value::Number(_) => json!("1"),
                _ => json!(7),
            };
            let what = format!("`{}` is `{value}`", place[1..].replace('/', "."));
            rows.push(json_to(&what, to, bad.to_string()));
        }
    }
    rows
}
