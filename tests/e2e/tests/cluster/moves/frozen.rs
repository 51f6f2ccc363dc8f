//! A node stands still between hearing that its copies may go and letting them go, while placement moves away and back and the
//! disk of an owner is lost: what it heard before counts for nothing.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::eventually;
use e2e::http::Http;
use futures::future::join_all;
use rustix::process::Signal;

use super::{SOON, disks};
use crate::claims::{assert_at, claim, id, replicas, subject_on, texts};
use crate::nodes::down_everywhere;
use crate::stage;

/// All of one subject.
const RECORDS: u32 = 40;

/// What an owner has held for so long it vouches for (shard::homecoming::SETTLED_MS), and a little more.
const SETTLED: Duration = Duration::from_millis(12_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_between_confirm_and_delete_while_placement_moves_twice_keeps_every_copy() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let settings = [("STEMEDB_HOLD_S", "1"), ("STEMEDB_REBALANCE_DELAY_S", "1")];
    let cluster = Cluster::start(3, &settings).await;
    let (holder, owner) = (cluster.node(1), cluster.node(3));
    // Owned by the second and the third; the first stands in while the third is away.
    let subject = subject_on(&cluster, &http, "frozen", ["node2", "node3"]).await;
    owner.kill();
    let mut written = Vec::new();
    for value in 1..=RECORDS {
        let reply = assert_at(&cluster, &http, 1, &claim(&subject, value)).await;
        written.push(id(&reply));
    }
    steer(&http, &holder.admin("/cluster/tasks/pause")).await;
    owner.start();
    cluster.formed().await;
    cluster.whole(&http, SOON, false).await;
    let came = Instant::now();
    eventually("all nodes tell", SOON, || async {
        let (least, _) = copies(&cluster, &http, &written, None).await?;
        assert_eq!(least, 3);
        Ok(())
    })
    .await;

    // An owner that does not answer for a moment: the holder waits for it with everything else confirmed.
    eventually("the owners vouch", 2 * SETTLED, || async {
        let settled = came.elapsed() >= SETTLED;
        settled.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    owner.signal_one("store", Signal::STOP);
    steer(&http, &holder.admin("/cluster/tasks/resume")).await;
    eventually("owners are asked", SOON, || async {
        let said = http.get(&holder.admin("/cluster/tasks")).await?.json();
        let asked = said["home"]["state"] == "confirming";
        asked.then_some(()).ok_or_else(|| said.to_string())
    })
    .await;
    holder.signal_one("antientropy", Signal::STOP);
    let frozen = Instant::now();
    owner.signal_one("store", Signal::CONT);
    // Its answer waits for the holder to go on. Meanwhile the shard becomes the holder's, and is lost to it again.
    eventually("the answer is on its way", SOON, || async {
        let url = owner.api("/v1/health");
        let said = http.get(&url).await?;
        (said.status == 200)
            .then_some(())
            .ok_or_else(|| said.text())
    })
    .await;
    owner.kill();
    let killed = Instant::now();
    down_everywhere(&cluster, &http, &owner.name, killed).await;
    eventually("the holder owns all", SOON, || owns(&cluster, &http, 256)).await;
    disks::wipe(owner.directory());
    owner.start();
    eventually("and then it does not", SOON, || owns(&cluster, &http, 171)).await;
    holder.signal_one("antientropy", Signal::CONT);
    stage::figure(&format!(
        "{:.1} s between confirm and delete",
        frozen.elapsed().as_secs_f64()
    ));

    // Whatever happens now, no moment comes with fewer than two copies. Until the owner has proved what it holds, it is missing
    // whether it answers or not, and the others have two; later, a moment in which it does not tell is none to judge.
    let proved = Cell::new(false);
    eventually("everything is home", SOON, || async {
        let empty = (!proved.get()).then_some(owner.name.as_str());
        let (least, all_told) = copies(&cluster, &http, &written, empty).await?;
        proved.set(proved.get() || all_told);
        assert!(least >= 2, "a record is on {least} node");
        let said = cluster.verify(&http).await?;
        let home = said["equal"] == true && said["foreign"] == 0;
        home.then_some(()).ok_or_else(|| said.to_string())
    })
    .await;
    eventually("all nodes tell", SOON, || async {
        let (least, _) = copies(&cluster, &http, &written, None).await?;
        assert_eq!(least, 2);
        Ok(())
    })
    .await;
}

/// Copies of the record that has the fewest, and whether all nodes told of every record. An error when a node did not, unless it
/// is the one that has an empty disk.
async fn copies(
    cluster: &Cluster,
    http: &Http,
    ids: &[String],
    empty: Option<&str>,
) -> Result<(usize, bool), String> {
    let node = cluster.node(2);
    let asked = ids.iter().map(|id| {
        let url = node.admin(&format!("/v1/records/{id}/replicas"));
        async move { http.get(&url).await.expect("node2 answers") }
    });
    let (mut least, mut all_told) = (usize::MAX, true);
    for reply in join_all(asked).await {
        let said = reply.json();
        let (holders, missing) = match reply.status {
            200 => (replicas(&said).len(), texts(&said["meta"]["missing"])),
            404 => (0, BTreeSet::new()),
            503 if said["code"] == "incomplete" => (0, texts(&said["missing"])),
            _ => return Err(reply.text()),
        };
        if missing.iter().any(|name| Some(name.as_str()) != empty) {
            return Err(reply.text());
        }
        all_told &= missing.is_empty();
        least = least.min(holders);
    }
    Ok((least, all_told))
}

/// Whether the first node is given so many shards, or one less, by the second.
async fn owns(cluster: &Cluster, http: &Http, shards: u64) -> Result<(), String> {
    let url = cluster.node(2).admin("/cluster/placement");
    let said = http.get(&url).await?.json();
    let owned = said["nodes"][0]["shards"].as_u64().unwrap_or_default();
    let right = (shards - 1..=shards).contains(&owned);
    right.then_some(()).ok_or_else(|| said.to_string())
}

/// An order about repair.
async fn steer(http: &Http, url: &str) {
    let said = http.post(url, String::new()).await.expect("it answers");
    assert_eq!(said.status, 200, "{}", said.text());
}
