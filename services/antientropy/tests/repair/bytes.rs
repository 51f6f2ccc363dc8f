//! What repair costs on the wire, counted there: with HTTP/2, headers and all.

use bytes::Bytes;

use crate::cluster::{ASKED_ONLY, Cluster, Plan};

/// As many shards as a cluster has unless told otherwise.
const PLAN: Plan = Plan {
    num_shards: 256,
    ..ASKED_ONLY
};

const ALL: u32 = 100_000;
const MISSING: u32 = 1_000;

/// A claim of usual length, and the trace of its write. What tells real claims apart does so here: subject, value, day and
/// place in the source.
fn claim(number: u32) -> (Bytes, [u8; 16]) {
    let hash = blake3::hash(&number.to_be_bytes());
    let digits = hash.to_hex();
    let trace = hash.as_bytes()[16..].try_into().unwrap();
    let claim = format!(
        r#"{}/{{"asserted_at":"2026-03-{:02}T09:26:53.5Z","kind":"assertion","object":{{"type":"number","unit":"K","value":{}.{:02}}},"predicate":"normal_boiling_point","source":{{"class":"database","uri":"https://webbook.nist.gov/cgi/cbook.cgi?ID=C{}"}},"subject":"inchikey:{}"}}"#,
        number % PLAN.num_shards,
        number % 28 + 1,
        number % 971,
        number % 97,
        number % 99_991,
        digits[..27].to_uppercase(),
    );
    (Bytes::from(claim), trace)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_missing_of_a_hundred_thousand_move_little_more_than_their_bytes() {
    let mut missing: Vec<(Bytes, [u8; 16])> = Vec::new();
    let cluster = Cluster::start(PLAN, |stores| {
        for number in 0..ALL {
            let (claim, trace) = claim(number);
            if number % (ALL / MISSING) == 0 {
                missing.push((claim, trace));
            } else {
                stores[0].put_traced(claim.clone(), trace);
                stores[1].put_traced(claim, trace);
            }
        }
    })
    .await;
    let [one, two] = &cluster.nodes[..] else {
        unreachable!()
    };
    // From here on only this node asks, and only when it is told to.
    one.first_session("node2").await;
    two.first_session("node1").await;
    let bytes: u64 = missing.iter().map(|(claim, _)| claim.len() as u64).sum();
    for (claim, trace) in missing {
        two.store.put_traced(claim, trace);
    }
    let before = two.wire.bytes();
    one.sync("node2", false).await;
    let moved = two.wire.bytes() - before;
    assert_eq!(one.status("node2").pulled, u64::from(MISSING));
    assert!(moved * 100 <= bytes * 110, "{moved} B for {bytes} B");

    two.store.forget_calls();
    let before = two.wire.bytes();
    one.sync("node2", false).await;
    let equal = two.wire.bytes() - before;
    let message = two.store.state().compare_bytes.clone();
    assert!(message.len() == 1 && message[0] <= 256, "{message:?}");
    assert!(equal <= 512, "{equal}");

    two.store.put_traced(claim(ALL).0, claim(ALL).1);
    two.store.forget_calls();
    let before = two.wire.bytes();
    one.sync("node2", false).await;
    let bytes = two.wire.bytes() - before;
    let trips: usize = two.store.state().calls.values().sum();
    assert!(one.store.holds(&claim(ALL).0));
    assert!(trips <= 4 && bytes <= 6 * 1024, "{trips}, {bytes}");
}
