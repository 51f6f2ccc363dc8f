//! The search for damage, and the alarms of a node's store.

use http::Method;
use proto::v1;
use serde_json::json;

use crate::stage::Stage;

fn alarm() -> v1::Alarm {
    v1::Alarm {
        code: "quarantined_rows".into(),
        message: "1 damaged record was taken out".into(),
        since_ms: 7,
    }
}

#[tokio::test]
async fn every_node_says_how_its_scrub_stands() {
    let stage = Stage::calm().await;
    stage.stores[1].state().scrub = v1::ScrubReply {
        state: "topics".into(),
        rows: 30,
        rows_to_do: 10,
        found_rows: 2,
        quarantined: 1,
        waited_for: vec![v1::QuarantinedRow {
            id: vec![0xab; 32].into(),
            shard: 3,
            noticed_at_ms: 5,
            reason: "flipped".into(),
        }],
        alarms: vec![alarm()],
        ..v1::ScrubReply::default()
    };
    stage.stores[2].kill();
    let said = stage.get_internal("/cluster/scrub").await.json();
    assert_eq!(
        (&said["node"], &said["nodes"][0]["id"]),
        (&json!("node1"), &json!("node1"))
    );
    let second = &said["nodes"][1];
    assert_eq!(
        (&second["id"], &second["state"]),
        (&json!("node2"), &json!("topics"))
    );
    assert_eq!(
        (&second["percent"], &second["quarantined"]),
        (&json!(75.0), &json!(1))
    );
    assert_eq!(
        second["waited_for"],
        json!([{"id": "ab".repeat(32), "shard": 3, "noticed_at": 5, "reason": "flipped"}])
    );
    assert_eq!(
        second["alarms"],
        json!([{"code": "quarantined_rows", "message": "1 damaged record was taken out", "since": 7}])
    );
    assert_eq!(said["unreachable"][0]["id"], "node3");
    let refused = stage.get_internal("/cluster/scrub?node=node2").await;
    refused.refused(400, "unknown_parameter");
}

#[tokio::test]
async fn a_scrub_begins_on_the_nodes_that_are_named_or_on_all() {
    let stage = Stage::calm().await;
    let begin = async |path: &str| stage.ask(stage.bind, Method::POST, path, &[], "").await;
    let begun = || -> Vec<usize> {
        let stores = stage.stores.iter();
        stores.map(|store| store.state().scrubs).collect()
    };
    let said = begin("/cluster/scrub?node=node2&node=node2").await.json();
    assert_eq!(said["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(begun(), [0, 1, 0]);
    let stranger = begin("/cluster/scrub?node=node2&node=node9").await;
    let said = stranger.refused(404, "no_such_node");
    assert!(said["detail"].as_str().unwrap().contains("node9"));
    assert_eq!(begun(), [0, 1, 0]);
    assert_eq!(begin("/cluster/scrub").await.status, 200);
    assert_eq!(begun(), [1, 2, 1]);
}

#[tokio::test]
async fn health_shows_the_alarms_of_the_store_while_it_serves() {
    let stage = Stage::calm().await;
    let health = async || stage.get("/v1/health").await;
    assert_eq!(health().await.json()["alarms"], json!([]));
    stage.stores[0].state().alarms = vec![alarm()];
    let wanted = json!([{"code": "quarantined_rows", "message": "1 damaged record was taken out", "since": 7}]);
    stage
        .until("the alarm is shown", async || {
            let reply = health().await;
            reply.status == 200 && reply.json()["alarms"] == wanted
        })
        .await;
    stage.stores[0].state().alarms.clear();
    stage
        .until("the alarm is over", async || {
            health().await.json()["alarms"] == json!([])
        })
        .await;
}
