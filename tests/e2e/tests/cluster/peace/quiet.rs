//! A cluster that nobody talks to.

use std::time::Duration;

use e2e::eventually;
use e2e::http::Http;
use e2e::node::{Node, SERVICES};
use e2e::scrape::Scrape;

use crate::stage;

/// Sessions run every second.
const ROUNDS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn without_traffic_all_are_equal_and_nobody_lags() {
    let cluster = stage::peace().await;
    let http = Http::new();
    cluster.equal(&http).await;
    for node in &cluster.nodes {
        let first = scrape(&http, node).await.expect("a scrape");
        // Three more rounds with both peers, all of them without anything to do.
        let last = eventually("idle sessions", ROUNDS, || async {
            let scrape = scrape(&http, node).await?;
            let more = sessions(&scrape) - sessions(&first);
            (more >= 6.0)
                .then_some(scrape)
                .ok_or_else(|| format!("{more} sessions"))
        })
        .await;
        let lags: Vec<f64> = last.values("replication_lag_seconds").collect();
        assert_eq!(lags, [0.0, 0.0], "{}", node.name);
        assert_eq!(moved(&last), moved(&first), "{}", node.name);
        idle(node, &first, &last);
    }
    cluster.equal(&http).await;
}

async fn scrape(http: &Http, node: &Node) -> Result<Scrape, String> {
    let reply = http.get(&node.admin("/metrics")).await?;
    Ok(Scrape::read(&reply.text()))
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
