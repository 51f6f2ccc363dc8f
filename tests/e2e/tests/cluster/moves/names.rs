//! One name twice, and a name that is gone.

use e2e::cluster::{Cluster, statuses};
use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;
use e2e::ports;

use super::SOON;
use crate::claims::{assert_at, claim};
use crate::nodes::reply;
use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_with_one_name_the_older_takes_no_writes() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let cluster = Cluster::start(3, &[]).await;
    let twins = cluster.directory().join("twins");
    let older = cluster.node(3);
    let mut twin = Node::new(&older.name, ports::block(), &twins);
    twin.set("STEMEDB_SEED_NODES", &cluster.node(1).swim());
    twin.start();
    let health = older.api("/v1/health");
    let said = reply("the alarm", SOON, &http, &health, |reply| {
        reply.status == 503 && reply.text().contains("superseded")
    })
    .await;
    let write = http
        .post(&older.api("/v1/assert"), claim("twin:1", 1))
        .await;
    let write = write.expect("the gateway answers");
    assert_eq!(write.status, 503, "{} {}", write.text(), said.text());
    // The others go on.
    assert_at(&cluster, &http, 1, &claim("twin:2", 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_restarts_without_a_node_that_is_gone_for_good_and_forgets_it() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let mut cluster = Cluster::start(3, &[]).await;
    for number in 0..20 {
        assert_at(
            &cluster,
            &http,
            1,
            &claim(&format!("gone:{number}"), number),
        )
        .await;
    }
    cluster.nodes.iter().for_each(Node::kill);
    let gone = cluster.nodes.pop().expect("there were three");
    cluster.nodes.iter().for_each(Node::start);
    for node in &cluster.nodes {
        cluster.ready(&http, node).await;
    }
    let first = cluster.node(1);
    let forget = first.admin(&format!("/cluster/members/{}/forget", gone.name));
    // What it would take with it is counted first; a store that is late breaks that off.
    let said = eventually("an answer", SOON, || async {
        let said = http.post(&forget, String::new()).await;
        let said = said.expect("the gateway answers");
        if said.is_late() {
            return Err(said.text());
        }
        assert_eq!(said.status, 200, "{}", said.text());
        Ok(said)
    })
    .await;
    assert!(said.json()["shards_at_risk"].is_array(), "{}", said.text());
    for node in &cluster.nodes {
        eventually("two members", SOON, || async {
            let statuses = statuses(&http, node).await?;
            (statuses.len() == 2)
                .then_some(())
                .ok_or_else(|| format!("{statuses:?}"))
        })
        .await;
    }
    cluster.formed().await;
    let said = cluster.equal(&http).await;
    assert_eq!(said["distinct_records"], 20, "{said}");
    assert_at(&cluster, &http, 2, &claim("gone:after", 21)).await;
}
