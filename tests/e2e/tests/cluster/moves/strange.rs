//! A disk of another cluster in a node of this one, whole or only the database: nothing of it comes in, and nothing of ours is lost.

use std::fs;
use std::path::Path;

use e2e::cluster::{Cluster, FORMATION};
use e2e::http::Http;
use e2e::node::Node;
use e2e::{eventually, ports};

use super::{SOON, disks};
use crate::claims::{acknowledged, assert_at, claim};
use crate::nodes::{phase, reply};
use crate::stage;

const RECORDS: u32 = 10;

/// The database, its log, and its mark.
const DATABASE: &str = "store.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_another_cluster_is_refused_and_the_own_one_is_taken_back() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let cluster = Cluster::start(3, &[]).await;
    for number in 0..RECORDS {
        let record = claim(&format!("strange:{number}"), number);
        assert_at(&cluster, &http, 1, &record).await;
    }
    cluster.whole(&http, SOON, false).await;
    // A cluster of one node, which is called like one of ours.
    let node = cluster.node(3);
    let mut other = Node::new(
        &node.name,
        ports::block(),
        &cluster.directory().join("other"),
    );
    let seeds = other.swim();
    other.set("STEMEDB_SEED_NODES", &seeds);
    other.set("STEMEDB_BOOTSTRAP_EXPECT", "1");
    other.start();
    cluster.ready(&http, &other).await;
    let door = other.api("/v1/assert");
    acknowledged(&http, &door, &claim("strange:other", 1)).await;
    other.kill();

    node.kill();
    let own = cluster.directory().join("own");
    exchange(node.directory(), &own, "");
    copy(other.directory(), node.directory());
    node.start();
    let url = node.admin("/cluster/members");
    reply("both clusters are named", FORMATION, &http, &url, |reply| {
        let refused = reply.json()["refused"].to_string();
        refused.contains("belongs to cluster")
    })
    .await;
    stranger(&cluster, &http).await;

    // Its own book, and the other's database.
    node.kill();
    disks::wipe(node.directory());
    exchange(&own, node.directory(), "");
    let database = cluster.directory().join("database");
    exchange(node.directory(), &database, DATABASE);
    exchange(other.directory(), node.directory(), DATABASE);
    node.start();
    eventually("membership says why it ends", FORMATION, || async {
        let log = fs::read_to_string(node.log("membership")).unwrap_or_default();
        let said = log.contains("its database to cluster");
        said.then_some(()).ok_or_else(|| node.tails(3))
    })
    .await;
    stranger(&cluster, &http).await;

    node.kill();
    exchange(node.directory(), &own, DATABASE);
    exchange(&database, node.directory(), DATABASE);
    node.start();
    cluster.formed().await;
    let said = cluster.whole(&http, SOON, false).await;
    assert_eq!(said["distinct_records"], RECORDS, "{said}");
}

/// The others neither take it for their third nor anything from it.
async fn stranger(cluster: &Cluster, http: &Http) {
    let name = &cluster.node(3).name;
    for number in [1, 2] {
        let node = cluster.node(number);
        eventually("it is not one of us", SOON, || async {
            let phase = phase(http, name, node).await?;
            let said = http.get(&node.admin("/cluster/members")).await?.json();
            let status = said["members"][2]["status"].as_str().unwrap_or_default();
            (status != "UP").then_some(()).ok_or(phase)
        })
        .await;
    }
    eventually("both have all that there was", SOON, || async {
        let said = cluster.verify(http).await?;
        let records = said["distinct_records"].as_u64();
        assert!(records <= Some(RECORDS.into()), "{said}");
        // A store that is late is not compared.
        let all = records == Some(RECORDS.into());
        all.then_some(()).ok_or_else(|| said.to_string())
    })
    .await;
}

/// Moves what a node keeps, but its logs, to another directory: of all names, or those that begin so.
fn exchange(from: &Path, to: &Path, begins: &str) {
    fs::create_dir_all(to).expect("a directory can be made");
    for path in disks::entries(from) {
        let name = path.file_name().expect("an entry has a name");
        if name.to_string_lossy().starts_with(begins) {
            fs::rename(&path, to.join(name)).expect("a file can be moved");
        }
    }
}

/// The same without taking anything away.
fn copy(from: &Path, to: &Path) {
    for path in disks::entries(from) {
        let to = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            fs::create_dir_all(&to).expect("a directory can be made");
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file can be copied");
        }
    }
}
