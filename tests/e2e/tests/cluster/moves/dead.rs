//! A node that stays dead: after the delay every record has its copies again.

use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;

use super::{import, soon, traffic};
use crate::load::{Load, all_there};
use crate::nodes::down_everywhere;
use crate::stage;

const CLAIMS: usize = 4_000;

/// Seconds that a dead node keeps its shards in this test.
const DELAY_S: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_delay_every_record_of_a_dead_node_is_on_two_nodes_again() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let delay = DELAY_S.to_string();
    let cluster = Cluster::start(3, &[("STEMEDB_REBALANCE_DELAY_S", &delay)]).await;
    let imported = import(&cluster, CLAIMS).await;
    let load = Load::start(&cluster, "dead");
    traffic(&load).await;

    let victim = cluster.node(3);
    victim.kill();
    let killed = Instant::now();
    down_everywhere(&cluster, &http, &victim.name, killed).await;
    eventually("every record is on two nodes", soon(imported), || async {
        let said = cluster.verify(&http).await?;
        let good = said["under_replicated"] == 0 && said["missing_at_owners"] == 0;
        let waited = killed.elapsed() > Duration::from_secs(DELAY_S);
        (good && waited)
            .then_some(())
            .ok_or_else(|| said.to_string())
    })
    .await;
    stage::figure(&format!(
        "{:.1} s after a death every one of {imported} claims is on two nodes again, with a delay of {DELAY_S} s",
        killed.elapsed().as_secs_f64()
    ));
    traffic(&load).await;
    victim.start();
    cluster.formed().await;
    cluster.whole(&http, soon(imported), false).await;
    let seen = load.end().await;
    stage::figure(&format!("clients: {}", seen.figures()));
    all_there(&cluster, &seen).await;
}
