//! Nodes that come back where nobody expects them.

use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::ports;

use super::{import, pulled, traffic};
use crate::load::{Load, all_there};
use crate::nodes::down_everywhere;
use crate::stage;

const CLAIMS: usize = 3_000;

/// All pods restarted with new addresses (protocol, section 8).
const WHOLE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_back_under_new_addresses_and_nothing_moves() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let mut cluster = Cluster::start(3, &[]).await;
    import(&cluster, CLAIMS).await;
    cluster.equal(&http).await;

    // One, while the others go on. Nobody is told where it is.
    let load = Load::start(&cluster, "moved");
    traffic(&load).await;
    let seen = load.end().await;
    // A push that came late is repaired, which is not what is counted below.
    cluster.equal(&http).await;
    cluster.node(2).kill();
    let killed = Instant::now();
    let dead = cluster.node(2).name.clone();
    down_everywhere(&cluster, &http, &dead, killed).await;
    cluster.nodes[1].move_to_ports(ports::block());
    cluster.node(2).start();
    cluster.formed().await;
    cluster.equal(&http).await;
    assert_eq!(
        pulled(&http, &cluster.nodes[1..2]).await,
        0,
        "it had everything"
    );

    // All at once.
    cluster.nodes.iter().for_each(e2e::node::Node::kill);
    for node in &mut cluster.nodes {
        node.move_to_ports(ports::block());
    }
    cluster.introduce();
    let began = Instant::now();
    cluster.nodes.iter().for_each(e2e::node::Node::start);
    cluster.formed().await;
    let took = began.elapsed();
    stage::figure(&format!(
        "three nodes with new addresses are whole after {:.1} s",
        took.as_secs_f64()
    ));
    assert!(took <= WHOLE || !stage::times_count(), "{took:?}");
    cluster.equal(&http).await;
    assert_eq!(pulled(&http, &cluster.nodes).await, 0, "nothing moved");
    all_there(&cluster, &seen).await;
}
