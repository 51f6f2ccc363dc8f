//! More copies of every record than before: `replication.factor` is raised, one node after the other.

use std::time::Instant;

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;
use rustix::process::Signal;

use super::{SOON, import, traffic};
use crate::claims::ids;
use crate::load::{Load, all_there, complete};
use crate::stage;

const CLAIMS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_factor_brings_copies_and_no_answer_counts_them_before() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let mut cluster = Cluster::start(3, &[("STEMEDB_REPLICATION_FACTOR", "1")]).await;
    import(&cluster, CLAIMS).await;
    let said = cluster.equal(&http).await;
    assert_eq!(said["distinct_records"], CLAIMS, "{said}");

    let load = Load::start(&cluster, "factor");
    traffic(&load).await;
    let began = Instant::now();
    for number in 1..=3 {
        cluster.node(number).signal(Signal::TERM);
        assert_eq!(cluster.node(number).wait(SOON), [Some(0); 4]);
        cluster.nodes[number - 1].set("STEMEDB_REPLICATION_FACTOR", "2");
        cluster.node(number).start();
        cluster.ready(&http, cluster.node(number)).await;
        traffic(&load).await;
    }
    cluster.formed().await;
    for node in &cluster.nodes {
        eventually("two copies count", SOON, || counted(&http, node)).await;
    }
    let took = began.elapsed();
    traffic(&load).await;
    let seen = load.end().await;
    stage::figure(&format!(
        "a second copy of everything counts after {:.1} s: {}",
        took.as_secs_f64(),
        seen.figures()
    ));
    let said = cluster.equal(&http).await;
    let written = CLAIMS + seen.count() + seen.accepted;
    assert_eq!(said["distinct_records"], written, "{said}");
    all_there(&cluster, &seen).await;

    // Any one of them may be missing now.
    cluster.node(3).kill();
    for node in &cluster.nodes[..2] {
        for (subject, acknowledged) in &seen.acknowledged {
            let body = complete(&http, node, subject, 0).await;
            let held = ids(&body);
            let lost = acknowledged.iter().filter(|(id, _)| !held.contains(id));
            assert_eq!(lost.count(), 0, "{subject} at {}: {body}", node.name);
        }
    }
}

/// So many copies does a node's view count on.
async fn counted(http: &Http, node: &Node) -> Result<(), String> {
    let said = http.get(&node.admin("/cluster/members")).await?;
    let counted = said.json()["counted_replication_factor"] == 2;
    counted.then_some(()).ok_or_else(|| said.text())
}
