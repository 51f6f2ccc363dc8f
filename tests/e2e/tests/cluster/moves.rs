//! Clusters that grow and shrink, and nodes that come back in every way there is, with clients at work all the time.
//!
//! With few claims, in the gate. With all of them, by hand (docs/benchmarks.md, "Moving data"): `E2E_CLAIMS=292577`, and
//! `E2E_PROGRAMS` names a directory of optimised programs.

mod back;
mod dead;
mod disks;
mod factor;
mod frozen;
mod grow;
mod local;
mod names;
mod older;
mod space;
mod strange;

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::node::Node;
use e2e::scrape::Scrape;
use e2e::{claims, command, eventually};

use crate::load::{GOES_ON, Load};

/// For a development build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Claims that move, or are compared, in a second at the very least.
const CLAIMS_PER_S: usize = 2_000;

/// Writes that the clients must have made before anything is done to the cluster.
const TRAFFIC: usize = 40;

/// How many claims `E2E_CLAIMS` asks for, when it does.
fn by_hand() -> Option<usize> {
    let wanted = std::env::var("E2E_CLAIMS").ok();
    wanted.map(|count| count.parse().expect("a number of claims"))
}

/// [`SOON`], when so many claims may have to move first.
fn soon(claims: usize) -> Duration {
    SOON + Duration::from_secs((claims / CLAIMS_PER_S) as u64)
}

/// Real claims, as many as the test wants: `E2E_CLAIMS` says otherwise, and 292577 takes all of them.
async fn import(cluster: &Cluster, most: usize) -> usize {
    let count = by_hand().unwrap_or(most);
    let lines = claims::lines(0, count);
    let path = cluster.directory().join("claims.ndjson");
    claims::write(&path, &lines);
    let path = path.to_str().expect("a path of ours");
    let ended = command::run(&["import", path, "--url", &cluster.urls(), "--json"]).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    lines.len()
}

/// Waits until the clients have written something.
async fn traffic(load: &Load) {
    let from = load.so_far().count();
    eventually("traffic", GOES_ON, || async {
        let seen = load.so_far();
        let count = seen.count() - from;
        (count >= TRAFFIC && seen.checked > 0)
            .then_some(())
            .ok_or_else(|| format!("{count} of {TRAFFIC}"))
    })
    .await;
}

/// Records that repair has brought to these nodes since they were started.
async fn pulled(http: &Http, nodes: &[Node]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        // A service that is late drops out of a scrape.
        sum += eventually("a scrape with repair in it", SOON, || async {
            let text = http.get(&node.admin("/metrics")).await?.text();
            let scrape = Scrape::read(&text);
            let mut pulls = scrape
                .named("stemedb_antientropy_records_total")
                .filter(|sample| {
                    sample
                        .labels
                        .get("direction")
                        .is_some_and(|way| way == "pull")
                });
            let pulled = pulls.next().map(|sample| sample.value as u64);
            pulled.ok_or(text)
        })
        .await;
    }
    sum
}
