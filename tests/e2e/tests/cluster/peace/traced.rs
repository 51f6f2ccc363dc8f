//! One trace for one write, over all processes and nodes that it touches.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::eventually;
use e2e::http::Http;
use e2e::traces::Span;
use http::Method;

use crate::claims::{claim, holders, subject_on};
use crate::stage;

/// The client's own span: not sent to the receiver, so the only parent that may be absent.
const CLIENT_SPAN: &str = "b7ad6b7169203331";

/// The key that the client sends: no span may show it.
const SECRET: &str = "steme_test_0123456789abcdef";

/// Batches leave every 200 ms.
const EXPORT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_write_is_one_trace_through_gateway_and_both_stores() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let subject = subject_on(&cluster, &http, "trace:write", ["node2", "node3"]).await;
    let trace = format!("{:032x}", u128::from(std::process::id()) << 64 | 0x1dea);
    let parent = format!("00-{trace}-{CLIENT_SPAN}-01");
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", parent.as_str()),
        ("x-api-key", SECRET),
    ];
    let url = cluster.node(1).api("/v1/assert");
    let reply = http
        .send(Method::POST, &url, &headers, claim(&subject, 1))
        .await;
    let reply = reply.expect("the gateway answers");
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(
        holders(&reply),
        ["node2", "node3"].map(str::to_owned).into()
    );
    assert_eq!(reply.header("x-trace-id"), Some(trace.as_str()));

    let (receiver, _) = stage::receiver();
    let wanted = [
        ("stemedb-gateway", "node1"),
        ("stemedb-store", "node2"),
        ("stemedb-store", "node3"),
    ];
    let spans = eventually("the whole trace", EXPORT, || async {
        let spans = receiver.of(&trace);
        let whole = places(&spans) == wanted.into() && orphans(&spans).is_empty();
        whole
            .then(|| spans.clone())
            .ok_or_else(|| format!("{spans:#?}"))
    })
    .await;
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
    let shown = |span: &&Span| span.attributes.values().any(|text| text.contains(SECRET));
    assert_eq!(spans.iter().find(shown), None);
}

fn places(spans: &[Span]) -> BTreeSet<(&str, &str)> {
    let places = spans
        .iter()
        .map(|span| (span.service.as_str(), span.node.as_str()));
    places.collect()
}

/// Spans whose parent was not received.
fn orphans(spans: &[Span]) -> Vec<&Span> {
    let known = |id: &str| id == CLIENT_SPAN || spans.iter().any(|span| span.span_id == id);
    spans.iter().filter(|span| !known(&span.parent)).collect()
}
