//! Minutes of steady writes: repair stays close behind, and what stand-ins take on the way comes home while writes go on.

use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;
use e2e::scrape::Scrape;

use crate::feeds::writers::Writers;
use crate::stage;

/// Writes a second, and for how long. By hand, with a release build and the machine to itself:
/// E2E_PROGRAMS=target/release LAG_RATE=1000 LAG_S=600 LAG_NOTE=200.
const RATE: usize = 40;
const SECONDS: usize = 20;
const NOTE: usize = 200;

/// A node that was away has what it missed, and sessions that find nothing older missing.
const CAUGHT_UP: Duration = Duration::from_secs(60);

/// An owner vouches for what it has held for the hold time, and is asked every few seconds.
const HOME: Duration = Duration::from_secs(120);

/// A figure from the environment, for runs by hand.
fn given(key: &str, otherwise: usize) -> usize {
    let given = std::env::var(key).ok();
    given.map_or(otherwise, |given| given.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_steady_writes_lag_is_below_a_second_and_handoff_ends() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let rate = given("LAG_RATE", RATE);
    let time = Duration::from_secs(given("LAG_S", SECONDS) as u64);
    let writers = Writers::start(
        &cluster,
        u32::try_from(rate).expect("a rate"),
        given("LAG_NOTE", NOTE),
    );

    let steady = Instant::now();
    let (mut lags, mut looks) = (Vec::new(), 0);
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    while steady.elapsed() < time {
        pace.tick().await;
        looks += 1;
        // A service that is late drops out of a scrape.
        if let Ok(lag) = lag(&http, &cluster).await {
            lags.push(lag);
        }
    }
    assert!(!lags.is_empty(), "no node told its lag in {looks} looks");
    let late = lags.iter().filter(|lag| **lag >= 1.0).count();
    let most = lags.iter().copied().fold(0.0, f64::max);

    // Writes go on, and some to a stand-in.
    cluster.node(3).kill();
    let gone = writers.so_far().acknowledged.len();
    eventually("writes without a node", CAUGHT_UP, || async {
        let more = writers.so_far().acknowledged.len() - gone;
        (more > rate).then_some(()).ok_or(more.to_string())
    })
    .await;
    cluster.node(3).start();
    cluster.formed().await;
    let back = Instant::now();
    eventually("no lag while writes go on", CAUGHT_UP, || async {
        let lag = lag(&http, &cluster).await?;
        (lag < 1.0).then_some(()).ok_or(format!("{lag} s"))
    })
    .await;
    let caught_up = back.elapsed();
    let written = writers.end().await;
    let ended = Instant::now();
    cluster.whole(&http, HOME, true).await;
    stage::figure(&format!(
        "{} records at {rate}/s; {:.0} s with all nodes: lag at most {most:.1} s, {late} of {} looks at a second or more, {} untold; a node back: no lag after {:.1} s, handoff over {:.1} s after the last write",
        written.acknowledged.len(),
        time.as_secs_f64(),
        lags.len(),
        looks - lags.len(),
        caught_up.as_secs_f64(),
        ended.elapsed().as_secs_f64()
    ));
    // A build and a machine that were chosen for it are held to it; those of the gate are busy with other things.
    let held_to_it = std::env::var_os("LAG_S").is_some();
    let always_below = late == 0 && lags.len() == looks;
    assert!(always_below || !held_to_it, "{lags:?} of {looks}");
}

/// The greatest lag that any node sees of another.
async fn lag(http: &Http, cluster: &Cluster) -> Result<f64, String> {
    let mut most = 0.0_f64;
    for node in &cluster.nodes {
        let lags = lags(http, node).await?;
        most = lags.into_iter().fold(most, f64::max);
    }
    Ok(most)
}

async fn lags(http: &Http, node: &Node) -> Result<Vec<f64>, String> {
    let reply = http.get(&node.admin("/metrics")).await?;
    let scrape = Scrape::read(&reply.text());
    let lags: Vec<f64> = scrape.values("replication_lag_seconds").collect();
    (lags.len() == 2)
        .then_some(lags)
        .ok_or_else(|| "a lag for each peer".to_owned())
}
