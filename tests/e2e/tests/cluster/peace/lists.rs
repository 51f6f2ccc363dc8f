//! What is there can be listed at every node, what lenses leave out is marked, and what has no effect is told.

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::{command, eventually};
use serde_json::{Value, json};

use crate::stage::{self, Turn};

const SUBJECT: &str = "lists:water";

/// For a development build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A cluster in which every node can prove that it holds what it should: a new one counts as absent at first.
async fn proven() -> Turn {
    let cluster = stage::peace().await;
    let http = Http::new();
    eventually("every node proves what it holds", SOON, || async {
        for node in 1..=3 {
            let reply = http.get(&cluster.node(node).api("/v1/epochs")).await?;
            let name = format!("node{node}");
            if reply.json()["meta"]["node"] != name || reply.json()["meta"]["complete"] != true {
                return Err(reply.text());
            }
        }
        Ok(())
    })
    .await;
    cluster
}

/// Runs a command at one node and returns what it printed.
async fn run(cluster: &Cluster, node: usize, arguments: &[&str]) -> Value {
    let url = cluster.node(node).api("");
    let mut line = arguments.to_vec();
    line.extend(["--url", url.trim_end_matches('/'), "--json"]);
    let ended = command::run(&line).await;
    assert_eq!(ended.code, Some(0), "{line:?} {} {}", ended.out, ended.err);
    ended.json()
}

/// Writes until it is answered with a warning, which is found out within a moment or not at all, and must be this one. Returns
/// what was printed then.
async fn warned(cluster: &Cluster, node: usize, arguments: &[&str], code: &str) -> Value {
    eventually("a warning", SOON, || async {
        let said = run(cluster, node, arguments).await;
        let Some(warning) = said["warnings"].get(0) else {
            return Err(said.to_string());
        };
        assert_eq!(warning["code"], code, "{said}");
        Ok(said)
    })
    .await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The values of a member of all rows of a list.
fn column<'a>(said: &'a Value, list: &str, member: &str) -> Vec<&'a Value> {
    let rows = said["result"][list].as_array().expect("rows");
    rows.iter().map(|row| &row[member]).collect()
}

/// A claim, dated so that making it again is the same record.
fn claim<'a>(value: &'a str, source: &'a str) -> Vec<&'a str> {
    let line =
        "assert lists:water boiling_point_k --class expert --asserted-at 2001-02-03 --source";
    let mut line: Vec<&str> = line.split(' ').collect();
    line.extend([source, value]);
    line
}

#[tokio::test]
async fn what_is_there_is_listed_the_same_at_every_node() {
    let cluster = proven().await;
    let epoch = ["epoch", "add", "lists 1968", "--started-at", "1968-01-01"];
    let old = run(&cluster, 1, &epoch).await;
    let old = text(&old["id"]);
    let epoch = [
        "epoch",
        "add",
        "lists 1990",
        "--started-at",
        "1990-01-01",
        "--supersedes",
        old,
    ];
    let new = run(&cluster, 2, &epoch).await;
    let new = text(&new["id"]);
    let past = [&claim("373.16", "lists:good")[..], &["--epoch", old]].concat();
    let past = warned(&cluster, 1, &past, "superseded_epoch").await;
    let gone = run(&cluster, 1, &claim("373.17", "lists:gone")).await;
    let plain = run(&cluster, 1, &claim("373.15", "lists:good")).await;
    for (voter, weight) in [("bob", "0.5"), ("ann", "0.25"), ("ann", "0.75")] {
        let vote = [
            "vote",
            text(&plain["id"]),
            "--voter",
            voter,
            "--weight",
            weight,
        ];
        let said = run(&cluster, 3, &vote).await;
        assert_eq!(said.get("warnings"), None, "{said}");
    }
    let retracted = run(&cluster, 1, &["source", "retract", "lists:gone"]).await;
    assert_eq!(retracted.get("warnings"), None, "{retracted}");

    for node in 1..=3 {
        let said = run(&cluster, node, &["epoch", "list", "--limit", "1000"]).await;
        let rows = said["result"]["epochs"].as_array().expect("epochs");
        let of = |id: &str| {
            rows.iter()
                .find(|row| row["record"]["id"] == id)
                .expect("listed")
        };
        assert_eq!(of(old)["superseded_by"], json!([new]));
        assert_eq!(of(new)["superseded_by"], json!([]));
        let said = run(
            &cluster,
            node,
            &["source", "list", "lists:gone", "--retracted"],
        )
        .await;
        assert_eq!(column(&said, "sources", "uri"), ["lists:gone"]);
        assert_eq!(
            column(&said, "sources", "class"),
            ["expert"],
            "looked up in its claim"
        );
        let said = run(&cluster, node, &["votes", SUBJECT]).await;
        assert_eq!(column(&said, "votes", "voter"), ["ann", "bob"]);
        assert_eq!(column(&said, "votes", "weight"), [0.75, 0.5]);
        let said = eventually("a complete answer", SOON, || async {
            let said = run(&cluster, node, &["predicates", SUBJECT]).await;
            let complete = said["meta"]["complete"] == true;
            complete
                .then(|| said.clone())
                .ok_or_else(|| said.to_string())
        })
        .await;
        assert_eq!(
            said["result"]["predicates"],
            json!([{ "predicate": "boiling_point_k", "claims": 3 }])
        );
        let marks = json!({
            text(&past["id"]): { "superseded_by": [new] },
            text(&gone["id"]): { "retracted": true },
        });
        for more in [&[][..], &["--consistency", "all"]] {
            let mut query = vec!["query", SUBJECT];
            query.extend(more);
            let said = run(&cluster, node, &query).await;
            assert_eq!(said["result"]["marks"], marks, "{node} {more:?} {said}");
        }
        let traced = run(&cluster, node, &["trace", text(&past["id"])]).await;
        assert_eq!(traced["result"]["superseded_by"], json!([new]));
    }
}

#[tokio::test]
async fn a_write_without_effect_is_stored_and_says_so() {
    let cluster = proven().await;
    let nothing = "0".repeat(64);
    let vote = [
        "vote",
        &nothing,
        "--subject",
        "lists:nothing",
        "--voter",
        "ann",
    ];
    let said = warned(&cluster, 1, &vote, "no_such_assertion").await;
    assert_eq!(said["status"], "stored");
    let epoch = ["epoch", "add", "lists nothing", "--supersedes", &nothing];
    let said = warned(&cluster, 2, &epoch, "no_such_epoch").await;
    assert_eq!(said["status"], "stored");
    let retract = ["source", "retract", "lists:knwon", "--class", "expert"];
    let said = warned(&cluster, 3, &retract, "no_claim").await;
    assert_eq!(said["status"], "stored");
    let url = cluster.urls();
    let mut line = vote.to_vec();
    line.extend(["--url", &url]);
    eventually("a warning for people", SOON, || async {
        let ended = command::run(&line).await;
        assert_eq!(ended.code, Some(0));
        let warned = ended.err.contains("warning: ") && ended.err.contains("[no_such_assertion]");
        warned.then_some(()).ok_or(ended.err)
    })
    .await;
}
