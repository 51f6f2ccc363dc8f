//! What comes out: exports that break off and go on, and the feed as it is watched.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use assertion::Record;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::gateway::Gateway;
use crate::{command, done, failed};

fn record(number: u32) -> Record {
    let json = json!({
        "subject": format!("cas:{number}"), "predicate": "boils_k",
        "object": { "type": "number", "value": number }, "source": { "uri": "doi:1", "class": "expert" },
    });
    Record::from_client_json(json.to_string().as_bytes(), 1_700_000_000_000).unwrap()
}

fn line(number: u32) -> String {
    let public = String::from_utf8(record(number).public_json()).unwrap();
    format!("{{\"token\":\"t{number}\",\"record\":{public}}}\n")
}

fn canonical(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers
        .map(|number| String::from_utf8(record(number).canonical().to_vec()).unwrap() + "\n")
        .collect()
}

/// Has two records, then (from `t2`) breaks in the third, then (from `t2` again) has it.
async fn breaks_once() -> Gateway {
    let tries = std::sync::atomic::AtomicU32::new(0);
    Gateway::start(move |path, _| {
        let body = match path {
            _ if path.starts_with("/v1/feed?from=start&until=now") => line(1) + &line(2),
            _ if !path.starts_with("/v1/feed?from=t2&until=now") => {
                return (400, r#"{"code":"bad_token"}"#.to_owned());
            }
            _ if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
                line(3)[..40].to_owned()
            }
            _ => line(3) + "{\"caught_up\":true,\"token\":\"t9\",\"missing\":[\"node3\"]}\n",
        };
        (200, body)
    })
    .await
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

#[tokio::test]
async fn an_export_is_the_canonical_records_whatever_breaks() {
    let directory = tempdir().unwrap();
    let gateway = breaks_once().await;
    let words = ["export", "all.ndjson.gz", "--json", "--url", &gateway.url];
    let summary: Value = serde_json::from_str(&done(directory.path(), &words).await).unwrap();
    assert_eq!(
        (&summary["records"], &summary["missing"]),
        (&json!(3), &json!(["node3"]))
    );
    let file = directory.path().join("all.ndjson.gz");
    assert_eq!(unpacked(&file), canonical(1..=3));
    let (code, said) = failed(directory.path(), &words).await;
    assert_eq!(code, 1);
    assert!(said.contains("--resume"), "{said}");
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_no_success() {
    let directory = tempdir().unwrap();
    let gateway = breaks_once().await;
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for words in [["export", "-"], ["config", "check"]] {
        let words = match words[0] {
            "export" => vec![words[0], words[1], "--url", &gateway.url],
            _ => words.to_vec(),
        };
        let mut command = crate::command(directory.path(), &words);
        let command = command.stdout(full()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output();
        let output = output.await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("cannot write standard output"), "{said}");
    }
}

#[tokio::test]
async fn an_export_that_may_lack_acknowledged_records_is_no_success() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|path, _| {
        let end = |token: &str, rest: &str| {
            format!("{{\"caught_up\":true,\"token\":\"{token}\",{rest}}}\n")
        };
        let body = if path.starts_with("/v1/feed?from=start&") {
            line(1) + &end("t2", r#""missing":["node2","node3"],"complete":false"#)
        } else if path.starts_with("/v1/feed?from=t2&") {
            line(2) + &end("t3", r#""missing":["node3"],"complete":true"#)
        } else {
            end("t4", r#""missing":[],"complete":false"#)
        };
        (200, body)
    })
    .await;
    let words = ["export", "all.ndjson", "--url", &gateway.url];
    let resumed = [&words[..], &["--resume"]].concat();
    let (code, said) = failed(directory.path(), &words).await;
    assert_eq!(code, 1);
    for part in [
        "acknowledged records may be missing: node2, node3",
        "stemedb export all.ndjson --resume",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let file = directory.path().join("all.ndjson");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), canonical(1..=1));
    let json = [&resumed[..], &["--json"]].concat();
    let summary: Value = serde_json::from_str(&done(directory.path(), &json).await).unwrap();
    assert_eq!(
        (&summary["records"], &summary["complete"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), canonical(1..=2));
    let (code, said) = failed(directory.path(), &resumed).await;
    assert_eq!(code, 1);
    assert!(said.contains("which nodes there are"), "{said}");
    let words = ["export", "-", "--url", &gateway.url];
    let (code, said) = failed(directory.path(), &words).await;
    assert_eq!(code, 1);
    assert!(said.contains("run it again when they are back"), "{said}");
}

#[tokio::test]
async fn an_export_goes_on_where_it_was() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|path, _| {
        let body = match path.strip_prefix("/v1/feed?from=") {
            Some("start&until=now&subject_prefix=cas%3A") => line(1) + &line(2),
            Some("t2&until=now&subject_prefix=cas%3A") => return (403, "{}".to_owned()),
            Some(_) => line(3) + "{\"caught_up\":true,\"token\":\"t9\"}\n",
            None => return (404, "{}".to_owned()),
        };
        (200, body)
    })
    .await;
    let words = ["export", "all.ndjson", "--url", &gateway.url];
    let filtered = [&words[..], &["--subject-prefix", "cas:"]].concat();
    let (code, _) = failed(directory.path(), &filtered).await;
    assert_eq!(code, 1);
    let file = directory.path().join("all.ndjson");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        canonical(1..=2),
        "what came is kept"
    );
    let (code, said) = failed(directory.path(), &[&words[..], &["--resume"]].concat()).await;
    assert_eq!(code, 1, "other filters: {said}");
    let other = Gateway::start(|path, _| {
        assert_eq!(path, "/v1/feed?from=t2&until=now&subject_prefix=cas%3A");
        (200, line(3) + "{\"caught_up\":true,\"token\":\"t9\"}\n")
    })
    .await;
    let resumed = [
        "export",
        "all.ndjson",
        "--subject-prefix",
        "cas:",
        "--resume",
        "--url",
        &other.url,
    ];
    done(directory.path(), &resumed).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), canonical(1..=3));
    let state = std::fs::read(directory.path().join("all.ndjson.state")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(
        (&state["token"], &state["records"]),
        (&json!("t9"), &json!(3))
    );
}

#[tokio::test]
async fn standard_output_has_the_records_and_nothing_else() {
    let directory = tempdir().unwrap();
    let gateway = breaks_once().await;
    let shown = done(directory.path(), &["export", "-", "--url", &gateway.url]).await;
    assert_eq!(shown, canonical(1..=3));
    let words = ["export", "-", "--resume", "--url", &gateway.url];
    assert_eq!(failed(directory.path(), &words).await.0, 2);
}

#[tokio::test]
async fn a_watch_ends_when_nobody_reads_any_more() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|_, _| (200, (1..=2_000).map(line).collect())).await;
    let words = ["watch", "--from", "start", "--json", "--url", &gateway.url];
    let mut child = command(directory.path(), &words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert_eq!(format!("{first}\n"), line(1), "not a byte is changed");
    drop(lines);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_watch_shows_each_record_on_a_line() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|path, _| match path {
        "/v1/feed?from=start&kind=assertion" => (200, line(1)),
        _ => (
            400,
            r#"{"code":"bad_token","detail":"not a token"}"#.to_owned(),
        ),
    })
    .await;
    let words = [
        "watch",
        "--from",
        "start",
        "--kind",
        "assertion",
        "--url",
        &gateway.url,
    ];
    let output = crate::run(directory.path(), &words).await;
    assert_eq!(output.status.code(), Some(1));
    let id = record(1).id().to_string();
    assert_eq!(
        crate::text(&output.stdout),
        format!(
            "2023-11-14 22:13:20  assertion  {}  cas:1 boils_k = 1\n",
            &id[..12]
        )
    );
    let said = crate::text(&output.stderr);
    assert!(
        said.contains("--from t1") && said.contains("not a token"),
        "{said}"
    );
}
