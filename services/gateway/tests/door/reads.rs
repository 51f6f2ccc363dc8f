//! Questions: one complete owner, or all nodes together.

use assertion::Record;
use lens::{Lens, Options, Parameters, Selection};
use serde_json::{Value, json};

use crate::stage::{Stage, claim, record};

const WATER: &str = "/v1/query?subject=cas:7732-18-5&predicate=boiling_point_k";

/// Six claims, as their sources have them.
fn water() -> Vec<Record> {
    [373.124295848, 373.124, 373.15, 373.17, 373.15, 373.1339]
        .iter()
        .enumerate()
        .map(|(place, value)| record(&claim(*value, &format!("source-{place}"))))
        .collect()
}

/// Every record at two nodes, so that any two of them have all.
fn spread(stage: &Stage, records: &[Record]) {
    for (place, record) in records.iter().enumerate() {
        stage.stores[place % 3].put(record);
        stage.stores[(place + 1) % 3].put(record);
    }
}

fn incomplete(stage: &Stage) {
    stage
        .stores
        .iter()
        .for_each(|store| store.state().complete = false);
}

fn expected(lens: Lens, tolerance: Option<f64>) -> Value {
    let selection = Selection {
        subject: Some("cas:7732-18-5".into()),
        predicate: Some("boiling_point_k".into()),
        ..Selection::default()
    };
    let options = Options {
        tolerance,
        ..Options::default()
    };
    let parameters = Parameters::new(lens, options, selection).unwrap();
    let answer = lens::resolve(parameters, &water()).unwrap();
    serde_json::from_slice(&answer.to_json()).unwrap()
}

#[tokio::test]
async fn a_year_is_no_moment_and_dates_and_milliseconds_are() {
    let stage = Stage::calm().await;
    spread(&stage, &water());
    let slips = [
        ("2020", "looks like a year"),
        ("9007199254740993", "is beyond what a record can say"),
        ("yesterday", "is no moment"),
    ];
    for name in ["as_of", "evaluated_at"] {
        for (slip, why) in slips {
            let decay = "&lens=recency&decay=true";
            let by_url = stage.get(&format!("{WATER}{decay}&{name}={slip}")).await;
            let value = slip
                .parse::<i64>()
                .map_or_else(|_| json!(slip), |number| json!(number));
            let mut asked =
                json!({"subject": "s", "predicate": "p", "lens": "recency", "decay": true});
            asked[name] = value;
            let by_body = stage.post("/v1/query", asked.to_string()).await;
            for reply in [by_url, by_body] {
                let said = reply.json();
                assert_eq!(reply.status, 422, "{said}");
                assert_eq!(
                    (&said["code"], &said["path"]),
                    (&json!("bad_value"), &json!(name))
                );
                assert_eq!(said["detail"], format!("`{name}` is `{slip}`, which {why}"));
                let next = said["next_step"].as_str().unwrap();
                assert!(next.contains("a date such as 2015-01-01"), "{next}");
            }
        }
    }
    incomplete(&stage);
    let reply = stage.get(&format!("{WATER}&as_of=2999-01-01")).await;
    assert_eq!(
        reply.json()["result"]["records"].as_array().unwrap().len(),
        6
    );
    for early in ["1970-01-02T00:00:00.000Z", "86400000", "0", "-5"] {
        let reply = stage.get(&format!("{WATER}&as_of={early}")).await;
        assert_eq!(reply.json()["result"]["records"], json!([]), "{early}");
    }
    let asked =
        json!({"subject": "cas:7732-18-5", "predicate": "boiling_point_k", "as_of": "2999-01-01"});
    let reply = stage.post("/v1/query", asked.to_string()).await;
    assert_eq!(
        reply.json()["result"]["records"].as_array().unwrap().len(),
        6
    );
}

#[tokio::test]
async fn the_bytes_of_a_complete_owner_are_the_result() {
    let stage = Stage::calm().await;
    let odd = "{\"lens\" :\"recency\",  \"value\":1.00}";
    for store in &stage.stores {
        store.state().result = Some(odd.into());
    }
    let reply = stage.get(&format!("{WATER}&lens=recency")).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .text()
            .starts_with(&format!("{{\"result\":{odd},\"meta\":{{")),
        "{}",
        reply.text()
    );
    let meta = &reply.json()["meta"];
    assert_eq!(
        (&meta["complete"], &meta["proved_through"]),
        (&json!(true), &json!(1_234))
    );
    assert_eq!(
        meta["trace_id"],
        reply.headers["x-trace-id"].to_str().unwrap()
    );
}

#[tokio::test]
async fn owners_take_turns_and_the_third_node_is_not_asked() {
    let stage = Stage::calm().await;
    let (one, other, third) = stage.places(&water()[0]);
    for _ in 0..6 {
        assert_eq!(stage.get(WATER).await.status, 200);
    }
    // One that a busy machine kept from answering in time is followed by the other.
    let queries = [one, other, third].map(|store| store.state().queries);
    assert!(queries[0] >= 3 && queries[1] >= 3, "{queries:?}");
    assert_eq!(queries[2], 0, "{queries:?}");
    one.kill();
    for _ in 0..4 {
        let reply = stage.get(WATER).await;
        assert_eq!(
            (reply.status, &reply.json()["meta"]["node"]),
            (200, &json!(other.node))
        );
    }
}

#[tokio::test]
async fn an_incomplete_owner_leaves_the_answer_to_the_other_one() {
    let stage = Stage::calm().await;
    let (one, other, _) = stage.places(&water()[0]);
    one.state().complete = false;
    for _ in 0..4 {
        let meta = stage.get(WATER).await.json()["meta"].clone();
        assert_eq!(
            (&meta["node"], meta.get("union")),
            (&json!(other.node), None)
        );
    }
}

#[tokio::test]
async fn without_a_complete_owner_all_nodes_answer_together() {
    let stage = Stage::calm().await;
    spread(&stage, &water());
    incomplete(&stage);
    for (query, expected) in [
        ("&lens=authority", expected(Lens::Authority, None)),
        (
            "&lens=skeptic&tolerance=0.001",
            expected(Lens::Skeptic, Some(0.001)),
        ),
    ] {
        let reply = stage.get(&format!("{WATER}{query}")).await.json();
        assert_eq!(reply["result"], expected);
        assert_eq!(
            reply["meta"]["complete"], true,
            "all three answered: {reply}"
        );
        assert!(reply["meta"]["proved_through"].as_i64().unwrap() > 1_600_000_000_000);
    }
    stage.stores[2].kill();
    let reply = stage.get(&format!("{WATER}&lens=authority")).await.json();
    assert_eq!(reply["result"], expected(Lens::Authority, None));
    assert_eq!(
        reply["meta"]["complete"], true,
        "one of three may be missing: {reply}"
    );
    assert_eq!(reply["meta"]["union"]["missing"], json!(["node3"]));
    stage.stores[1].state().absent = true;
    let reply = stage.get(&format!("{WATER}&lens=authority")).await.json();
    assert_eq!(reply["meta"]["complete"], false, "two may not: {reply}");
    assert_eq!(reply["meta"]["proved_through"], Value::Null);
}

#[tokio::test]
async fn a_union_of_pages_shows_every_record_once() {
    let stage = Stage::calm().await;
    let mut records: Vec<Record> = (0..25)
        .map(|number| {
            let at = 1_388_534_400_000_i64 + i64::from(number / 4);
            record(&claim(f64::from(number), "u").replace("1388534400000", &at.to_string()))
        })
        .collect();
    spread(&stage, &records);
    records.sort_by_key(|record| (-record.at_ms(), record.id()));
    let expected: Vec<String> = records
        .iter()
        .map(|record| record.id().to_string())
        .collect();
    for mixed in [false, true] {
        assert_eq!(pages(&stage, &records, mixed).await, expected);
    }
}

/// Ids on all pages. `mixed`: pages by one owner and by all nodes go on where the other one stopped.
async fn pages(stage: &Stage, records: &[Record], mixed: bool) -> Vec<String> {
    let mut shown = Vec::new();
    let mut cursor = String::new();
    incomplete(stage);
    loop {
        if mixed {
            for store in &stage.stores {
                records.iter().for_each(|record| store.put(record));
                let complete = store.state().complete;
                store.state().complete = !complete;
            }
        }
        let reply = stage.get(&format!("{WATER}&limit=4{cursor}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let result = reply.json()["result"].clone();
        let page = result["records"].as_array().unwrap();
        assert!(page.len() <= 4);
        shown.extend(
            page.iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        match result["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return shown,
        }
    }
}

#[tokio::test]
async fn a_record_that_must_be_included_is_waited_for() {
    let stage = Stage::calm().await;
    let records = water();
    let (one, other, third) = stage.places(&records[0]);
    one.put(&records[0]);
    other.put(&records[0]);
    // Only a stand-in has it so far.
    third.put(&records[1]);
    let path = format!("{WATER}&lens=recency&include={}", records[1].id());
    let reply = stage.get(&path).await.json();
    assert_eq!(reply["result"]["candidates"], 2, "{reply}");
    let path = format!("{WATER}&lens=recency&include={}", records[2].id());
    let said = stage.get(&path).await.refused(503, "include_not_found");
    assert_eq!(said["missing"], json!([records[2].id().to_string()]));
}

#[tokio::test]
async fn several_questions_are_answered_one_by_one() {
    let stage = Stage::calm().await;
    stage.stores.iter().for_each(|store| store.put(&water()[3]));
    let asked = json!({ "queries": [
        { "subject": "cas:7732-18-5", "predicate": "boiling_point_k", "lens": "authority" },
        { "subject": "cas:7732-18-5", "lens": "oracle" },
        { "subject": "cas:64-17-5" },
    ]});
    let reply = stage.post("/v1/query", asked.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let results = reply.json()["results"].clone();
    assert_eq!(results[0]["result"]["value"]["value"], 373.17);
    assert_eq!(results[1]["error"]["code"], "unknown_lens");
    assert_eq!(results[2]["result"]["records"], json!([]));
    let one = json!({ "subject": "cas:7732-18-5", "class": ["expert"], "limit": 5 });
    let reply = stage.post("/v1/query", one.to_string()).await.json();
    assert_eq!(reply["result"]["records"].as_array().unwrap().len(), 1);
    let many = json!({ "queries": vec![json!({ "subject": "s" }); 101] });
    stage
        .post("/v1/query", many.to_string())
        .await
        .refused(422, "bad_value");
    stage
        .post("/v1/query", "[1")
        .await
        .refused(400, "malformed_json");
    let skeptic = stage.get("/v1/skeptic?subject=cas:7732-18-5").await.json();
    assert_eq!(skeptic["result"]["verdict"], "unanimous");
}

#[tokio::test]
async fn a_record_is_found_wherever_it_is_and_absence_needs_proof() {
    let stage = Stage::calm().await;
    let records = water();
    let (_, other, third) = stage.places(&records[0]);
    third.put(&records[0]);
    let path = format!("/v1/records/{}", records[0].id());
    let reply = stage.get(&path).await.json();
    assert_eq!(reply["result"]["object"]["value"], 373.124295848);
    assert_eq!(reply["result"]["id"], records[0].id().to_string());
    let replicas = stage.get(&format!("{path}/replicas")).await.json()["result"].clone();
    assert_eq!(replicas["copies"], 1);
    assert_eq!(replicas["replicas"][0]["node"], third.node.as_str());
    assert_eq!(replicas["replicas"][0]["owner"], false);
    assert_eq!(replicas["replicas"][0]["arrival"], "push");
    assert_eq!(replicas["owners"].as_array().unwrap().len(), 2);
    let unknown = format!("/v1/records/{}", records[1].id());
    stage.get(&unknown).await.refused(404, "no_such_record");
    third.kill();
    stage.get(&unknown).await.refused(404, "no_such_record");
    other.kill();
    let said = stage.get(&unknown).await.refused(503, "incomplete");
    assert_eq!(said["missing"].as_array().unwrap().len(), 2);
    stage.get("/v1/records/xyz").await.refused(422, "bad_value");
    stage
        .get("/v1/records/%ff")
        .await
        .refused(400, "malformed_url");
}

#[tokio::test]
async fn a_store_that_has_too_much_says_so_through_the_gateway() {
    let stage = Stage::calm().await;
    incomplete(&stage);
    stage.stores.iter().for_each(|store| store.kill());
    stage.get(WATER).await.refused(503, "no_store_answers");
}
