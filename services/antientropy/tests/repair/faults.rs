//! Stores that refuse, lie, vanish or are replaced, and peers that are away.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use proto::v1;
use stemedb_antientropy::metrics;

use crate::cluster::{ASKED_ONLY, BRISK, Cluster, Plan, until};
use crate::store::{id_of, record};

fn all_but(shard: u32) -> BTreeSet<u32> {
    (0..=8).filter(|other| *other != shard).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_blocks_the_proof_of_its_shard_and_is_tried_with_back_off() {
    let strange = record(5, 7);
    let begun = Instant::now();
    let cluster = Cluster::start(BRISK, |stores| {
        stores[0].state().refused.insert(id_of(&strange));
        stores[1].put_all(5, 0..20);
        stores[1].put_all(6, 0..20);
    })
    .await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("all but one", || one.store.len() == 39).await;
    one.sessions("node2", 8).await;
    assert_eq!(one.proved("node2"), all_but(5));
    let status = one.status("node2");
    assert_eq!(status.refused, 1);
    assert!(status.lag_seconds > 0.0, "not in step");
    let fetches = two.store.calls("Fetch");
    // After one second, two more, four more: so often in that time, and a few for what came at first.
    let retries = (begun.elapsed().as_secs() + 1).ilog2() as usize;
    assert!(
        fetches <= 4 + retries,
        "{fetches} fetches in {} sessions, {retries} retries",
        status.sessions
    );

    one.store.state().refused.clear();
    until("the record", || one.store.holds(&strange)).await;
    until("its proof", || one.proved("node2").contains(&5)).await;
    until("no refusal", || one.status("node2").refused == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_do_not_hash_to_their_id_are_not_stored() {
    let cluster = Cluster::start(BRISK, |stores| {
        stores[1].put_all(2, 0..20);
        let forged = Bytes::from_static(b"2/forged");
        stores[1].state().forged = Some((id_of(&record(2, 3)), forged));
    })
    .await;
    let [one, _] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("the others", || one.store.len() == 19).await;
    one.sessions("node2", 2).await;
    assert!(!one.store.holds(b"2/forged"));
    assert_eq!(one.proved("node2"), all_but(2));
    assert_eq!(one.status("node2").refused, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_peer_is_named_and_costs_only_the_proof_of_what_it_lies_about() {
    let cluster = Cluster::start(BRISK, |stores| {
        stores[1].put_all(2, 0..20);
        stores[1].state().lies = true;
    })
    .await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("the error", || {
        one.status("node2")
            .last_error
            .contains("remote store answered Descend wrongly")
    })
    .await;
    until("the other proofs", || one.proved("node2") == all_but(2)).await;
    assert_eq!(one.store.len(), 0);
    two.store.state().lies = false;
    until("the records", || one.store.len() == 20).await;
    until("no error", || one.status("node2").last_error.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_proved_when_the_own_store_is_replaced_during_the_session() {
    let cluster = Cluster::start(ASKED_ONLY, |_| {}).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.first_session("node2").await;
    two.store.put_all(2, 0..20);
    one.store.state().replaced_at_append = true;
    one.store.forget_calls();
    let outcome = one.sync("node2", false).await;
    assert!(
        outcome.error.contains("local store was replaced"),
        "{}",
        outcome.error
    );
    assert!(one.proved("node2").is_empty());
    assert_eq!(one.store.len(), 0);
    // The new one is filled from the start: what was remembered of the old one does not count.
    let outcome = one.sync("node2", false).await;
    assert_eq!((outcome.pulled, outcome.error.as_str()), (20, ""));
    assert_eq!(one.proved("node2").len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lag_of_a_dead_peer_grows_until_it_is_back_and_ends_when_it_is_forgotten() {
    let mut cluster = Cluster::start(BRISK, |_| {}).await;
    let lag = |cluster: &Cluster| cluster.nodes[0].status("node2").lag_seconds;
    until("in step", || {
        cluster.nodes[0].status("node2").sessions > 0 && lag(&cluster) == 0.0
    })
    .await;

    cluster.nodes[1].store.set_down(true);
    cluster.show(|view| view.members[1].set_status(v1::Status::Down));
    until("a growing lag", || lag(&cluster) > 1.0).await;
    until("the reason", || {
        let status = cluster.nodes[0].status("node2");
        status.last_error.contains("the node is down")
    })
    .await;
    // A client's write during the outage; nobody has to say that the peer is back.
    cluster.nodes[1].store.put(record(3, 1));
    cluster.nodes[1].store.set_down(false);
    until("the record", || cluster.nodes[0].store.holds(&record(3, 1))).await;
    until("in step again", || lag(&cluster) == 0.0).await;

    cluster.nodes[1].store.set_down(true);
    let text = metrics::standing(&cluster.nodes[0].statuses().await);
    assert!(
        text.contains("replication_lag_seconds{peer=\"node2\"}"),
        "{text}"
    );
    cluster.show(|view| view.members.truncate(1));
    until("no such peer", || cluster.nodes[0].peers.all().is_empty()).await;
    let text = metrics::standing(&cluster.nodes[0].statuses().await);
    assert!(!text.contains("node2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_counts_as_absent_is_reported_as_such() {
    let cluster = Cluster::start(BRISK, |stores| stores[1].state().counts_as_absent = true).await;
    let [one, _] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("proofs", || !one.proved("node2").is_empty()).await;
    let state = one.store.state();
    let mut proofs = state.reports.iter().flat_map(|(_, report)| &report.proofs);
    assert!(proofs.all(|proof| proof.peer_counts_as_absent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_is_told_how_far_it_was_seen() {
    let cluster = Cluster::start(BRISK, |stores| stores[1].state().sequence = 1_000).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.sessions("node2", 2).await;
    let state = two.store.state();
    assert_eq!(state.seen[0], (Bytes::new(), 0, 0), "nothing was seen");
    let id = Bytes::copy_from_slice(&state.store_id);
    assert_eq!(state.seen[1], (id, u64::MAX, 1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_counts_as_absent_is_proved_every_shard_there_is() {
    let three = Plan { nodes: 3, ..BRISK };
    let cluster = Cluster::start(three, |stores| stores[0].state().counts_as_absent = true).await;
    let node = &cluster.nodes[0];
    let owned = cluster.owned(0);
    let every: BTreeSet<u32> = (0..=three.num_shards).collect();
    assert!(owned.len() < every.len(), "with three nodes and two copies");
    for peer in ["node2", "node3"] {
        until("proofs of every shard", || node.proved(peer) == every).await;
    }
    // What it is told that it owns does not change with that.
    let state = node.store.state();
    let (_, report) = state.reports.last().unwrap();
    let told: u32 = report
        .owned
        .iter()
        .map(|run| run.last - run.first + 1)
        .sum();
    assert_eq!(told as usize, owned.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_lost_comes_again_from_whom_it_was_remembered_to_have_nothing_new() {
    let plan = Plan { nodes: 3, ..BRISK };
    let cluster = Cluster::start(plan, |_| {}).await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!()
    };
    let (owned, foreign) = (cluster.owned(0), cluster.owned(2));
    let shard = *owned.difference(&foreign).next().unwrap();
    // Of two that it does not own it lacks one later.
    let others: Vec<u32> = (0..8).filter(|shard| !owned.contains(shard)).collect();
    three.store.put(record(shard, 1));
    for shard in &others[..2] {
        three.store.put_all(*shard, 0..5);
    }
    until("the record", || one.store.holds(&record(shard, 1))).await;
    one.sessions("node3", 2).await;
    two.store.set_down(true);
    one.store.state().lose(&record(shard, 1));
    until("it again", || one.store.holds(&record(shard, 1))).await;
    assert_eq!(one.store.len(), 1, "and nothing that others own");

    one.store.state().lacking = vec![others[0]];
    until("the shard that it lacks", || one.store.len() == 6).await;
    one.sessions("node3", 2).await;
    assert!((0..5).all(|number| one.store.holds(&record(others[0], number))));
    assert_eq!(one.store.len(), 6, "and no other");
}
