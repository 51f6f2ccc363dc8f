//! The cluster's own API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::Method;
use proto::v1;
use serde_json::{Value, json};

use crate::stage::{Stage, claim, record};
use crate::store::{Mood, shard_of};

#[tokio::test]
async fn members_are_shown_with_what_is_known_of_them() {
    let stage = Stage::calm().await;
    stage.change_view(|view| view.members[2].status = v1::Status::Down.into());
    stage
        .until("node3 is DOWN", async || {
            stage.get_internal("/cluster/members").await.json()["members"][2]["status"] == "DOWN"
        })
        .await;
    let said = stage.get_internal("/cluster/members").await.json();
    assert_eq!(said["members"].as_array().unwrap().len(), 3);
    let first = &said["members"][0];
    assert_eq!(
        (&first["id"], &first["status"], &first["phase"]),
        (&json!("node1"), &json!("UP"), &json!("serving"))
    );
    assert_eq!(first["services"]["store"], "ok");
    assert_eq!(first["services"]["gateway"], "ok");
    assert_eq!(
        said["members"][2]["services"]["gateway"],
        "the node is away"
    );
    let shards: u64 = (0..3)
        .map(|place| said["members"][place]["owned_shards"].as_u64().unwrap())
        .sum();
    assert_eq!(shards, 32, "16 shards, two owners each");
}

#[tokio::test]
async fn members_are_forgotten_by_name() {
    let stage = Stage::calm().await;
    let forget = async |name: &str| {
        let path = format!("/cluster/members/{name}/forget");
        stage.ask(stage.bind, Method::POST, &path, &[], "").await
    };
    let reply = forget("node3").await;
    assert_eq!(
        (reply.status, &reply.json()["warning"]),
        (200, &json!("what only node3 had is lost"))
    );
    forget("node2").await.refused(409, "member_is_up");
    forget("node9").await.refused(404, "no_such_member");
}

#[tokio::test]
async fn a_member_leaves_when_it_may_and_others_are_asked_for_themselves() {
    let stage = Stage::calm().await;
    let leave = async |path: &str| {
        let path = format!("/cluster/members/{path}");
        stage.ask(stage.bind, Method::POST, &path, &[], "").await
    };
    leave("node1/leave").await.refused(409, "cannot_leave");
    let reply = leave("node1/leave?force=true").await;
    assert_eq!(
        (reply.status, &reply.json()["staying"]),
        (200, &json!(["node2"]))
    );
    leave("node1/leave?force=perhaps")
        .await
        .refused(422, "bad_value");
    leave("node9/leave").await.refused(404, "no_such_member");
    // Nobody serves HTTP for the others here.
    leave("node2/leave")
        .await
        .refused(503, "member_unreachable");
    let passed = [("x-stemedb-passed-on", "1")];
    let path = "/cluster/members/node2/leave";
    let reply = stage.ask(stage.bind, Method::POST, path, &passed, "").await;
    reply.refused(409, "wrong_node");
    stage.change_view(|view| {
        view.members[1].status = v1::Status::Down.into();
        view.members[2].status = v1::Status::Left.into();
    });
    stage
        .until("node2 is DOWN", async || {
            leave("node2/leave").await.status == 409
        })
        .await;
    leave("node2/leave").await.refused(409, "member_is_down");
    assert_eq!(leave("node3/leave").await.status, 200, "it has left");
}

#[tokio::test]
async fn a_node_that_has_left_says_what_helps() {
    let stage = Stage::calm().await;
    stage.change_view(|view| view.members[0].status = v1::Status::Left.into());
    let ask = async || stage.get("/v1/query?subject=s").await;
    stage
        .until("it has left", async || ask().await.status == 503)
        .await;
    let said = ask().await.json();
    let next = said["next_step"].as_str().unwrap();
    assert!(
        next.starts_with("ask another gateway") && next.contains("started again"),
        "{next}"
    );
    ask().await.refused(503, "not_ready");
}

#[tokio::test]
async fn a_plan_says_what_would_move() {
    let stage = Stage::calm().await;
    let claims: Vec<String> = (10..50)
        .map(|number| {
            claim(f64::from(number), "u").replace("cas:7732-18-5", &format!("cas:{number}"))
        })
        .collect();
    stage.post_lines(claims.join("\n")).await;
    let plan = async |query: &str| {
        let path = format!("/cluster/placement{query}");
        stage.get_internal(&path).await
    };
    let sum = |said: &serde_json::Value, key: &str| -> u64 {
        let nodes = said["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node[key].as_u64().unwrap()).sum()
    };
    let said = plan("").await.json();
    assert_eq!((sum(&said, "shards"), sum(&said, "records")), (32, 80));
    assert_eq!(
        (&said["records_moved"], sum(&said, "shards_after")),
        (&json!(0), 32)
    );
    let said = plan("?join=node4&join=node5").await.json();
    assert_eq!(said["nodes"].as_array().unwrap().len(), 5);
    let after: Vec<u64> = (0..5)
        .map(|place| said["nodes"][place]["shards_after"].as_u64().unwrap())
        .collect();
    assert!(
        after.iter().all(|shards| [6, 7].contains(shards)),
        "{after:?}"
    );
    assert_eq!(said["records_moved"], sum(&said, "records_in"));
    // All are of one length: a sample says what all of them say.
    let lengths: BTreeSet<usize> = claims
        .iter()
        .map(|claim| record(claim).canonical().len())
        .collect();
    assert_eq!(lengths.len(), 1);
    let length = lengths.into_iter().next().unwrap() as u64;
    for node in said["nodes"].as_array().unwrap() {
        let records_in = node["records_in"].as_u64().unwrap();
        assert_eq!(node["bytes_in"], records_in * length, "{node}");
    }
    let moved = said["records_moved"].as_u64().unwrap();
    assert_eq!(said["bytes_moved"], moved * length);
    assert!(moved > 0);
    let said = plan("?leave=node3").await.json();
    assert_eq!(said["nodes"][2]["shards_after"], 0);
    assert_eq!(said["nodes"][2]["records_out"], said["nodes"][2]["records"]);
    for wrong in [
        "?join=node2",
        "?join=",
        "?leave=node3,node3",
        "?leave=node1&leave=node2&leave=node3",
    ] {
        plan(wrong).await.refused(422, "bad_value");
    }
    let said = plan("?leave=node9").await.refused(422, "not_an_owner");
    assert_eq!(
        (&said["detail"], &said["next_step"], &said["path"]),
        (
            &json!("`node9` is not a member known to this node, node1"),
            &json!("name each node once; those that own shards are node1, node2, node3"),
            &json!("leave")
        )
    );
    let said = plan("?leave=node3,node3").await.json();
    assert_eq!(said["detail"], "`node3` is named twice");
}

#[tokio::test]
async fn repair_is_started_and_shown() {
    let stage = Stage::calm().await;
    let sync = async |query: &str| {
        let path = format!("/cluster/sync{query}");
        stage.ask(stage.bind, Method::POST, &path, &[], "").await
    };
    assert_eq!(sync("").await.json()["peers"][0]["pulled"], 7);
    assert_eq!(sync("?dry_run=true").await.json()["peers"][0]["pulled"], 0);
    sync("?dry_run=perhaps").await.refused(422, "bad_value");
    let tasks = stage.get_internal("/cluster/tasks").await.json();
    assert_eq!(tasks["tasks"][0]["lag_seconds"], 1.5);
    assert_eq!(
        tasks["tasks"][0]["moving"],
        json!({"shards": [3, 7], "records_done": 30, "records_to_do": 90, "percent": 25.0, "bytes_done": 6_000,
        "bytes_to_do": 18_000, "bytes_per_s": 4_000.0, "eta_s": 4.5})
    );
    assert_eq!(tasks["moving"], tasks["tasks"][0]["moving"]);
    assert_eq!(
        (&tasks["paused"], &tasks["bytes_per_s"]),
        (&json!(false), &json!(null))
    );
    // No peer is named for it.
    stage.stores[0].kill();
    stage
        .until("the own store is away", async || {
            sync("?dry_run=true").await.status == 503
        })
        .await;
    let refused = sync("?dry_run=true").await;
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("this node, node1")
    );
    refused.refused(503, "store_unavailable");
}

#[tokio::test]
async fn repair_is_paused_limited_and_resumed() {
    let stage = Stage::calm().await;
    let post = async |path: &str| stage.ask(stage.bind, Method::POST, path, &[], "").await;
    let said = post("/cluster/tasks/pause").await.json();
    assert_eq!(
        said,
        json!({"node": "node1", "paused": true, "bytes_per_s": null})
    );
    let tasks = stage.get_internal("/cluster/tasks").await.json();
    assert_eq!(tasks["paused"], true);
    post("/cluster/sync").await.refused(409, "repair_paused");
    assert_eq!(post("/cluster/sync?dry_run=true").await.status, 200);
    let said = post("/cluster/tasks/rate?bytes_per_s=2000000").await.json();
    assert_eq!(said["bytes_per_s"], 2_000_000);
    post("/cluster/tasks/rate").await.refused(422, "bad_value");
    post("/cluster/tasks/rate?bytes_per_s=1099511627777")
        .await
        .refused(422, "bad_value");
    let said = post("/cluster/tasks/resume").await.json();
    assert_eq!(said["paused"], false);
    assert_eq!(post("/cluster/sync").await.status, 200);
}

#[tokio::test]
async fn the_ids_that_two_nodes_hold_differently_are_named() {
    let stage = Stage::calm().await;
    let claims: Vec<String> = (0..60)
        .map(|number| {
            claim(f64::from(number), "u").replace("cas:7732-18-5", &format!("cas:{number}"))
        })
        .collect();
    stage.post_lines(claims.join("\n")).await;
    let (one, other, third) = stage.places(&record(&claims[9]));
    let diff = async |a: &str, b: &str| {
        let path = format!("/cluster/diff?a={a}&b={b}");
        stage.get_internal(&path).await
    };
    let said = diff(&one.node, &other.node).await.json();
    assert_eq!(
        (&said["equal"], &said["more"]),
        (&json!(true), &json!(false))
    );
    let lost = record(&claims[9]);
    other.state().records.remove(&lost.id());
    // What the third one holds for others is none of this.
    third.put(&lost);
    let said = diff(&one.node, &other.node).await.json();
    let ids = json!([lost.id().to_string()]);
    assert_eq!(
        (&said["only_a"], &said["only_b"]),
        (&ids, &json!([])),
        "{said}"
    );
    let said = diff(&other.node, &one.node).await.json();
    assert_eq!((&said["only_a"], &said["only_b"]), (&json!([]), &ids));
    assert_eq!(said["equal"], false);
    let shard = |bytes: Value| json!([{ "shard": shard_of(&lost), "only_a": 0, "only_b": 1, "bytes_a": bytes, "bytes_b": bytes }]);
    assert_eq!(said["by_shard"], shard(Value::Null));
    let path = format!("/cluster/diff?a={}&b={}&bytes=true", other.node, one.node);
    let said = stage.get_internal(&path).await.json();
    let mut weighed = shard(json!(0));
    weighed[0]["bytes_b"] = lost.canonical().len().into();
    assert_eq!(said["by_shard"], weighed);
    diff(&one.node, "node9")
        .await
        .refused(404, "no_such_member");
    // Who does not answer is named, whichever of the two it is. It is not waited for as long as one that may.
    other.state().mood = Mood::Frozen;
    stage.change_view(|view| {
        let members = view.members.iter_mut();
        let frozen = members.filter(|member| member.name == other.node);
        frozen.for_each(|member| member.status = v1::Status::Down.into());
    });
    for (a, b) in [(&one.node, &other.node), (&other.node, &one.node)] {
        let said = diff(a, b).await;
        assert_eq!(
            (said.status, &said.json()["node"]),
            (503, &json!(other.node))
        );
    }
    stage
        .get_internal("/cluster/diff?a=node1")
        .await
        .refused(422, "bad_value");
}

/// Nodes that hold what others own, and how much of it.
fn foreign(said: &Value) -> BTreeMap<&str, u64> {
    let nodes = said["nodes"].as_array().unwrap().iter();
    let held = nodes.map(|node| {
        (
            node["id"].as_str().unwrap(),
            node["foreign"].as_u64().unwrap(),
        )
    });
    held.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn verify_finds_what_an_owner_lacks_and_nothing_else() {
    let stage = Stage::calm().await;
    let claims: Vec<String> = (0..40)
        .map(|number| {
            claim(f64::from(number), "u").replace("cas:7732-18-5", &format!("cas:{number}"))
        })
        .collect();
    stage.post_lines(claims.join("\n")).await;
    let verify = async || stage.get_internal("/cluster/verify").await.json();
    let said = verify().await;
    assert_eq!(said["equal"], true, "{said}");
    assert_eq!(
        (&said["distinct_records"], &said["under_replicated"]),
        (&json!(40), &json!(0))
    );
    let held: u64 = (0..3)
        .map(|place| said["nodes"][place]["records"].as_u64().unwrap())
        .sum();
    assert_eq!(held, 80);

    // A stand-in's row is no difference.
    let (one, other, third) = stage.places(&record(&claims[7]));
    third.put(&record(&claims[7]));
    let said = verify().await;
    assert_eq!(
        (&said["equal"], &said["foreign"]),
        (&json!(true), &json!(1)),
        "{said}"
    );

    assert_eq!(foreign(&said), BTreeMap::from([(third.node.as_str(), 1)]));

    // A write that is on its way to an owner at the cut is none either.
    other.state().late = vec![record(&claims[7]).id()];
    let said = verify().await;
    assert_eq!(
        (&said["equal"], &said["under_replicated"]),
        (&json!(true), &json!(0)),
        "{said}"
    );
    // Nor one that comes to both owners while they are compared: it is counted, from where it was.
    one.state().late = vec![record(&claims[7]).id()];
    let said = verify().await;
    assert_eq!(
        (&said["equal"], &said["distinct_records"]),
        (&json!(true), &json!(40)),
        "{said}"
    );
    one.state().late.clear();
    other.state().late.clear();

    // A row that an owner lacks is one; the stand-in's copy still counts as a copy.
    other.state().records.remove(&record(&claims[7]).id());
    let said = verify().await;
    assert_eq!(said["equal"], false, "{said}");
    assert_eq!(
        (&said["missing_at_owners"], &said["under_replicated"]),
        (&json!(1), &json!(0))
    );
    assert!(
        said["reason"]
            .as_str()
            .unwrap()
            .contains(&record(&claims[7]).id().to_string())
    );
    third.state().records.remove(&record(&claims[7]).id());
    assert_eq!(verify().await["under_replicated"], 1);

    other.kill();
    let said = verify().await;
    assert_eq!(said["equal"], false);
    assert!(
        said["reason"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{} does not answer", other.node)),
        "{said}"
    );
}

#[tokio::test]
async fn a_store_that_pauses_for_seconds_is_compared_with_the_others() {
    let stage = Stage::calm().await;
    stage.post("/v1/assert", claim(1.0, "u")).await;
    let paused = &stage.stores[2];
    paused.state().mood = Mood::Frozen;
    let began = Instant::now();
    let thaw = async {
        let long = async || began.elapsed() > Duration::from_millis(2_500);
        stage.until("it was silent for seconds", long).await;
        paused.state().mood = Mood::Well;
    };
    let (said, ()) = tokio::join!(stage.get_internal("/cluster/verify"), thaw);
    let said = said.json();
    assert_eq!(
        (&said["equal"], &said["unreachable"]),
        (&json!(true), &json!([])),
        "{said}"
    );
}
