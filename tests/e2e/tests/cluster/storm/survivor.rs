//! Two of three nodes die: the third goes on alone, and says so.

use std::time::{Duration, Instant};

use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;
use futures::future::join_all;
use serde_json::Value;

use crate::claims::{acknowledged, claim, holders, id, ids, replicas};
use crate::nodes::reply;
use crate::stage;

/// Proofs count for 10 s, and a busy machine has other things to do.
const PROOFS_END: Duration = Duration::from_secs(60);

/// Records that the survivor takes alone.
const ALONE: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_three_takes_writes_and_calls_its_answers_incomplete() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let killed = Instant::now();
    for number in [2, 3] {
        cluster.node(number).kill();
    }
    let survivor = cluster.node(1);
    let alone = join_all((0..ALONE).map(|number| alone(&http, survivor, number))).await;
    // Whoever is content with one copy is told so at once.
    let local = survivor.api("/v1/assert?durability=local");
    acknowledged(&http, &local, &claim("survivor:local", 1)).await;
    let url = survivor.api("/v1/query?subject=survivor:0");
    let incomplete = reply("an incomplete answer", PROOFS_END, &http, &url, |reply| {
        reply.status == 200 && reply.json()["meta"]["complete"] == false
    })
    .await;
    assert!(
        ids(&incomplete.json()).contains(&alone[0]),
        "{}",
        incomplete.text()
    );
    stage::figure(&format!(
        "incomplete {:.1} s after the death of two",
        killed.elapsed().as_secs_f64()
    ));

    eventually("a comparison of one", PROOFS_END, || async {
        let said = cluster.verify(&http).await?;
        assert_eq!(said["equal"], false, "two nodes cannot be compared");
        assert!(said["reason"].is_string(), "{said}");
        let unreachable = said["unreachable"].as_array().expect("a list");
        let names: Vec<&Value> = unreachable.iter().map(|node| &node["id"]).collect();
        // Its own store may be late, too.
        (names == ["node2", "node3"])
            .then_some(())
            .ok_or_else(|| said.to_string())
    })
    .await;

    let started = Instant::now();
    for number in [2, 3] {
        cluster.node(number).start();
    }
    cluster.formed().await;
    let said = cluster.equal(&http).await;
    assert_eq!(said["under_replicated"], 0, "{said}");
    stage::figure(&format!(
        "two nodes back and equal after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    for id in &alone {
        let url = survivor.api(&format!("/v1/records/{id}/replicas"));
        reply("two copies", PROOFS_END, &http, &url, |reply| {
            replicas(&reply.json()).len() >= 2
        })
        .await;
    }
    for node in &cluster.nodes {
        let url = node.api("/v1/query?subject=survivor:0");
        let whole = reply("a complete answer", PROOFS_END, &http, &url, |reply| {
            reply.json()["meta"]["complete"] == true
        })
        .await;
        assert!(ids(&whole.json()).contains(&alone[0]), "{}", whole.text());
    }
}

/// A write that the survivor takes, and calls short of a copy.
async fn alone(http: &Http, survivor: &Node, number: u32) -> String {
    let url = survivor.api("/v1/assert");
    let written = eventually("a write", PROOFS_END, || async {
        let written = http
            .post(&url, claim(&format!("survivor:{number}"), 1))
            .await
            .expect("the survivor answers");
        (!written.is_late())
            .then(|| written.clone())
            .ok_or_else(|| written.text())
    })
    .await;
    assert_eq!(written.status, 202, "{}", written.text());
    let said = written.json();
    assert_eq!(said["copies"], 1, "{said}");
    assert_eq!(holders(&written), ["node1".to_owned()].into(), "{said}");
    id(&written)
}
