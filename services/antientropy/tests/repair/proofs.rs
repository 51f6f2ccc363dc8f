//! Proofs are true, whatever is written meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stemedb_antientropy::pace::YOUNG;

use crate::cluster::{BRISK, Cluster, Node, Plan, until};
use crate::store::{TestStore, record};

/// How long clients write at least; and until there were some sessions.
const WRITING: Duration = Duration::from_secs(3);

/// Holds every proof against what the peer held when the session started, and when it was here.
fn check(node: &Node, peer: &Node) -> usize {
    let theirs = peer.store.state();
    let ours = node.store.state();
    let mut checked = 0;
    for (arrived, report) in &ours.reports {
        for proof in &report.proofs {
            let start = proof.proved_at_boot_ms + YOUNG.as_millis() as u64;
            let proved: BTreeSet<u32> = proof
                .shards
                .iter()
                .flat_map(|run| run.first..=run.last)
                .collect();
            let at_start = theirs.rows.iter().filter(|(_, row)| row.boot_ms < start);
            for (id, _) in at_start.filter(|(_, row)| proved.contains(&row.held.shard)) {
                let here = ours.rows.get(id).map(|row| row.boot_ms);
                assert!(
                    here.is_some_and(|here| here <= *arrived),
                    "proved at {arrived}, here: {here:?}"
                );
                checked += 1;
            }
        }
    }
    checked
}

/// Writes as gateways do: to one store, and to the other unless the push fails.
async fn write(stores: [TestStore; 2], from: u32, ended: Arc<AtomicBool>) {
    let mut pause = tokio::time::interval(Duration::from_millis(2));
    let mut number = from;
    while !ended.load(Ordering::Relaxed) {
        pause.tick().await;
        let record = record(number % 9, number);
        stores[0].put(record.clone());
        if !number.is_multiple_of(10) {
            tokio::task::yield_now().await;
            stores[1].put(record);
        }
        number += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proof_is_true_while_clients_write_and_pushes_fail() {
    let cluster = Cluster::start(BRISK, |_| {}).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    let stores = [one.store.clone(), two.store.clone()];
    let swapped = [two.store.clone(), one.store.clone()];
    let ended = Arc::new(AtomicBool::new(false));
    let writers = [(stores, 0), (swapped, 1_000_000)]
        .map(|(stores, from)| tokio::spawn(write(stores, from, Arc::clone(&ended))));
    let begun = Instant::now();
    until("some sessions while clients write", || {
        let sessions = |node: &Node, peer: &str| node.status(peer).sessions;
        begun.elapsed() >= WRITING && sessions(one, "node2") > 3 && sessions(two, "node1") > 3
    })
    .await;
    ended.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    until("equal stores", || one.store.roots() == two.store.roots()).await;
    one.sessions("node2", 1).await;
    two.sessions("node1", 1).await;
    let checked = check(one, two) + check(two, one);
    assert!(checked > one.store.len(), "many proofs: {checked}");
    // Push brought most of them: repair moved what push missed, and little beside it.
    let pulled = one.status("node2").pulled + two.status("node1").pulled;
    let all = one.store.len() as u64;
    assert!(pulled >= all / 10 && pulled <= all / 4, "{pulled} of {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_reported_before_the_cluster_is_formed_and_everything_after() {
    let plan = Plan { nodes: 3, ..BRISK };
    let mut cluster = Cluster::start(plan, |_| {}).await;
    let [one, ..] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("a proof", || !one.proved("node2").is_empty()).await;
    let report = one.store.state().reports.last().cloned().unwrap().1;
    assert_eq!(report.known, ["node1", "node2", "node3"]);
    assert_eq!(
        (report.node.as_str(), report.replication_factor),
        ("node1", 2)
    );

    cluster.show(|view| view.cluster_id.clear());
    let [one, ..] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("no session without a cluster", || {
        one.status("node2").last_error.contains("not formed")
    })
    .await;
}
