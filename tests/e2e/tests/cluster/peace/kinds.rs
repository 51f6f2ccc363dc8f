//! Records of every kind, written through one node and weighed by the lenses of all.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::{Http, Reply};
use e2e::{command, eventually};
use serde_json::{Value, json};

use crate::claims::{answer, assert_at, complete, id};
use crate::stage;

/// For a development build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Real values, under a name that no other test uses.
const SUBJECT: &str = "kinds:water";
const PREDICATE: &str = "boiling_point_k";

#[tokio::test]
async fn a_retraction_is_respected_by_the_lenses_of_every_node_until_it_is_taken_back() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let subject = "kinds:retracted";
    assert_at(
        &cluster,
        &http,
        1,
        &measured(subject, 373.17, "regulatory", "kinds:webbook"),
    )
    .await;
    assert_at(
        &cluster,
        &http,
        2,
        &measured(subject, 373.15, "expert", "kinds:yaws"),
    )
    .await;
    let value = |answer: &Value| answer["value"]["value"].as_f64();
    let before = everywhere(&cluster, &http, subject, "authority").await;
    assert_eq!(value(&before), Some(373.17), "{before}");

    let retraction = json!({ "uri": "kinds:webbook", "class": "regulatory", "retracted": true,
        "title": "wrong pressure", "recorded_at": 1_700_000_000_000_i64 });
    let reply = post(&http, &cluster.node(1).api("/v1/sources"), &retraction).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.json()["copies"], 3, "{}", reply.text());
    assert_eq!(reply.json()["pending"], json!([]), "{}", reply.text());
    let during = everywhere(&cluster, &http, subject, "authority").await;
    assert_eq!(value(&during), Some(373.15), "{during}");
    assert_eq!(during["left_out"]["retracted"], 1, "{during}");
    assert_ne!(during["set_digest"], before["set_digest"]);

    // The records are still there.
    let page = ask(&http, &cluster, 3, &format!("subject={subject}")).await;
    assert_eq!(page["records"].as_array().map(Vec::len), Some(2), "{page}");

    let restored = json!({ "uri": "kinds:webbook", "class": "regulatory", "retracted": false,
        "recorded_at": 1_700_000_000_001_i64 });
    let reply = post(&http, &cluster.node(2).api("/v1/sources"), &restored).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let after = everywhere(&cluster, &http, subject, "authority").await;
    assert_eq!(value(&after), Some(373.17), "{after}");
    assert_eq!(after["left_out"]["retracted"], 0, "{after}");
}

#[tokio::test]
async fn every_lens_gives_the_same_bytes_from_every_node() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let old = epoch(&cluster, &http, "kinds 1990", &[]).await;
    epoch(&cluster, &http, "kinds 2018", &[&old]).await;
    let mut strongest = measured_value(SUBJECT, 373.15, "regulatory", "kinds:old scale");
    strongest["epoch"] = old.into();
    assert_at(&cluster, &http, 1, &strongest.to_string()).await;
    let voted = assert_at(
        &cluster,
        &http,
        2,
        &measured(SUBJECT, 373.124, "expert", "kinds:crc"),
    )
    .await;
    assert_at(
        &cluster,
        &http,
        3,
        &measured(SUBJECT, 373.17, "clinical", "kinds:webbook 2"),
    )
    .await;
    for (number, weight) in [(1, 0.25), (2, 0.5), (3, 1.0)] {
        let vote = json!({ "subject": SUBJECT, "assertion": id(&voted), "voter": format!("voter {number}"),
            "weight": weight, "voted_at": 1_700_000_000_000_i64 + number });
        let reply = post(&http, &cluster.node(1).api("/v1/vote"), &vote).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    cluster.equal(&http).await;

    for lens in ["recency", "confidence", "consensus", "skeptic"] {
        let answer = everywhere(&cluster, &http, SUBJECT, lens).await;
        assert_eq!(answer["candidates"], 3, "{lens}: {answer}");
    }
    let authority = everywhere(&cluster, &http, SUBJECT, "authority").await;
    assert_eq!(authority["value"]["value"], 373.15, "{authority}");
    let votes = everywhere(&cluster, &http, SUBJECT, "votes").await;
    assert_eq!(votes["value"]["value"], 373.124, "{votes}");
    let by_epoch = everywhere(&cluster, &http, SUBJECT, "epoch&inner=authority").await;
    assert_eq!(by_epoch["value"]["value"], 373.17, "{by_epoch}");
    assert_eq!(by_epoch["left_out"]["superseded"], 1, "{by_epoch}");
    let layered = everywhere(&cluster, &http, SUBJECT, "layered").await;
    assert_eq!(
        layered["layers"].as_array().map(Vec::len),
        Some(3),
        "{layered}"
    );
    let decayed = everywhere(
        &cluster,
        &http,
        SUBJECT,
        "confidence&decay=true&evaluated_at=1800000000000",
    )
    .await;
    assert_eq!(
        decayed["value"]["value"], 373.15,
        "a regulator's word does not fade: {decayed}"
    );
    let digests: BTreeSet<String> = [&authority, &votes, &by_epoch]
        .iter()
        .map(|answer| answer["set_digest"].to_string())
        .collect();
    assert_eq!(digests.len(), 3, "votes and epochs are part of the set");
}

#[tokio::test]
async fn a_signed_claim_is_verified_at_the_door_and_kept_with_its_signature() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let key = cluster.directory().join("kinds.key");
    let key = key.to_str().expect("a path of ours");
    let made = command::run(&["keygen", key, "--json"]).await;
    assert_eq!(made.code, Some(0), "{} {}", made.out, made.err);
    let agent = made.json()["agent"]
        .as_str()
        .map(str::to_owned)
        .expect("an agent");
    let urls = cluster.urls();
    let arguments = [
        "assert",
        "kinds:signed",
        PREDICATE,
        "373.15",
        "--source",
        "kinds:lab",
        "--class",
        "clinical",
        "--key",
        key,
        "--url",
        &urls,
        "--json",
    ];
    let ended = command::run(&arguments).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    let id = ended.json()["id"]
        .as_str()
        .map(str::to_owned)
        .expect("an id");
    let url = cluster.node(3).api(&format!("/v1/records/{id}"));
    let mut record = answer(&http, &url).await.json()["result"].take();
    assert_eq!(record["signatures"][0]["agent"], agent.as_str(), "{record}");

    let fields = record.as_object_mut().expect("an object");
    fields.remove("id");
    fields.insert("confidence".into(), json!(0.5));
    let reply = post(&http, &cluster.node(2).api("/v1/assert"), &record).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (422, &json!("bad_signature")),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn what_is_exported_has_the_same_ids_when_it_is_imported() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for value in 0..50 {
        let claim = measured("kinds:exported", f64::from(value), "expert", "kinds:table");
        assert_at(&cluster, &http, 1, &claim).await;
    }
    let file = cluster.directory().join("kinds.ndjson");
    let file = file.to_str().expect("a path of ours");
    let urls = cluster.urls();
    let ended = command::run(&[
        "export",
        file,
        "--subject-prefix",
        "kinds:exported",
        "--url",
        &urls,
        "--json",
    ])
    .await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    let lines = std::fs::read_to_string(file).expect("the file was written");
    assert_eq!(lines.lines().count(), 50, "{lines}");
    let again = command::run(&["import", file, "--url", &urls, "--json"]).await;
    assert_eq!(again.code, Some(0), "{} {}", again.out, again.err);
    let summary = again.json();
    let count = |word: &str| summary[word].as_u64().expect("a number");
    assert_eq!(count("present") + count("sent_again"), 50, "{summary}");
}

fn measured_value(subject: &str, value: f64, class: &str, uri: &str) -> Value {
    json!({ "subject": subject, "predicate": PREDICATE, "object": { "type": "number", "value": value },
        "source": { "uri": uri, "class": class }, "confidence": 0.9, "asserted_at": 1_700_000_000_000_i64 })
}

fn measured(subject: &str, value: f64, class: &str, uri: &str) -> String {
    measured_value(subject, value, class, uri).to_string()
}

async fn epoch(cluster: &Cluster, http: &Http, name: &str, supersedes: &[&str]) -> String {
    let epoch =
        json!({ "name": name, "supersedes": supersedes, "started_at": 1_600_000_000_000_i64 });
    let reply = post(http, &cluster.node(1).api("/v1/epoch"), &epoch).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    id(&reply)
}

async fn post(http: &Http, url: &str, body: &Value) -> Reply {
    http.post(url, body.to_string())
        .await
        .expect("the gateway answers")
}

async fn ask(http: &Http, cluster: &Cluster, node: usize, question: &str) -> Value {
    let url = cluster.node(node).api(&format!("/v1/query?{question}"));
    complete(http, &url).await.json()["result"].take()
}

/// Asks every gateway, and all stores through one, until all answers are complete and their bytes the same.
async fn everywhere(cluster: &Cluster, http: &Http, subject: &str, lens: &str) -> Value {
    let text = eventually("the same complete answer from all", SOON, || async {
        let mut answers = BTreeSet::new();
        for node in &cluster.nodes {
            for consistency in ["", "&consistency=all"] {
                let question =
                    format!("subject={subject}&predicate={PREDICATE}&lens={lens}{consistency}");
                let reply = http
                    .get(&node.api(&format!("/v1/query?{question}")))
                    .await?;
                if reply.status != 200 || reply.json()["meta"]["complete"] != true {
                    return Err(reply.text());
                }
                answers.insert(reply.result_text());
            }
        }
        match answers.len() {
            1 => answers.pop_first().ok_or_else(String::new),
            _ => Err(format!("{answers:#?}")),
        }
    })
    .await;
    serde_json::from_str(&text).expect("an answer is JSON")
}
