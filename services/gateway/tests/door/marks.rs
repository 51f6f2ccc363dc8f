//! What is said of claims and writes besides what they say: retracted, superseded, without effect.

use std::time::Instant;

use assertion::Record;
use serde_json::{Value, json};

use crate::stage::{EVENTUALLY, Stage, claim, record};
use crate::store::Mood;

const WATER: &str = "/v1/query?subject=cas:7732-18-5";

fn epoch(name: &str, supersedes: &[&Record]) -> Record {
    let ids: Vec<String> = supersedes
        .iter()
        .map(|record| format!("\"{}\"", record.id()))
        .collect();
    let ids = ids.join(",");
    record(&format!(
        r#"{{"kind":"epoch","name":"{name}","supersedes":[{ids}],"started_at":1}}"#
    ))
}

fn source(uri: &str, retracted: bool, at: i64) -> Record {
    record(&format!(
        r#"{{"kind":"source","uri":"{uri}","class":"clinical","retracted":{retracted},"recorded_at":{at}}}"#
    ))
}

fn of_epoch(value: f64, source: &str, epoch: &Record) -> Record {
    let member = format!("{{\"epoch\":\"{}\",", epoch.id());
    record(&claim(value, source).replacen('{', &member, 1))
}

fn incomplete(stage: &Stage) {
    let stores = stage.stores.iter();
    stores.for_each(|store| store.state().complete = false);
}

fn everywhere(stage: &Stage, records: &[&Record]) {
    for store in &stage.stores {
        records.iter().for_each(|record| store.put(record));
    }
}

#[tokio::test]
async fn claims_that_lenses_leave_out_are_marked_in_listings() {
    let stage = Stage::calm().await;
    let old = epoch("old", &[]);
    let new = epoch("new", &[&old]);
    let plain = record(&claim(1.0, "good"));
    let gone = record(&claim(2.0, "gone"));
    let both = of_epoch(3.0, "gone", &old);
    let past = of_epoch(4.0, "good", &old);
    let now = of_epoch(5.0, "back", &new);
    everywhere(&stage, &[&old, &plain, &gone, &both, &past, &now]);
    everywhere(
        &stage,
        &[&source("gone", true, 5), &source("back", true, 5)],
    );
    everywhere(&stage, &[&new, &source("back", false, 6)]);
    let by = json!([new.id().to_string()]);
    let expected = json!({
        gone.id().to_string(): { "retracted": true },
        both.id().to_string(): { "retracted": true, "superseded_by": by },
        past.id().to_string(): { "superseded_by": by },
    });
    let said = stage.get(WATER).await.json();
    assert_eq!(said["result"]["records"].as_array().unwrap().len(), 5);
    assert_eq!(said["result"]["marks"], expected);
    // Records themselves are as they were sent, and may be sent again.
    let shown = &said["result"]["records"][0];
    assert!(shown.get("retracted").is_none() && shown.get("superseded_by").is_none());
    incomplete(&stage);
    let said = stage.get(WATER).await.json();
    assert_eq!(said["result"]["marks"], expected, "{said}");
    assert!(said["meta"]["union"].is_object());
}

#[tokio::test]
async fn all_nodes_together_know_which_record_of_a_source_is_the_latest() {
    let stage = Stage::calm().await;
    let said = record(&claim(1.0, "u"));
    everywhere(&stage, &[&said, &source("u", true, 5)]);
    incomplete(&stage);
    let marks = async || stage.get(WATER).await.json()["result"]["marks"].clone();
    assert_eq!(
        marks().await,
        json!({ said.id().to_string(): { "retracted": true } })
    );
    stage.stores[2].put(&source("u", false, 6));
    assert_eq!(marks().await, json!({}));
    let before = format!("{WATER}&as_of=1970-01-01T00:00:00.005Z");
    let before = stage.get(&before).await.json()["result"].clone();
    assert_eq!(before["records"], json!([]), "the claim is younger");
}

#[tokio::test]
async fn a_trace_tells_whether_the_epoch_is_superseded() {
    let stage = Stage::calm().await;
    let old = epoch("old", &[]);
    let new = epoch("new", &[&old]);
    let said = of_epoch(1.0, "u", &old);
    everywhere(&stage, &[&old, &new, &said, &source("u", false, 5)]);
    let trace = async |record: &Record| {
        stage
            .get(&format!("/v1/trace/{}", record.id()))
            .await
            .json()["result"]
            .clone()
    };
    let by = json!([new.id().to_string()]);
    let traced = trace(&said).await;
    assert_eq!(
        (&traced["epoch"]["name"], &traced["superseded_by"]),
        (&json!("old"), &by)
    );
    assert_eq!(traced["record"]["source"]["class"], "expert", "its own");
    assert_eq!(
        traced["source"]["class"], "clinical",
        "of the source's record"
    );
    assert_eq!(trace(&old).await["superseded_by"], by);
    assert_eq!(trace(&new).await["superseded_by"], json!([]));
}

/// Writes until that is said of it. What cannot be found out within a moment is left out, as on a busy machine; what is wrong never comes.
async fn says(expected: &[&str], mut write: impl AsyncFnMut() -> Value) -> Value {
    let deadline = Instant::now() + EVENTUALLY;
    loop {
        let said = write().await;
        let found = codes(&said);
        if found == expected {
            return said;
        }
        let only_less = found.iter().all(|code| expected.contains(code));
        assert!(
            only_less && Instant::now() < deadline,
            "{said}: {expected:?}"
        );
    }
}

fn codes(said: &Value) -> Vec<&str> {
    let warnings = said["warnings"].as_array().into_iter().flatten();
    warnings
        .map(|warning| warning["code"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_vote_that_never_counts_says_so() {
    let stage = Stage::calm().await;
    let said = record(&claim(1.0, "u"));
    let no_claim = epoch("e", &[]);
    everywhere(&stage, &[&said, &no_claim]);
    let vote = async |subject: &str, id: String| {
        let vote = json!({ "subject": subject, "assertion": id, "voter": "ann", "weight": 1 });
        let reply = stage.post("/v1/vote", vote.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    };
    let good = vote("cas:7732-18-5", said.id().to_string()).await;
    assert_eq!(good.get("warnings"), None);
    let other = says(&["other_subject"], async || {
        vote("cas:64-17-5", said.id().to_string()).await
    })
    .await;
    assert!(
        other["warnings"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("cas:7732-18-5")
    );
    // Its own owners hold it, those of the other subject do not.
    let apart = record(&claim(2.0, "apart"));
    let (one, two, _) = stage.places(&apart);
    one.put(&apart);
    two.put(&apart);
    for number in 0..8 {
        let subject = format!("cas:{number}");
        says(&["other_subject"], async || {
            vote(&subject, apart.id().to_string()).await
        })
        .await;
    }
    let of = async |id: String| vote("cas:7732-18-5", id).await;
    says(&["no_such_assertion"], async || of("0".repeat(64)).await).await;
    says(&["no_assertion"], async || {
        of(no_claim.id().to_string()).await
    })
    .await;
    // Who may have lost what it had does not tell what is not there.
    stage
        .stores
        .iter()
        .for_each(|store| store.state().absent = true);
    let unknown = vote("cas:7732-18-5", "1".repeat(64)).await;
    assert_eq!(unknown.get("warnings"), None);
}

#[tokio::test]
async fn a_vote_whose_claim_may_be_with_who_does_not_answer_in_time_is_told_nothing() {
    let stage = Stage::calm().await;
    let said = record(&claim(1.0, "u"));
    let (one, other, third) = stage.places(&said);
    // Not the store that is asked first: the other owner.
    let far = match other.node == "node1" {
        true => one,
        false => other,
    };
    far.put(&said);
    let vote = async |id: String| {
        let vote =
            json!({ "subject": "cas:7732-18-5", "assertion": id, "voter": "ann", "weight": 1 });
        let reply = stage
            .post("/v1/vote?durability=local", vote.to_string())
            .await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    };
    assert_eq!(vote(said.id().to_string()).await.get("warnings"), None);
    far.state().mood = Mood::Frozen;
    assert_eq!(vote(said.id().to_string()).await.get("warnings"), None);
    far.state().mood = Mood::Well;
    // Too few that keep all they had, and nobody proves that there is none.
    incomplete(&stage);
    far.state().absent = true;
    // The near one and the third know.
    says(&["no_such_assertion"], async || vote("0".repeat(64)).await).await;
    third.state().absent = true;
    assert_eq!(vote("1".repeat(64)).await.get("warnings"), None);
}

#[tokio::test]
async fn an_epoch_that_supersedes_nothing_says_so() {
    let stage = Stage::calm().await;
    let old = epoch("old", &[]);
    let said = record(&claim(1.0, "u"));
    everywhere(&stage, &[&old, &said]);
    let epoch = async |ids: &[String]| {
        let epoch = json!({ "name": "new", "supersedes": ids });
        stage.post("/v1/epoch", epoch.to_string()).await.json()
    };
    assert_eq!(epoch(&[old.id().to_string()]).await.get("warnings"), None);
    let mut ids = [old.id().to_string(), said.id().to_string(), "0".repeat(64)];
    ids.sort();
    says(&["no_such_epoch", "no_epoch"], async || epoch(&ids).await).await;
}

#[tokio::test]
async fn a_retraction_that_no_claim_meets_says_so() {
    let stage = Stage::calm().await;
    let said = record(&claim(1.0, "known"));
    let (one, other, _) = stage.places(&said);
    one.put(&said);
    other.put(&said);
    let retract = async |uri: &str, retracted: bool| {
        let source = json!({ "uri": uri, "class": "expert", "retracted": retracted });
        stage.post("/v1/sources", source.to_string()).await.json()
    };
    assert_eq!(retract("known", true).await.get("warnings"), None);
    says(&["no_claim"], async || retract("knwon", true).await).await;
    assert_eq!(retract("knwon", false).await.get("warnings"), None);
    // Two nodes that do not answer may hold a claim that names it.
    stage
        .stores
        .iter()
        .for_each(|store| store.state().absent = true);
    assert_eq!(retract("knonw", true).await.get("warnings"), None);
}

#[tokio::test]
async fn a_claim_that_names_an_epoch_is_told_when_lenses_leave_it_out() {
    let stage = Stage::calm().await;
    let old = epoch("old", &[]);
    let new = epoch("new", &[&old]);
    everywhere(&stage, &[&old, &new, &source("gone", true, 5)]);
    let assert = async |record: Record| {
        let reply = stage.post("/v1/assert", record.canonical().to_vec()).await;
        // Again, when it was written before.
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        reply.json()
    };
    says(&["superseded_epoch"], async || {
        assert(of_epoch(1.0, "u", &old)).await
    })
    .await;
    says(&["retracted_source", "superseded_epoch"], async || {
        assert(of_epoch(1.0, "gone", &old)).await
    })
    .await;
    assert_eq!(assert(of_epoch(1.0, "u", &new)).await.get("warnings"), None);
    // Ids of records of another kind.
    let claimed = record(&claim(2.0, "u"));
    stage.places(&claimed).0.put(&claimed);
    let mut wrong: Value = serde_json::from_str(&claim(3.0, "u")).unwrap();
    wrong["epoch"] = claimed.id().to_string().into();
    wrong["parent"] = old.id().to_string().into();
    says(&["no_epoch", "no_assertion"], async || {
        assert(record(&wrong.to_string())).await
    })
    .await;
    wrong["epoch"] = new.id().to_string().into();
    wrong["parent"] = claimed.id().to_string().into();
    let said = assert(record(&wrong.to_string())).await;
    assert_eq!(said.get("warnings"), None);
    // One that names an epoch costs one call, one that names none costs none.
    let calls = || {
        let states = stage.stores.iter().map(|store| store.state());
        let calls = states.map(|state| (state.contexts.len(), state.gets));
        calls.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    };
    let mut before = calls();
    says(&["retracted_source", "superseded_epoch"], async || {
        before = calls();
        assert(of_epoch(2.0, "gone", &old)).await
    })
    .await;
    let (contexts, gets) = before;
    assert_eq!(calls(), (contexts + 1, gets));
    let said = assert(record(&claim(1.0, "gone"))).await;
    assert_eq!(said.get("warnings"), None);
    assert_eq!(calls(), (contexts + 1, gets));
}
