//! Whatever comes: no reply is a fault of ours, what is taken is there, and nothing else is.

use std::cell::RefCell;
use std::collections::BTreeSet;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use serde_json::Value;

use crate::stage::{Reply, Stage};

/// Bodies that are sent to one cluster of fakes.
const CASES: u32 = 400;

/// A call with a body, and one that it takes.
const CALLS: [(&str, &str, &str); 8] = [
    (
        "/v1/assert",
        "application/json",
        r#"{"kind":"assertion","v":1,"subject":"s","predicate":"p","object":{"type":"number","value":1.5},"source":{"uri":"u","class":"expert"},"confidence":0.5,"lifecycle":"approved","epoch":"1111111111111111111111111111111111111111111111111111111111111111","note":"n","asserted_at":1700000000000}"#,
    ),
    (
        "/v1/vote",
        "application/json",
        r#"{"subject":"s","assertion":"1111111111111111111111111111111111111111111111111111111111111111","voter":"ann","weight":0.5,"voted_at":1700000000000}"#,
    ),
    (
        "/v1/epoch",
        "application/json",
        r#"{"name":"e","supersedes":["1111111111111111111111111111111111111111111111111111111111111111"],"reason":"r","started_at":1700000000000}"#,
    ),
    (
        "/v1/sources",
        "application/json",
        r#"{"uri":"u","class":"expert","title":"t","retracted":true,"recorded_at":1700000000000}"#,
    ),
    (
        "/v1/assert/batch",
        "application/json",
        r#"[{"subject":"s","predicate":"p","object":{"type":"text","value":"x"},"source":{"uri":"u","class":"expert"},"asserted_at":1700000000000},{"kind":"epoch","name":"e","started_at":5}]"#,
    ),
    (
        "/v1/assert/batch",
        "application/x-ndjson",
        "{\"subject\":\"s\",\"predicate\":\"p\",\"object\":{\"type\":\"boolean\",\"value\":true},\"source\":{\"uri\":\"u\",\"class\":\"expert\"},\"asserted_at\":1700000000000}\n{\"kind\":\"source\",\"uri\":\"u\",\"class\":\"expert\",\"recorded_at\":7}\n",
    ),
    (
        "/v1/query",
        "application/json",
        r#"{"subject":"s","predicate":"p","lens":"skeptic","tolerance":0.1,"class":["expert"],"as_of":1531785600000}"#,
    ),
    (
        "/v1/query",
        "application/json",
        r#"{"queries":[{"subject":"s","limit":3},{"subject_prefix":"s","predicate":"p","lens":"votes"}]}"#,
    ),
];

/// What is put in the place of a value, or anywhere.
const PIECES: [&str; 24] = [
    "null",
    "true",
    "-0",
    "1e400",
    "1e-400",
    "0.1",
    "9007199254740993",
    "123456789012345678901234567890",
    "1700000000001",
    "NaN",
    "-Infinity",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"a\"",
    "\"expert\"",
    "\"0000000000000000000000000000000000000000000000000000000000000000\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"type\":\"number\",\"value\":1}",
    ",\"subject\":\"t\"",
    "\n",
    "\0",
];

#[derive(Debug, Clone)]
enum Change {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    /// Takes the place of what follows a colon or a comma.
    Value(prop::sample::Index, &'static str),
    Repeat(prop::sample::Index, usize),
}

impl Change {
    fn apply(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        let length = body.len();
        match self {
            Change::Byte(place, byte) => body[place.index(length)] = *byte,
            Change::Cut(place, many) => {
                let from = place.index(length);
                body.drain(from..(from + many).min(length));
            }
            Change::Insert(place, piece) => {
                let at = place.index(length);
                body.splice(at..at, piece.bytes());
            }
            Change::Value(place, piece) => {
                let starts: Vec<usize> = (0..length)
                    .filter(|at| matches!(body[*at], b':' | b',' | b'['))
                    .collect();
                if starts.is_empty() {
                    return;
                }
                let from = starts[place.index(starts.len())] + 1;
                let rest = body[from..].iter();
                let mut ends = rest.take_while(|byte| !matches!(byte, b',' | b'}' | b']'));
                let to = from + ends.by_ref().count();
                body.splice(from..to, piece.bytes());
            }
            Change::Repeat(place, many) => {
                let from = place.index(length);
                let again = body[from..(from + many).min(length)].to_vec();
                body.splice(from..from, again);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    let piece = || prop::sample::select(&PIECES[..]);
    prop_oneof![
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (place(), 1_usize..40).prop_map(|(at, many)| Change::Cut(at, many)),
        2 => (place(), piece()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        6 => (place(), piece()).prop_map(|(at, piece)| Change::Value(at, piece)),
        1 => (place(), 1_usize..80).prop_map(|(at, many)| Change::Repeat(at, many)),
    ]
}

/// A call by its number, and a body: rubbish, or one that it takes with changes.
fn cases() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let rubbish = prop::collection::vec(any::<u8>(), 0..300);
    let changed = prop::collection::vec(change(), 0..4);
    (
        0..CALLS.len(),
        prop_oneof![
            1 => rubbish.prop_map(|bytes| (Some(bytes), Vec::new())),
            5 => changed.prop_map(|changes| (None, changes)),
        ],
    )
        .prop_map(|(call, (rubbish, changes))| {
            let mut body = rubbish.unwrap_or_else(|| CALLS[call].2.as_bytes().to_vec());
            for change in changes {
                change.apply(&mut body);
            }
            (call, body)
        })
}

/// The ids that a reply says are stored.
fn taken(path: &str, reply: &Reply) -> Vec<String> {
    let id = |said: &Value| Some(said["id"].as_str()?.to_owned());
    let lines = reply.headers["content-type"] == "application/x-ndjson";
    match path {
        "/v1/query" => Vec::new(),
        "/v1/assert/batch" if lines => reply.lines().iter().filter_map(id).collect(),
        "/v1/assert/batch" => {
            let said = reply.json();
            let results = said["results"].as_array().into_iter().flatten();
            results.filter_map(id).collect()
        }
        _ => vec![id(&reply.json()).unwrap()],
    }
}

async fn check(
    stage: &Stage,
    call: usize,
    body: Vec<u8>,
    stored: &RefCell<BTreeSet<String>>,
) -> TestCaseResult {
    let (path, kind, _) = CALLS[call];
    let headers = [("content-type", kind)];
    let reply = stage
        .ask(stage.api, Method::POST, path, &headers, body)
        .await;
    prop_assert!(
        reply.status < 500,
        "{path} {}: {}",
        reply.status,
        reply.text()
    );
    if reply.status >= 400 {
        prop_assert_eq!(&reply.headers["content-type"], "application/problem+json");
        let said = reply.json();
        prop_assert!(
            said["code"].is_string() && said["next_step"].is_string(),
            "{}",
            said
        );
        return Ok(());
    }
    for id in taken(path, &reply) {
        let read = stage.get(&format!("/v1/records/{id}")).await;
        prop_assert_eq!(read.status, 200, "{} is not there: {}", id, read.text());
        prop_assert_eq!(&read.json()["result"]["id"], id.as_str());
        stored.borrow_mut().insert(id);
    }
    Ok(())
}

#[test]
fn whatever_is_posted_is_refused_or_stored_and_breaks_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stage = runtime.block_on(Stage::calm());
    let stored = RefCell::new(BTreeSet::new());
    let config = ProptestConfig {
        // The path of a file would be that of this process, not of the source.
        failure_persistence: None,
        ..ProptestConfig::with_cases(CASES)
    };
    let seed: [u8; 32] = rand::random();
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, chance);
    let run = runner.run(&cases(), |(call, body)| {
        runtime.block_on(check(&stage, call, body, &stored))
    });
    if let Err(failed) = run {
        panic!("{failed}; seed {seed:?}");
    }
    let held: BTreeSet<String> = stage
        .stores
        .iter()
        .flat_map(|store| {
            let records: Vec<String> = store
                .state()
                .records
                .keys()
                .map(ToString::to_string)
                .collect();
            records
        })
        .collect();
    assert_eq!(held, stored.into_inner(), "what is stored was said to be");
}
