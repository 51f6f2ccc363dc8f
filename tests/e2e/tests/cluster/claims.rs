//! Small claims made up by tests.

use std::collections::BTreeSet;

use e2e::cluster::Cluster;
use e2e::http::{Http, Reply};
use serde_json::{Value, json};

/// A claim that `subject` measures `value`, dated so that sending it again is the same record.
pub(crate) fn claim(subject: &str, value: u32) -> String {
    json!({
        "subject": subject,
        "predicate": "measured",
        "object": { "type": "number", "value": value },
        "source": { "uri": format!("https://example.org/{value}"), "class": "expert" },
        "asserted_at": 1_700_000_000_000_i64 + i64::from(value),
    })
    .to_string()
}

/// A subject whose records lie on exactly these two nodes, and the claim that showed it.
pub(crate) async fn subject_on(
    cluster: &Cluster,
    http: &Http,
    name: &str,
    owners: [&str; 2],
) -> String {
    /// Three pairs of nodes: a hundred misses in a row do not happen.
    const TRIES: u32 = 100;
    let wanted = BTreeSet::from(owners.map(str::to_owned));
    for number in 0..TRIES {
        let subject = format!("{name}:{number}");
        let reply = assert_at(cluster, http, 1, &claim(&subject, 0)).await;
        if holders(&reply) == wanted {
            return subject;
        }
    }
    panic!("no subject of {TRIES} lies on {owners:?}");
}

/// Sends a record through one node, which must acknowledge it.
pub(crate) async fn assert_at(cluster: &Cluster, http: &Http, node: usize, record: &str) -> Reply {
    let url = cluster.node(node).api("/v1/assert");
    let reply = http
        .post(&url, record.to_owned())
        .await
        .expect("the gateway answers");
    assert!(
        matches!(reply.status, 200 | 201),
        "{} {}",
        reply.status,
        reply.text()
    );
    reply
}

/// Who holds a record, as the reply to its write says.
pub(crate) fn holders(reply: &Reply) -> BTreeSet<String> {
    texts(&reply.json()["holders"])
}

/// The id in the reply to a write.
pub(crate) fn id(reply: &Reply) -> String {
    let id = reply.json()["id"].as_str().map(str::to_owned);
    id.unwrap_or_else(|| panic!("no id: {}", reply.text()))
}

/// A list of texts as a set.
pub(crate) fn texts(list: &Value) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The ids of a page of records.
pub(crate) fn ids(body: &Value) -> BTreeSet<String> {
    let records = body["result"]["records"].as_array();
    let ids = records
        .unwrap_or_else(|| panic!("no page of records: {body}"))
        .iter()
        .map(|record| {
            record["id"]
                .as_str()
                .expect("a record has an id")
                .to_owned()
        });
    ids.collect()
}

/// Names of the nodes that hold a record.
pub(crate) fn replicas(said: &Value) -> BTreeSet<String> {
    let list = said["result"]["replicas"]
        .as_array()
        .unwrap_or_else(|| panic!("no replicas: {said}"));
    let names = list.iter().filter_map(|replica| replica["node"].as_str());
    names.map(str::to_owned).collect()
}
