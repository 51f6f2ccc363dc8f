//! `GET /v1/feed`: every record once, from wherever a reader was.

use assertion::Record;
use serde_json::{Value, json};

use crate::stage::{Going, Stage, claim, record};
use crate::store::{FakeStore, Mood};

const LINES: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

fn claims(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| {
            let claim = claim(1.0, &format!("u{}", number % 2));
            record(&claim.replace("cas:7732-18-5", &format!("cas:{number}")))
        })
        .collect()
}

/// Every record at two nodes.
fn spread(stage: &Stage, records: &[Record]) {
    for (place, record) in records.iter().enumerate() {
        stage.stores[place % 3].put(record);
        stage.stores[(place + 1) % 3].put(record);
    }
}

fn ids(records: &[Record]) -> Vec<String> {
    let mut ids: Vec<String> = records
        .iter()
        .map(|record| record.id().to_string())
        .collect();
    ids.sort_unstable();
    ids
}

/// Tokens and ids of the records in a stream of events.
fn events(text: &str) -> Vec<(String, String)> {
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    whole
        .split("\n\n")
        .filter_map(|event| {
            let token = event.strip_prefix("id: ")?;
            let (token, data) = token.split_once("\ndata: ")?;
            let said: Value = serde_json::from_str(data).unwrap();
            assert!(said["shard"].is_u64(), "{said}");
            let id = said["record"]["id"].as_str().unwrap().to_owned();
            Some((token.to_owned(), id))
        })
        .collect()
}

fn shown(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = events(text).into_iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids
}

/// Reads until this record has come.
async fn read_to(going: &mut Going, record: &Record) {
    let id = format!("\"id\":\"{}\"", record.id());
    // Only what is new is searched: many MB may come in many pieces.
    let mut from = 0;
    let more = going
        .until(|text| {
            let found = text[from..].find(&id);
            let may_begin = text.len().saturating_sub(id.len());
            from = found.map_or(text.floor_char_boundary(may_begin), |at| from + at);
            found.is_some() && text[from..].contains("\n\n")
        })
        .await;
    assert!(more, "the feed ended: {}", going.text);
}

/// The lines of a feed that ends.
async fn lines(stage: &Stage, question: &str) -> (Vec<Value>, Value) {
    let mut going = stage
        .open(&format!("/v1/feed?until=now&{question}"), &LINES)
        .await;
    assert_eq!(going.status, 200);
    assert_eq!(going.headers["content-type"], "application/x-ndjson");
    assert!(!going.until(|_| false).await);
    let lines = going
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut lines: Vec<Value> = lines.collect();
    let last = lines.pop().unwrap();
    assert_eq!(last["caught_up"], true, "{}", going.text);
    lines.retain(|line| line.get("record").is_some());
    (lines, last)
}

async fn export(stage: &Stage, question: &str) -> Vec<String> {
    let (lines, _) = lines(stage, question).await;
    let mut ids: Vec<String> = lines
        .iter()
        .map(|line| line["record"]["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn from_the_start_until_now_is_every_record_once() {
    let stage = Stage::calm().await;
    let records = claims(1_000);
    spread(&stage, &records);
    let source = record(r#"{"kind":"source","uri":"u0","class":"expert","recorded_at":5}"#);
    stage.stores.iter().for_each(|store| store.put(&source));
    let (all, last) = lines(&stage, "from=start").await;
    assert_eq!(all.len(), 1_001);
    assert_eq!(last["missing"], json!([]));
    assert_eq!(
        export(&stage, "from=start&kind=assertion").await,
        ids(&records)
    );
    let even: Vec<Record> = records[990..].iter().step_by(2).cloned().collect();
    assert_eq!(
        export(&stage, "from=start&source=u0&subject_prefix=cas:99").await,
        ids(&even)
    );
    assert_eq!(
        export(&stage, "from=start&subject=cas:7").await,
        ids(&records[7..8])
    );
    assert_eq!(
        export(&stage, "from=start&source=u0&kind=source").await,
        ids(std::slice::from_ref(&source))
    );
    assert_eq!(
        export(&stage, "from=start&subject=u0&kind=vote,source").await,
        ids(std::slice::from_ref(&source))
    );
    let token = last["token"].as_str().unwrap();
    assert!(export(&stage, &format!("from={token}")).await.is_empty());
    assert!(export(&stage, "from=now").await.is_empty());
    let middle = all[500]["token"].as_str().unwrap();
    let rest = export(&stage, &format!("from={middle}")).await;
    let mut behind: Vec<&str> = all[501..]
        .iter()
        .map(|line| line["record"]["id"].as_str().unwrap())
        .collect();
    behind.sort_unstable();
    for id in &behind {
        assert!(rest.iter().any(|shown| shown == id), "{id} is lost");
    }
}

#[tokio::test]
async fn what_is_stored_comes_at_once_and_goes_on_from_a_token() {
    let stage = Stage::calm().await;
    let records = claims(6);
    spread(&stage, &records[..2]);
    let mut going = stage.open("/v1/feed", &[]).await;
    assert_eq!(
        (going.status, &going.headers["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    // Before anything is stored: where the feed begins.
    going.until(|text| text.ends_with("\n\n")).await;
    let first = going
        .text
        .strip_prefix("id: ")
        .unwrap()
        .trim_end()
        .to_owned();
    for record in &records[2..4] {
        let json = String::from_utf8(record.canonical().to_vec()).unwrap();
        assert_eq!(stage.post("/v1/assert", json).await.status, 201);
        read_to(&mut going, record).await;
    }
    assert_eq!(
        shown(&going.text),
        ids(&records[2..4]),
        "once, though two stores have it"
    );
    let after = events(&going.text)[0].0.clone();
    drop(going);
    // Browsers send the last id when they connect again.
    for (path, headers) in [
        (format!("/v1/feed?from={after}"), vec![]),
        (
            "/v1/feed?from=now".to_owned(),
            vec![("last-event-id", after.as_str())],
        ),
    ] {
        let mut going = stage.open(&path, &headers).await;
        read_to(&mut going, &records[3]).await;
        assert!(!shown(&going.text).is_empty());
    }
    let mut going = stage.open(&format!("/v1/feed?from={first}"), &[]).await;
    read_to(&mut going, &records[2]).await;
    read_to(&mut going, &records[3]).await;
    assert_eq!(shown(&going.text), ids(&records[2..4]));
    stage
        .get(&format!("/v1/feed?from={}", first.to_lowercase()))
        .await
        .refused(422, "bad_token");
}

#[tokio::test]
async fn what_repair_copies_is_no_news() {
    let stage = Stage::calm().await;
    let records = claims(4);
    let [one, two, three] = [&stage.stores[0], &stage.stores[1], &stage.stores[2]];
    one.put(&records[0]);
    let (_, last) = lines(&stage, "from=start").await;
    let token = last["token"].as_str().unwrap();
    // A reader without memory: only the token says that the row was seen where it was copied from.
    let mut going = stage.open(&format!("/v1/feed?from={token}"), &[]).await;
    two.copy(&records[0], one);
    two.put(&records[1]);
    read_to(&mut going, &records[1]).await;
    // One that was copied from a row that was not seen is news.
    let mut hidden = claims(5).split_off(4);
    let hidden = hidden.pop().unwrap();
    one.put(&hidden);
    three.copy(&hidden, one);
    read_to(&mut going, &hidden).await;
    three.put(&records[2]);
    read_to(&mut going, &records[2]).await;
    let mut expected = ids(&records[1..3]);
    expected.push(hidden.id().to_string());
    expected.sort_unstable();
    assert_eq!(shown(&going.text), expected);
}

#[tokio::test]
async fn a_row_that_was_given_up_unseen_is_shown_from_where_it_went() {
    let stage = Stage::calm().await;
    let records = claims(5);
    let [one, two] = [&stage.stores[0], &stage.stores[1]];
    one.put(&records[0]);
    let (_, last) = lines(&stage, "from=start").await;
    let token = last["token"].as_str().unwrap().to_owned();
    // Brought home while nobody reads; its stand-in keeps nothing of it.
    for homing in &records[1..3] {
        one.put(homing);
        two.copy(homing, one);
        one.give_up(homing);
    }
    one.put(&records[3]);
    two.kill();
    let (first, last) = lines(&stage, &format!("from={token}")).await;
    assert_eq!(first.len(), 1, "{first:?}");
    let token = last["token"].as_str().unwrap().to_owned();
    two.restart().await;
    let mut going = stage.open(&format!("/v1/feed?from={token}"), &[]).await;
    read_to(&mut going, &records[2]).await;
    // What was seen where it was is not shown again.
    one.put(&records[4]);
    read_to(&mut going, &records[4]).await;
    two.copy(&records[4], one);
    let late = claims(6).split_off(5);
    two.put(&late[0]);
    read_to(&mut going, &late[0]).await;
    let expected = [&records[1..3], &records[4..], &late[..]].concat();
    assert_eq!(shown(&going.text), ids(&expected));
}

#[tokio::test]
async fn a_store_that_comes_back_is_read_on_and_a_new_one_from_its_start() {
    let stage = Stage::calm().await;
    let records = claims(6);
    let mut going = stage.open("/v1/feed", &[]).await;
    let store = &stage.stores[1];
    store.put(&records[0]);
    read_to(&mut going, &records[0]).await;
    store.kill();
    store.put(&records[1]);
    stage.stores[2].put(&records[2]);
    read_to(&mut going, &records[2]).await;
    store.restart().await;
    read_to(&mut going, &records[1]).await;
    // The disk is replaced: another store at the same place.
    store.kill();
    store.wipe();
    store.put(&records[3]);
    store.put(&records[0]);
    store.put(&records[4]);
    store.restart().await;
    read_to(&mut going, &records[4]).await;
    assert_eq!(shown(&going.text), ids(&records[..5]), "each once");
    // A member that goes takes its store out of the feed, and brings it back.
    stage.change_view(|view| view.members[1].status = proto::v1::Status::Left.into());
    stage
        .until("it has left", async || {
            stage.get_internal("/cluster/members").await.json()["members"][1]["status"] == "LEFT"
        })
        .await;
    stage.change_view(|view| view.members[1].status = proto::v1::Status::Up.into());
    store.put(&records[5]);
    read_to(&mut going, &records[5]).await;
}

#[tokio::test]
async fn a_feed_that_cannot_begin_says_so_and_one_that_ends_too() {
    let stage = Stage::calm().await;
    let mut going = stage.open("/v1/feed", &[]).await;
    let mut other = stage.open("/v1/feed", &LINES).await;
    going.until(|text| text.ends_with("\n\n")).await;
    other.until(|text| text.ends_with('\n')).await;
    stage.stores[2].kill();
    let (_, last) = lines(&stage, "from=start").await;
    assert_eq!(
        (&last["missing"], &last["complete"]),
        (&json!(["node3"]), &json!(true))
    );
    stage.stores.iter().for_each(|store| store.kill());
    stage.get("/v1/feed").await.refused(503, "no_store_answers");
    stage.shutdown.trigger();
    assert!(!going.until(|_| false).await);
    let (_, problem) = going.text.split_once("event: problem\ndata: ").unwrap();
    let problem: Value = serde_json::from_str(problem.trim_end()).unwrap();
    assert_eq!(
        (&problem["code"], &problem["status"]),
        (&json!("draining"), &json!(503))
    );
    assert!(!other.until(|_| false).await);
    let last: Value = serde_json::from_str(other.text.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "draining");
}

#[tokio::test]
async fn a_token_of_another_cluster_is_refused_and_one_with_a_replaced_store_goes_on() {
    let (stage, stranger) = (Stage::calm().await, Stage::calm().await);
    let records = claims(4);
    spread(&stage, &records);
    stranger.stores.iter().for_each(FakeStore::wipe);
    spread(&stranger, &records);
    let token = async |stage: &Stage| {
        let (_, last) = lines(stage, "from=start").await;
        last["token"].as_str().unwrap().to_owned()
    };
    let foreign = token(&stranger).await;
    stage
        .get(&format!("/v1/feed?from={foreign}"))
        .await
        .refused(422, "foreign_token");
    let own = token(&stage).await;
    let store = &stage.stores[1];
    store.kill();
    // It may be a token of the store that does not answer: nobody knows that one.
    let mut going = stage.open(&format!("/v1/feed?from={foreign}"), &[]).await;
    assert_eq!(going.status, 200);
    going.until(|text| text.ends_with("\n\n")).await;
    store.wipe();
    store.restart().await;
    store.put(&records[3]);
    assert_eq!(
        export(&stage, &format!("from={own}")).await,
        ids(&records[3..]),
        "the new store from its start, the others from the token"
    );
}

#[tokio::test]
async fn a_store_that_fell_back_is_read_anew() {
    let stage = Stage::calm().await;
    let records = claims(6);
    let store = &stage.stores[0];
    records[..4].iter().for_each(|record| store.put(record));
    let (_, last) = lines(&stage, "from=start").await;
    let token = last["token"].as_str().unwrap();
    store.kill();
    store.fall_back(2);
    store.put(&records[4]);
    store.restart().await;
    let mut expected = ids(&records[..2]);
    expected.extend(ids(&records[4..5]));
    expected.sort_unstable();
    assert_eq!(export(&stage, &format!("from={token}")).await, expected);
}

#[tokio::test]
async fn a_node_that_joins_while_a_feed_opens_is_read() {
    let stage = Stage::calm().await;
    let joins = FakeStore::start("node4").await;
    // The feed waits for who it is, for as long as it waits for anybody.
    stage.stores[2].state().mood = Mood::Frozen;
    let opening = stage.open("/v1/feed", &[("x-api-key", "k")]);
    let joining = async {
        stage
            .until("the stores are asked who they are", async || {
                stage.stores[0].state().describes > 0
            })
            .await;
        stage.change_view(|view| {
            let mut member = view.members[1].clone();
            member.name.clone_from(&joins.node);
            member.rpc_addr = joins.address.to_string();
            view.members.push(member);
        });
        stage
            .until("it has joined", async || {
                stage.get_internal("/cluster/members").await.json()["members"][3]["id"] == "node4"
            })
            .await;
    };
    let (mut going, ()) = tokio::join!(opening, joining);
    let record = &claims(1)[0];
    joins.put(record);
    read_to(&mut going, record).await;
}

#[tokio::test]
async fn what_a_node_had_that_was_away_is_no_news_when_it_comes_back() {
    let stage = Stage::calm().await;
    let records = claims(603);
    let (old, new) = records.split_at(600);
    let away = &stage.stores[2];
    // Some pages.
    old.iter().for_each(|record| away.put_long_ago(record));
    away.kill();
    let mut going = stage.open("/v1/feed?from=now", &[]).await;
    // It came there before anybody asked again, and after the feed began.
    away.put(&new[0]);
    stage.stores[0].put(&new[1]);
    read_to(&mut going, &new[1]).await;
    let token = events(&going.text)[0].0.clone();
    away.restart().await;
    read_to(&mut going, &new[0]).await;
    away.put_long_ago(&new[2]);
    read_to(&mut going, &new[2]).await;
    assert_eq!(
        shown(&going.text),
        ids(new),
        "what comes under our eyes is new, whatever the clock there says"
    );
    // A reader that lost its gateway before the node was back: what it has by then is judged by its clock.
    let again = export(&stage, &format!("from={token}")).await;
    assert_eq!(again, ids(&new[..1]));
    assert_eq!(export(&stage, "from=start").await, ids(&records));
}

#[tokio::test]
async fn an_end_says_whether_acknowledged_records_may_be_missing() {
    let stage = Stage::calm().await;
    let records = claims(6);
    spread(&stage, &records);
    let (refilling, away) = (&stage.stores[1], &stage.stores[2]);
    let end = async || {
        let (all, last) = lines(&stage, "from=start").await;
        (all.len(), last["missing"].clone(), last["complete"].clone())
    };
    assert_eq!(end().await, (6, json!([]), json!(true)));
    refilling.state().absent = true;
    assert_eq!(end().await, (6, json!(["node2"]), json!(true)));
    away.kill();
    assert_eq!(end().await, (6, json!(["node2", "node3"]), json!(false)));
    refilling.state().absent = false;
    assert_eq!(end().await, (6, json!(["node3"]), json!(true)));
    away.restart().await;
    assert_eq!(end().await, (6, json!([]), json!(true)));
}

#[tokio::test]
async fn readers_are_counted_and_their_places_given_back() {
    let stage = Stage::calm().await;
    let opened = (0..70).map(|_| stage.open("/v1/feed", &[]));
    let opened = futures::future::join_all(opened).await;
    let (mut readers, refused): (Vec<_>, Vec<_>) =
        opened.into_iter().partition(|going| going.status == 200);
    assert_eq!((readers.len(), refused.len()), (64, 6));
    for going in refused {
        assert_eq!(going.status, 503);
        assert_eq!(going.headers["retry-after"], "1");
    }
    stage.get("/v1/feed").await.refused(503, "overloaded");
    // Whoever has a place is served like one alone.
    let record = &claims(1)[0];
    stage.stores[2].put(record);
    for going in &mut readers {
        read_to(going, record).await;
    }
    readers.clear();
    stage
        .until("there is room again", async || {
            stage.open("/v1/feed", &[]).await.status == 200
        })
        .await;
}

#[tokio::test]
async fn a_slow_reader_slows_nobody_and_loses_nothing() {
    let stage = Stage::calm().await;
    let note = "n".repeat(16_000);
    let records: Vec<Record> = (0..2_000)
        .map(|number| {
            let json = claim(f64::from(number), "u");
            record(&json.replacen('{', &format!("{{\"note\":\"{note}\","), 1))
        })
        .collect();
    records
        .iter()
        .for_each(|record| stage.stores[0].put(record));
    let mut going = stage.open("/v1/feed?from=start", &[]).await;
    let mut quick = stage.open("/v1/feed", &[]).await;
    quick.until(|text| text.ends_with("\n\n")).await;
    let news = claims(20);
    for claim in &news {
        let json = String::from_utf8(claim.canonical().to_vec()).unwrap();
        assert_eq!(stage.post("/v1/assert", json).await.status, 201);
        read_to(&mut quick, claim).await;
    }
    // 32 MB wait; a page has one.
    let follows = stage.stores[0].state().follow_waits.len();
    assert!(
        follows < 30,
        "{follows} pages were asked for and nobody read them"
    );
    read_to(&mut going, &news[19]).await;
    read_to(&mut going, &records[1_999]).await;
    let mut expected = ids(&records);
    expected.extend(ids(&news));
    expected.sort_unstable();
    assert_eq!(shown(&going.text), expected);
}

#[tokio::test]
async fn a_feed_to_an_end_asks_for_no_long_wait_until_it_is_there() {
    let stage = Stage::calm().await;
    spread(&stage, &claims(20));
    let (none, _) = lines(&stage, "from=start&kind=vote").await;
    assert!(none.is_empty());
    let waits = |store: &FakeStore| store.state().follow_waits.clone();
    for store in &stage.stores {
        let waits = waits(store);
        assert!(
            waits[0] <= 100,
            "behind what a filter passes over: {waits:?}"
        );
    }
    let mut going = stage.open("/v1/feed?from=start&kind=vote", &LINES).await;
    let told = going.until(|text| text.contains("token")).await;
    assert!(told, "{}", going.text);
    let asked = async || waits(&stage.stores[0]).last() == Some(&5_000);
    stage.until("one that goes on waits for news", asked).await;
}
