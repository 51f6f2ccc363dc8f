//! What a command line may leave out, and how long a command waits.

use std::time::{Duration, Instant};

use tempfile::tempdir;
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::{command, failed, text};

#[tokio::test]
async fn what_the_environment_names_is_used_and_not_shown_as_required() {
    let directory = tempdir().unwrap();
    let gateway = Gateway::start(|_, _| (200, r#"{"members":[]}"#.to_owned())).await;
    let run = async |words: &[&str], url: &str| {
        let mut command = command(directory.path(), words);
        command
            .env("STEMEDB_URL", url)
            .env("STEMEDB_API_KEY", "a-key");
        let output = command.output().await.unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (code, said) = run(&["members"], &gateway.url).await;
    assert_eq!((code, gateway.asked().len()), (0, 1), "{said}");
    let (code, said) = run(&["assert", "a"], &gateway.url).await;
    assert!(
        code == 2 && said.contains("Usage: ") && !said.contains("--url") && !said.contains("KEY"),
        "{code} {said}"
    );
    let (code, said) = run(&["members"], "ftp://a").await;
    assert!(code == 2 && said.contains("STEMEDB_URL: "), "{code} {said}");
}

#[tokio::test]
async fn a_frozen_gateway_costs_status_its_time_limit_once() {
    let directory = tempdir().unwrap();
    // Takes connections, as a process that hangs does, and never answers.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", frozen.local_addr().unwrap());
    let began = Instant::now();
    let line = ["status", "--timeout", "10", "--url", &url];
    let (code, said) = failed(directory.path(), &line).await;
    let took = began.elapsed();
    assert!(code == 1 && said.contains("not ready"), "{code} {said}");
    // Twice would be 20 s.
    assert!(took < Duration::from_secs(19), "{took:?}");
}
