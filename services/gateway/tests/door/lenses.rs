//! Lenses over all nodes together, questions without a subject, subjects, traces.

use assertion::Record;
use lens::{Lens, Options, Parameters, Selection};
use serde_json::{Value, json};

use crate::stage::{Stage, claim, record};

fn of_kind(kind: &str, json: &str) -> Record {
    record(&json.replacen('{', &format!("{{\"kind\":\"{kind}\","), 1))
}

fn vote(on: &Record, voter: &str, weight: f64, at: i64) -> Record {
    let subject = &on.assertion().unwrap().subject;
    of_kind(
        "vote",
        &format!(
            r#"{{"subject":"{subject}","assertion":"{}","voter":"{voter}","weight":{weight},"voted_at":{at}}}"#,
            on.id()
        ),
    )
}

fn source(uri: &str, retracted: bool, at: i64) -> Record {
    of_kind(
        "source",
        &format!(
            r#"{{"uri":"{uri}","class":"expert","retracted":{retracted},"recorded_at":{at}}}"#
        ),
    )
}

fn epoch(name: &str, supersedes: &[&Record]) -> Record {
    let ids: Vec<String> = supersedes
        .iter()
        .map(|record| format!("\"{}\"", record.id()))
        .collect();
    of_kind(
        "epoch",
        &format!(
            r#"{{"name":"{name}","supersedes":[{}],"started_at":631152000000}}"#,
            ids.join(",")
        ),
    )
}

fn claim_in(value: f64, source: &str, epoch: &Record) -> Record {
    let member = format!("{{\"epoch\":\"{}\",", epoch.id());
    record(&claim(value, source).replacen('{', &member, 1))
}

/// Claims of two scales, with votes, a retraction that was taken back, and one that stands; and votes and epochs that bear on
/// none of them.
fn scales() -> Vec<Record> {
    let old = epoch("IPTS-68", &[]);
    let new = epoch("ITS-90", &[&old]);
    let newest = epoch("ITS-202x", &[&new]);
    let foreign = epoch("foreign", &[]);
    let absent = record(&claim(1.0, "nobody has it"));
    let first = claim_in(373.15, "a", &old);
    let second = claim_in(373.124, "b", &new);
    let third = record(&claim(373.17, "c"));
    let fourth = record(&claim(373.1339, "d"));
    vec![
        vote(&first, "ann", 0.5, 5),
        vote(&first, "bob", 0.5, 5),
        vote(&second, "ann", 0.5, 5),
        vote(&third, "ann", 0.25, 5),
        vote(&third, "ann", 1.0, 6),
        vote(&fourth, "bob", 1.0, 7),
        source("b", true, 5),
        source("b", false, 6),
        source("d", true, 5),
        vote(&absent, "ann", 1.0, 5),
        epoch("of foreign", &[&foreign]),
        foreign,
        newest,
        old,
        new,
        first,
        second,
        third,
        fourth,
    ]
}

/// Every record at two nodes, so that any two of them have all.
fn spread(stage: &Stage, records: &[Record]) {
    for (place, record) in records.iter().enumerate() {
        stage.stores[place % 3].put(record);
        stage.stores[(place + 1) % 3].put(record);
    }
    for store in &stage.stores {
        store.state().complete = false;
    }
}

fn expected(lens: Lens, options: Options, selection: Selection, records: &[Record]) -> Value {
    let parameters = Parameters::new(lens, options, selection).unwrap();
    let answer = lens::resolve(parameters, records).unwrap();
    serde_json::from_slice(&answer.to_json()).unwrap()
}

fn water() -> Selection {
    Selection {
        subject: Some("cas:7732-18-5".into()),
        ..Selection::default()
    }
}

#[tokio::test]
async fn all_nodes_together_know_votes_epochs_and_retractions() {
    let stage = Stage::calm().await;
    let records = scales();
    spread(&stage, &records);
    // One of them tells more than it is asked.
    stage.stores[1].state().without_lists = true;
    for lens in Lens::ALL {
        for as_of in [None, Some(1_388_534_400_000)] {
            let selection = Selection { as_of, ..water() };
            let cut = as_of.map_or(String::new(), |at| format!("&as_of={at}"));
            let path = format!("/v1/query?subject=cas:7732-18-5&lens={lens}{cut}");
            let reply = stage.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let expected = expected(lens, Options::default(), selection, &records);
            assert_eq!(reply.json()["result"], expected, "{lens}");
            assert_eq!(reply.json()["meta"]["complete"], true);
        }
    }
    let options = Options {
        decay: true,
        evaluated_at: Some(1_700_000_000_000),
        inner: Some(Lens::Votes),
        tolerance: Some(0.001),
    };
    let path = "/v1/query?subject=cas:7732-18-5&lens=epoch&inner=votes&decay=true\
                &evaluated_at=1700000000000&tolerance=0.001";
    let said = stage.get(path).await.json();
    assert_eq!(
        said["result"],
        expected(Lens::Epoch, options, water(), &records)
    );
    let stamped = stage
        .get("/v1/layered?subject=cas:7732-18-5&decay=true")
        .await
        .json();
    let moment = stamped["result"]["parameters"]["evaluated_at"].as_i64();
    assert!(moment.unwrap() > 1_600_000_000_000, "{stamped}");
    assert_eq!(stamped["result"]["layers"][0]["class"], "expert");
}

#[tokio::test]
async fn a_lens_goes_over_the_subjects_of_a_prefix() {
    let stage = Stage::calm().await;
    let mut records = scales();
    let other = record(&claim(351.44, "e").replace("cas:7732-18-5", "cas:64-17-5"));
    let outside = record(&claim(1.0, "e").replace("cas:7732-18-5", "doi:1"));
    records.extend([vote(&other, "ann", 1.0, 5), other, outside]);
    spread(&stage, &records);
    // A complete node is none for all subjects.
    stage.stores[0].state().complete = true;
    let selection = Selection {
        subject_prefix: Some("cas:".into()),
        predicate: Some("boiling_point_k".into()),
        ..Selection::default()
    };
    for lens in [Lens::Votes, Lens::Skeptic, Lens::Epoch] {
        let path = format!("/v1/query?subject_prefix=cas:&predicate=boiling_point_k&lens={lens}");
        let said = stage.get(&path).await.json();
        let expected = expected(lens, Options::default(), selection.clone(), &records);
        assert_eq!(said["result"], expected, "{lens}");
        assert_eq!(said["meta"]["union"]["missing"], json!([]));
    }
}

#[tokio::test]
async fn a_node_that_does_not_know_votes_counts_as_missing() {
    let stage = Stage::calm().await;
    let records = scales();
    spread(&stage, &records);
    stage.stores[1].state().old = true;
    let path = "/v1/query?subject=cas:7732-18-5&lens=votes";
    let said = stage.get(path).await.json();
    let whole = expected(Lens::Votes, Options::default(), water(), &records);
    assert_eq!(said["result"], whole);
    assert_eq!(
        (&said["meta"]["complete"], &said["meta"]["union"]["missing"]),
        (&json!(true), &json!(["node2"]))
    );
    stage.stores[2].state().old = true;
    let said = stage.get(path).await.json();
    assert_eq!(said["meta"]["complete"], false, "{said}");
    // Whether a source was retracted matters to every lens.
    let said = stage
        .get("/v1/query?subject=cas:7732-18-5&lens=recency")
        .await
        .json();
    assert_eq!(said["meta"]["complete"], false, "{said}");
}

#[tokio::test]
async fn votes_on_no_claim_and_epochs_of_none_do_not_end_a_union() {
    let stage = Stage::calm().await;
    let first = record(&claim(1.0, "a"));
    let absent = record(&claim(2.0, "a"));
    // More subjects' worth of claims than one call asks about.
    let mut records: Vec<Record> = (0..1_100)
        .map(|number| record(&claim(3.0, &format!("s{number}"))))
        .collect();
    records.extend([vote(&first, "ann", 0.5, 5), first]);
    records.extend((0..1_000).map(|number| vote(&absent, &format!("v{number}"), 1.0, 5)));
    records.extend((0..1_000).map(|number| epoch(&format!("e{number}"), &[])));
    spread(&stage, &records);
    for lens in [Lens::Votes, Lens::Epoch] {
        let said = stage
            .get(&format!("/v1/query?subject=cas:7732-18-5&lens={lens}"))
            .await
            .json();
        let expected = expected(lens, Options::default(), water(), &records);
        assert_eq!(said["result"], expected, "{lens}");
        assert_eq!(said["meta"]["complete"], true);
    }
    // Of the thousands that bear on nothing, none was on the way.
    let told = stage.stores.iter().map(|store| store.state().told);
    assert!(told.sum::<usize>() <= 4, "one vote, at two nodes");
}

#[tokio::test]
async fn sources_are_asked_for_once_and_many_at_a_time() {
    let stage = Stage::calm().await;
    let records: Vec<Record> = (0..40)
        .map(|number| record(&claim(1.0, &format!("source-{}", number % 20))))
        .chain((0..40).map(|number| record(&claim(f64::from(number), "source-0"))))
        .collect();
    spread(&stage, &records);
    let said = stage
        .get("/v1/query?subject=cas:7732-18-5&lens=skeptic&source=source-0")
        .await
        .json();
    assert_eq!(said["result"]["candidates"], 40, "{said}");
    assert_eq!(stage.stores[0].state().contexts, [1]);
    stage
        .get("/v1/query?subject=cas:7732-18-5&lens=skeptic")
        .await;
    let asked: usize = stage.stores[0].state().contexts.iter().sum();
    assert_eq!(asked, 21, "each of twenty once, and the one before");
}

#[tokio::test]
async fn claims_are_listed_without_a_subject() {
    let stage = Stage::calm().await;
    let records: Vec<Record> = (0..10)
        .map(|number| {
            let claim = claim(f64::from(number), &format!("u{}", number % 2));
            record(&claim.replace("cas:7732-18-5", &format!("cas:{number}")))
        })
        .collect();
    spread(&stage, &records);
    let ids = async |question: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/query?{question}&limit=3{cursor}");
            let reply = stage.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let said = reply.json();
            assert_eq!(said["meta"]["complete"], true);
            for shown in said["result"]["records"].as_array().unwrap() {
                ids.push(shown["id"].as_str().unwrap().to_owned());
            }
            match said["result"]["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    };
    let of = |take: &dyn Fn(usize) -> bool| {
        let mut ids: Vec<String> = records
            .iter()
            .enumerate()
            .filter(|(place, _)| take(*place))
            .map(|(_, record)| record.id().to_string())
            .collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids("subject_prefix=cas:").await, of(&|_| true));
    assert_eq!(ids("predicate=boiling_point_k").await, of(&|_| true));
    assert_eq!(ids("source=u1").await, of(&|place| place % 2 == 1));
    assert_eq!(
        ids("subject_prefix=cas:7&source=u1").await,
        of(&|place| place == 7)
    );
    stage.stores[0].state().absent = true;
    stage.stores[1].kill();
    let said = stage.get("/v1/query?source=u1").await.json();
    assert_eq!(
        (&said["meta"]["complete"], &said["meta"]["proved_through"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn subjects_of_all_nodes_are_listed_in_order() {
    let stage = Stage::calm().await;
    let records: Vec<Record> = (0..12)
        .map(|number| {
            let subject = format!("cas:{:02}", number % 6);
            record(&claim(f64::from(number), "u").replace("cas:7732-18-5", &subject))
        })
        .chain([record(&claim(1.0, "u").replace("cas:7732-18-5", "doi:1"))])
        .collect();
    for record in &records {
        let (one, other, _) = stage.places(record);
        one.put(record);
        other.put(record);
    }
    let mut shown = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/subjects?prefix=cas:&limit=4{cursor}");
        let said = stage.get(&path).await.json();
        assert_eq!(said["meta"]["complete"], true, "{said}");
        let page = said["result"]["subjects"].as_array().unwrap().clone();
        assert!(page.len() <= 4);
        shown.extend(page);
        match said["result"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<Value> = (0..6)
        .map(|number| json!({ "subject": format!("cas:{number:02}"), "records": 2 }))
        .collect();
    assert_eq!(shown, expected);
    let all = stage.get("/v1/subjects").await.json();
    assert_eq!(all["result"]["subjects"][6]["subject"], "doi:1");
    stage
        .get("/v1/subjects?prefix=cas:&cursor=doi:1")
        .await
        .refused(422, "bad_cursor");
    stage.stores.iter().for_each(|store| store.kill());
    stage
        .get("/v1/subjects")
        .await
        .refused(503, "no_store_answers");
}

#[tokio::test]
async fn a_trace_shows_where_a_record_comes_from() {
    let stage = Stage::calm().await;
    let its = epoch("ITS-90", &[]);
    let first = record(&claim(373.15, "a"));
    let follows = |parent: &Record, value: f64| {
        let member = format!(
            "{{\"parent\":\"{}\",\"epoch\":\"{}\",",
            parent.id(),
            its.id()
        );
        record(&claim(value, "b").replacen('{', &member, 1))
    };
    let second = follows(&first, 373.13);
    let third = follows(&second, 373.124);
    let records = [
        vote(&third, "ann", 0.5, 5),
        vote(&third, "ann", 0.25, 6),
        vote(&third, "bob", 0.5, 5),
        vote(&second, "bob", 1.0, 5),
        source("b", true, 5),
        source("b", false, 6),
        its.clone(),
        first.clone(),
        second.clone(),
        third.clone(),
    ];
    spread(&stage, &records);
    let id = |record: &Record| record.id().to_string();
    let said = stage.get(&format!("/v1/trace/{}", third.id())).await.json();
    let result = &said["result"];
    assert_eq!(result["id"], id(&third));
    assert_eq!(result["record"]["object"]["value"], 373.124);
    let parents: Vec<&Value> = result["parents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parent| &parent["id"])
        .collect();
    assert_eq!(parents, [&json!(id(&second)), &json!(id(&first))]);
    assert_eq!(result["epoch"]["name"], "ITS-90");
    assert_eq!(result["source"]["retracted"], false);
    assert_eq!(result["votes"], json!({ "count": 2, "weight": 0.75 }));
    assert_eq!(result["signatures"], json!([]));
    assert_eq!(result["replicas"].as_array().unwrap().len(), 2);
    assert_eq!(said["meta"]["complete"], true);

    let said = stage.get(&format!("/v1/trace/{}", its.id())).await.json();
    assert_eq!(said["result"]["source"], Value::Null);
    assert_eq!(
        said["result"]["votes"],
        json!({ "count": 0, "weight": 0.0 })
    );
    assert_eq!(said["result"]["parents"], json!([]));

    let unknown = record(&claim(1.0, "x"));
    let path = format!("/v1/trace/{}", unknown.id());
    stage.get(&path).await.refused(404, "no_such_record");
    stage.get("/v1/trace/x").await.refused(422, "bad_value");
    for store in &stage.stores {
        store.state().records.remove(&first.id());
    }
    stage.stores[0].state().old = true;
    stage.stores[1].kill();
    let said = stage.get(&format!("/v1/trace/{}", third.id())).await.json();
    assert_eq!(said["result"]["parents"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&said["meta"]["complete"], &said["meta"]["missing"]),
        (&json!(false), &json!(["node1", "node2"]))
    );
    // What node3 knows of the votes is a part of them.
    assert_eq!(said["result"]["votes"], Value::Null);
    stage.stores[0].state().old = false;
    let said = stage.get(&format!("/v1/trace/{}", third.id())).await.json();
    assert_eq!(
        said["result"]["votes"],
        json!({ "count": 2, "weight": 0.75 }),
        "two of three know all"
    );
}
