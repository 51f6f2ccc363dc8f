//! The database of one node is replaced by an old backup of itself, while readers follow and clients write.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;

use super::reader::Reader;
use super::watch::Watch;
use crate::load::{GOES_ON, Load, all_there};
use crate::stage;

/// Writes that are acknowledged between two steps: more than a store's mark is behind.
const BETWEEN: usize = 80;

/// Until a reader has what was acknowledged.
const LAG_MAX: Duration = Duration::from_secs(60);

/// The database, and its log.
const FILES: [&str; 3] = ["store.db", "store.db-wal", "store.db-shm"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_restored_under_a_reader_costs_no_record() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let victim = cluster.node(3);
    let data = victim.directory().to_owned();
    let backup = cluster.directory().join("backup");
    fs::create_dir_all(&backup).expect("a directory can be made");
    // Its clients hold every answer that calls itself complete against what was acknowledged.
    let load = Load::start(&cluster, "restored");
    more(&load).await;
    victim.kill();
    copy(&data, &backup);
    victim.start();
    cluster.formed().await;
    let before = store_id(&cluster).await;

    let watch = Watch::start(&cluster, "start");
    let reader = Reader::start(&cluster, 1, "start").await;
    more(&load).await;
    reader.has(&load.so_far().ids(), LAG_MAX).await;
    let (had, token) = {
        let seen = reader.seen();
        (seen.ids.clone(), seen.token.clone())
    };
    victim.kill();
    copy(&backup, &data);
    more(&load).await;
    victim.start();
    more(&load).await;
    cluster.formed().await;
    more(&load).await;
    assert_ne!(
        store_id(&cluster).await,
        before,
        "another store, with a place of its own in tokens"
    );

    let seen = load.end().await;
    let ids = seen.ids();
    reader.has(&ids, LAG_MAX).await;
    watch.has(&ids, LAG_MAX).await;
    assert_eq!(watch.repeated(), [""; 0], "watch prints each record once");
    assert_eq!(reader.seen().connections, 1, "its gateway was well");
    // One that was away meanwhile goes on from where it was.
    let late = Reader::start(&cluster, 3, &token).await;
    let news: Vec<String> = ids.into_iter().filter(|id| !had.contains(id)).collect();
    late.has(&news, LAG_MAX).await;
    stage::figure(&format!("clients: {}", seen.figures()));
    cluster.equal(&http).await;
    all_there(&cluster, &seen).await;
}

/// Copies the database as it was when its node was killed; what is older than that goes.
fn copy(from: &Path, to: &Path) {
    for file in FILES {
        let (from, to) = (from.join(file), to.join(file));
        if from.exists() {
            fs::copy(from, to).expect("a file can be copied");
        } else if to.exists() {
            fs::remove_file(to).expect("a file can be removed");
        }
    }
}

/// Who the third store is, as the first node sees it.
async fn store_id(cluster: &Cluster) -> String {
    let url = cluster.node(1).admin("/cluster/members");
    let said = Http::new().get(&url).await.expect("it answers").json();
    let id = said["members"][2]["store_id"].as_str();
    id.unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Waits for more writes.
async fn more(load: &Load) {
    let wanted = load.so_far().count() + BETWEEN;
    eventually("traffic", GOES_ON, || async {
        let written = load.so_far().count();
        (written >= wanted).then_some(()).ok_or(written.to_string())
    })
    .await;
}
