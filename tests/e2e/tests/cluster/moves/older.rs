//! The disk of a node of `stemedb up` is put back to an older state, the mark beside its database included: only the others can
//! tell. The store ends, is started again by `up`, and comes back whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::http::Http;
use e2e::{command, eventually, place, ports, process};
use serde_json::Value;

use super::SOON;
use crate::apart::up::{described, pids, until_ready};
use crate::claims::{acknowledged, claim};
use crate::stage;

/// Writes before the snapshot, and as many after it.
const WRITES: u32 = 20;

/// One session with another node finds it out.
const FOUND_OUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_up_that_is_an_older_copy_is_started_again_and_whole() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let directory = place::make();
    let data = directory.path().to_str().expect("a path of ours");
    let base = ports::base_for_up(3).to_string();
    let words = ["up", "--no-demo", "--base-port", &base, "--data-dir", data];
    let mut up = command::start(&words);
    until_ready(&mut up).await;
    let local = async |action: &str| {
        let ended = command::run(&["local", action, "node3", "--data-dir", data]).await;
        assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    };
    let disk = directory.path().join("node3");
    let snapshot = directory.path().join("snapshot");
    std::fs::create_dir_all(&snapshot).expect("a directory can be made");

    write(&http, directory.path(), 0).await;
    local("kill").await;
    copy(&disk, &snapshot);
    local("start").await;
    write(&http, directory.path(), WRITES).await;
    seen_by_others(&http, directory.path()).await;
    let before = eventually("the store", SOON, || store(&http, directory.path())).await;

    local("kill").await;
    copy(&snapshot, &disk);
    local("start").await;
    let again = eventually("another store", FOUND_OUT, || async {
        let now = store(&http, directory.path()).await?;
        (now != before).then_some(now.clone()).ok_or(now)
    })
    .await;
    whole(&http, directory.path(), 2 * WRITES).await;
    let running = described(directory.path());
    let pids = pids(&running);
    assert_eq!(pids.len(), 12, "{running}");
    assert!(pids.iter().all(|pid| process::exists(*pid)), "{running}");
    // Nobody had to be told, and it stays the store that it is now.
    let last = eventually("the store", SOON, || store(&http, directory.path())).await;
    assert_eq!(last, again);
}

/// Files of a store, all of them.
fn copy(from: &Path, to: &Path) {
    for file in files(to) {
        std::fs::remove_file(file).expect("a file can be removed");
    }
    for file in files(from) {
        let name = file.file_name().expect("a file has a name");
        std::fs::copy(&file, to.join(name)).expect("a file can be copied");
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory can be read");
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    let is_of_store = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        path.is_file() && name.is_some_and(|name| name.starts_with("store."))
    };
    paths.filter(is_of_store).collect()
}

fn url(directory: &Path, door: &str, path: &str) -> String {
    let address = &described(directory)["nodes"]["node1"][door];
    format!("http://{}{path}", address.as_str().expect("an address"))
}

async fn write(http: &Http, directory: &Path, from: u32) {
    let door = url(directory, "api", "/v1/assert");
    for number in from..from + WRITES {
        let record = claim(&format!("older:{number}"), number);
        acknowledged(http, &door, &record).await;
    }
}

/// Node1 has compared itself with node3 after all that was written.
async fn seen_by_others(http: &Http, directory: &Path) {
    whole(http, directory, 2 * WRITES).await;
    let sync = url(directory, "admin", "/cluster/sync?peer=node3");
    eventually("a session with node3", SOON, || async {
        let said = http.post(&sync, String::new()).await?;
        let good = said.json()["peers"][0]["error"] == "";
        good.then_some(()).ok_or_else(|| said.text())
    })
    .await;
}

/// Who the third store is, as the first node sees it; an error while it is starting and has not said so.
async fn store(http: &Http, directory: &Path) -> Result<String, String> {
    let said = http
        .get(&url(directory, "admin", "/cluster/members"))
        .await?;
    let id = said.json()["members"][2]["store_id"]
        .as_str()
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    id.ok_or_else(|| said.text())
}

async fn whole(http: &Http, directory: &Path, records: u32) -> Value {
    let verify = url(directory, "admin", "/cluster/verify");
    eventually("all nodes are equal", SOON, || async {
        let said = http.get(&verify).await?.json();
        let equal = said["equal"] == true && said["under_replicated"] == 0;
        let good = equal && said["distinct_records"] == records;
        good.then(|| said.clone()).ok_or_else(|| said.to_string())
    })
    .await
}
