//! What sessions move, and what they leave alone.

use std::time::{Duration, Instant};

use proto::v1;

use crate::cluster::{ASKED_ONLY, BRISK, Cluster, Plan, until};
use crate::store::{id_of, record};

/// Of a nudge: a machine that stands still for long lets the peer's own session come first.
const TRIES: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_is_repaired_in_both_directions_and_every_shard_is_proved() {
    let cluster = Cluster::start(BRISK, |stores| {
        for shard in 0..=8 {
            for store in stores {
                store.put_all(shard, 0..400);
            }
            stores[0].put_all(shard, 1_000..1_300);
        }
        stores[1].put_all(3, 2_000..14_000);
        stores[1].put_all(8, 2_000..2_001);
    })
    .await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("equal stores", || one.store.roots() == two.store.roots()).await;
    assert_eq!(one.store.len(), 9 * 700 + 12_001);
    for (here, there) in [(one, two), (two, one)] {
        until("proofs of every shard", || {
            here.proved(&there.name) == (0..=8).collect()
        })
        .await;
    }
    until("lag of 0", || one.status("node2").lag_seconds == 0.0).await;
    let status = one.status("node2");
    assert_eq!(status.pulled, 12_001);
    assert_eq!((status.refused, status.last_error.as_str()), (0, ""));
    // Where a record came from stays with it.
    let state = one.store.state();
    let origin = state.rows[&id_of(&record(3, 2_000))]
        .held
        .origin
        .clone()
        .unwrap();
    assert_eq!(origin.store_id[..], two.store.state().store_id[..]);
    assert!(origin.sequence > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_stand_in_come_home_and_cost_nothing_afterwards() {
    let plan = Plan { nodes: 3, ..BRISK };
    let mut foreign = Vec::new();
    let cluster = Cluster::start(plan, |stores| {
        for store in stores {
            store.put_all(8, 0..10);
        }
        // Taken while the owners were away: every shard, its own ones and foreign ones.
        for shard in 0..8 {
            stores[2].put_all(shard, 0..50);
            foreign.push(shard);
        }
    })
    .await;
    foreign.retain(|shard| !cluster.owned(2).contains(shard));
    assert!(!foreign.is_empty());
    for (index, node) in cluster.nodes[..2].iter().enumerate() {
        for shard in cluster.owned(index).range(..8) {
            until("its shards", || node.store.holds(&record(*shard, 49))).await;
        }
        until("proofs", || node.proved("node3") == cluster.owned(index)).await;
    }
    // The sets differ for ever, the sessions do not walk any more.
    let [one, _, three] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.sessions("node3", 2).await;
    cluster.nodes[1].sessions("node3", 2).await;
    three.store.forget_calls();
    one.sessions("node3", 3).await;
    assert_eq!(three.store.calls("Descend"), 0);
    assert!(
        three
            .store
            .state()
            .compare_bytes
            .iter()
            .all(|bytes| *bytes <= 256)
    );
    for shard in foreign {
        assert!(
            three.store.holds(&record(shard, 0)),
            "nothing is deleted by repair"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_finds_nothing_is_one_message_of_at_most_256_bytes() {
    let plan = Plan {
        nodes: 3,
        num_shards: 256,
        ..BRISK
    };
    let cluster = Cluster::start(plan, |stores| {
        for store in stores {
            for shard in 0..=256 {
                store.put_all(shard, 0..3);
            }
        }
    })
    .await;
    let [one, two, _] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("first proofs", || one.proved("node2") == cluster.owned(0)).await;
    one.sessions("node2", 1).await;
    two.store.forget_calls();
    let before = one.status("node2").sessions;
    one.sessions("node2", 3).await;
    let state = two.store.state();
    let calls: Vec<&str> = state.calls.keys().copied().collect();
    assert_eq!(calls, ["Compare"], "one question a session");
    assert!(!state.compare_bytes.is_empty());
    let largest = state.compare_bytes.iter().max().unwrap();
    assert!(*largest <= 256, "{largest} bytes");
    assert!(one.status("node2").sessions > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_pushed_only_when_somebody_asks() {
    let cluster = Cluster::start(ASKED_ONLY, |_| {}).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    for node in [one, two] {
        let peer = if node.name == "node1" {
            "node2"
        } else {
            "node1"
        };
        node.first_session(peer).await;
    }
    one.store.put_all(2, 0..30);
    let counted = one.sync("node2", true).await;
    assert_eq!(
        (counted.pulled, counted.pushed, counted.record_bytes),
        (0, 30, 0)
    );
    assert_eq!(two.store.len(), 0, "counting moves nothing");
    let counted = two.sync("node1", true).await;
    assert_eq!((counted.pulled, counted.pushed), (30, 0));
    assert_eq!(two.store.len(), 0);

    let outcome = one.sync("node2", false).await;
    assert_eq!(
        (outcome.pulled, outcome.pushed, outcome.error.as_str()),
        (0, 30, "")
    );
    assert!(outcome.record_bytes > 0 && outcome.round_trips > 0);
    assert_eq!(two.store.roots(), one.store.roots());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_starts_a_session_that_pushes() {
    // Of the pauses between sessions, only the one after a nudge is short.
    let plan = Plan {
        sync_interval: Duration::from_secs(8),
        ..ASKED_ONLY
    };
    let cluster = Cluster::start(plan, |_| {}).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    // Of both: the peer's own first session would pull the record before it is pushed.
    one.first_session("node2").await;
    two.first_session("node1").await;
    for number in 1..=TRIES {
        let own = two.status("node1").sessions;
        let (pushed, appends) = (one.status("node2").pushed, two.store.calls("Append"));
        one.store.put(record(4, number));
        one.nudge("node2").await;
        until("the record", || two.store.holds(&record(4, number))).await;
        until("who brought it", || {
            one.status("node2").pushed > pushed || two.status("node1").sessions > own
        })
        .await;
        if two.status("node1").sessions == own {
            assert_eq!(one.status("node2").pushed, pushed + 1);
            let came = two.store.calls("Append") - appends;
            assert_eq!(came, 1, "a peer brought it");
            return;
        }
    }
    panic!("the peer was quicker every time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn periodic_sessions_leave_the_push_to_the_peer() {
    let cluster = Cluster::start(BRISK, |stores| stores[0].put_all(1, 0..100)).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("the records", || two.store.len() == 100).await;
    one.sessions("node2", 2).await;
    assert_eq!(two.store.calls("Append"), 0, "its own sidecar brought them");
    assert_eq!(one.status("node2").pushed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_repair_is_cut_into_sessions_that_each_prove_what_they_finished() {
    let cluster = Cluster::start(ASKED_ONLY, |_| {}).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.first_session("node2").await;
    for shard in 0..8 {
        two.store.put_all(shard, 0..2_500);
    }
    one.store.state().append_takes = Duration::from_millis(400);
    one.store.forget_calls();
    let outcome = one.sync("node2", false).await;
    assert_eq!((outcome.pulled, outcome.error.as_str()), (20_000, ""));
    assert_eq!(one.store.len(), 20_000);
    let state = one.store.state();
    let proved = |report: &v1::ReportProofsRequest| -> Vec<u32> {
        let ranges = report.proofs.iter().flat_map(|proof| &proof.shards);
        ranges.map(|range| range.last + 1 - range.first).collect()
    };
    let counts: Vec<u32> = state
        .reports
        .iter()
        .map(|(_, report)| proved(report).iter().sum())
        .filter(|count| *count > 0)
        .collect();
    assert!(counts.len() >= 2, "more than one session: {counts:?}");
    assert!(counts.is_sorted() && counts[0] < 9, "{counts:?}");
    assert_eq!(counts.last(), Some(&9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_peers_have_is_on_its_way_once() {
    let cluster = Cluster::start(Plan { nodes: 3, ..BRISK }, |_| {}).await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.pause(true).await;
    // The global shard, of which both have everything.
    for node in [two, three] {
        node.store.put_all(8, 0..300);
    }
    let to_do = |peer: &str| one.status(peer).task.map_or(0, |task| task.records_to_do);
    until("both peers have them to give", || {
        to_do("node2") == 300 && to_do("node3") == 300
    })
    .await;
    let moving = one.moving().await.unwrap();
    assert_eq!((moving.records_done, moving.records_to_do), (0, 300));
    assert_eq!(moving.shards, [8]);
    one.pause(false).await;
    until("the records", || one.store.len() == 300).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(moving) = one.moving().await {
        assert!(Instant::now() < deadline, "{moving:?}");
    }
}
