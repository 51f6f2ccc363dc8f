//! A byte turns on one disk: nobody is shown it, nobody takes the record for missing, and it comes again from the other owner.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::command;
use e2e::eventually;
use e2e::http::Http;
use e2e::scrape::Scrape;
use rustix::process::Signal;
use serde_json::Value;

use crate::claims::{assert_at, claim, complete, id, ids, subject_on, whereabouts};
use crate::stage;

/// A pass over a small store, the sessions after it, and a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A value that no other test writes: its digits are in one row of the database.
const VALUE: u32 = 739_265_183;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_flipped_in_a_record_row_is_found_and_healed_from_the_other_owner() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let subject = subject_on(&cluster, &http, "damaged", ["node2", "node3"]).await;
    let written = id(&assert_at(&cluster, &http, 1, &claim(&subject, VALUE)).await);
    let url = cluster.node(1).api(&format!("/v1/query?subject={subject}"));
    let known = ids(&complete(&http, &url).await.json());
    assert!(known.contains(&written), "{known:?}");
    // A stand-in may have been quicker than one of them.
    both_hold(&cluster, &http, &written).await;
    let subject = Subject {
        subject,
        written,
        known,
    };
    let written = &subject.written;
    let node = cluster.node(2);
    node.signal(Signal::TERM);
    node.wait(SOON);
    flip(
        &node.directory().join("store.db"),
        &format!("example.org/{VALUE}"),
    );
    node.start();
    cluster.formed().await;
    // Held back, so that what happens in between can be seen.
    order(&http, &node.admin("/cluster/tasks/pause")).await;
    let begun = order(&http, &cluster.node(1).admin("/cluster/scrub?node=node2")).await;
    assert_eq!(begun["nodes"][0]["id"], "node2");
    let found = eventually("node2 finds it", SOON, || async {
        never_wrong(&cluster, &http, &subject).await;
        let said = scrubbed(&http, &cluster).await?;
        let found = said["quarantined"] == 1 && said["state"] == "idle";
        found
            .then_some(said.clone())
            .ok_or_else(|| said.to_string())
    })
    .await;
    assert_eq!(found["waited_for"][0]["id"], **written);
    assert_eq!(found["found_rows"], 1);
    alarmed(&http, &cluster, 1).await;
    never_wrong(&cluster, &http, &subject).await;
    let look = ["scrub", "--status", "--json", "--url"];
    let urls = cluster.node(1).admin("");
    let ended = command::run(&[&look[..], &[urls.as_str()]].concat()).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);

    let healing = Instant::now();
    order(&http, &node.admin("/cluster/tasks/resume")).await;
    eventually("the record comes again", SOON, || async {
        never_wrong(&cluster, &http, &subject).await;
        let said = scrubbed(&http, &cluster).await?;
        (said["quarantined"] == 0)
            .then_some(())
            .ok_or_else(|| said.to_string())
    })
    .await;
    let took = healing.elapsed().as_secs_f64();
    stage::figure(&format!(
        "a damaged record is back {took:.1} s after repair was let go on"
    ));
    alarmed(&http, &cluster, 0).await;
    cluster.equal(&http).await;
    let holders = whereabouts(&http, cluster.node(1), written).await;
    assert!(
        holders.contains("node2") && holders.contains("node3"),
        "{holders:?}"
    );
    let watch = ["scrub", "--node", "node2", "--watch", "--json", "--url"];
    let ended = command::run(&[&watch[..], &[urls.as_str()]].concat()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.json()["nodes"][0]["found_rows"], 1, "once, before");
}

/// Waits until both owners hold a record.
async fn both_hold(cluster: &Cluster, http: &Http, id: &str) {
    eventually("both owners hold it", SOON, || async {
        let holders = whereabouts(http, cluster.node(1), id).await;
        (holders.contains("node2") && holders.contains("node3"))
            .then_some(())
            .ok_or(format!("{holders:?}"))
    })
    .await;
}

/// Turns a bit of the last of these bytes. A page that was split keeps a copy that is not used.
fn flip(path: &Path, wanted: &str) {
    let bytes = std::fs::read(path).expect("the database is there");
    let places = (0..).zip(bytes.windows(wanted.len()));
    let found = places.filter(|(_, window)| *window == wanted.as_bytes());
    let found: Vec<usize> = found.map(|(at, _)| at + wanted.len() - 1).collect();
    assert!(!found.is_empty(), "the claim is in the database");
    let file = OpenOptions::new().write(true).open(path);
    let file = file.expect("the database can be written");
    for at in found {
        let written = file.write_all_at(&[bytes[at] ^ 1], at as u64);
        written.expect("a byte can be written");
    }
}

async fn order(http: &Http, url: &str) -> Value {
    let reply = http.post(url, "").await.expect("the gateway answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// How node2's scrub stands, as another node says.
async fn scrubbed(http: &Http, cluster: &Cluster) -> Result<Value, String> {
    let said = http.get(&cluster.node(1).admin("/cluster/scrub")).await?;
    let said = said.json();
    let mut nodes = said["nodes"].as_array().into_iter().flatten();
    let node = nodes.find(|node| node["id"] == "node2").cloned();
    node.ok_or_else(|| said.to_string())
}

/// What is asked about.
struct Subject {
    subject: String,
    /// The claim that is damaged.
    written: String,
    /// It, and the others about this subject.
    known: BTreeSet<String>,
}

/// No gateway says that the answer is complete when the claim is not in it, and none shows other bytes.
async fn never_wrong(cluster: &Cluster, http: &Http, subject: &Subject) {
    for node in &cluster.nodes {
        let url = node.api(&format!("/v1/query?subject={}", subject.subject));
        let Ok(reply) = http.get(&url).await else {
            continue;
        };
        if reply.status != 200 {
            continue;
        }
        let said = reply.json();
        let found = ids(&said);
        assert!(
            found.contains(&subject.written) || said["meta"]["complete"] == false,
            "{said}"
        );
        assert!(found.is_subset(&subject.known), "{said}");
    }
}

/// Metrics and health of node2 say that so many rows wait for their records.
async fn alarmed(http: &Http, cluster: &Cluster, rows: u32) {
    let node = cluster.node(2);
    eventually(&format!("{rows} rows are alarmed"), SOON, || async {
        let health = http.get(&node.api("/v1/health")).await?;
        let said = health.json();
        let codes: Vec<&str> = said["alarms"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|alarm| alarm["code"].as_str())
            .collect();
        let shown = match rows {
            0 => codes.is_empty(),
            _ => codes == ["quarantined_rows"],
        };
        let scrape = http.get(&node.api("/metrics")).await?;
        let scrape = Scrape::read(&scrape.text());
        let counted: f64 = scrape.values("stemedb_store_quarantined_rows").sum();
        let ever: f64 = scrape.values("stemedb_store_quarantined_rows_total").sum();
        let right = (counted - f64::from(rows)).abs() < 0.5 && ever >= 1.0;
        (health.status == 200 && shown && right)
            .then_some(())
            .ok_or_else(|| format!("{} {said} {counted} {ever}", health.status))
    })
    .await;
}
