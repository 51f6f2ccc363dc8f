//! Rows that do not belong where they are.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::v1;

use crate::cluster::{BRISK, Cluster, Plan, until};
use crate::store::{TestStore, id_of, record};

/// Long enough to be noticed, short enough to wait for.
const HOLD: Plan = Plan {
    nodes: 3,
    hold: Duration::from_secs(1),
    ..BRISK
};

/// Everything at the third node, as at a stand-in for all.
fn at_the_third(stores: &[TestStore]) {
    for shard in 0..=8 {
        stores[2].put_all(shard, 0..300);
    }
}

/// Records in shards that this node does not own.
fn foreign(cluster: &Cluster, index: usize) -> usize {
    let owned = cluster.owned(index);
    let state = cluster.nodes[index].store.state();
    let shards = state
        .trees
        .iter()
        .filter(|(shard, _)| !owned.contains(shard));
    shards.map(|(_, tree)| tree.len()).sum()
}

fn own_shards(cluster: &Cluster, index: usize) -> usize {
    cluster.owned(index).range(..8).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_hold_time_no_stand_in_holds_rows() {
    let began = std::time::Instant::now();
    let cluster = Cluster::start(HOLD, at_the_third).await;
    let three = &cluster.nodes[2];
    // Not counted: a slow machine may be past the hold time here.
    let before = (8 - own_shards(&cluster, 2)) * 300;
    assert!(before >= 300, "{before}");
    until("no foreign rows", || foreign(&cluster, 2) == 0).await;
    assert!(began.elapsed() >= HOLD.hold);
    for index in 0..3 {
        let expected = own_shards(&cluster, index) * 300 + 300;
        until("all of the own rows", || {
            cluster.nodes[index].store.len() == expected
        })
        .await;
    }
    let home = loop {
        let home = three.home().await;
        if home.state == "idle" && home.foreign_records == 0 {
            break home;
        }
    };
    assert_eq!(home.released_records, before as u64);
    assert!(home.waiting_for.is_empty(), "{}", home.waiting_for);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_does_not_vouch_for_stays() {
    let unsettled = id_of(&record(0, 7));
    let cluster = Cluster::start(HOLD, |stores| {
        at_the_third(stores);
        stores[0].set_down(true);
        for store in &stores[..2] {
            store.state().unsettled.insert(unsettled);
        }
    })
    .await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!()
    };
    // Two stores for three nodes: each shard that the third does not own belongs to both others.
    let before = foreign(&cluster, 2);
    until("what it owns", || {
        two.store.len() == own_shards(&cluster, 1) * 300 + 300
    })
    .await;
    let home = loop {
        let home = three.home().await;
        let says_why = home.state != "idle" || home.waiting_for.is_empty();
        assert!(says_why, "{home:?}");
        if home.state == "waiting" && home.waiting_for.contains("node1") {
            break home;
        }
    };
    assert_eq!((home.released_records, foreign(&cluster, 2)), (0, before));
    one.store.set_down(false);
    let lies_there = !cluster.owned(2).contains(&0);
    let left = usize::from(lies_there);
    until("the others go", || foreign(&cluster, 2) == left).await;
    assert!(three.store.holds(&record(0, 7)));
    for store in [&one.store, &two.store] {
        store.state().unsettled.clear();
    }
    until("the last one goes", || foreign(&cluster, 2) == 0).await;
    assert!(one.store.holds(&record(0, 7)) || two.store.holds(&record(0, 7)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_own_store_keeps_are_waited_for_with_its_reason() {
    let cluster = Cluster::start(HOLD, |stores| {
        at_the_third(stores);
        stores[2].state().keeps = true;
    })
    .await;
    let three = &cluster.nodes[2];
    let why = shard::homecoming::Kept::Absent.to_string();
    loop {
        let home = three.home().await;
        let says_why = home.state != "idle" || home.waiting_for.is_empty();
        assert!(says_why, "{home:?}");
        if home.state == "waiting" && home.waiting_for == why {
            break;
        }
    }
    assert!(foreign(&cluster, 2) > 0);
    three.store.state().keeps = false;
    until("they go", || foreign(&cluster, 2) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_old_fetches_again_what_it_gave_up() {
    let mut cluster = Cluster::start(HOLD, at_the_third).await;
    until("no foreign rows", || foreign(&cluster, 2) == 0).await;
    until("all at home", || {
        (0..2).all(|index| {
            cluster.nodes[index].store.len() == own_shards(&cluster, index) * 300 + 300
        })
    })
    .await;
    // It owns everything again, and remembers nothing that is not so any more.
    cluster.show(|view| view.placement = vec!["node1".into(), "node3".into()]);
    let three = &cluster.nodes[2];
    three.store.forget_calls();
    until("everything again", || three.store.len() == 9 * 300).await;
    let all: BTreeSet<u32> = (0..=8).collect();
    until("and proofs of it", || {
        three.proved("node1") == all && three.proved("node2") == all
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_goes_when_every_row_is_confirmed_and_deletes_none() {
    let unsettled = id_of(&record(8, 3));
    let mut cluster = Cluster::start(HOLD, |stores| {
        at_the_third(stores);
        stores[1].state().unsettled.insert(unsettled);
    })
    .await;
    cluster.show(|view| {
        view.members[2].phase = v1::Phase::Leaving.into();
        view.placement = vec!["node1".into(), "node2".into()];
    });
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!()
    };
    until("the others have it", || {
        one.store.len() == 9 * 300 && two.store.len() == 9 * 300
    })
    .await;
    let home = loop {
        let home = three.home().await;
        if home.foreign_records == 300 && home.waiting_for.contains("shard 8") {
            break home;
        }
    };
    assert_eq!((home.foreign_shards, three.departures()), (1, 0));
    assert!(three.store.state().reports.last().unwrap().1.leaving);
    // What comes in the middle is handed over, too.
    three.store.put(record(2, 9_999));
    two.store.state().unsettled.clear();
    until("it departs, until somebody knows", || {
        three.departures() >= 2
    })
    .await;
    for store in [&one.store, &two.store] {
        assert!(store.holds(&record(2, 9_999)));
    }
    assert_eq!(three.store.len(), 9 * 300 + 1);
    assert_eq!(three.home().await.released_records, 0);
}
