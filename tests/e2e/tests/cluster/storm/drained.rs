//! A node is told to end while clients use it, as in a rolling restart.

use std::time::{Duration, Instant};

use e2e::eventually;
use e2e::http::Http;
use rustix::process::Signal;

use crate::load::{GOES_ON, Load, all_there};
use crate::stage;

/// Below the 30 s that an orchestrator gives.
const GRACE: Duration = Duration::from_secs(20);

/// Calls before, during and after.
const CALLS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_call_fails_when_a_node_is_asked_to_end() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let load = Load::start(&cluster, "drained");
    more(&load).await;
    let node = cluster.node(3);
    let asked = Instant::now();
    node.signal(Signal::TERM);
    eventually("all four end", GRACE, || async { running(node) }).await;
    let ended = asked.elapsed();
    assert_eq!(
        node.wait(GRACE),
        [Some(0); 4],
        "an end on request is no failure"
    );
    more(&load).await;
    node.start();
    cluster.formed().await;
    more(&load).await;
    let seen = load.end().await;
    stage::figure(&format!(
        "a node ended {:.1} s after SIGTERM: {}",
        ended.as_secs_f64(),
        seen.figures()
    ));
    cluster.equal(&http).await;
    all_there(&cluster, &seen).await;
}

fn running(node: &e2e::node::Node) -> Result<(), String> {
    let running: Vec<&str> = e2e::node::SERVICES
        .into_iter()
        .filter(|service| node.runs(service))
        .collect();
    running
        .is_empty()
        .then_some(())
        .ok_or_else(|| format!("{running:?} run"))
}

async fn more(load: &Load) {
    let before = load.so_far();
    eventually("writes and reads", GOES_ON, || async {
        let now = load.so_far();
        let enough = now.count() >= before.count() + CALLS && now.reads >= before.reads + CALLS;
        enough.then_some(()).ok_or_else(|| format!("{now:?}"))
    })
    .await;
}
