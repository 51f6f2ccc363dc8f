//! When a session waits for what may be on its way by push.

use crate::cluster::{ASKED_ONLY, Cluster, Node, until};
use crate::store::record;

/// How long a session waits that has a reason to.
const SETTLE_MS: u64 = 100;

/// Sessions of which one has to be quicker than the wait: a busy machine slows any of them.
const TRIES: u32 = 20;

/// Milliseconds of a session that brings one record which only the peer has.
async fn brings(one: &Node, two: &Node, number: u32) -> u64 {
    two.store.put(record(3, number));
    let said = one.sync("node2", false).await;
    assert_eq!((said.pulled, said.error.as_str()), (1, ""));
    said.took_ms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_waits_after_traffic_and_not_after_a_repair() {
    let cluster = Cluster::start(ASKED_ONLY, |stores| stores[1].put_all(3, 0..20)).await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    one.first_session("node2").await;
    until("the records", || one.store.len() == 20).await;
    let mut fastest = u64::MAX;
    for number in 100..100 + TRIES {
        fastest = fastest.min(brings(one, two, number).await);
        if fastest < SETTLE_MS {
            break;
        }
    }
    assert!(fastest < SETTLE_MS, "{fastest} ms after a repair");

    // A client writes here: its other records may be on their way.
    for number in 200..203 {
        one.store.put(record(5, number));
        let took = brings(one, two, number).await;
        assert!(took >= SETTLE_MS, "{took} ms after a write");
    }
}
