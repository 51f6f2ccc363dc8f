//! The user's command, run as a user runs it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::binaries;

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Standard output as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_default()
    }
}

/// Starts `stemedb` with pipes for input and output; killed when dropped. No setting of the caller's environment reaches it.
///
/// # Panics
/// When it cannot be started.
pub fn start(arguments: &[&str]) -> Child {
    let ours = |key: &str| key.starts_with("STEMEDB_") || key.starts_with("OTEL_");
    let mut command = Command::new(binaries::path("stemedb"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (key, _) in std::env::vars().filter(|(key, _)| ours(key)) {
        command.env_remove(key);
    }
    command.spawn().expect("the command can be started")
}

/// Waits for the end of a command.
///
/// # Panics
/// When its output cannot be read.
pub async fn ended(child: Child) -> Ended {
    let output = child
        .wait_with_output()
        .await
        .expect("the command can be waited for");
    Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `stemedb` to its end.
pub async fn run(arguments: &[&str]) -> Ended {
    ended(start(arguments)).await
}
