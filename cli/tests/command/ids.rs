//! Ids as they are shown are ids that can be given.

use serde_json::json;
use tempfile::tempdir;

use crate::gateway::{Gateway, Reply};
use crate::{done, failed};

const ONE: &str = "c2fc21dc1ab1053bbb02f37e6d8849a1e2da7b6c64cdfc9f7e99dd21829aba04";
const TWO: &str = "c2fc21dc521a27098927c59e999718f1e262c7019a657da69c7148e57ebcd7fe";

/// Two records whose ids begin alike, and what is asked about them.
fn answers(path: &str, _: &[u8]) -> Reply {
    let record = |id: &str| {
        json!({ "id": id, "kind": "assertion", "subject": "s", "predicate": "p", "object": { "type": "text", "value": "373.15" },
            "source": { "uri": "u", "class": "expert" }, "asserted_at": 0 })
    };
    let complete = json!({ "complete": true, "proved_through": 86_400_000 });
    if let Some(digits) = path.strip_prefix("/v1/records?id_prefix=") {
        let found = [ONE, TWO].into_iter().filter(|id| id.starts_with(digits));
        let records: Vec<_> = found.map(record).collect();
        let result = json!({ "records": records, "cursor": null });
        return (
            200,
            json!({ "result": result, "meta": complete }).to_string(),
        );
    }
    let result = match path
        .strip_prefix("/v1/records/")
        .or(path.strip_prefix("/v1/trace/"))
    {
        Some(id) if path.starts_with("/v1/trace/") => json!({ "id": id, "record": record(id) }),
        Some(id) => record(id),
        None if path == "/v1/vote" => {
            return (201, json!({ "id": ONE, "status": "stored" }).to_string());
        }
        None => json!({ "records": [record(ONE), record(TWO)], "cursor": null }),
    };
    (
        200,
        json!({ "result": result, "meta": complete }).to_string(),
    )
}

#[tokio::test]
async fn what_a_table_shows_can_be_asked_for() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(answers).await;
    let with = |words: &str| {
        let line = format!("{words} --url {}", gateway.url);
        line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let run = async |words: &str| {
        let line = with(words);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        done(directory.path(), &line).await
    };
    let table = run("query s").await;
    assert!(
        table.contains(" c2fc21dc1ab1\n") && !table.contains(ONE),
        "{table}"
    );
    assert!(
        table.contains("\"373.15\""),
        "text that looks like a number: {table}"
    );
    assert!(
        table.contains("complete up to 1970-01-02 00:00:00 UTC"),
        "{table}"
    );
    assert!(run("query s --full-ids").await.contains(ONE));
    assert!(run("query s --json").await.contains(ONE));

    assert!(run("trace c2fc21dc1ab1").await.contains(ONE));
    assert!(run("trace C2FC21DC5").await.contains(TWO));
    run("vote c2fc21dc52 --voter v").await;
    let sent = gateway.asked().pop().unwrap();
    assert!(String::from_utf8(sent.body).unwrap().contains(TWO));
    run("query s --lens epoch --epoch c2fc21dc1").await;
    assert_eq!(
        gateway.paths().pop().unwrap(),
        format!("/v1/query?subject=s&epoch={ONE}&lens=epoch")
    );
    run("votes s --assertion c2fc21dc1").await;
    assert_eq!(
        gateway.paths().pop().unwrap(),
        format!("/v1/votes?subject=s&assertion={ONE}")
    );
}

#[tokio::test]
async fn digits_that_several_ids_begin_with_are_refused_with_the_list() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(answers).await;
    let said = async |digits: &str| {
        failed(directory.path(), &["trace", digits, "--url", &gateway.url]).await
    };
    let (code, text) = said("c2fc21dc").await;
    let expected = "stemedb: several ids begin with c2fc21dc:\n  c2fc21dc1ab1053b  s p = \"373.15\"\n  \
        c2fc21dc521a2709  s p = \"373.15\" [ambiguous_id]\n→ give more of the digits\n";
    assert_eq!((code, text.as_str()), (1, expected));
    let (code, text) = said("00000000").await;
    assert!(code == 1 && text.contains("[no_such_record]\n→ "), "{text}");
    let (code, text) = said("c2fc21d").await;
    assert!(code == 2 && text.contains("first 8 or more"), "{text}");
    assert_eq!(gateway.paths().len(), 2, "the last one was not asked");
}
