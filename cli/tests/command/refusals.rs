//! What the cluster refuses, in the words of whoever typed the command.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::gateway::{Gateway, Reply};
use crate::{failed, run, text};

fn refuses(path: &str, _: &[u8]) -> Reply {
    let problem = match path.split('?').next() {
        Some("/v1/feed") => json!({ "status": 422, "code": "foreign_token", "path": "from",
            "detail": "none of the stores in the token is one of this cluster", "next_step": "begin with from=start or from=now" }),
        Some("/v1/query") => {
            json!({ "status": 422, "code": "only_with_lens", "path": "min_confidence",
            "detail": "`min_confidence` says how a lens looks", "next_step": "add lens=skeptic, or leave it out" })
        }
        Some("/v1/assert") => {
            json!({ "status": 422, "code": "number_not_exact", "path": "object.value",
            "detail": "object.value is a number that no double holds", "next_step": "send it as text" })
        }
        _ => {
            json!({ "status": 404, "code": "no_such_path", "detail": "nothing is here", "next_step": "see the manual" })
        }
    };
    let status = problem["status"].as_u64().unwrap_or(0);
    (u16::try_from(status).unwrap_or(500), problem.to_string())
}

#[tokio::test]
async fn refusals_name_flags_and_arguments() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(refuses).await;
    let cases = [
        (
            2,
            "query s --min-confidence 0.5",
            "stemedb: --min-confidence says how a lens looks [only_with_lens]\n→ add --lens skeptic, or leave it out\n",
        ),
        (
            2,
            "assert s p 1e400 --source u --class expert",
            "stemedb: VALUE is a number that no double holds [number_not_exact]\n→ send it as text\n",
        ),
        (
            1,
            "watch --from 0c7f",
            "stemedb: none of the stores in the token is one of this cluster (--from) [foreign_token]\n→ begin with --from start or --from now\n",
        ),
    ];
    for (exit, words, expected) in cases {
        let line = format!("{words} --url {}", gateway.url);
        let line: Vec<&str> = line.split(' ').collect();
        let (code, said) = failed(directory.path(), &line).await;
        assert_eq!((code, said.as_str()), (exit, expected), "{words}");
    }
}

#[tokio::test]
async fn programs_get_the_problem_as_it_came() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(refuses).await;
    let line = [
        "query",
        "s",
        "--min-confidence",
        "0.5",
        "--json",
        "--url",
        &gateway.url,
    ];
    let ended = run(directory.path(), &line).await;
    let said: Value = serde_json::from_str(&text(&ended.stdout)).unwrap();
    assert_eq!(
        (&said["path"], &said["status"]),
        (&json!("min_confidence"), &json!(422))
    );
}
