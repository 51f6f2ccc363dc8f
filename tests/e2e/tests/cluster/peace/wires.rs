//! Each arrow between the parts of a running cluster, seen from its far end.

use std::collections::BTreeSet;

use e2e::cluster::{FORMATION, REPAIR};
use e2e::eventually;
use e2e::http::Http;
use e2e::node::SERVICES;
use e2e::scrape::Scrape;
use http::Method;
use serde_json::Value;

use crate::claims::{answer, assert_at, claim, holders, id, ids, subject_on, texts, whereabouts};
use crate::nodes::reply;
use crate::stage;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_client_reaches_its_gateway_with_all_it_sends() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", TRACEPARENT),
        (
            "x-api-key",
            "steme_test_000000000000000000000000000000000000000000000000",
        ),
    ];
    for url in [
        cluster.node(1).api("/v1/assert"),
        cluster.node(2).admin("/v1/assert"),
    ] {
        let reply = http
            .send(Method::POST, &url, &headers, claim("wire:client", 1))
            .await;
        let reply = reply.expect("the gateway answers");
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        assert_eq!(
            reply.header("x-trace-id"),
            Some("0af7651916cd43dd8448eb211c80319c")
        );
    }
    let reply = http
        .get(&cluster.node(1).api("/v1/query?subject=wire:client"))
        .await;
    let reply = reply.expect("the gateway answers");
    let trace = reply
        .header("x-trace-id")
        .expect("every reply has a trace")
        .to_owned();
    assert_eq!(trace.len(), 32);
    assert_eq!(reply.json()["meta"]["trace_id"], trace.as_str());
}

#[tokio::test]
async fn a_browser_is_told_that_it_may_call() {
    let cluster = stage::peace().await;
    let headers = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,x-api-key,traceparent",
        ),
    ];
    let url = cluster.node(1).api("/v1/assert");
    let reply = Http::new().send(Method::OPTIONS, &url, &headers, "").await;
    let reply = reply.expect("the gateway answers");
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    assert!(
        reply.header("access-control-allow-origin").is_some(),
        "{:?}",
        reply.headers
    );
    let allowed = reply
        .header("access-control-allow-headers")
        .unwrap_or_default();
    assert!(allowed == "*" || allowed.contains("x-api-key"), "{allowed}");
}

#[tokio::test]
async fn a_gateway_writes_to_its_own_store_and_to_those_of_other_nodes() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for (name, owners) in [
        ("wire:own", ["node1", "node2"]),
        ("wire:others", ["node2", "node3"]),
    ] {
        let subject = subject_on(&cluster, &http, name, owners).await;
        let written = assert_at(&cluster, &http, 1, &claim(&subject, 1)).await;
        assert_eq!(written.status, 201, "{}", written.text());
        assert_eq!(written.json()["copies"], 2, "{}", written.text());
        assert_eq!(holders(&written), owners.map(str::to_owned).into());
        let id = id(&written);
        for node in &cluster.nodes {
            let one = answer(&http, &node.api(&format!("/v1/records/{id}"))).await;
            assert!(one.text().contains(&subject), "{}", one.text());
            let page = answer(
                &http,
                &node.api(&format!("/v1/query?subject={subject}&include={id}")),
            )
            .await;
            assert!(ids(&page.json()).contains(&id), "{}", page.text());
        }
        let held = whereabouts(&http, cluster.node(1), &id).await;
        assert_eq!(held, owners.map(str::to_owned).into());
    }
}

#[tokio::test]
async fn a_gateway_hears_of_all_members_from_its_membership() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for node in &cluster.nodes {
        // For a moment, one that is busy is SUSPECT, or its store is not known to serve.
        let url = node.admin("/cluster/members");
        let said = reply("all are UP and serve", FORMATION, &http, &url, |reply| {
            let said = reply.json();
            let mut members = said["members"].as_array().into_iter().flatten();
            reply.status == 200
                && members.all(|member| member["status"] == "UP" && member["phase"] == "serving")
        })
        .await
        .json();
        let members = said["members"].as_array().expect("a list");
        let names: Vec<&str> = members
            .iter()
            .filter_map(|member| member["id"].as_str())
            .collect();
        assert_eq!(names, ["node1", "node2", "node3"]);
        for (member, node) in members.iter().zip(&cluster.nodes) {
            assert_eq!(
                format!("http://{}", text(member, "api_addr")),
                node.api(""),
                "{member}"
            );
            assert_eq!(text(member, "rpc_addr"), node.rpc(), "{member}");
            assert_eq!(text(member, "swim_addr"), node.swim(), "{member}");
            assert!(member["incarnation"].as_u64().is_some(), "{member}");
            assert_eq!(text(member, "version"), env!("CARGO_PKG_VERSION"));
        }
    }
}

#[tokio::test]
async fn a_gateway_has_its_antientropy_compare_with_every_peer() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for path in ["/cluster/sync", "/cluster/sync?dry_run=true"] {
        // A session that a busy peer does not end in time is one with an error.
        let said = eventually("a session with each", REPAIR, || async {
            let reply = http.post(&cluster.node(1).admin(path), "").await?;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let said = reply.json();
            let mut peers = said["peers"].as_array().into_iter().flatten();
            let good = peers.all(|peer| text(peer, "error").is_empty());
            good.then_some(said).ok_or_else(|| reply.text())
        })
        .await;
        let peers = said["peers"].as_array().expect("a list");
        let names: Vec<&str> = peers
            .iter()
            .filter_map(|peer| peer["peer"].as_str())
            .collect();
        assert_eq!(names, ["node2", "node3"], "{said}");
        for peer in peers {
            assert!(peer["round_trips"].as_u64() >= Some(1), "{said}");
        }
    }
}

#[tokio::test]
async fn one_scrape_has_the_metrics_of_all_four_services() {
    let cluster = stage::peace().await;
    let http = Http::new();
    for node in &cluster.nodes {
        for url in [node.api("/metrics"), node.admin("/metrics")] {
            // A service that is late drops out for a moment.
            let scrape = eventually("all four services", FORMATION, || async {
                let reply = answer(&http, &url).await;
                let kind = reply.header("content-type").unwrap_or_default();
                assert!(kind.starts_with("text/plain"), "{kind}");
                let scrape = Scrape::read(&reply.text());
                assert!(scrape.faults.is_empty(), "{:#?}", scrape.faults);
                let all = scrape.label("service") == BTreeSet::from(SERVICES);
                all.then_some(scrape).ok_or_else(|| reply.text())
            })
            .await;
            let bare: Vec<_> = scrape
                .samples
                .iter()
                .filter(|sample| !sample.labels.contains_key("service"))
                .collect();
            assert!(bare.is_empty(), "{bare:?}");
            let resident = scrape.named("process_resident_memory_bytes").count();
            assert_eq!(resident, 4, "{url}");
        }
    }
}

#[tokio::test]
async fn readiness_and_life_are_told_on_both_ports() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let node = cluster.node(3);
    for url in [node.api("/v1/health/live"), node.admin("/v1/health/live")] {
        answer(&http, &url).await;
    }
    for url in [node.api("/v1/health"), node.admin("/v1/health")] {
        // A neighbour that is late is a reason, for a moment.
        let said = reply("readiness", FORMATION, &http, &url, |reply| {
            reply.status == 200
        });
        let said = said.await.json();
        assert_eq!(said["node"], "node3", "{said}");
        assert!(texts(&said["reasons"]).is_empty(), "{said}");
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
