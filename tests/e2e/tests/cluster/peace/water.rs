//! Real claims, imported by the real command through several gateways, and what the lenses make of them.

use std::collections::BTreeSet;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::{claims, command};
use serde_json::{Value, json};

use crate::claims::{answer, complete, ids};
use crate::stage;

/// Claims of the slice: several chunks of an import.
const CLAIMS: usize = 9_000;

const WATER: &str = "subject=cas:7732-18-5&predicate=boiling_point_k";

#[tokio::test]
async fn contradictory_claims_are_kept_and_answered_alike_by_every_node() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let file = cluster.directory().join("water.ndjson");
    claims::write(&file, &claims::around_water(CLAIMS));
    let file = file.to_str().expect("a path of ours");
    let before = cluster.equal(&http).await;

    // A line whose answer is late is sent again, and found to be there.
    let first = import(&cluster, file).await;
    assert_eq!(lines(&first, "stored"), CLAIMS as u64, "{first}");
    let again = import(&cluster, file).await;
    assert_eq!(lines(&again, "present"), CLAIMS as u64, "{again}");
    stage::figure(&format!(
        "import of {CLAIMS} claims: {} s, again {} s",
        first["seconds"], again["seconds"]
    ));

    placed(&cluster, &http, &before).await;
    six_claims(&cluster, &http).await;
    lenses(&cluster, &http).await;
}

/// Lines that were counted under this word, or sent again.
fn lines(summary: &Value, word: &str) -> u64 {
    let counts = [word, "sent_again"].map(|word| summary[word].as_u64().expect("a number"));
    counts.iter().sum()
}

async fn import(cluster: &Cluster, file: &str) -> Value {
    let urls = cluster.urls();
    let ended = command::run(&["import", file, "--url", &urls, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    let summary = ended.json();
    assert_eq!(summary["lines"], CLAIMS, "{summary}");
    assert_eq!(
        (&summary["refused"], &summary["pending"]),
        (&json!(0), &json!(0)),
        "{summary}"
    );
    summary
}

/// All nodes are equal, every record is on exactly two of them, and their shards are balanced.
async fn placed(cluster: &Cluster, http: &Http, before: &Value) {
    let said = cluster.equal(http).await;
    let distinct = said["distinct_records"].as_u64().expect("a number");
    let grown = distinct - before["distinct_records"].as_u64().expect("a number");
    assert_eq!(grown, CLAIMS as u64, "{said}");
    assert_eq!(held(&said) - held(before), 2 * grown, "{said}");

    let url = cluster.node(1).admin("/cluster/members");
    let members = answer(http, &url).await.json();
    let owned: BTreeSet<u64> = members["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|member| member["owned_shards"].as_u64().expect("a number"))
        .collect();
    let (least, most) = (owned.first(), owned.last());
    let balanced = least
        .zip(most)
        .is_some_and(|(least, most)| most - least <= 1);
    assert!(balanced, "{members}");
}

/// Copies on all nodes.
fn held(said: &Value) -> u64 {
    let nodes = said["nodes"].as_array().expect("a list");
    nodes
        .iter()
        .filter_map(|node| node["records"].as_u64())
        .sum()
}

async fn six_claims(cluster: &Cluster, http: &Http) {
    for node in &cluster.nodes {
        let reply = complete(http, &node.api(&format!("/v1/query?{WATER}"))).await;
        assert_eq!(ids(&reply.json()).len(), 6, "{}", reply.text());
    }
}

async fn lenses(cluster: &Cluster, http: &Http) {
    let authority = everywhere(cluster, http, "lens=authority").await;
    assert_eq!(
        authority["value"],
        json!({ "type": "number", "value": 373.17 })
    );
    assert_eq!(
        authority["winner"]["source"]["uri"],
        "chem-tables:boiling_point_k/WEBBOOK"
    );
    assert_eq!(authority["candidates"], 6);
    let recency = everywhere(cluster, http, "lens=recency").await;
    assert_eq!(recency["value"]["value"], 373.1339);
    assert_eq!(recency["set_digest"], authority["set_digest"]);
    for (lens, field) in [("confidence", "winner"), ("consensus", "winner")] {
        let answer = everywhere(cluster, http, &format!("lens={lens}")).await;
        assert!(answer[field].is_object(), "{answer}");
    }
    let contested = everywhere(cluster, http, "lens=skeptic").await;
    assert_eq!(contested["verdict"], "contested", "{contested}");
    let near = everywhere(cluster, http, "lens=skeptic&tolerance=0.001").await;
    assert!(
        near["verdict"] == "agreed" || near["verdict"] == "unanimous",
        "{near}"
    );
    let alias = cluster.node(2).api(&format!("/v1/skeptic?{WATER}"));
    let alias = complete(http, &alias).await;
    assert_eq!(alias.json()["result"], contested);
    let nothing = everywhere(cluster, http, "lens=recency&class=anecdotal").await;
    assert!(
        nothing["winner"].is_null() && nothing["value"].is_null(),
        "{nothing}"
    );
}

/// Asks every gateway, and all stores through one; the bytes of all complete answers must be the same.
async fn everywhere(cluster: &Cluster, http: &Http, question: &str) -> Value {
    let mut answers = BTreeSet::new();
    for node in &cluster.nodes {
        for consistency in ["", "&consistency=all"] {
            let path = format!("/v1/query?{WATER}&{question}{consistency}");
            let reply = complete(http, &node.api(&path)).await;
            answers.insert(reply.result_text());
        }
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let text = answers.first().expect("one answer");
    serde_json::from_str(text).expect("an answer is JSON")
}
