//! One node alone: the same programs, one copy.

use e2e::cluster::{Cluster, FORMATION};
use e2e::http::Http;

use crate::claims::{assert_at, claim, id, ids};
use crate::nodes::reply;
use crate::stage;

#[tokio::test]
async fn a_node_alone_acknowledges_alone_and_is_complete() {
    let _turn = stage::empty().await;
    let cluster = Cluster::start(1, &[("STEMEDB_CLUSTER_MODE", "false")]).await;
    let http = Http::new();
    let node = cluster.node(1);
    let written = assert_at(&cluster, &http, 1, &claim("alone", 1)).await;
    assert_eq!(written.json()["copies"], 1, "{}", written.text());
    let url = node.api("/v1/query?subject=alone");
    complete_with(&http, &url, &id(&written)).await;

    // What was acknowledged outlives a kill of everything.
    node.kill();
    node.start();
    cluster.formed().await;
    complete_with(&http, &url, &id(&written)).await;
    let present = assert_at(&cluster, &http, 1, &claim("alone", 1)).await;
    assert_eq!(present.status, 200, "{}", present.text());
    cluster.equal(&http).await;
}

/// Repair tells the store within a second of a start that there is nobody else to ask.
async fn complete_with(http: &Http, url: &str, id: &str) {
    let page = reply("a complete answer", FORMATION, http, url, |reply| {
        reply.json()["meta"]["complete"] == true
    })
    .await;
    assert!(ids(&page.json()).contains(id), "{}", page.text());
}
