//! `POST /v1/assert`: what is acknowledged is on enough disks, and what is not says so.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use stemedb_gateway::config::Patience;

use crate::stage::{HASTY, HEDGED, PATIENT, Stage, claim, record};
use crate::store::Mood;

#[tokio::test]
async fn a_record_is_acknowledged_by_both_owners_and_found_there_again() {
    let stage = Stage::calm().await;
    let json = claim(373.17, "chem-tables:boiling_point_k/WEBBOOK");
    let record = record(&json);
    let (one, other, third) = stage.places(&record);
    let reply = stage.post("/v1/assert", json.clone()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let said = reply.json();
    let mut owners = [one.node.as_str(), other.node.as_str()];
    owners.sort_unstable();
    assert_eq!(said["id"], record.id().to_string());
    assert_eq!(said["status"], "stored");
    assert_eq!(said["copies"], 2);
    assert_eq!(said["holders"], json!(owners));
    assert_eq!(said["asserted_at"], 1_388_534_400_000_i64);
    assert!(third.state().records.is_empty());
    let again = stage.post("/v1/assert", json).await;
    assert_eq!(
        (again.status, &again.json()["status"]),
        (200, &json!("present"))
    );
}

#[tokio::test]
async fn key_cluster_and_node_travel_with_every_call() {
    let stage = Stage::calm().await;
    let json = claim(373.17, "u");
    let headers = [
        ("content-type", "application/json"),
        ("x-api-key", "steme_test_1"),
    ];
    let reply = stage
        .ask(
            stage.api,
            Method::POST,
            "/v1/assert",
            &headers,
            json.clone(),
        )
        .await;
    assert_eq!(reply.status, 201);
    let record = record(&json);
    let (one, other, _) = stage.places(&record);
    for store in [one, other] {
        let state = store.state();
        assert_eq!(state.metadata.get("x-api-key").unwrap(), "steme_test_1");
        assert_eq!(state.metadata.get("stemedb-cluster-id").unwrap(), "c1");
        assert_eq!(
            state.metadata.get("stemedb-node").unwrap(),
            store.node.as_str()
        );
    }
}

#[tokio::test]
async fn a_dead_owner_is_replaced_at_once_and_used_again_when_it_is_back() {
    let stage = Stage::calm().await;
    let first = claim(373.17, "a");
    let (one, other, third) = stage.places(&record(&first));
    other.kill();
    let reply = stage.post("/v1/assert", first).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let mut holders = [one.node.as_str(), third.node.as_str()];
    holders.sort_unstable();
    assert_eq!(reply.json()["holders"], json!(holders));
    if other.node != "node1" {
        stage
            .until("repair is told", async || {
                stage
                    .antientropy
                    .nudged
                    .lock()
                    .unwrap()
                    .contains(&other.node)
            })
            .await;
    }
    other.restart().await;
    let mut number = 0.0;
    stage
        .until("the owner is used again", async || {
            number += 1.0;
            let reply = stage.post("/v1/assert", claim(number, "b")).await;
            assert_eq!(reply.status, 201);
            reply.json()["holders"]
                .as_array()
                .unwrap()
                .contains(&json!(other.node))
        })
        .await;
}

#[tokio::test]
async fn a_silent_owner_is_hedged_and_then_left_alone() {
    let stage = Stage::with(HEDGED, |_| {}).await;
    let json = claim(373.17, "a");
    let (one, other, third) = stage.places(&record(&json));
    other.state().mood = Mood::Frozen;
    let began = Instant::now();
    let reply = stage.post("/v1/assert", json).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(
        began.elapsed() >= HEDGED.hedge,
        "both owners were waited for"
    );
    assert!(third.state().records.len() == 1 && one.state().records.len() == 1);
    let mut number = 0.0;
    stage
        .until("writes go around it", async || {
            number += 1.0;
            let began = Instant::now();
            let reply = stage.post("/v1/assert", claim(number, "b")).await;
            assert_eq!(reply.status, 201);
            began.elapsed() < HEDGED.hedge
        })
        .await;
    // What it is asked now are probes; it answers them when it thaws.
    other.state().mood = Mood::Well;
    stage
        .until("it takes writes again", async || {
            number += 1.0;
            stage.post("/v1/assert", claim(number, "c")).await;
            !other.state().appends.is_empty() && !other.state().records.is_empty()
        })
        .await;
}

#[tokio::test]
async fn an_owner_that_lives_and_gets_nothing_done_is_hedged_too() {
    let stage = Stage::with(HASTY, |_| {}).await;
    let (_, other, third) = stage.places(&record(&claim(373.17, "a")));
    other.state().mood = Mood::Stuck;
    // What this process had no time to hear is no silence: a machine that stands still for as long as the write may take ends it first.
    let mut number = 0.0;
    stage
        .until("a stand-in takes the place of the owner", async || {
            number += 1.0;
            let reply = stage.post("/v1/assert", claim(number, "a")).await;
            assert!(matches!(reply.status, 201 | 202), "{}", reply.text());
            reply.status == 201
        })
        .await;
    let said = record(&claim(number, "a")).id();
    assert!(third.state().records.contains_key(&said));
}

#[tokio::test]
async fn a_full_disk_is_replaced_and_a_busy_store_is_waited_for() {
    let stage = Stage::calm().await;
    let json = claim(373.17, "a");
    let (one, other, third) = stage.places(&record(&json));
    other.state().mood = Mood::Busy(3);
    let reply = stage.post("/v1/assert", json).await;
    assert_eq!(reply.status, 201);
    assert!(
        third.state().records.is_empty(),
        "overload is no reason for a stand-in"
    );
    one.state().mood = Mood::Full;
    let reply = stage.post("/v1/assert", claim(1.0, "b")).await;
    assert_eq!(reply.status, 201);
    assert_eq!(third.state().records.len(), 1);
}

#[tokio::test]
async fn stores_that_take_no_more_are_no_reason_to_say_that_it_is_stored() {
    let stage = Stage::with(HASTY, |_| {}).await;
    for store in &stage.stores {
        store.state().mood = Mood::Busy(u32::MAX);
    }
    for durability in ["", "?durability=local", "?durability=all"] {
        let path = format!("/v1/assert{durability}");
        let reply = stage.post(&path, claim(373.17, "a")).await;
        reply.refused(503, "maybe_stored");
        assert_eq!(reply.headers["retry-after"], "1");
    }
    let asked: usize = stage
        .stores
        .iter()
        .map(|store| store.state().appends.len())
        .sum();
    // Both owners, for three times three seconds, with pauses of up to 400 ms.
    assert!(asked <= 2 * 3 * 12, "{asked} calls are no backing off");
    for store in &stage.stores {
        store.state().mood = Mood::Well;
    }
    assert_eq!(
        stage.post("/v1/assert", claim(373.17, "a")).await.status,
        201
    );
}

#[tokio::test]
async fn the_last_survivor_accepts_and_nobody_at_all_is_maybe_stored() {
    let stage = Stage::with(HASTY, |_| {}).await;
    let json = claim(373.17, "a");
    let (one, other, third) = stage.places(&record(&json));
    other.kill();
    third.kill();
    let reply = stage.post("/v1/assert", json).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let said = reply.json();
    assert_eq!(
        (&said["copies"], &said["status"]),
        (&json!(1), &json!("accepted"))
    );
    assert_eq!(said["holders"], json!([one.node]));
    one.kill();
    let unstamped = r#"{"subject":"s","predicate":"p","object":{"type":"boolean","value":true},"source":{"uri":"u","class":"expert"}}"#;
    let reply = stage.post("/v1/assert", unstamped).await;
    let said = reply.refused(503, "maybe_stored");
    assert_eq!(reply.headers["retry-after"], "1");
    let stamped = unstamped.replacen(
        '{',
        &format!("{{\"asserted_at\":{},", said["asserted_at"]),
        1,
    );
    assert_eq!(
        said["id"],
        record(&stamped).id().to_string(),
        "a resend is the same record"
    );
}

#[tokio::test]
async fn durability_says_how_many_copies_are_waited_for() {
    let stage = Stage::with(HASTY, |_| {}).await;
    let json = claim(373.17, "a");
    let (one, other, _) = stage.places(&record(&json));
    other.state().mood = Mood::Stuck;
    let reply = stage.post("/v1/assert?durability=local", json).await;
    assert_eq!((reply.status, &reply.json()["copies"]), (201, &json!(1)));
    assert_eq!(one.state().records.len(), 1);
    let mut number = 0.0;
    stage
        .until("a stand-in beside the owner", async || {
            number += 1.0;
            let json = claim(number, "b");
            let reply = stage.post("/v1/assert?durability=all", json).await;
            assert_eq!(reply.status, 202, "an owner is missing: {}", reply.text());
            reply.json()["copies"] == 2
        })
        .await;
    stage
        .post("/v1/assert?durability=some", claim(1.0, "c"))
        .await
        .refused(422, "bad_value");
    stage
        .post("/v1/assert?fast=1", claim(1.0, "c"))
        .await
        .refused(400, "unknown_parameter");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_take_the_write_with_it() {
    let patience = Patience {
        hedge: Duration::from_secs(3),
        ..HEDGED
    };
    let stage = Stage::with(patience, |_| {}).await;
    let json = claim(373.17, "a");
    let (one, other, third) = stage.places(&record(&json));
    other.state().mood = Mood::Frozen;
    let arrived = stage.until("the other owner has it", async || {
        one.state().records.len() == 1
    });
    tokio::select! {
        reply = stage.post("/v1/assert", json) => {
            panic!("the owner is frozen, nothing is acknowledged yet: {}", reply.text())
        }
        () = arrived => {}
    }
    stage
        .until("the stand-in has it", async || {
            third.state().records.len() == 1
        })
        .await;
}

#[tokio::test]
async fn a_node_alone_acknowledges_alone() {
    let stage = Stage::raw(PATIENT, |_| {}).await;
    stage.change_view(|view| {
        view.members.truncate(1);
        view.placement.truncate(1);
    });
    stage
        .until("it is ready", async || {
            stage.get("/v1/health").await.status == 200
        })
        .await;
    stage
        .until("it is alone", async || {
            stage.get_internal("/cluster/members").await.json()["members"]
                .as_array()
                .unwrap()
                .len()
                == 1
        })
        .await;
    let reply = stage.post("/v1/assert", claim(373.17, "a")).await;
    assert_eq!(
        (reply.status, &reply.json()["holders"]),
        (201, &json!(["node1"]))
    );
}

#[tokio::test]
async fn nothing_is_taken_before_the_cluster_has_formed_or_by_a_superseded_process() {
    let stage = Stage::calm().await;
    stage.change_view(|view| {
        view.cluster_id.clear();
        view.waiting_for = "2 more nodes".into();
    });
    stage
        .until("it is not ready", async || {
            stage.get("/v1/health").await.status == 503
        })
        .await;
    let said = stage
        .post("/v1/assert", claim(1.0, "a"))
        .await
        .refused(503, "not_ready");
    assert!(
        said["detail"].as_str().unwrap().contains("2 more nodes"),
        "{said}"
    );
    let health = stage.get("/v1/health").await.json();
    assert!(
        health["reasons"][0]
            .as_str()
            .unwrap()
            .contains("2 more nodes"),
        "{health}"
    );
    stage
        .post_lines(claim(1.0, "a"))
        .await
        .refused(503, "not_ready");
    stage.change_view(|view| {
        view.cluster_id = "c1".into();
        view.superseded = true;
    });
    stage
        .until("it knows that it is superseded", async || {
            stage.get("/v1/health").await.text().contains("superseded")
        })
        .await;
    stage
        .post("/v1/assert", claim(1.0, "a"))
        .await
        .refused(503, "not_ready");
}
