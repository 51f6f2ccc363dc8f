//! What stand-ins took goes home, and they keep nothing of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::cluster::FORMATION;
use e2e::eventually;
use e2e::http::Http;
use futures::future::join_all;

use crate::claims::{claim, id, whereabouts};
use crate::stage;

/// Records that come while a node is away.
const RECORDS: u32 = 150;

/// An owner vouches for what it has held for 12 s, and is asked every few seconds.
const HOME: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_healing_and_the_hold_time_no_stand_in_holds_rows() {
    let cluster = stage::storm().await;
    let http = Http::new();
    cluster.node(3).kill();
    let url = cluster.node(2).api("/v1/assert");
    let writes = (0..RECORDS).map(|number| taken(&http, &url, number));
    let written: BTreeSet<String> = join_all(writes).await.into_iter().collect();
    cluster.node(3).start();
    cluster.formed().await;
    let healed = Instant::now();
    cluster.whole(&http, HOME, true).await;
    stage::figure(&format!(
        "stand-ins hold nothing {:.1} s after healing",
        healed.elapsed().as_secs_f64()
    ));
    for id in &written {
        let holders = whereabouts(&http, cluster.node(1), id).await;
        assert_eq!(holders.len(), 2, "{id}: {holders:?}");
    }
}

/// A record that is on one disk at least.
async fn taken(http: &Http, url: &str, number: u32) -> String {
    let record = claim(&format!("homecoming:{number}"), number);
    eventually("a write", FORMATION, || async {
        let reply = http.post(url, record.clone()).await;
        let reply = reply.expect("node2 answers");
        if reply.is_late() {
            return Err(reply.text());
        }
        assert!(matches!(reply.status, 200..=202), "{}", reply.text());
        Ok(id(&reply))
    })
    .await
}
