//! Small claims made up by tests.

use std::collections::BTreeSet;

use e2e::cluster::{Cluster, FORMATION};
use e2e::eventually;
use e2e::http::{Http, Reply};
use e2e::node::Node;
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
    acknowledged(http, &cluster.node(node).api("/v1/assert"), record).await
}

/// Sends a record, or an array of them, until it is acknowledged. A disk that takes seconds for one write makes it a 202 or a 503,
/// and the same bytes are the same record; whatever else is answered ends the test.
pub(crate) async fn acknowledged(http: &Http, url: &str, body: &str) -> Reply {
    eventually("an acknowledgement", FORMATION, || async {
        let reply = http.post(url, body.to_owned()).await;
        let reply = reply.expect("the gateway answers");
        let said = format!("{} {}", reply.status, reply.text());
        if matches!(reply.status, 200 | 201) {
            return Ok(reply);
        }
        assert!(reply.status == 202 || reply.is_late(), "{said}");
        Err(said)
    })
    .await
}

/// The answer to a question. A gateway that was late is asked again; whatever else it says ends the test.
pub(crate) async fn answer(http: &Http, url: &str) -> Reply {
    eventually("an answer", FORMATION, || async {
        let reply = http.get(url).await.expect("the gateway answers");
        let said = format!("{url}: {} {}", reply.status, reply.text());
        if reply.is_late() {
            return Err(said);
        }
        assert_eq!(reply.status, 200, "{said}");
        Ok(reply)
    })
    .await
}

/// The same, once it calls itself complete: where proofs are late it cannot.
pub(crate) async fn complete(http: &Http, url: &str) -> Reply {
    eventually("a complete answer", FORMATION, || async {
        let reply = answer(http, url).await;
        let complete = reply.json()["meta"]["complete"] == true;
        complete.then(|| reply.clone()).ok_or_else(|| reply.text())
    })
    .await
}

/// Names of the nodes that hold a record, when all nodes have told.
pub(crate) async fn whereabouts(http: &Http, asked: &Node, id: &str) -> BTreeSet<String> {
    let url = asked.api(&format!("/v1/records/{id}/replicas"));
    eventually("all nodes tell", FORMATION, || async {
        let said = answer(http, &url).await.json();
        let missing = said["meta"]["missing"].as_array();
        let all = missing.is_some_and(Vec::is_empty);
        all.then(|| replicas(&said)).ok_or_else(|| said.to_string())
    })
    .await
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
