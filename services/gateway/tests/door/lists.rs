//! Lists: by one node that has all of it, or by all together.

use serde_json::{Value, json};

use crate::stage::{Stage, claim, record};

/// All pages of a list.
async fn all(stage: &Stage, path: &str, name: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let reply = stage.get(&format!("{path}{cursor}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let result = reply.json()["result"].clone();
        rows.extend(result[name].as_array().unwrap().iter().cloned());
        match result["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn source(uri: &str, retracted: bool, at: i64) -> String {
    format!(
        r#"{{"kind":"source","uri":"{uri}","class":"expert","retracted":{retracted},"recorded_at":{at}}}"#
    )
}

fn vote(voter: &str, weight: f64, at: i64) -> String {
    let on = record(&claim(373.17, "u")).id();
    format!(
        r#"{{"kind":"vote","subject":"cas:7732-18-5","assertion":"{on}","voter":"{voter}","weight":{weight},"voted_at":{at}}}"#
    )
}

fn epoch(name: &str, supersedes: &str, at: i64) -> String {
    format!(r#"{{"kind":"epoch","name":"{name}","supersedes":[{supersedes}],"started_at":{at}}}"#)
}

/// What each node holds: none of them all, and any two of them all that is acknowledged.
fn spread(stage: &Stage, records: &[String]) {
    for (place, json) in records.iter().enumerate() {
        stage.stores[place % 3].put(&record(json));
        stage.stores[(place + 1) % 3].put(&record(json));
    }
}

fn incomplete(stage: &Stage) {
    let stores = stage.stores.iter();
    stores.for_each(|store| store.state().complete = false);
}

#[tokio::test]
async fn the_own_node_lists_what_all_nodes_own_when_it_can_prove_it() {
    let stage = Stage::calm().await;
    stage.stores[0].put(&record(&epoch("here", "", 1)));
    for _ in 0..4 {
        let said = stage.get("/v1/epochs").await.json();
        assert_eq!(said["result"]["epochs"][0]["record"]["name"], "here");
        let meta = &said["meta"];
        assert_eq!(
            (&meta["complete"], &meta["node"]),
            (&json!(true), &json!("node1"))
        );
        assert_eq!(
            (&meta["proved_through"], meta.get("union")),
            (&json!(1_234), None)
        );
    }
    stage.stores[0].state().complete = false;
    let said = stage.get("/v1/epochs").await.json();
    assert_eq!(said["result"], json!({ "epochs": [], "cursor": null }));
    assert_ne!(said["meta"]["node"], "node1");
}

#[tokio::test]
async fn epochs_of_all_nodes_are_one_list_newest_first() {
    let stage = Stage::calm().await;
    let mut records: Vec<String> = (0..9).map(|n| epoch(&format!("e{n}"), "", n / 2)).collect();
    let old = record(&records[4]).id();
    records.push(epoch("new", &format!("\"{old}\""), 50));
    spread(&stage, &records);
    incomplete(&stage);
    let mut expected: Vec<_> = records.iter().map(|json| record(json)).collect();
    expected.sort_by_key(|record| (-record.at_ms(), record.id()));
    for limit in [1, 3, 100] {
        let rows = all(&stage, &format!("/v1/epochs?limit={limit}"), "epochs").await;
        let shown: Vec<&str> = rows
            .iter()
            .map(|row| row["record"]["id"].as_str().unwrap())
            .collect();
        let ids: Vec<String> = expected
            .iter()
            .map(|record| record.id().to_string())
            .collect();
        assert_eq!(shown, ids);
        for row in &rows {
            let by = match row["record"]["name"].as_str() {
                Some("e4") => json!([record(&records[9]).id().to_string()]),
                _ => json!([]),
            };
            assert_eq!(row["superseded_by"], by);
        }
    }
    let meta = stage.get("/v1/epochs").await.json()["meta"].clone();
    assert_eq!(
        (&meta["complete"], &meta["union"]["missing"]),
        (&json!(true), &json!([]))
    );
    stage.stores[1].kill();
    stage.stores[2].kill();
    let meta = stage.get("/v1/epochs").await.json()["meta"].clone();
    assert_eq!(
        (&meta["complete"], &meta["proved_through"]),
        (&json!(false), &json!(null))
    );
    stage.stores[0].kill();
    let reply = stage.get("/v1/epochs").await;
    reply.refused(503, "no_store_answers");
}

#[tokio::test]
async fn the_latest_record_of_a_source_decides_whoever_holds_it() {
    let stage = Stage::calm().await;
    let uris = ["a:1", "a:2", "a:3", "b:1"];
    for (place, uri) in uris.iter().enumerate() {
        stage.stores[place % 3].put(&record(&source(uri, true, 5)));
        stage.stores[(place + 1) % 3].put(&record(&source(uri, true, 5)));
    }
    // Taken back where the first node has not heard of it, and the other way round.
    stage.stores[1].put(&record(&source("a:2", false, 6)));
    stage.stores[2].put(&record(&source("a:4", false, 5)));
    stage.stores[0].put(&record(&source("a:4", true, 6)));
    incomplete(&stage);
    for limit in [1, 2, 100] {
        let listed = async |question: &str| {
            let rows = all(
                &stage,
                &format!("/v1/sources?limit={limit}{question}"),
                "sources",
            )
            .await;
            let shown = rows
                .iter()
                .map(|row| row["uri"].as_str().unwrap().to_owned());
            shown.collect::<Vec<String>>()
        };
        assert_eq!(listed("").await, ["a:1", "a:2", "a:3", "a:4", "b:1"]);
        assert_eq!(
            listed("&retracted=true").await,
            ["a:1", "a:3", "a:4", "b:1"]
        );
        assert_eq!(listed("&retracted=false").await, ["a:2"]);
        assert_eq!(
            listed("&prefix=a:&retracted=true").await,
            ["a:1", "a:3", "a:4"]
        );
    }
}

#[tokio::test]
async fn votes_are_shown_by_who_holds_the_claim_or_by_all() {
    let stage = Stage::calm().await;
    let about = record(&claim(373.17, "u"));
    let (one, other, third) = stage.places(&about);
    let last = vote("ann", 0.75, 9);
    for store in [one, other] {
        store.put(&record(&vote("ann", 0.5, 5)));
        store.put(&record(&last));
        store.put(&record(&vote("bob", 1.0, 7)));
    }
    let path = format!("/v1/votes?subject=cas:7732-18-5&assertion={}", about.id());
    let said = stage.get(&path).await.json();
    let votes = said["result"]["votes"].as_array().unwrap();
    assert_eq!(votes.len(), 2, "{said}");
    assert_eq!(votes[0]["id"], record(&last).id().to_string());
    assert_eq!(
        (
            &votes[1]["voter"],
            &votes[1]["weight"],
            &votes[1]["voted_at"]
        ),
        (&json!("bob"), &json!(1), &json!(7))
    );
    incomplete(&stage);
    // A stand-in has the one that counts.
    third.put(&record(&vote("bob", 0.25, 8)));
    for limit in [1, 5] {
        let path = format!("/v1/votes?subject=cas:7732-18-5&limit={limit}");
        let rows = all(&stage, &path, "votes").await;
        let shown: Vec<(&Value, &Value)> = rows
            .iter()
            .map(|row| (&row["voter"], &row["weight"]))
            .collect();
        assert_eq!(
            shown,
            [(&json!("ann"), &json!(0.75)), (&json!("bob"), &json!(0.25))]
        );
    }
    let nothing = stage.get("/v1/votes?subject=nothing").await.json();
    assert_eq!(nothing["result"], json!({ "votes": [], "cursor": null }));
}

#[tokio::test]
async fn predicates_are_counted_at_who_holds_most() {
    let stage = Stage::calm().await;
    let melts = claim(273.15, "u").replace("boiling", "melting");
    let records = [claim(1.0, "u"), claim(2.0, "u"), melts];
    let (one, other, _) = stage.places(&record(&records[0]));
    records.iter().for_each(|json| one.put(&record(json)));
    other.put(&record(&records[0]));
    incomplete(&stage);
    let rows = all(
        &stage,
        "/v1/predicates?subject=cas:7732-18-5&limit=1",
        "predicates",
    )
    .await;
    let expected = [
        json!({ "predicate": "boiling_point_k", "claims": 2 }),
        json!({ "predicate": "melting_point_k", "claims": 1 }),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn records_are_found_by_the_beginning_of_their_ids_wherever_they_are() {
    let stage = Stage::calm().await;
    // Of two subjects, their ids alike in 32 bits, at two nodes.
    let alike = [("s38", 7_604), ("s6", 41_134)].map(|(subject, at)| {
        format!(
            r#"{{"subject":"{subject}","predicate":"p","asserted_at":{at},
            "object":{{"type":"number","value":1}},"source":{{"uri":"u","class":"expert"}}}}"#
        )
    });
    stage.stores[1].put(&record(&alike[0]));
    stage.stores[2].put(&record(&alike[1]));
    stage.stores[2].put(&record(&epoch("elsewhere", "", 1)));
    let found = async |digits: &str| {
        let reply = stage.get(&format!("/v1/records?id_prefix={digits}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let said = reply.json();
        assert_eq!(
            (&said["meta"]["complete"], &said["result"]["cursor"]),
            (&json!(true), &Value::Null)
        );
        let records = said["result"]["records"].as_array().unwrap().clone();
        let ids = records
            .iter()
            .map(|record| record["id"].as_str().unwrap()[..9].to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found("c2fc21dc").await, ["c2fc21dc1", "c2fc21dc5"]);
    assert_eq!(found("c2fc21dc5").await, ["c2fc21dc5"]);
    let whole = record(&epoch("elsewhere", "", 1)).id().to_string();
    assert_eq!(found(&whole).await, [whole[..9].to_owned()]);
    assert!(found("00000000").await.is_empty());
    let refused = stage.get("/v1/records?id_prefix=c2fc21d").await;
    assert_eq!(refused.refused(422, "bad_value")["path"], "id_prefix");
}

#[tokio::test]
async fn what_is_no_list_is_refused_by_name() {
    let stage = Stage::calm().await;
    for (path, code, at) in [
        ("/v1/votes", "subject_required", "subject"),
        ("/v1/predicates?subject=", "bad_value", "subject"),
        ("/v1/sources?retracted=yes", "bad_value", "retracted"),
        ("/v1/epochs?cursor=00", "bad_cursor", "cursor"),
    ] {
        let said = stage.get(path).await.refused(422, code);
        assert_eq!(said["path"], at);
    }
    let said = stage
        .get("/v1/epochs?subject=s")
        .await
        .refused(400, "unknown_parameter");
    assert_eq!(said["path"], "subject");
    // A node of an earlier version has no lists.
    stage
        .stores
        .iter()
        .for_each(|store| store.state().old = true);
    stage
        .get("/v1/sources")
        .await
        .refused(503, "no_store_answers");
}
