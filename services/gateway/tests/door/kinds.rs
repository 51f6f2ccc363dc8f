//! Votes, epochs and sources: where they go, and what the reply says.

use assertion::{Content, Record, SigningKey, Vote};
use serde_json::{Value, json};

use crate::stage::{HASTY, Stage, claim, record};
use crate::store::{Mood, NUM_SHARDS};

const RETRACTED: &str =
    r#"{"uri":"doi:10.1/x","class":"clinical","retracted":true,"recorded_at":1700000000000}"#;

fn held(stage: &Stage) -> [usize; 3] {
    [0, 1, 2].map(|place| stage.stores[place].state().records.len())
}

#[tokio::test]
async fn a_vote_lies_with_its_claim() {
    let stage = Stage::calm().await;
    let claim = record(&claim(373.17, "u"));
    let vote = |voter: &str| {
        format!(
            r#"{{"subject":"cas:7732-18-5","assertion":"{}",{voter}"weight":0.5,"voted_at":1700000000000}}"#,
            claim.id()
        )
    };
    let (one, other, third) = stage.places(&claim);
    let reply = stage.post("/v1/vote", vote(r#""voter":"ann","#)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let said = reply.json();
    assert_eq!(
        (&said["copies"], &said["voted_at"]),
        (&json!(2), &json!(1_700_000_000_000_i64))
    );
    assert_eq!(said.get("asserted_at"), None);
    assert_eq!(said.get("pending"), None);
    for store in [one, other] {
        assert_eq!(store.state().records.len(), 1);
    }
    assert!(third.state().records.is_empty());
    let said = stage
        .post("/v1/vote", vote(""))
        .await
        .refused(422, "voter_required");
    assert_eq!(said["path"], "voter");
    assert!(
        said["next_step"].as_str().unwrap().contains("give `voter`"),
        "{said}"
    );
    let lines = stage
        .post_lines(vote("").replacen('{', r#"{"kind":"vote","#, 1))
        .await
        .lines();
    assert_eq!(lines[0]["error"]["code"], "voter_required");
}

#[tokio::test]
async fn a_signed_vote_is_cast_by_who_signs_it() {
    let stage = Stage::calm().await;
    let key = SigningKey::from_seed(&[7; 32]);
    let vote = |voter: String| {
        Record::from_content(Content::Vote(Vote {
            subject: "cas:7732-18-5".into(),
            assertion: record(&claim(373.17, "u")).id().to_string(),
            voter,
            weight: 1.0,
            voted_at: 1_700_000_000_000,
        }))
    };
    let signed = vote(key.agent()).unwrap().sign(&key).unwrap();
    let reply = stage.post("/v1/vote", signed.canonical().to_vec()).await;
    assert_eq!(
        (reply.status, &reply.json()["id"]),
        (201, &json!(signed.id().to_string()))
    );
    let text = String::from_utf8(signed.canonical().to_vec()).unwrap();
    stage
        .post("/v1/vote", text.replace("\"weight\":1", "\"weight\":0.5"))
        .await
        .refused(422, "bad_signature");
    let other = text.replace(
        &format!("\"voter\":\"{}\"", key.agent()),
        "\"voter\":\"ann\"",
    );
    stage
        .post("/v1/vote", other)
        .await
        .refused(422, "voter_not_signer");

    // Nor does anybody vote in the name of a key without it, by whichever door.
    let unsigned = vote(key.agent()).unwrap().canonical().to_vec();
    stage
        .post("/v1/vote", unsigned.clone())
        .await
        .refused(422, "voter_not_signer");
    let unsigned = String::from_utf8(unsigned).unwrap();
    let lines = stage.post_lines(unsigned.clone()).await.lines();
    assert_eq!(lines[0]["error"]["code"], "voter_not_signer");
    let said = stage
        .post("/v1/assert/batch", format!("[{unsigned}]"))
        .await
        .refused(422, "invalid_records");
    assert_eq!(said["errors"][0]["code"], "voter_not_signer", "{said}");
}

#[tokio::test]
async fn epochs_and_sources_are_everywhere_when_they_are_acknowledged() {
    let stage = Stage::calm().await;
    let reply = stage.post("/v1/sources", RETRACTED).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["shard"], NUM_SHARDS);
    assert_eq!(said["holders"], json!(["node1", "node2", "node3"]));
    assert_eq!((&said["copies"], &said["pending"]), (&json!(3), &json!([])));
    assert_eq!(said["recorded_at"], 1_700_000_000_000_i64);
    let epoch = r#"{"name":"ITS-90","supersedes":[],"started_at":631152000000}"#;
    let said = stage.post("/v1/epoch", epoch).await.json();
    assert_eq!(
        (&said["copies"], &said["started_at"]),
        (&json!(3), &json!(631_152_000_000_i64))
    );
    assert_eq!(held(&stage), [2, 2, 2]);
    let again = stage.post("/v1/epoch", epoch).await;
    assert_eq!(
        (again.status, &again.json()["status"]),
        (200, &json!("present"))
    );
}

#[tokio::test]
async fn who_has_not_confirmed_a_retraction_is_pending() {
    let stage = Stage::with(HASTY, |_| {}).await;
    stage.stores[1].state().mood = Mood::Stuck;
    let said = stage.post("/v1/sources", RETRACTED).await;
    assert_eq!(said.status, 201, "two of three: {}", said.text());
    assert_eq!(
        (&said.json()["copies"], &said.json()["pending"]),
        (&json!(2), &json!(["node2"]))
    );
    let all = RETRACTED.replace("doi:10.1/x", "doi:10.1/y");
    let reply = stage.post("/v1/sources?durability=all", all).await;
    assert_eq!((reply.status, &reply.json()["copies"]), (202, &json!(2)));
    let local = RETRACTED.replace("doi:10.1/x", "doi:10.1/z");
    let reply = stage.post("/v1/sources?durability=local", local).await;
    assert_eq!(reply.status, 201);
    stage.stores[1].kill();
    stage.stores[2].kill();
    let alone = RETRACTED.replace("doi:10.1/x", "doi:10.1/w");
    let reply = stage.post("/v1/sources", alone).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(reply.json()["pending"], json!(["node2", "node3"]));
    stage.stores[0].kill();
    let said = stage
        .post("/v1/sources", r#"{"uri":"u","class":"expert"}"#)
        .await
        .refused(503, "maybe_stored");
    assert!(said["recorded_at"].is_i64(), "{said}");
    assert!(
        said["next_step"].as_str().unwrap().contains("recorded_at"),
        "{said}"
    );
}

#[tokio::test]
async fn a_node_that_is_away_for_long_does_not_hold_epochs_up() {
    // Nobody is in a hurry: an answer at all means that the dead node was not waited for.
    let stage = Stage::calm().await;
    stage.stores[2].kill();
    stage
        .until("writes go around it", async || {
            let reply = stage.post("/v1/assert", claim(1.0, "u")).await;
            assert_eq!(reply.status, 201);
            let epoch = stage.post("/v1/epoch", r#"{"name":"now","supersedes":[]}"#);
            let said = epoch.await;
            assert_eq!(said.status, 201, "{}", said.text());
            said.json()["pending"] == json!(["node3"])
        })
        .await;
}

#[tokio::test]
async fn a_member_that_serves_no_claims_gets_epochs_all_the_same() {
    let stage = Stage::calm().await;
    stage.change_view(|view| {
        view.placement.pop();
        view.members[2].phase = proto::v1::Phase::Stopping.into();
    });
    stage
        .until("the view has come", async || {
            stage.get_internal("/cluster/members").await.json()["placement"]
                .as_array()
                .unwrap()
                .len()
                == 2
        })
        .await;
    let said = stage.post("/v1/sources", RETRACTED).await.json();
    assert_eq!(said["holders"], json!(["node1", "node2", "node3"]));
    assert_eq!(held(&stage), [1, 1, 1]);
    let verify = stage.get_internal("/cluster/verify").await.json();
    assert_eq!(
        (&verify["equal"], &verify["foreign"]),
        (&json!(true), &json!(0))
    );
}

#[tokio::test]
async fn each_door_takes_its_kind_and_batches_take_all() {
    let stage = Stage::calm().await;
    let with_kind = RETRACTED.replacen('{', r#"{"kind":"source","#, 1);
    for path in ["/v1/assert", "/v1/vote", "/v1/epoch"] {
        let said = stage
            .post(path, with_kind.clone())
            .await
            .refused(422, "kind_mismatch");
        assert_eq!(said["path"], "kind");
    }
    let epoch = r#"{"kind":"epoch","name":"ITS-90","supersedes":[]}"#;
    let mixed = [claim(1.0, "u"), with_kind.clone(), epoch.to_owned()];
    let said = stage
        .post("/v1/assert/batch", format!("[{}]", mixed.join(",")))
        .await;
    assert_eq!(said.status, 201, "{}", said.text());
    let results = said.json()["results"].clone();
    assert_eq!(results[0]["asserted_at"], 1_388_534_400_000_i64);
    assert_eq!(results[0].get("pending"), None);
    assert_eq!(results[1]["pending"], json!([]));
    assert!(results[2]["started_at"].is_i64());
    let lines = stage.post_lines(mixed[..2].join("\n")).await.lines();
    assert_eq!(lines[2]["summary"]["present"], 2, "{lines:?}");
    let copies: Vec<&Value> = lines[..2].iter().map(|line| &line["copies"]).collect();
    assert!(copies.contains(&&json!(3)) && copies.contains(&&json!(2)));
    let wrong = format!("[{}]", RETRACTED);
    let said = stage
        .post("/v1/assert/batch", wrong)
        .await
        .refused(422, "invalid_records");
    assert_eq!(
        said["errors"][0]["index"], 0,
        "without a kind it is a claim"
    );
}
