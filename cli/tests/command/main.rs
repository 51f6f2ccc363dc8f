//! The command as it is run: its own process, against gateways made of a few lines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod export;
mod gateway;
mod ids;
mod lists;
mod mcp;
mod refusals;
mod usage;
mod writes;

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// The command with its words, its directory, and nothing of the environment that would change what it does.
fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stemedb"));
    command
        .args(words)
        .current_dir(directory)
        .env_remove("STEMEDB_URL")
        .env_remove("STEMEDB_API_KEY")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a run that must have gone well.
async fn done(directory: &Path, words: &[&str]) -> String {
    let output = run(directory, words).await;
    assert!(
        output.status.success(),
        "{words:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Exit code and standard error of a run that must have failed.
async fn failed(directory: &Path, words: &[&str]) -> (i32, String) {
    let output = run(directory, words).await;
    assert!(!output.status.success(), "{words:?}");
    (output.status.code().unwrap(), text(&output.stderr))
}
