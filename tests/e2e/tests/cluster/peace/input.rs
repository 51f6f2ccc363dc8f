//! What is not a claim, or not a question, is refused with a reason; nothing of it is stored.

use std::fmt::Write as _;

use e2e::cluster::FORMATION;
use e2e::http::{Http, Reply};
use http::Method;
use serde_json::{Value, json};

use crate::claims::{claim, complete, ids};
use crate::nodes::reply;
use crate::stage;

/// Largest body that is not a stream.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// A good claim with one piece of its text replaced.
fn spoiled(good: &str, bad: &str) -> String {
    let whole = claim("input:spoiled", 1);
    assert!(whole.contains(good), "{good} is not in {whole}");
    whole.replacen(good, bad, 1)
}

/// Bodies with the code and the place that their refusal names.
fn hostile() -> Vec<(String, &'static str, &'static str)> {
    let long = "x".repeat(513);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let number = |text: &str| spoiled("\"value\":1", &format!("\"value\":{text}"));
    vec![
        (String::new(), "malformed_json", "$"),
        ("{".to_owned(), "malformed_json", "$"),
        ("null".to_owned(), "malformed_json", "$"),
        (deep, "malformed_json", "$"),
        ("{}".to_owned(), "missing_field", "subject"),
        (spoiled("input:spoiled", ""), "empty", "subject"),
        (spoiled("input:spoiled", &long), "too_long", "subject"),
        (
            spoiled("input:spoiled", "\\ud800"),
            "malformed_string",
            "subject",
        ),
        (spoiled("\"input:spoiled\"", "7"), "wrong_type", "subject"),
        (
            spoiled("\"subject\"", "\"subject\":\"a\",\"subject\""),
            "duplicate_field",
            "subject",
        ),
        (
            spoiled("\"subject\"", "\"colour\":\"red\",\"subject\""),
            "unknown_field",
            "colour",
        ),
        (
            spoiled("\"expert\"", "\"guru\""),
            "unknown_name",
            "source.class",
        ),
        (spoiled("\"uri\"", "\"url\""), "missing_field", "source.uri"),
        (
            spoiled("\"type\":\"number\"", "\"type\":\"text\""),
            "wrong_type",
            "object.value",
        ),
        (
            number("9007199254740993"),
            "number_not_exact",
            "object.value",
        ),
        (number("1e999"), "number_not_exact", "object.value"),
        (number("NaN"), "malformed_json", "object"),
        (
            spoiled("\"subject\"", "\"confidence\":1.5,\"subject\""),
            "out_of_range",
            "confidence",
        ),
        (
            spoiled("\"subject\"", "\"signatures\":[{}],\"subject\""),
            "missing_field",
            "signatures[0].agent",
        ),
        (
            spoiled("\"subject\"", "\"kind\":\"vote\",\"subject\""),
            "kind_mismatch",
            "kind",
        ),
        (
            spoiled("\"subject\"", "\"parent\":\"no hash\",\"subject\""),
            "not_a_hash",
            "parent",
        ),
        (
            spoiled("\"asserted_at\":1700000000001", "\"asserted_at\":1e15"),
            "asserted_in_the_future",
            "asserted_at",
        ),
        (
            spoiled("\"asserted_at\":1700000000001", "\"asserted_at\":1e300"),
            "out_of_range",
            "asserted_at",
        ),
    ]
}

#[tokio::test]
async fn hostile_bodies_are_refused_with_code_and_place_and_nothing_is_stored() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let before = cluster.equal(&http).await["distinct_records"].clone();
    let url = cluster.node(1).api("/v1/assert");
    for (body, code, path) in hostile() {
        let reply = http
            .post(&url, body.clone())
            .await
            .expect("the gateway answers");
        let shown: String = body.chars().take(200).collect();
        // Not JSON at all, or JSON that is no claim.
        let status = if code == "malformed_json" { 400 } else { 422 };
        problem(&reply, status, code, &shown);
        let said = reply.json();
        let place = said["path"].as_str().unwrap_or_default();
        // NaN breaks the text as a whole: how far the reader came is not promised.
        assert!(place == path || code == "malformed_json", "{shown}: {said}");
        assert!(
            said["next_step"]
                .as_str()
                .is_some_and(|next| !next.is_empty()),
            "{said}"
        );
    }
    let not_text = http
        .post(&url, vec![0xff, 0xfe, 0x00])
        .await
        .expect("the gateway answers");
    problem(&not_text, 400, "invalid_utf8", "ff fe 00");
    let limit = http
        .post(&url, spoiled("input:spoiled", &"x".repeat(600)))
        .await;
    assert_eq!(limit.expect("the gateway answers").json()["limit"], 512);
    assert_eq!(cluster.equal(&http).await["distinct_records"], before);
}

/// RFC 9457, with our members.
fn problem(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.status, status, "{what}: {}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json"),
        "{what}"
    );
    let said = reply.json();
    assert_eq!(said["code"], code, "{what}: {said}");
    assert_eq!(said["status"], status, "{what}: {said}");
    assert!(
        said["detail"].is_string() && said["title"].is_string(),
        "{what}: {said}"
    );
    assert!(
        reply.header("x-trace-id").is_some(),
        "{what}: a refusal has a trace too"
    );
}

#[tokio::test]
async fn an_array_is_stored_whole_or_not_at_all() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let url = cluster.node(2).api("/v1/assert/batch");
    let mut records: Vec<Value> = (0..5)
        .map(|value| parsed(&claim("input:array", value)))
        .collect();
    records[1]["confidence"] = json!(7);
    records[3]["object"]["type"] = json!("smell");
    let reply = http
        .post(&url, json!(records).to_string())
        .await
        .expect("the gateway answers");
    problem(&reply, 422, "invalid_records", "an array with two faults");
    let said = reply.json();
    let named: Vec<(&Value, &Value)> = said["errors"]
        .as_array()
        .unwrap_or_else(|| panic!("no list of errors: {said}"))
        .iter()
        .map(|error| (&error["index"], &error["code"]))
        .collect();
    let wanted = [
        (json!(1), json!("out_of_range")),
        (json!(3), json!("unknown_name")),
    ];
    assert_eq!(
        named,
        wanted.each_ref().map(|(index, code)| (index, code)),
        "{said}"
    );
    assert_eq!(stored(&cluster, &http, "input:array").await, 0);

    let good: Vec<Value> = (0..5)
        .map(|value| parsed(&claim("input:array", value)))
        .collect();
    let reply = http
        .post(&url, json!(good).to_string())
        .await
        .expect("the gateway answers");
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(stored(&cluster, &http, "input:array").await, 5);
}

#[tokio::test]
async fn lines_stand_and_fall_on_their_own() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let url = cluster.node(3).api("/v1/assert/batch");
    let mut body = String::new();
    let lines = [
        claim("input:lines", 0),
        "no claim".to_owned(),
        claim("input:lines", 1),
        spoiled("\"expert\"", "\"guru\""),
        claim("input:lines", 0),
    ];
    for line in &lines {
        // Writing to a string does not fail.
        let _ = writeln!(body, "{line}");
    }
    let headers = [("content-type", "application/x-ndjson")];
    let reply = http
        .send(Method::POST, &url, &headers, body)
        .await
        .expect("the gateway answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let said: Vec<Value> = text.lines().map(parsed).collect();
    let of = |line: u64| {
        said.iter()
            .find(|reply| reply["line"] == line)
            .unwrap_or_else(|| panic!("{text}"))
    };
    for line in [1, 3, 5] {
        assert!(
            of(line)["status"] == "stored" || of(line)["status"] == "present",
            "{text}"
        );
        assert_eq!(of(line)["id"].as_str().map(str::len), Some(64), "{text}");
    }
    assert_eq!(of(1)["id"], of(5)["id"]);
    assert_eq!(of(2)["error"]["code"], "malformed_json", "{text}");
    assert_eq!(of(4)["error"]["path"], "source.class", "{text}");
    let summary = &said.last().expect("a summary")["summary"];
    assert_eq!(summary["refused"], 2, "{text}");
    assert_eq!(stored(&cluster, &http, "input:lines").await, 2);
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn stored(cluster: &e2e::cluster::Cluster, http: &Http, subject: &str) -> usize {
    let url = cluster
        .node(1)
        .api(&format!("/v1/query?subject={subject}&consistency=all"));
    ids(&complete(http, &url).await.json()).len()
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for path in ["/v1/assert", "/v1/assert/batch"] {
        let url = cluster.node(1).api(path);
        let body = format!("[{}]", " ".repeat(BODY_MAX));
        let reply = http.post(&url, body).await.expect("the gateway answers");
        problem(&reply, 413, "body_too_large", path);
        assert_eq!(reply.json()["limit"], BODY_MAX);
    }
}

/// Paths with the status, the code and the parameter of their refusal.
const QUESTIONS: &str = "\
/v1/query?subject=a&colour=red                400 unknown_parameter  colour
/v1/query?subject=a&subject=b                 400 repeated_parameter subject
/v1/query?subject=a&lens=crystal_ball         422 unknown_lens       lens
/v1/query?subject=a&lens=skeptic&tolerance=2  422 bad_value          tolerance
/v1/query?subject=a&tolerance=0.1             422 only_with_lens     tolerance
/v1/query?subject=a&limit=1001                422 bad_value          limit
/v1/query?subject=a&limit=many                422 bad_value          limit
/v1/query?subject=a&cursor=zzzz               422 bad_value          cursor
/v1/query?subject=a&cursor=ff                 422 bad_cursor         cursor
/v1/query?subject=a&class=guru                422 bad_value          class
/v1/query                                     422 unbounded          subject
/v1/query?predicate=b&lens=recency            422 unbounded          subject
/v1/query?subject=a&lens=recency&inner=votes  422 unused_parameter   inner
/v1/records/xyz                               422 bad_value          id
/v1/nothing                                   404 no_such_path       -
/cluster/members                              404 no_such_path       -
/cluster/verify                               404 no_such_path       -
/v1/assert                                    405 wrong_method       -";

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_by_name() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for line in QUESTIONS.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [path, status, code, place] = words[..] else {
            panic!("{line}");
        };
        let reply = http
            .get(&cluster.node(1).api(path))
            .await
            .expect("the gateway answers");
        problem(&reply, status.parse().expect("a status"), code, path);
        assert!(place == "-" || reply.json()["path"] == place, "{line}");
    }
    let unknown = format!("/v1/records/{}", "0".repeat(64));
    let unknown = cluster.node(1).api(&unknown);
    // Where one does not tell, it is not known that nobody has it.
    let told = |reply: &Reply| !reply.is_late();
    let unknown = reply("an answer", FORMATION, &http, &unknown, told).await;
    problem(&unknown, 404, "no_such_record", "an id that nobody has");
    let url = cluster.node(1).api("/v1/assert");
    let claim = claim("input:untyped", 1);
    let untyped = http.send(Method::POST, &url, &[], claim).await;
    let untyped = untyped.expect("the gateway answers");
    problem(&untyped, 415, "unsupported_media_type", "no Content-Type");
}
