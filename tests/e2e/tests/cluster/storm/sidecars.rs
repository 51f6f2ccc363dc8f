//! Each of the four processes of a node dies alone and is started again, under load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::cluster::{Cluster, FORMATION, REPAIR};
use e2e::eventually;
use e2e::http::{Http, Reply};
use e2e::node::SERVICES;
use e2e::scrape::Scrape;
use e2e::traces::Span;

use crate::claims::{claim, holders, id, replicas, subject_on};
use crate::load::{GOES_ON, Load, all_there};
use crate::nodes::{phase, reply};
use crate::stage;

/// The neighbours ask each other every second or so, where the machine lets them.
const NOTICED: Duration = Duration::from_secs(60);

/// Writes and reads that go on while a process is dead.
const CALLS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_process_may_die_and_nothing_is_lost() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let load = Load::start(&cluster, "sidecars");
    for service in SERVICES {
        cluster.node(2).kill_one(service);
        goes_on(&load).await;
        noticed(&cluster, &http, service).await;
        cluster.node(2).start_one(service);
        cluster.formed().await;
        goes_on(&load).await;
    }
    let seen = load.end().await;
    stage::figure(&format!("processes killed one by one: {}", seen.figures()));
    cluster.equal(&http).await;
    all_there(&cluster, &seen).await;
}

async fn goes_on(load: &Load) {
    let before = load.so_far();
    eventually("writes and reads go on", GOES_ON, || async {
        let now = load.so_far();
        let (writes, reads) = (now.count() - before.count(), now.reads - before.reads);
        let enough = writes >= CALLS && reads >= CALLS;
        enough
            .then_some(())
            .ok_or_else(|| format!("{writes} writes, {reads} reads; {:?}", now.broken))
    })
    .await;
}

/// The gateway of the node says which of its neighbours is dead, and its scrape goes on without it.
async fn noticed(cluster: &Cluster, http: &Http, dead: &str) {
    if dead == "gateway" {
        return;
    }
    let node = cluster.node(2);
    let names_it = |text: &str| text.contains(dead);
    reply(
        "health names the dead",
        NOTICED,
        http,
        &node.api("/v1/health"),
        |reply| reply.status == 503 && names_it(&reply.text()),
    )
    .await;
    let rest: BTreeSet<&str> = SERVICES
        .into_iter()
        .filter(|service| *service != dead)
        .collect();
    for url in [node.api("/metrics"), node.admin("/metrics")] {
        reply("a scrape of the others", NOTICED, http, &url, |reply| {
            let scrape = Scrape::read(&reply.text());
            let alive: BTreeSet<&str> = scrape
                .named("process_threads")
                .filter_map(|sample| sample.labels.get("service"))
                .map(String::as_str)
                .collect();
            assert!(!alive.contains(dead), "{url}: {dead} is dead");
            // One that is late drops out for a moment.
            reply.status == 200 && alive == rest
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_dies_is_seen_by_all_and_what_it_missed_comes_home() {
    let cluster = stage::storm().await;
    let http = Http::new();
    let subject = subject_on(&cluster, &http, "missed", ["node2", "node3"]).await;
    cluster.node(3).kill_one("store");
    phase_becomes(&cluster, &http, "stopping").await;

    let written = stood_in_for(&cluster, &http, &subject).await;
    let id = id(&written);
    nudged("node1").await;

    cluster.node(3).start_one("store");
    phase_becomes(&cluster, &http, "serving").await;
    let home = reply(
        "the record comes home",
        REPAIR,
        &http,
        &cluster.node(1).api(&format!("/v1/records/{id}/replicas")),
        |reply| reply.status == 200 && replicas(&reply.json()).contains("node3"),
    )
    .await
    .json();
    let list = home["result"]["replicas"].as_array().expect("a list");
    let arrivals: BTreeSet<(&str, &str)> = list
        .iter()
        .filter_map(|replica| Some((replica["node"].as_str()?, replica["arrival"].as_str()?)))
        .collect();
    // What node2 confirms a moment late may have come from node1 by then.
    let wanted = ["push", "repair"]
        .map(|second| BTreeSet::from([("node1", "push"), ("node2", second), ("node3", "repair")]));
    assert!(wanted.contains(&arrivals), "{home}");
    let trace = written.header("x-trace-id").expect("a trace");
    assert!(
        list.iter().all(|replica| replica["trace_id"] == trace),
        "{home}"
    );
    cluster.equal(&http).await;
}

/// A record of node2 and node3, written while node3 has no store: the stand-in is node1. Where that is not so at the first try,
/// because a disk was busy, the next record is as good.
async fn stood_in_for(cluster: &Cluster, http: &Http, subject: &str) -> Reply {
    let url = cluster.node(1).api("/v1/assert");
    let values = AtomicU32::new(1);
    eventually("a write with a stand-in", REPAIR, || async {
        let value = values.fetch_add(1, Ordering::Relaxed);
        let written = http.post(&url, claim(subject, value)).await?;
        let said = format!("{} {}", written.status, written.text());
        assert!(
            matches!(written.status, 201 | 202) || written.is_late(),
            "{said}"
        );
        let wanted = written.status == 201
            && holders(&written) == ["node1", "node2"].map(str::to_owned).into();
        wanted.then_some(written).ok_or(said)
    })
    .await
}

/// Every node hears how node3's store does, through node3's membership.
async fn phase_becomes(cluster: &Cluster, http: &Http, wanted: &str) {
    for node in &cluster.nodes {
        let what = format!("{} hears that node3 is {wanted}", node.name);
        eventually(&what, FORMATION, || async {
            let phase = phase(http, "node3", node).await?;
            (phase == wanted).then_some(()).ok_or(phase)
        })
        .await;
    }
}

/// The gateway tells the antientropy of its node that a push failed.
async fn nudged(node: &str) {
    let (receiver, _) = stage::receiver();
    let nudge = |span: &Span| {
        span.service == "stemedb-antientropy" && span.node == node && span.name.contains("Nudge")
    };
    eventually("a nudge", NOTICED, || async {
        let nudged = receiver.any(nudge);
        nudged
            .then_some(())
            .ok_or_else(|| "no such span".to_owned())
    })
    .await;
}
