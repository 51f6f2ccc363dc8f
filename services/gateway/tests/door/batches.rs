//! `POST /v1/assert/batch`: arrays as a whole, lines one by one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{HASTY, Stage, claim};

fn claims(count: u32) -> Vec<String> {
    (0..count)
        .map(|number| {
            claim(f64::from(number), "u").replace("cas:7732-18-5", &format!("cas:{number}"))
        })
        .collect()
}

fn held(stage: &Stage) -> usize {
    stage
        .stores
        .iter()
        .map(|store| store.state().records.len())
        .sum()
}

#[tokio::test]
async fn an_array_is_taken_as_a_whole_or_not_at_all() {
    let stage = Stage::calm().await;
    let mut items = claims(50);
    items[3] = items[3].replace("\"expert\"", "\"guru\"");
    items[40] = r#"{"subject":"s"}"#.to_owned();
    let array = |items: &[String]| format!("[{}]", items.join(","));
    let said = stage
        .post("/v1/assert/batch", array(&items))
        .await
        .refused(422, "invalid_records");
    let named: Vec<(&Value, &Value)> = said["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (&error["index"], &error["path"]))
        .collect();
    assert_eq!(
        named,
        [
            (&json!(3), &json!("source.class")),
            (&json!(40), &json!("predicate"))
        ]
    );
    assert_eq!(held(&stage), 0);
    let reply = stage.post("/v1/assert/batch", array(&claims(2_500))).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["summary"]["stored"], 2_500);
    assert_eq!(said["results"].as_array().unwrap().len(), 2_500);
    assert_eq!(said["results"][0]["copies"], 2);
    assert_eq!(held(&stage), 5_000);
    let again = stage.post("/v1/assert/batch", array(&claims(3))).await;
    assert_eq!(
        (again.status, &again.json()["summary"]["present"]),
        (200, &json!(3))
    );
    assert_eq!(stage.post("/v1/assert/batch", "[]").await.status, 200);
    stage
        .post("/v1/assert/batch", "{}")
        .await
        .refused(400, "malformed_json");
}

#[tokio::test]
async fn an_array_answers_with_its_weakest_status() {
    let stage = Stage::with(HASTY, |_| {}).await;
    stage.stores[1].kill();
    stage.stores[2].kill();
    let array = format!("[{}]", claims(3).join(","));
    let reply = stage.post("/v1/assert/batch", array.clone()).await;
    assert_eq!(
        (reply.status, &reply.json()["summary"]["accepted"]),
        (202, &json!(3))
    );
    stage.stores[0].kill();
    let reply = stage.post("/v1/assert/batch", array).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(reply.json()["results"][0]["error"]["code"], "maybe_stored");
}

#[tokio::test]
async fn lines_stand_and_fall_by_themselves() {
    let stage = Stage::calm().await;
    let claims = claims(4);
    let mut body = Vec::new();
    body.extend_from_slice(claims[0].as_bytes());
    body.extend_from_slice(b"\n{\"subject\":\n\n");
    body.extend_from_slice(claims[1].as_bytes());
    body.extend_from_slice(b"\r\n\xff\xfe\n");
    // A line of ten megabytes, which nobody keeps.
    body.extend(std::iter::repeat_n(b'x', 10_000_000));
    body.extend_from_slice(b"\n");
    body.extend_from_slice(claims[2].as_bytes());
    body.extend_from_slice(b"\n");
    body.extend_from_slice(claims[0].as_bytes());
    let reply = stage.post_lines(body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    let mut lines = reply.lines();
    let summary = lines.pop().unwrap();
    assert_eq!(
        summary["summary"],
        json!({ "lines": 7, "stored": 3, "present": 1, "accepted": 0, "refused": 3, "failed": 0 })
    );
    let of = |number: u64| {
        lines
            .iter()
            .find(|line| line["line"] == number)
            .unwrap_or(&Value::Null)
    };
    for stored in [1, 4, 7] {
        assert_eq!(of(stored)["copies"], 2, "{:?}", of(stored));
        assert_eq!(of(stored)["id"].as_str().unwrap().len(), 64);
    }
    assert_eq!(of(2)["error"]["code"], "malformed_json");
    assert_eq!(of(2)["error"]["status"], 400);
    assert_eq!(of(3), &Value::Null, "a blank line is no record");
    assert_eq!(of(5)["error"]["code"], "invalid_utf8");
    assert_eq!(of(6)["error"]["code"], "line_too_long");
    assert_eq!(of(6)["error"]["status"], 413);
    assert!(["stored", "present"].contains(&of(8)["status"].as_str().unwrap()));
}

#[tokio::test]
async fn many_lines_share_few_calls() {
    let stage = Stage::calm().await;
    let reply = stage.post_lines(claims(6_000).join("\n")).await;
    let lines = reply.lines();
    assert_eq!(lines.last().unwrap()["summary"]["stored"], 6_000);
    let mut answered: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["line"].as_u64())
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=6_000).collect::<Vec<u64>>());
    assert_eq!(held(&stage), 12_000);
    let calls: usize = stage
        .stores
        .iter()
        .map(|store| store.state().appends.len())
        .sum();
    assert!(calls < 200, "{calls} calls for 12,000 copies");
}

#[tokio::test]
async fn a_line_that_nobody_confirms_fails_and_the_others_do_not() {
    let stage = Stage::with(HASTY, |_| {}).await;
    stage.stores.iter().for_each(|store| store.kill());
    let reply = stage.post_lines(claims(2).join("\n")).await;
    let lines = reply.lines();
    assert_eq!(lines[0]["error"]["code"], "maybe_stored");
    assert_eq!(lines[0]["error"]["status"], 503);
    assert_eq!(lines[0]["error"]["asserted_at"], 1_388_534_400_000_i64);
    assert_eq!(lines[2]["summary"]["failed"], 2);
}

/// A client that writes lines by hand.
struct ByHand {
    stream: TcpStream,
    read: Vec<u8>,
}

impl ByHand {
    async fn open(stage: &Stage) -> ByHand {
        let mut stream = TcpStream::connect(stage.api).await.unwrap();
        let head = "POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        ByHand {
            stream,
            read: Vec::new(),
        }
    }

    async fn write(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.stream.write_all(chunk.as_bytes()).await.unwrap();
    }

    async fn read_until(&mut self, wanted: &str) {
        let read = async {
            while !String::from_utf8_lossy(&self.read).contains(wanted) {
                assert_ne!(
                    self.stream.read_buf(&mut self.read).await.unwrap(),
                    0,
                    "the reply ended"
                );
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert!(
            waited.is_ok(),
            "no {wanted:?} in {}",
            String::from_utf8_lossy(&self.read)
        );
    }
}

#[tokio::test]
async fn each_line_is_answered_while_the_stream_goes_on() {
    let stage = Stage::calm().await;
    let mut client = ByHand::open(&stage).await;
    for (place, claim) in claims(3).iter().enumerate() {
        client.write(&format!("{claim}\n")).await;
        client.read_until(&format!("\"line\":{}", place + 1)).await;
    }
    client.write("{\"half\":").await;
    client.stream.write_all(b"0\r\n\r\n").await.unwrap();
    client.read_until("malformed_json").await;
    client.read_until("\"summary\"").await;
}

#[tokio::test]
async fn a_stream_ends_with_words_when_the_node_stops() {
    let stage = Stage::calm().await;
    let mut client = ByHand::open(&stage).await;
    client.write(&format!("{}\n", claims(1)[0])).await;
    client.read_until("\"line\":1").await;
    stage.shutdown.trigger();
    client.read_until("draining").await;
    client.read_until("\"summary\"").await;
}
