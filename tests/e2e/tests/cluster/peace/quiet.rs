//! A cluster that nobody talks to.

use std::time::Duration;

use e2e::eventually;
use e2e::http::Http;
use e2e::node::{Node, SERVICES};
use e2e::scrape::Scrape;

use crate::stage;

/// Sessions run every second, where the machine lets them.
const ROUNDS: Duration = Duration::from_secs(60);

#[tokio::test]
async fn without_traffic_all_are_equal_and_nobody_lags() {
    let cluster = stage::peace().await;
    let http = Http::new();
    cluster.equal(&http).await;
    for node in &cluster.nodes {
        let first = eventually("a whole scrape", ROUNDS, || scrape(&http, node)).await;
        // Three more rounds with both peers, all of them without anything to do.
        let last = eventually("idle sessions and no lag", ROUNDS, || async {
            let scrape = scrape(&http, node).await?;
            let more = sessions(&scrape) - sessions(&first);
            let lags = lags(&scrape);
            (more >= 6.0 && lags == [0.0, 0.0])
                .then_some(scrape)
                .ok_or_else(|| format!("{more} sessions, lags {lags:?}"))
        })
        .await;
        assert_eq!(moved(&last), moved(&first), "{}", node.name);
        idle(node, &first, &last);
    }
    cluster.equal(&http).await;
}

/// A scrape in which repair tells of both peers: it drops out of one when it is late.
async fn scrape(http: &Http, node: &Node) -> Result<Scrape, String> {
    let reply = http.get(&node.admin("/metrics")).await?;
    let scrape = Scrape::read(&reply.text());
    let whole = lags(&scrape).len() == 2;
    whole.then_some(scrape).ok_or_else(|| reply.text())
}

fn lags(scrape: &Scrape) -> Vec<f64> {
    scrape.values("replication_lag_seconds").collect()
}

fn sessions(scrape: &Scrape) -> f64 {
    scrape.values("stemedb_antientropy_sessions_total").sum()
}

fn moved(scrape: &Scrape) -> f64 {
    scrape.values("stemedb_antientropy_records_total").sum()
}

/// Memory of each process, and its processor time over a few idle rounds.
fn idle(node: &Node, first: &Scrape, last: &Scrape) {
    let of = |scrape: &Scrape, name: &str, service: &str| {
        let mut of = scrape.named(name).filter(|sample| {
            sample
                .labels
                .get("service")
                .is_some_and(|label| label == service)
        });
        of.next().map_or(f64::NAN, |sample| sample.value)
    };
    let figures = SERVICES.map(|service| {
        let memory = of(last, "process_resident_memory_bytes", service) / 1e6;
        let used = |scrape| of(scrape, "process_cpu_seconds", service);
        format!("{service} {memory:.0} MB {:.2} s", used(last) - used(first))
    });
    stage::figure(&format!(
        "{} idle for three rounds: {}",
        node.name,
        figures.join(", ")
    ));
}
