//! Lists as tables, and words that are no names.

use serde_json::json;
use tempfile::tempdir;

use crate::gateway::{Gateway, Reply};
use crate::{done, failed};

fn lists(path: &str, _: &[u8]) -> Reply {
    let by = "4b6bd6cf65e2a1cd4e4ea6bbb1ee7b3ca80d2bc8e1b2a95cf4dc8eae53a60d6f";
    let result = match path {
        "/v1/epochs" => json!({ "epochs": [
            { "record": { "id": "aa", "name": "ITS-90", "started_at": 631_152_000_000_i64, "supersedes": ["bb"] },
              "superseded_by": [] },
            { "record": { "id": "bb", "name": "IPTS-68", "started_at": 0 }, "superseded_by": [by] },
        ], "cursor": null }),
        "/v1/sources?prefix=doi%3A&retracted=true" => json!({ "sources": [], "cursor": "c1" }),
        "/v1/sources?prefix=doi%3A&retracted=true&cursor=c1" => json!({ "sources": [
            { "id": "cc", "uri": "doi:1", "class": "expert", "retracted": true, "recorded_at": 0 },
        ], "cursor": "c2" }),
        "/v1/votes?subject=s" => json!({ "votes": [
            { "id": "dd", "assertion": "0123456789abcdef", "voter": "ann", "weight": 0.5, "voted_at": 0 },
        ], "cursor": null }),
        _ => json!({ "predicates": [], "cursor": null }),
    };
    let complete = path != "/v1/votes?subject=s";
    let said = json!({ "result": result, "meta": { "complete": complete } });
    (200, said.to_string())
}

/// Runs a command, and returns what it printed without the spaces between columns.
async fn shown(words: &[&str]) -> Vec<String> {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(lists).await;
    let mut line = words.to_vec();
    line.extend(["--url", &gateway.url]);
    let out = done(directory.path(), &line).await;
    let lines = out.lines();
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn lists_are_tables() {
    assert_eq!(
        shown(&["epoch", "list"]).await,
        [
            "NAME STARTED SUPERSEDES SUPERSEDED BY REASON ID",
            "ITS-90 1990-01-01 bb aa",
            "IPTS-68 1970-01-01 4b6bd6cf65e2 bb",
        ]
    );
    assert_eq!(
        shown(&["source", "list", "doi:", "--retracted"]).await,
        [
            "URI CLASS STANDING TITLE RECORDED ID",
            "doi:1 expert retracted 1970-01-01 cc",
            "more: --cursor c2",
        ],
        "an empty page is passed over"
    );
    assert_eq!(
        shown(&["votes", "s"]).await,
        [
            "CLAIM VOTER WEIGHT VOTED SIGNED ID",
            "0123456789ab ann 0.5 1970-01-01 dd",
            "(NOT complete: there may be votes that were not found)",
        ]
    );
    assert_eq!(shown(&["predicates", "s"]).await, ["no predicates"]);
}

#[tokio::test]
async fn a_word_that_is_no_subcommand_makes_no_epoch() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(lists).await;
    let line = ["epoch", "lsit", "--url", &gateway.url];
    let (code, _) = failed(directory.path(), &line).await;
    assert_eq!(code, 2);
    assert!(gateway.paths().is_empty());
}
