//! `stemedb up`, as somebody who tries the system runs it.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{command, eventually, place, ports, process};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;

use crate::stage;

const NODES: u16 = 3;

/// A development build on a busy machine.
const READY: Duration = Duration::from_secs(90);

/// Gateways end first, stores last.
const END: Duration = Duration::from_secs(30);

#[tokio::test]
async fn up_is_ready_by_itself_takes_orders_and_leaves_nothing_behind() {
    let _turn = stage::empty().await;
    let directory = place::make();
    let data = directory.path().to_str().expect("a path of ours");
    let base = ports::base_for_up(NODES).to_string();
    let began = Instant::now();
    let mut up = command::start(&[
        "up",
        "--nodes",
        "3",
        "--base-port",
        &base,
        "--data-dir",
        data,
    ]);
    let said = until_ready(&mut up).await;
    stage::figure(&format!(
        "stemedb up: ready after {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    assert!(said.contains("12 processes"), "{said}");

    let cluster = described(directory.path());
    let pids = pids(&cluster);
    assert_eq!(pids.len(), 12, "{cluster}");
    assert!(pids.iter().all(|pid| process::exists(*pid)), "{cluster}");
    let first: u16 = base.parse().expect("a port");
    for (number, name) in ["node1", "node2", "node3"].iter().enumerate() {
        let api = first + 100 * u16::try_from(number).expect("below 3");
        assert_eq!(cluster["nodes"][name]["api"], format!("127.0.0.1:{api}"));
        assert_eq!(
            cluster["nodes"][name]["admin"],
            format!("127.0.0.1:{}", api + 1)
        );
    }
    demo(&cluster).await;
    orders(data, directory.path()).await;

    let last = described(directory.path());
    let parent = i32::try_from(up.id().expect("it runs"))
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    kill_process(parent, Signal::INT).expect("it runs");
    let ended = tokio::time::timeout(END, command::ended(up))
        .await
        .expect("it ends");
    assert_eq!(ended.code, Some(0), "{} {}", ended.out, ended.err);
    for pid in self::pids(&last) {
        assert!(!process::exists(pid), "{pid} outlived its cluster: {last}");
    }
}

/// Reads what `up` says until it is ready, and leaves it room to say more.
pub(crate) async fn until_ready(up: &mut Child) -> String {
    let mut lines = BufReader::new(up.stdout.take().expect("a pipe")).lines();
    let errors = up.stderr.take().expect("a pipe");
    tokio::spawn(drain(errors));
    let ready = async {
        loop {
            let line = lines.next_line().await.expect("text");
            let line = line.expect("up ended before it was ready");
            if line.starts_with("ready: ") {
                return line;
            }
        }
    };
    let said = tokio::time::timeout(READY, ready)
        .await
        .expect("ready in time");
    tokio::spawn(drain(lines.into_inner()));
    said
}

async fn drain(mut pipe: impl AsyncRead + Unpin) {
    // Only so that the pipe never fills.
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
}

pub(crate) fn described(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("cluster.json")).expect("up wrote it");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn pids(cluster: &Value) -> Vec<u32> {
    let nodes = cluster["nodes"]
        .as_object()
        .expect("nodes by name")
        .values();
    let processes =
        nodes.flat_map(|node| node["processes"].as_object().expect("by service").values());
    processes
        .filter_map(|process| process["pid"].as_u64())
        .filter_map(|pid| u32::try_from(pid).ok())
        .collect()
}

/// The demo set is there, and contradicts itself.
async fn demo(cluster: &Value) {
    let admin = cluster["nodes"]["node2"]["admin"]
        .as_str()
        .expect("an address");
    let url = format!("http://{admin}");
    let skeptic = [
        "query",
        "constant:hubble",
        "h0_km_s_mpc",
        "--lens",
        "skeptic",
        "--url",
        &url,
        "--json",
    ];
    let ended = command::run(&skeptic).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        ended.json()["result"]["verdict"],
        "contested",
        "{}",
        ended.out
    );
    for (shown, wanted) in [("members", "UP"), ("status", "yes"), ("verify", "equal")] {
        let arguments = [shown, "--url", &url];
        eventually(shown, END, || async {
            let ended = command::run(&arguments).await;
            let good = ended.code == Some(0) && ended.out.contains(wanted);
            good.then_some(())
                .ok_or(format!("{} {}", ended.out, ended.err))
        })
        .await;
    }
}

/// A node is killed and started again by the command.
async fn orders(data: &str, directory: &Path) {
    let local = async |words: &[&str]| {
        let mut arguments = vec!["local"];
        arguments.extend(words);
        arguments.extend(["--data-dir", data]);
        let ended = command::run(&arguments).await;
        assert_eq!(
            ended.code,
            Some(0),
            "{words:?}: {} {}",
            ended.out,
            ended.err
        );
        ended
    };
    let before = described(directory);
    local(&["kill", "node2"]).await;
    for pid in pids(&before).iter().skip(4).take(4) {
        assert!(!process::exists(*pid), "{pid} was killed");
    }
    let listed = local(&["list", "--json"]).await.json();
    assert_eq!(pids(&listed).len(), 8, "{listed}");
    local(&["kill", "node2"]).await;
    local(&["start", "node2"]).await;
    local(&["start", "node2/store"]).await;
    assert_eq!(pids(&described(directory)).len(), 12);
}
