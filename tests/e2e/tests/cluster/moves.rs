//! Clusters that grow and shrink, and nodes that come back in every way there is, with clients at work all the time.

mod dead;
mod disks;
mod names;

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::{claims, command, eventually};

use crate::load::Load;

/// For a development build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Writes that the clients must have made before anything is done to the cluster.
const TRAFFIC: usize = 40;

/// Real claims, as many as the test wants: `E2E_CLAIMS` says otherwise, and 292577 takes all of them.
async fn import(cluster: &Cluster, most: usize) -> usize {
    let wanted = std::env::var("E2E_CLAIMS").ok();
    let count = wanted.map_or(most, |count| count.parse().expect("a number of claims"));
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
    eventually("traffic", SOON, || async {
        let count = load.so_far().count() - from;
        (count >= TRAFFIC)
            .then_some(())
            .ok_or_else(|| format!("{count} of {TRAFFIC}"))
    })
    .await;
}
