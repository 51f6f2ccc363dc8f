//! What stand-ins took goes home, and they keep nothing of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::http::Http;
use futures::future::join_all;

use crate::claims::{claim, id, replicas};
use crate::stage;

/// Records that come while a node is away.
const RECORDS: u32 = 150;

/// An owner vouches for what it has held for 12 s, and is asked every few seconds.
const HOME: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_healing_and_the_hold_time_no_stand_in_holds_rows() {
    let cluster = stage::storm().await;
    let http = Http::new();
    cluster.node(3).kill();
    let url = cluster.node(2).api("/v1/assert");
    let writes = (0..RECORDS).map(|number| {
        let record = claim(&format!("homecoming:{number}"), number);
        http.post(&url, record)
    });
    let mut written = BTreeSet::new();
    for reply in join_all(writes).await {
        let reply = reply.expect("node2 answers");
        assert!(matches!(reply.status, 201 | 202), "{}", reply.text());
        written.insert(id(&reply));
    }
    cluster.node(3).start();
    cluster.formed().await;
    let healed = Instant::now();
    cluster.whole(&http, HOME, true).await;
    stage::figure(&format!(
        "stand-ins hold nothing {:.1} s after healing",
        healed.elapsed().as_secs_f64()
    ));
    for id in &written {
        let url = cluster.node(1).api(&format!("/v1/records/{id}/replicas"));
        let reply = http.get(&url).await.expect("node1 answers");
        assert_eq!(replicas(&reply.json()).len(), 2, "{}", reply.text());
    }
}
