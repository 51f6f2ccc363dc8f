//! Three nodes of etcd, when it is installed: the same claims as values, durable on a majority, over its JSON gateway.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use e2e::http::Http;
use e2e::process::Process;
use tempfile::TempDir;

use crate::claims::Claims;
use crate::connection::{Call, Work};

const NODES: usize = 3;

const START: Duration = Duration::from_secs(30);

/// A cluster of etcd; ends when dropped.
#[derive(Debug)]
pub struct Etcd {
    /// `host:port` of the members.
    pub members: Vec<String>,
    /// As it says itself.
    pub version: String,
    _processes: Vec<Process>,
    _directory: TempDir,
}

/// Whether and where etcd is installed.
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|entry| entry.join("etcd"))
        .find(|program| program.is_file())
}

impl Etcd {
    /// Starts three members beside the data of our own clusters, on the same disk.
    ///
    /// # Errors
    /// When they do not form a cluster.
    pub async fn start(program: &PathBuf) -> Result<Etcd, String> {
        let version = Command::new(program).arg("--version").output();
        let version = version.map_err(|error| error.to_string())?.stdout;
        let version = String::from_utf8_lossy(&version)
            .lines()
            .next()
            .unwrap_or("")
            .to_owned();
        let directory = e2e::place::make();
        let bases: Vec<u16> = (0..NODES).map(|_| e2e::ports::block()).collect();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let peers: Vec<String> = bases
            .iter()
            .enumerate()
            .map(|(place, base)| format!("n{place}={}", url(base + 1)))
            .collect();
        let start = |(place, base): (usize, &u16)| {
            let name = format!("n{place}");
            let mut command = Command::new(program);
            command
                .args(["--name", &name, "--logger", "zap"])
                .arg("--data-dir")
                .arg(directory.path().join(&name))
                .args([
                    "--listen-client-urls",
                    &url(*base),
                    "--advertise-client-urls",
                    &url(*base),
                ])
                .args(["--listen-peer-urls", &url(base + 1)])
                .args(["--initial-advertise-peer-urls", &url(base + 1)])
                .args([
                    "--initial-cluster",
                    &peers.join(","),
                    "--initial-cluster-state",
                    "new",
                ]);
            Process::start(command, &directory.path().join(format!("{name}.log")))
        };
        let processes = bases.iter().enumerate().map(start).collect();
        let members: Vec<String> = bases
            .iter()
            .map(|base| format!("127.0.0.1:{base}"))
            .collect();
        let http = Http::new();
        for member in &members {
            e2e::eventually("etcd takes a write", START, || async {
                let url = format!("http://{member}/v3/kv/put");
                let reply = http.post(&url, put(0, b"x")).await?;
                (reply.status == 200)
                    .then_some(())
                    .ok_or_else(|| reply.text())
            })
            .await;
        }
        Ok(Etcd {
            members,
            version,
            _processes: processes,
            _directory: directory,
        })
    }
}

fn put(key: u64, value: &[u8]) -> String {
    let key = BASE64.encode(format!("claim/{key:016x}"));
    format!(
        "{{\"key\":\"{key}\",\"value\":\"{}\"}}",
        BASE64.encode(value)
    )
}

/// Puts claims, each under a key of its own.
#[derive(Debug)]
pub struct Puts {
    /// Where they come from.
    pub claims: Arc<Claims>,
    /// How many members there are.
    pub members: usize,
    /// Keys start here.
    pub first: u64,
}

impl Work for Puts {
    fn call(&self, n: u64) -> Call {
        let target = usize::try_from(n).unwrap_or(0) % self.members.max(1);
        let lines = self.claims.lines();
        let line = &lines[usize::try_from(n).unwrap_or(0) % lines.len()];
        Call::post(target, "/v3/kv/put", Bytes::from(put(self.first + n, line)))
    }

    fn good(&self, status: u16, body: &[u8]) -> bool {
        status == 200 && body.starts_with(b"{\"header\"")
    }
}
