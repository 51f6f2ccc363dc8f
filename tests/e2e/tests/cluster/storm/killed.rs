//! A node dies in the middle of an import, all four processes at once, and comes back.

use std::time::Instant;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::{claims, command, eventually};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;

use crate::load::{GOES_ON, Load, all_there};
use crate::nodes::down_everywhere;
use crate::stage;

/// Half of it is more than the command keeps in hand: 2,000 lines for each connection and as many that wait.
const LINES: usize = 24_000;

/// One connection for each gateway.
const CONNECTIONS: &str = "3";

/// Reads that the survivors must have answered while the node was dead.
const READS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_during_an_import_costs_nothing_that_was_acknowledged() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let before = cluster.equal(&http).await;
    let lines = claims::lines(0, LINES);
    let load = Load::start(&cluster, "killed");
    eventually("traffic", GOES_ON, || async {
        enough(load.so_far().count(), READS)
    })
    .await;

    let mut import = start_import(&cluster);
    let victim = cluster.node(2);
    feed(&mut import, &lines[..LINES / 2]).await;
    victim.kill();
    let killed = Instant::now();
    tokio::join!(
        down_everywhere(&cluster, &http, &victim.name, killed),
        feed(&mut import, &lines[LINES / 2..]),
    );
    drop(import.stdin.take());
    let summary = finished(import).await;
    stage::figure(&format!("import with a node killed in it: {summary}"));

    let reads = load.so_far().reads;
    eventually("reads without the node", GOES_ON, || async {
        enough(load.so_far().reads, reads + READS)
    })
    .await;
    let started = Instant::now();
    victim.start();
    cluster.formed().await;
    let up = started.elapsed();
    cluster.equal(&http).await;
    let whole = started.elapsed();
    let seen = load.end().await;
    stage::figure(&format!(
        "the node is UP {:.1} s after its start, equal after {:.1} s",
        up.as_secs_f64(),
        whole.as_secs_f64()
    ));
    stage::figure(&format!("clients: {}", seen.figures()));
    let said = cluster.equal(&http).await;
    let grown = distinct(&said) - distinct(&before);
    let wanted = LINES + seen.count() + seen.accepted;
    assert_eq!(grown, wanted as u64, "{said}");
    all_there(&cluster, &seen).await;
}

fn start_import(cluster: &Cluster) -> Child {
    let urls = cluster.urls();
    command::start(&[
        "import",
        "-",
        "--url",
        &urls,
        "--connections",
        CONNECTIONS,
        "--json",
    ])
}

async fn feed(import: &mut Child, lines: &[String]) {
    let input = import.stdin.as_mut().expect("the input is a pipe");
    for line in lines {
        let written = async {
            input.write_all(line.as_bytes()).await?;
            input.write_all(b"\n").await
        };
        // If the command has ended, its exit code says why.
        if written.await.is_err() {
            return;
        }
    }
}

async fn finished(import: Child) -> Value {
    let ended = command::ended(import).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    let summary = ended.json();
    let count = |key: &str| summary[key].as_u64().expect("a number");
    assert_eq!(count("refused"), 0, "{summary}");
    let durable = ["stored", "present", "sent_again", "pending"].map(count);
    let durable: u64 = durable.iter().sum();
    assert_eq!(durable, LINES as u64, "{summary}");
    summary
}

fn distinct(said: &Value) -> u64 {
    said["distinct_records"].as_u64().expect("a number")
}

fn enough(count: usize, wanted: usize) -> Result<(), String> {
    (count >= wanted)
        .then_some(())
        .ok_or_else(|| format!("{count} of {wanted}"))
}
