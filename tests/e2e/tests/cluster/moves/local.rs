//! A cluster of `stemedb up` that grows and shrinks by orders.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::command::Ended;
use e2e::{command, place, ports};

use crate::apart::up::{described, pids, until_ready};
use crate::stage;

/// `add` returns by then (protocol, section 10).
const ADDED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn nodes_of_up_are_added_removed_and_forgotten_by_orders() {
    let _turn = stage::empty().await;
    let directory = place::make();
    let data = directory.path().to_str().expect("a path of ours");
    let base = ports::base_for_up(4).to_string();
    let words = ["up", "--no-demo", "--base-port", &base, "--data-dir", data];
    let mut up = command::start(&words);
    until_ready(&mut up).await;
    let local = async |words: &[&str]| {
        let mut all = vec!["local"];
        all.extend(words);
        all.extend(["--data-dir", data]);
        command::run(&all).await
    };

    let began = Instant::now();
    done(&local(&["add"]).await, "node4: ready");
    let took = began.elapsed();
    stage::figure(&format!(
        "local add: ready after {:.1} s",
        took.as_secs_f64()
    ));
    assert!(took <= ADDED, "{took:?}");
    done(&local(&["add", "node4"]).await, "node4: ready");
    assert_eq!(pids(&described(directory.path())).len(), 16);
    let refused = local(&["add", "pod-1"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.out);

    let url = admin(directory.path(), "node1");
    let plan = [
        "placement",
        "plan",
        "--leave",
        "node4",
        "--json",
        "--url",
        &url,
    ];
    let plan = command::run(&plan).await;
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    assert_eq!(plan.json()["nodes"][3]["shards_after"], 0, "{}", plan.out);
    let shown = command::run(&["placement", "show", "--url", &url]).await;
    assert!(shown.out.contains("node4"), "{} {}", shown.out, shown.err);

    done(&local(&["remove", "node4"]).await, "node4: removed");
    // It was stopped as soon as it had LEFT, and does not go on leaving.
    done(&local(&["add", "node4"]).await, "node4: ready");
    done(&local(&["remove", "node4"]).await, "node4: removed");
    assert_eq!(names(directory.path()), ["node1", "node2", "node3"]);
    assert_eq!(pids(&described(directory.path())).len(), 12);
    done(&local(&["remove", "node4"]).await, "removed before");
    assert_eq!(local(&["remove", "node7"]).await.code, Some(1));

    // One that is gone for good goes from both lists.
    done(&local(&["kill", "node3"]).await, "killed");
    let forget = ["node", "forget", "node3", "--url", &url, "--data-dir", data];
    let began = Instant::now();
    let ended = loop {
        let ended = command::run(&forget).await;
        // Until the others have found out that it is DOWN.
        if ended.code == Some(0) || began.elapsed() > ADDED {
            break ended;
        }
    };
    done(&ended, "node3 is forgotten");
    assert_eq!(names(directory.path()), ["node1", "node2"]);
}

fn done(ended: &Ended, said: &str) {
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    assert!(ended.out.contains(said), "{} {}", ended.out, ended.err);
}

fn names(directory: &Path) -> Vec<String> {
    let cluster = described(directory);
    let nodes = cluster["nodes"].as_object().expect("nodes by name");
    nodes.keys().cloned().collect()
}

fn admin(directory: &Path, node: &str) -> String {
    let cluster = described(directory);
    let admin = cluster["nodes"][node]["admin"].as_str();
    format!("http://{}", admin.expect("an address"))
}
