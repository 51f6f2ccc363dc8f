//! Keys, and what is written: each record as it reaches the gateway.

use assertion::{Kind, Record};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::gateway::{Gateway, Reply};
use crate::{done, failed};

const STORED: &str = r#"{"id":"ab","status":"stored","shard":256,"copies":2,"holders":["node1","node2"],"pending":["node3"]}"#;

/// A clock that is ahead of this machine's.
const FUTURE: i64 = 4_000_000_000_000;

const CLAIM: &str = "8f2110f3d44c1351b3442e4690ccfa935fc18391bbe17054916bcb434b9c90e9";

async fn takes_all() -> Gateway {
    Gateway::start(|_, _| (201, STORED.to_owned())).await
}

#[tokio::test]
async fn a_key_signs_what_is_asserted() {
    let directory = tempdir().unwrap();
    let gateway = takes_all().await;
    let made: Value =
        serde_json::from_str(&done(directory.path(), &["keygen", "--json"]).await).unwrap();
    let (code, said) = failed(directory.path(), &["keygen"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("exists"), "{said}");
    let shown = done(
        directory.path(),
        &[
            "assert",
            "water",
            "boils_k",
            "373.150",
            "--source",
            "doi:1",
            "--class",
            "expert",
            "--key",
            "stemedb.key",
            "--asserted-at",
            "2018-07-17",
            "--url",
            &gateway.url,
        ],
    )
    .await;
    assert_eq!(
        shown.lines().take(3).collect::<Vec<_>>(),
        [
            "stored ab",
            "on 2 nodes (node1, node2), shard 256",
            "not yet confirmed by node3: repair brings it there",
        ]
    );
    let [asked] = &gateway.asked()[..] else {
        panic!("one request");
    };
    assert_eq!(asked.path, "/v1/assert");
    let record = Record::from_canonical(&asked.body).unwrap();
    assert_eq!(
        record.signatures()[0].agent,
        made["agent"].as_str().unwrap()
    );
}

#[tokio::test]
async fn numbers_leave_as_they_were_typed() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|_, _| {
        let problem = r#"{"status":422,"code":"number_not_exact","detail":"1e400 is no double"}"#;
        (422, problem.to_owned())
    })
    .await;
    let words = [
        "assert",
        "a",
        "b",
        "1e400",
        "--source",
        "doi:1",
        "--class",
        "expert",
        "--url",
        &gateway.url,
    ];
    let (code, said) = failed(directory.path(), &words).await;
    assert_eq!(code, 1);
    assert!(said.contains("number_not_exact"), "{said}");
    let body = crate::text(&gateway.asked()[0].body);
    assert!(
        body.contains(r#"{"type":"number","value":1e400}"#),
        "{body}"
    );
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let directory = tempdir().unwrap();
    let gateway = takes_all().await;
    done(directory.path(), &["keygen", "k"]).await;
    let words = [
        "assert",
        "a",
        "b",
        "1e400",
        "--source",
        "doi:1",
        "--class",
        "expert",
        "--key",
        "k",
        "--url",
        &gateway.url,
    ];
    let (code, said) = failed(directory.path(), &words).await;
    assert_eq!(code, 2);
    assert!(
        said.contains("VALUE is a number") && !said.contains("HTTP"),
        "{said}"
    );
    assert!(gateway.asked().is_empty());
}

#[tokio::test]
async fn a_vote_is_on_the_subject_of_its_claim() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|path, _| match path.starts_with("/v1/records/") {
        true => (
            200,
            json!({ "result": { "kind": "assertion", "subject": "water" } }).to_string(),
        ),
        false => (201, STORED.to_owned()),
    })
    .await;
    done(directory.path(), &["keygen", "k"]).await;
    done(
        directory.path(),
        &[
            "vote",
            CLAIM,
            "--weight",
            "0.4",
            "--key",
            "k",
            "--url",
            &gateway.url,
        ],
    )
    .await;
    assert_eq!(
        gateway.paths(),
        [format!("/v1/records/{CLAIM}"), "/v1/vote".to_owned()]
    );
    let record = Record::from_canonical(&gateway.asked()[1].body).unwrap();
    let vote = record.vote().unwrap();
    assert_eq!(
        (vote.subject.as_str(), vote.assertion.as_str(), vote.weight),
        ("water", CLAIM, 0.4)
    );
    assert_eq!(vote.voter, record.signatures()[0].agent);
    let (code, _) = failed(directory.path(), &["vote", CLAIM, "--url", &gateway.url]).await;
    assert_eq!(code, 2, "nobody votes without a name");
}

/// A cluster that knows the latest record of one source, and a claim of another one.
fn knows_a_source(path: &str, _: &[u8]) -> Reply {
    let body = if path == "/v1/sources?prefix=doi%3A1&limit=1" {
        json!({ "result": { "sources": [{ "uri": "doi:1", "class": "clinical", "title": "A trial", "recorded_at": 1 }] } })
    } else if path.starts_with("/v1/sources?") {
        json!({ "result": { "sources": [{ "uri": "doi:44", "class": "clinical", "recorded_at": 1 }] } })
    } else if path.starts_with("/v1/query?source=doi%3A4&") {
        json!({ "result": { "records": [{ "id": CLAIM, "source": { "class": "expert" } }] } })
    } else if path.starts_with("/v1/query") {
        json!({ "result": { "records": [] } })
    } else {
        return (201, STORED.to_owned());
    };
    (200, body.to_string())
}

#[tokio::test]
async fn a_source_is_retracted_and_restored_as_what_it_is() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(knows_a_source).await;
    for (word, retracted) in [("retract", true), ("restore", false)] {
        done(
            directory.path(),
            &["source", word, "doi:1", "--url", &gateway.url],
        )
        .await;
        let asked = gateway.asked().pop().unwrap();
        assert_eq!(asked.path, "/v1/sources");
        let record = Record::from_client_json_as(Kind::Source, &asked.body, i64::MAX).unwrap();
        let source = record.source().unwrap();
        assert_eq!(source.class.name(), "clinical");
        assert_eq!(source.title.as_deref(), Some("A trial"));
        assert_eq!(source.retracted, Some(retracted));
    }
    let claimed = ["source", "retract", "doi:4", "--url", &gateway.url];
    done(directory.path(), &claimed).await;
    let body = crate::text(&gateway.asked().pop().unwrap().body);
    assert!(
        body.starts_with(r#"{"uri":"doi:4","class":"expert","retracted":true,"#),
        "{body}"
    );
    let unknown = ["source", "retract", "doi:2", "--url", &gateway.url];
    let (code, said) = failed(directory.path(), &unknown).await;
    assert_eq!(code, 1);
    assert!(said.contains("--class"), "{said}");
    done(
        directory.path(),
        &[
            "source",
            "retract",
            "doi:2",
            "--class",
            "expert",
            "--url",
            &gateway.url,
        ],
    )
    .await;
    done(
        directory.path(),
        &[
            "source",
            "doi:3",
            "--class",
            "expert",
            "--title",
            "T",
            "--url",
            &gateway.url,
        ],
    )
    .await;
    let body = crate::text(&gateway.asked().pop().unwrap().body);
    assert!(body.starts_with(r#"{"uri":"doi:3","class":"expert","title":"T","recorded_at":"#));
}

#[tokio::test]
async fn a_description_takes_no_retraction_back() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|path, _| {
        let of = |uri: &str, retracted: bool| json!({ "uri": uri, "class": "clinical", "retracted": retracted, "recorded_at": FUTURE });
        let (source, complete) = match path {
            "/v1/sources?prefix=gone&limit=1" => (of("gone", true), true),
            "/v1/sources?prefix=back&limit=1" => (of("back", false), true),
            "/v1/sources?prefix=cut&limit=1" => (of("cut off", true), false),
            "/v1/sources?prefix=new&limit=1" => {
                let none = json!({ "result": { "sources": [] }, "meta": { "complete": true } });
                return (200, none.to_string());
            }
            "/v1/sources?prefix=odd&limit=1" => return (200, "[]".to_owned()),
            "/v1/sources?prefix=lost&limit=1" => return (500, "{}".to_owned()),
            _ => return (201, STORED.to_owned()),
        };
        (200, json!({ "result": { "sources": [source] }, "meta": { "complete": complete } }).to_string())
    })
    .await;
    let cases = [
        (
            "gone",
            json!(true),
            "still retracted; `stemedb source restore gone`",
        ),
        ("back", Value::Null, ""),
        ("new", Value::Null, ""),
        ("odd", Value::Null, "(NOT complete: "),
        ("cut", Value::Null, "(NOT complete: "),
    ];
    for (uri, retracted, said) in cases {
        let words = [
            "source",
            uri,
            "--class",
            "expert",
            "--title",
            "T",
            "--url",
            &gateway.url,
        ];
        let output = crate::run(directory.path(), &words).await;
        assert!(output.status.success(), "{uri}");
        let noted = crate::text(&output.stderr);
        assert!(
            noted.starts_with(said) && noted.is_empty() == said.is_empty(),
            "{uri}: {noted}"
        );
        let sent: Value = serde_json::from_slice(&gateway.asked().pop().unwrap().body).unwrap();
        assert_eq!(
            (&sent["retracted"], &sent["title"]),
            (&retracted, &json!("T")),
            "{uri}"
        );
        let later = ["gone", "back"].contains(&uri);
        assert_eq!(sent["recorded_at"] == FUTURE + 1, later, "{uri}: {sent}");
    }
    let lost = ["source", "lost", "--class", "expert", "--url", &gateway.url];
    assert_eq!(failed(directory.path(), &lost).await.0, 1);
    assert_eq!(
        gateway.paths().pop().unwrap(),
        "/v1/sources?prefix=lost&limit=1",
        "nothing is written unseen"
    );
}

#[tokio::test]
async fn an_import_is_signed_line_by_line() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|_, body| {
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let said = (1..=lines.count()).map(|line| format!("{{\"line\":{line},\"status\":201}}\n"));
        (200, said.collect())
    })
    .await;
    done(directory.path(), &["keygen", "k"]).await;
    let lines = [
        r#"{"subject":"a","predicate":"b","object":{"type":"number","value":1},"source":{"uri":"c","class":"expert"}}"#.to_owned(),
        format!(r#"{{"kind":"vote","subject":"a","assertion":"{CLAIM}","weight":1}}"#),
        r#"{"kind":"epoch"}"#.to_owned(),
    ];
    std::fs::write(directory.path().join("lines"), lines.join("\n")).unwrap();
    let output = crate::run(
        directory.path(),
        &[
            "import",
            "lines",
            "--key",
            "k",
            "--json",
            "--url",
            &gateway.url,
        ],
    )
    .await;
    assert_eq!(output.status.code(), Some(1), "one line was refused");
    std::fs::write(directory.path().join("kept"), "mine").unwrap();
    let words = [
        "import",
        "lines",
        "--refused",
        "kept",
        "--url",
        &gateway.url,
    ];
    let (code, said) = crate::failed(directory.path(), &words).await;
    assert!(code == 1 && said.contains("cannot write kept"), "{said}");
    let kept = std::fs::read_to_string(directory.path().join("kept")).unwrap();
    assert_eq!(kept, "mine");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["stored"], &summary["refused"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(summary["refused_lines"][0]["line"], 3);
    let body = gateway.asked()[0].body.clone();
    let sent: Vec<Record> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| Record::from_canonical(line).unwrap())
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].vote().unwrap().voter, sent[0].signatures()[0].agent);
}
