//! A reader of the feed on a bare socket: it can stop reading, and goes on at the next gateway from its last token.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::eventually;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client's kernel takes in before the gateway's writes wait; small, so that they wait soon.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// What a reader saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Records.
    pub(super) ids: HashSet<String>,
    /// Records that came again.
    pub(super) repeated: usize,
    /// Of all lines.
    pub(super) bytes: usize,
    /// Where to go on.
    pub(super) token: String,
    /// How often it connected.
    pub(super) connections: usize,
}

/// A reader at work; dropped, it hangs up.
#[derive(Debug)]
pub(super) struct Reader {
    name: String,
    seen: Arc<Mutex<Seen>>,
    reads: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Reader {
    /// Reads from a position, at the gateway of this node first; returns when it is connected.
    pub(super) async fn start(cluster: &Cluster, first: usize, from: &str) -> Reader {
        let mut gateways: Vec<String> = cluster
            .nodes
            .iter()
            .map(|node| node.api("").replace("http://", ""))
            .collect();
        gateways.rotate_left(first - 1);
        let seen = Arc::new(Mutex::new(Seen {
            token: from.to_owned(),
            ..Seen::default()
        }));
        let (reads, may_read) = watch::channel(true);
        let work = tokio::spawn(read(gateways, Arc::clone(&seen), may_read));
        let reader = Reader {
            name: format!("the reader at node{first}"),
            seen,
            reads,
            work,
        };
        let connected = || async {
            let token = reader.seen().token.clone();
            (token != from).then_some(()).ok_or(token)
        };
        eventually("the feed begins", super::writers::SOON, connected).await;
        reader
    }

    /// What it saw so far.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Stops reading its socket, or goes on.
    pub(super) fn stall(&self, stalls: bool) {
        self.reads.send_replace(!stalls);
    }

    /// Waits until it has seen all of these.
    pub(super) async fn has(&self, ids: &[String], deadline: Duration) {
        let what = format!("{} has all {} records", self.name, ids.len());
        eventually(&what, deadline, || async { all(&self.seen().ids, ids) }).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Whether all of these are there; else how many are not, and one of them.
pub(super) fn all(seen: &HashSet<String>, ids: &[String]) -> Result<(), String> {
    let mut missing = ids.iter().filter(|id| !seen.contains(*id));
    let Some(one) = missing.next() else {
        return Ok(());
    };
    let others = missing.count();
    Err(format!(
        "{} seen; {one} and {others} others are missing",
        seen.len()
    ))
}

async fn read(gateways: Vec<String>, seen: Arc<Mutex<Seen>>, mut may_read: watch::Receiver<bool>) {
    for gateway in gateways.iter().cycle() {
        let from = lock(&seen).token.clone();
        if let Ok(stream) = connect(gateway, &from).await {
            follow(stream, &seen, &mut may_read).await;
        }
        tokio::time::sleep(PAUSE).await; // between polls
    }
}

async fn connect(gateway: &str, from: &str) -> std::io::Result<BufReader<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let address = gateway.parse().expect("an address of ours");
    let mut stream = socket.connect(address).await?;
    // HTTP/1.0: the body is what follows, not chunks of it.
    let request = format!(
        "GET /v1/feed?from={from} HTTP/1.0\r\nhost: {gateway}\r\naccept: application/x-ndjson\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.contains(" 200 ") {
        return Err(std::io::Error::other(line));
    }
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    Ok(stream)
}

/// Reads lines to the end of the stream.
async fn follow(
    mut stream: BufReader<TcpStream>,
    seen: &Mutex<Seen>,
    may_read: &mut watch::Receiver<bool>,
) {
    lock(seen).connections += 1;
    let mut line = String::new();
    loop {
        if may_read.wait_for(|reads| *reads).await.is_err() {
            return;
        }
        line.clear();
        // A line that breaks off is no line.
        match stream.read_line(&mut line).await {
            Ok(_) if line.ends_with('\n') => {}
            _ => return,
        }
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let mut seen = lock(seen);
        seen.bytes += line.len();
        if let Some(id) = said["record"]["id"].as_str()
            && !seen.ids.insert(id.to_owned())
        {
            seen.repeated += 1;
        }
        if let Some(token) = said["token"].as_str() {
            token.clone_into(&mut seen.token);
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
