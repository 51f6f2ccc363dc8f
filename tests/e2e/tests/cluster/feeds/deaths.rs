//! Every node dies once, all four processes at once, while readers follow: they go on elsewhere and miss nothing.

use std::time::Duration;

use e2e::eventually;
use e2e::http::Http;

use super::reader::Reader;
use super::watch::Watch;
use crate::load::{GOES_ON, Load, all_there};
use crate::stage;

/// Writes that are acknowledged while a node is dead.
const WITHOUT_IT: usize = 60;

/// Until a reader has what was acknowledged, over the death of its gateway.
const LAG_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_outlive_the_death_of_any_node_and_miss_nothing() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let watch = Watch::start(&cluster, "start");
    let readers = [
        Reader::start(&cluster, 1, "start").await,
        Reader::start(&cluster, 2, "start").await,
    ];
    let load = Load::start(&cluster, "deaths");
    for number in 1..=cluster.nodes.len() {
        written(&load, load.so_far().count() + WITHOUT_IT).await;
        cluster.node(number).kill();
        written(&load, load.so_far().count() + WITHOUT_IT).await;
        let ids = load.so_far().ids();
        watch.has(&ids, LAG_MAX).await;
        for reader in &readers {
            reader.has(&ids, LAG_MAX).await;
        }
        cluster.node(number).start();
        cluster.formed().await;
        cluster.equal(&http).await;
    }
    let seen = load.end().await;
    let ids = seen.ids();
    watch.has(&ids, LAG_MAX).await;
    for reader in &readers {
        reader.has(&ids, LAG_MAX).await;
        let seen = reader.seen();
        assert!(seen.connections > 1, "its gateway died");
        stage::figure(&format!(
            "a reader over the deaths of all nodes: {} records, {} repeats, {} connections",
            seen.ids.len(),
            seen.repeated,
            seen.connections
        ));
    }
    assert_eq!(watch.repeated(), [""; 0], "watch prints each record once");
    stage::figure(&format!("clients: {}", seen.figures()));
    all_there(&cluster, &seen).await;
}

async fn written(load: &Load, count: usize) {
    eventually("traffic", GOES_ON, || async {
        let written = load.so_far().count();
        (written >= count).then_some(()).ok_or(written.to_string())
    })
    .await;
}
