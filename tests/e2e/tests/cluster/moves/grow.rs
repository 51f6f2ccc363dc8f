//! Three nodes become five and three again, under load: little more moves than must, nothing is lost, and nobody is told less than
//! there is.

use std::time::Instant;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::node::Node;
use e2e::{command, eventually};
use serde_json::Value;

use super::{SOON, import, pulled, traffic};
use crate::load::{Load, all_there};
use crate::stage;

const CLAIMS: usize = 12_000;

/// Seconds that nodes keep what is not theirs any more, in this test.
const HOLD_S: &str = "2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_become_five_and_three_again_under_load() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let mut cluster = Cluster::start(3, &[("STEMEDB_HOLD_S", HOLD_S)]).await;
    let imported = import(&cluster, CLAIMS).await;
    let load = Load::start(&cluster, "grow");
    traffic(&load).await;
    let before = pulled(&http, &cluster.nodes).await;

    let began = Instant::now();
    for _ in 0..2 {
        cluster.plan_one_more().start();
    }
    cluster.formed().await;
    let said = placed(&http, cluster.node(1), 5).await;
    let joined = began.elapsed();
    balanced(&said);
    let equal = cluster.equal(&http).await;
    let whole = began.elapsed();
    traffic(&load).await;
    let moved = pulled(&http, &cluster.nodes).await - before;
    let records = equal["distinct_records"].as_u64().expect("a number");
    // One after the other: the fourth node gets 2/4 of all records, the fifth 2/5 (docs/adr/0002-placement.md).
    let must = records * 2 / 4 + records * 2 / 5;
    stage::figure(&format!(
        "3 to 5 nodes with {imported} claims: joined after {:.1} s, equal after {:.1} s, {moved} records moved where {must} must",
        joined.as_secs_f64(),
        whole.as_secs_f64()
    ));
    let bound = must * 13 / 10;
    assert!(moved <= bound, "{moved} moved, {must} must: {said}");

    for number in [5, 4] {
        let began = Instant::now();
        leave(&cluster, &cluster.node(number).name).await;
        cluster.nodes.pop().expect("it is the last").kill();
        stage::figure(&format!(
            "node{number} handed everything over in {:.1} s",
            began.elapsed().as_secs_f64()
        ));
    }
    let said = placed(&http, cluster.node(1), 3).await;
    balanced(&said);
    cluster.equal(&http).await;
    traffic(&load).await;
    let seen = load.end().await;
    stage::figure(&format!("clients: {}", seen.figures()));
    all_there(&cluster, &seen).await;
    let home = eventually("no foreign rows after the hold time", SOON, || async {
        let said = cluster.verify(&http).await?;
        let good = said["equal"] == true && said["foreign"] == 0;
        good.then(|| said.clone()).ok_or_else(|| said.to_string())
    })
    .await;
    let wanted = imported + seen.count() + seen.accepted;
    assert_eq!(home["distinct_records"], wanted, "{home}");
}

/// As an operator does it.
async fn leave(cluster: &Cluster, name: &str) {
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.admin("")).collect();
    let urls = urls.join(",");
    let ended = command::run(&["node", "leave", name, "--wait", "60", "--url", &urls]).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    assert!(ended.out.contains("has LEFT"), "{}", ended.out);
}

/// `GET /cluster/placement` of a node, once as many own shards.
async fn placed(http: &Http, node: &Node, owners: usize) -> Value {
    eventually("everybody owns shards", SOON, || async {
        let said = http.get(&node.admin("/cluster/placement")).await?.json();
        let owning = shards(&said).filter(|shards| *shards > 0).count();
        (owning == owners)
            .then(|| said.clone())
            .ok_or_else(|| said.to_string())
    })
    .await
}

fn shards(said: &Value) -> impl Iterator<Item = u64> {
    let nodes = said["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["shards"].as_u64())
}

/// No two nodes differ by more than one shard.
fn balanced(said: &Value) {
    let (least, most) = (shards(said).min(), shards(said).max());
    assert!(
        least
            .zip(most)
            .is_some_and(|(least, most)| most - least <= 1),
        "{said}"
    );
}
