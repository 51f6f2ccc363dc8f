//! A reader stops reading while writers go on: nobody but itself is held up, nothing piles up for it, nothing is lost. Who is
//! held up is told by the same writers and readers shortly before, when everybody reads.

use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::{eventually, process};

use super::reader::Reader;
use super::writers::{SOON, Writers};
use crate::stage;

/// Writes a second: what a development build holds for certain on two cores that others use, too. By hand, with a release build
/// and the machine to itself: E2E_PROGRAMS=target/release FEED_RATE=1000 FEED_CALM_S=60 FEED_STALL_S=60 FEED_NOTE=512.
const RATE: u32 = 50;

/// How long everybody reads, before.
const CALM_S: u32 = 10;

/// How long the reader does not read.
const STALL_S: u32 = 30;

/// Bytes of note in each record: what passes the reader by has to be more than [`GROWTH_MAX`], and than kernels buffer.
const NOTE: u32 = 12_000;

/// What the resident memory of the gateway may grow by while the reader stalls: a page of each store for each of its readers,
/// their windows of 65,536 ids, and what its allocator keeps of the writes in hand.
const GROWTH_MAX: usize = 16 * 1024 * 1024;

/// How many times longer than before the median write may take, and how much longer it may take in any case: a bound that a
/// busy machine keeps, and writers that wait for a reader do not.
const SLOWER_MAX: u32 = 3;
const SLOWER_IN_ANY_CASE: Duration = Duration::from_millis(50);

/// How long what passed by may take to come after all: seconds as a rule, a minute when the kernel hands over a small window at a
/// time and waits for each to be confirmed.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(180);

/// How far the others may be behind what is acknowledged.
const LAG_MAX: Duration = Duration::from_secs(10);

/// A figure from the environment, for runs by hand.
fn given(key: &str, otherwise: u32) -> u32 {
    let given = std::env::var(key).ok();
    given.map_or(otherwise, |given| given.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_holds_up_nobody_and_loses_nothing() {
    let cluster = stage::storm().await;
    let rate = given("FEED_RATE", RATE);
    let stall = Duration::from_secs(given("FEED_STALL_S", STALL_S).into());
    let stalls = Reader::start(&cluster, 1, "now").await;
    let beside = Reader::start(&cluster, 1, "now").await;
    let elsewhere = Reader::start(&cluster, 2, "now").await;
    let writers = Writers::start(&cluster, rate, given("FEED_NOTE", NOTE) as usize);
    more(&writers, rate as usize).await;

    let (warm, mut checked) = (writers.so_far().took.len(), 0);
    let calm = Duration::from_secs(given("FEED_CALM_S", CALM_S).into());
    for_a_while(calm, async || {
        let ids = fresh(&writers, &mut checked).await;
        for reader in [&stalls, &beside, &elsewhere] {
            reader.has(&ids, LAG_MAX).await;
        }
    })
    .await;

    stalls.stall(true);
    let (read, passed) = (stalls.seen().ids.len(), beside.seen().bytes);
    let (before, stalled_from) = (resident(&cluster), writers.so_far().took.len());
    let mut most = before;
    for_a_while(stall, async || {
        let ids = fresh(&writers, &mut checked).await;
        for reader in [&beside, &elsewhere] {
            reader.has(&ids, LAG_MAX).await;
        }
        most = most.max(resident(&cluster));
    })
    .await;
    // The line in hand may have been taken.
    assert!(stalls.seen().ids.len() <= read + 1, "it did not stall");
    let passed = beside.seen().bytes - passed;
    assert!(
        passed > GROWTH_MAX,
        "{passed} bytes would have fitted anywhere"
    );
    let growth = most.saturating_sub(before);
    let stalled = writers.so_far().took.len();

    stalls.stall(false);
    let resumed = Instant::now();
    let written = writers.end().await;
    let ids = &written.acknowledged;
    stalls.has(ids, CAUGHT_UP_MAX).await;
    let caught_up = resumed.elapsed();
    for reader in [&beside, &elsewhere] {
        reader.has(ids, LAG_MAX).await;
        assert_eq!(reader.seen().connections, 1);
    }
    assert_eq!(stalls.seen().connections, 1, "it was not hung up on");
    stage::figure(&format!(
        "{} records at {rate}/s, {} sent again; {:.0} s without reading, {passed} bytes passed by, {} + {} KiB resident, caught up after {:.1} s",
        ids.len(),
        written.again,
        stall.as_secs_f64(),
        before / 1024,
        growth / 1024,
        caught_up.as_secs_f64()
    ));
    let (before, meanwhile) = (
        &written.took[warm..stalled_from],
        &written.took[stalled_from..stalled],
    );
    stage::figure(&format!(
        "a write in the {:.0} s before: {}; meanwhile: {}",
        calm.as_secs_f64(),
        stage::percentiles(before),
        stage::percentiles(meanwhile)
    ));
    let (before, meanwhile) = (median(before), median(meanwhile));
    assert!(
        meanwhile <= before * SLOWER_MAX + SLOWER_IN_ANY_CASE,
        "the median write took {before:?} before and {meanwhile:?} meanwhile"
    );
    assert!(growth < GROWTH_MAX, "{growth} bytes of growth");
    cluster.equal(&Http::new()).await;
}

/// Does something over and over.
async fn for_a_while(time: Duration, mut once: impl AsyncFnMut()) {
    let began = Instant::now();
    while began.elapsed() < time {
        once().await;
    }
}

/// Records that were acknowledged since the last look, at least one.
async fn fresh(writers: &Writers, checked: &mut usize) -> Vec<String> {
    more(writers, *checked).await;
    let ids = writers.so_far().acknowledged[*checked..].to_vec();
    *checked += ids.len();
    ids
}

fn median(took: &[Duration]) -> Duration {
    let mut took = took.to_vec();
    took.sort_unstable();
    took[took.len() / 2]
}

/// Waits for a record more than these.
async fn more(writers: &Writers, than: usize) {
    eventually("the writers go on", SOON, || async {
        let written = writers.so_far().acknowledged.len();
        (written > than).then_some(()).ok_or(written.to_string())
    })
    .await;
}

/// Resident memory of the first node's gateway, in bytes.
fn resident(cluster: &Cluster) -> usize {
    process::resident(cluster.node(1).pid("gateway").expect("it runs"))
}
