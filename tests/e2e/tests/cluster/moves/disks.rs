//! Nodes that come back with less than they had.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;

use super::{SOON, import, traffic};
use crate::load::{Load, all_there};
use crate::stage;

const CLAIMS: usize = 2_000;

/// What stays whatever happens to a disk: the logs, which the test reads.
const LOGS: &str = "log";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_comes_back_with_an_empty_disk_twice() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let cluster = Cluster::start(3, &[]).await;
    import(&cluster, CLAIMS).await;
    let node = cluster.node(3);
    let load = Load::start(&cluster, "disks");
    traffic(&load).await;
    for times in 1..=2 {
        node.kill();
        wipe(node.directory());
        node.start();
        noticed(node, times).await;
        cluster.formed().await;
        cluster.equal(&http).await;
        traffic(&load).await;
    }
    let seen = load.end().await;
    stage::figure(&format!("clients: {}", seen.figures()));
    all_there(&cluster, &seen).await;
}

/// The store was told so many times that it lacks what it once had.
async fn noticed(node: &Node, times: usize) {
    eventually("the store counts as absent first", SOON, || async {
        let log = fs::read_to_string(node.log("store")).unwrap_or_default();
        let lines = log
            .lines()
            .filter(|line| line.contains("let into the cluster"));
        let absent = lines.filter(|line| line.contains("fresh=false")).count();
        (absent == times)
            .then_some(())
            .ok_or_else(|| format!("{absent} of {times} times"))
    })
    .await;
}

/// Everything in a directory but the logs.
pub(super) fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory can be read");
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    paths.filter(|path| !path.ends_with(LOGS)).collect()
}

pub(super) fn wipe(directory: &Path) {
    for path in entries(directory) {
        let gone = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        gone.expect("a file can be deleted");
    }
}
