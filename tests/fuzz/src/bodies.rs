//! Every HTTP body and every URL, through the gateway's router to a store on a disk and back.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use assertion::{Kind, Record};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::node::{Node, Reply};
use crate::{Target, records};

/// Longest refusal as a whole: an array names at most so many faults.
const REFUSAL_BYTES_MAX: usize = 128 * 1024;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// All of them.
pub fn targets() -> Vec<Target> {
    let target = |name, seeds, check| Target {
        name,
        seeds,
        check,
        mutations: 300,
    };
    vec![
        target("body_assert", records::clients, |body| {
            one("/v1/assert", Kind::Assertion, body)
        }),
        target("body_vote", of_vote, |body| {
            one("/v1/vote", Kind::Vote, body)
        }),
        target("body_epoch", of_epoch, |body| {
            one("/v1/epoch", Kind::Epoch, body)
        }),
        target("body_source", of_source, |body| {
            one("/v1/sources", Kind::Source, body)
        }),
        target("body_batch", of_batch, batch),
        target("body_lines", of_lines, lines),
        target("body_query", of_query, query),
        target("url", of_url, url),
    ]
}

fn node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(Node::start)
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn of_vote() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"subject":"s","assertion":"ecb1844b72c95bbfa571e00480d0b28669754aadc79fd4dacaa9080922833a2e","voter":"ann","weight":0.5,"voted_at":1700000000000}"#,
        r#"{"subject":"s","assertion":"1111111111111111111111111111111111111111111111111111111111111111","weight":1}"#,
        r#"{"subject":"s","assertion":"1111111111111111111111111111111111111111111111111111111111111111","voter":"2222222222222222222222222222222222222222222222222222222222222222","weight":1}"#,
    ])
}

fn of_epoch() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"name":"e","supersedes":["1111111111111111111111111111111111111111111111111111111111111111"],"reason":"r","started_at":1700000000000}"#,
        r#"{"kind":"epoch","v":1,"name":"e","started_at":-5}"#,
    ])
}

fn of_source() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"uri":"u","class":"expert","title":"t","retracted":true,"recorded_at":1700000000000}"#,
        r#"{"uri":"u","class":"regulatory"}"#,
    ])
}

fn of_batch() -> Vec<Vec<u8>> {
    texts(&[
        "[]",
        r#"[{"subject":"s","predicate":"p","object":{"type":"text","value":"x"},"source":{"uri":"u","class":"expert"},"asserted_at":1700000000000},{"kind":"epoch","name":"e","started_at":5}]"#,
        r#"[{"kind":"source","uri":"u","class":"expert","recorded_at":7},7]"#,
    ])
}

fn of_lines() -> Vec<Vec<u8>> {
    texts(&[
        "{\"subject\":\"s\",\"predicate\":\"p\",\"object\":{\"type\":\"boolean\",\"value\":true},\"source\":{\"uri\":\"u\",\"class\":\"expert\"},\"asserted_at\":1700000000000}\n{\"kind\":\"source\",\"uri\":\"u\",\"class\":\"expert\",\"recorded_at\":7}\n",
        "\n\n{}\r\nnull\n{\"kind\":\"epoch\",\"name\":\"e\",\"started_at\":5}",
    ])
}

fn of_query() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"subject":"s","predicate":"p","lens":"skeptic","tolerance":0.1,"class":["expert"],"as_of":1531785600000}"#,
        r#"{"queries":[{"subject":"s","limit":3},{"subject_prefix":"s","predicate":"p","lens":"votes"}]}"#,
        r#"{"subject":"cas:7732-18-5","lens":"epoch","inner":"consensus","decay":true,"evaluated_at":"2018-07-17","consistency":"all"}"#,
        r#"{"subject_prefix":"","limit":1000,"lifecycle":["rejected","approved"],"min_confidence":0.5}"#,
        r#"{"subject":"s","predicate":"p","source":"u","include":["ecb1844b72c95bbfa571e00480d0b286"]}"#,
    ])
}

fn of_url() -> Vec<Vec<u8>> {
    texts(&[
        "/v1/query?subject=s&predicate=p&lens=skeptic&tolerance=0.1&class=expert,clinical&as_of=2018-07-17&limit=3",
        "/v1/query?subject_prefix=%73&limit=1&cursor=ff",
        "/v1/skeptic?subject=s",
        "/v1/layered?subject=cas:7732-18-5&predicate=p",
        "/v1/subjects?prefix=c&limit=2&cursor=73",
        "/v1/epochs?limit=1&cursor=00",
        "/v1/sources?prefix=h&retracted=false&limit=1",
        "/v1/votes?subject=s&assertion=ecb1844b72c95bbfa571e00480d0b28669754aadc79fd4dacaa9080922833a2e",
        "/v1/predicates?subject=s",
        "/v1/feed?from=start&subject_prefix=s&kind=vote,assertion&until=now",
        "/v1/feed?from=AgEB&until=now",
        "/v1/records/ecb1844b72c95bbfa571e00480d0b28669754aadc79fd4dacaa9080922833a2e",
        "/v1/records/ecb1844b72c95bbfa571e00480d0b28669754aadc79fd4dacaa9080922833a2e/replicas",
        "/v1/trace/ecb1844b72c95bbfa571e00480d0b28669754aadc79fd4dacaa9080922833a2e",
        "/openapi.json",
    ])
}

/// Posts a body. Whatever it is, the answer is no fault of ours, and a refusal says what and what next.
fn post(path: &str, kind: &str, body: &[u8]) -> Reply {
    let request = Request::post(path).header("content-type", kind);
    let request = request.body(Full::new(Bytes::copy_from_slice(body)));
    checked(node().ask(request.expect("a request")))
}

fn checked(reply: Reply) -> Reply {
    let text = || String::from_utf8_lossy(&reply.body).into_owned();
    // That a record is nowhere needs proofs, which this node has for ten seconds; one that has to be included may come yet. And a
    // machine that has no time for the store makes it slow.
    let codes = [
        "incomplete",
        "include_not_found",
        "no_store_answers",
        "too_slow",
        "overloaded",
    ];
    let unproved = reply.status == 503 && codes.iter().any(|code| text().contains(code));
    assert!(
        reply.status < 500 || unproved,
        "{} {}",
        reply.status,
        text()
    );
    assert!(reply.headers.contains_key("x-trace-id"));
    if reply.status >= 400 {
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert!(
            reply.body.len() <= REFUSAL_BYTES_MAX,
            "{} bytes",
            reply.body.len()
        );
        let said: Value = serde_json::from_slice(&reply.body).expect("a problem is JSON");
        assert_eq!(said["status"], reply.status, "{said}");
        for member in ["code", "detail", "next_step"] {
            assert!(
                said[member].as_str().is_some_and(|text| !text.is_empty()),
                "{said}"
            );
        }
    }
    reply
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("the reply is JSON")
}

/// A record whose id was returned can be read, and is what its id says.
fn is_there(id: &Value) {
    let id = id.as_str().expect("an id");
    let request = Request::get(format!("/v1/records/{id}")).body(Full::default());
    let reply = node().ask(request.expect("a request"));
    assert_eq!(reply.status, 200, "{id} is not there");
    let shown = json(&reply)["result"].to_string();
    let record = Record::from_client_json(shown.as_bytes(), i64::MAX);
    assert_eq!(record.expect("it is a record").id().to_string(), id);
}

/// What the crate takes for a record is taken, and nothing else: but what is dated ahead of this machine's clock, and votes in the
/// name of a key that did not sign.
fn one(path: &str, kind: Kind, body: &[u8]) {
    let reply = post(path, JSON, body);
    let said = json(&reply);
    let read = Record::from_client_json_as(kind, body, i64::MAX);
    if reply.status < 400 {
        is_there(&said["id"]);
        read.expect("a record is what is taken");
        return;
    }
    let ours = [
        "asserted_in_the_future",
        "dated_in_the_future",
        "voter_not_signer",
    ];
    let policy = ours.iter().any(|code| said["code"] == *code);
    assert!(policy || read.is_err(), "a record is refused: {said}");
}

fn batch(body: &[u8]) {
    let reply = post("/v1/assert/batch", JSON, body);
    if reply.status >= 400 {
        return;
    }
    let said = json(&reply);
    let results = said["results"].as_array().expect("results");
    let sent: Vec<Value> = serde_json::from_slice(body).expect("an array was sent");
    assert_eq!(results.len(), sent.len(), "one answer for each record");
    let ids: BTreeSet<String> = results.iter().map(|said| said["id"].to_string()).collect();
    for id in ids {
        is_there(&serde_json::from_str(&id).expect("an id is JSON"));
    }
}

fn lines(body: &[u8]) {
    let reply = post("/v1/assert/batch", NDJSON, body);
    assert_eq!(reply.status, 200, "a stream is answered line by line");
    let text = std::str::from_utf8(&reply.body).expect("a reply is text");
    let said: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let (summary, answers) = said.split_last().expect("a last line");
    let blank = |line: &&[u8]| !line.iter().all(u8::is_ascii_whitespace);
    let sent = body.split(|byte| *byte == b'\n').filter(blank).count();
    assert_eq!(answers.len(), sent, "one answer for each line: {text}");
    assert!(summary.is_object());
    for said in answers {
        let refused = said["error"].is_object();
        assert!(refused || said["id"].is_string(), "{said}");
        if !refused {
            is_there(&said["id"]);
        }
    }
}

fn query(body: &[u8]) {
    let reply = post("/v1/query", JSON, body);
    if reply.status == 200 {
        let said = json(&reply);
        assert!(
            said["results"].is_array() || said["meta"].is_object(),
            "{said}"
        );
    }
}

/// A path and a query part. What is no URI does not come as far as a handler.
fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // How the neighbours are is another question, and a feed that does not end is none for one reply.
    if ["/v1/health", "/metrics", "/docs"]
        .iter()
        .any(|path| text.starts_with(path))
    {
        return;
    }
    // What follows a hash is no part of the question.
    let text = text.split('#').next().unwrap_or_default();
    let ends = text
        .split(['?', '&'])
        .any(|pair| pair.starts_with("until="));
    let text = match text.starts_with("/v1/feed") && !ends {
        true if text.contains('?') => format!("{text}&until=now"),
        true => format!("{text}?until=now"),
        false => text.to_owned(),
    };
    let Ok(request) = Request::get(text).body(Full::default()) else {
        return;
    };
    checked(node().ask(request));
}
