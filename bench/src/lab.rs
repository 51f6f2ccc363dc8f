//! What rows share: the claims, one cluster at a time, and how long things are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use e2e::cluster::Cluster;
use e2e::http::Http;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt;

use crate::claims::Claims;
use crate::connection::Connection;
use crate::opinions;
use crate::peers::etcd::{self, Etcd};
use crate::say;

/// Nodes of a cluster.
pub const NODES: usize = 3;

/// As `stemedb import` does it: lines in one request, and connections for each gateway.
const IMPORT_LINES: usize = 2_000;
const IMPORT_CONNECTIONS: usize = 2;

/// How long repair may take until all nodes are equal again between two measurements.
const EQUAL: Duration = Duration::from_secs(120);

/// The room in which rows work.
pub struct Lab {
    /// The real claims.
    pub claims: Arc<Claims>,
    /// How often each row is measured.
    pub runs: usize,
    /// How long a run is.
    pub length: Duration,
    /// For questions in passing.
    pub http: Http,
    stage: Option<Stage>,
    etcd: Option<Result<Arc<Etcd>, String>>,
}

struct Stage {
    cluster: Arc<Cluster>,
    /// The claims of the file are in it, and little else.
    loaded: bool,
    /// So are the records that lenses look at beside claims.
    judged: bool,
}

impl Lab {
    /// Reads the claims; starts nothing.
    pub fn new(runs: usize, length: Duration) -> Lab {
        Lab {
            claims: Arc::new(Claims::read()),
            runs,
            length,
            http: Http::new(),
            stage: None,
            etcd: None,
        }
    }

    /// An empty cluster of its own.
    pub async fn fresh(&mut self) -> Arc<Cluster> {
        self.clear();
        let cluster = Arc::new(Cluster::start(NODES, &[]).await);
        self.stage = Some(Stage {
            cluster: Arc::clone(&cluster),
            loaded: false,
            judged: false,
        });
        cluster
    }

    /// A cluster, whatever is in it.
    pub async fn any(&mut self) -> Arc<Cluster> {
        match &self.stage {
            Some(stage) => Arc::clone(&stage.cluster),
            None => self.fresh().await,
        }
    }

    /// A cluster that holds the real claims.
    ///
    /// # Errors
    /// When it does not take them.
    pub async fn loaded(&mut self) -> Result<Arc<Cluster>, String> {
        if let Some(stage) = self.stage.as_ref().filter(|stage| stage.loaded) {
            return Ok(Arc::clone(&stage.cluster));
        }
        let cluster = self.fresh().await;
        say("loading the real claims");
        self.load(&cluster).await?;
        Ok(cluster)
    }

    /// The same with votes, epochs and sources, without which some lenses have nothing to do.
    ///
    /// # Errors
    /// When it does not take them.
    pub async fn judged(&mut self) -> Result<Arc<Cluster>, String> {
        let cluster = self.loaded().await?;
        if let Some(stage) = self.stage.as_mut().filter(|stage| !stage.judged) {
            import(&cluster, &opinions::beside(&self.claims)?).await?;
            stage.judged = true;
            self.settle(&cluster).await?;
        }
        Ok(cluster)
    }

    /// Imports the real claims into a fresh cluster; how long that took.
    ///
    /// # Errors
    /// When one of them is not stored.
    pub async fn load(&mut self, cluster: &Cluster) -> Result<Duration, String> {
        let took = import(cluster, self.claims.lines()).await?;
        if let Some(stage) = &mut self.stage {
            stage.loaded = true;
        }
        self.settle(cluster).await?;
        Ok(took)
    }

    /// Waits until all nodes are equal.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn settle(&self, cluster: &Cluster) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let said = cluster.verify(&self.http).await;
            match said {
                Ok(said) if said["equal"] == true && said["under_replicated"] == 0 => return Ok(()),
                said if began.elapsed() > EQUAL => {
                    return Err(format!("the nodes do not become equal: {said:?}"));
                }
                _ => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }

    /// Ends the cluster.
    pub fn clear(&mut self) {
        if let Some(stage) = self.stage.take() {
            stage.cluster.nodes.iter().for_each(e2e::node::Node::kill);
        }
    }

    /// etcd, started when first asked for.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn etcd(&mut self) -> Result<Arc<Etcd>, String> {
        if self.etcd.is_none() {
            let started = match etcd::installed() {
                Some(program) => Etcd::start(&program).await.map(Arc::new),
                None => Err("etcd is not installed".to_owned()),
            };
            self.etcd = Some(started);
        }
        self.etcd
            .clone()
            .unwrap_or_else(|| Err("etcd did not start".to_owned()))
    }

    /// Ends etcd.
    pub fn end_etcd(&mut self) {
        self.etcd = None;
    }
}

/// `host:port` of the gateways.
pub fn gateways(cluster: &Cluster) -> Vec<String> {
    let host = |url: String| url.trim_start_matches("http://").to_owned();
    cluster
        .nodes
        .iter()
        .map(|node| host(node.api("")))
        .collect()
}

/// Sends lines as NDJSON through all gateways, several requests at a time; how long that took.
///
/// # Errors
/// When one of them is not stored on all its owners.
pub async fn import(cluster: &Cluster, lines: &[Bytes]) -> Result<Duration, String> {
    import_through(&gateways(cluster), lines).await
}

/// The same through some of the gateways.
///
/// # Errors
/// When one of them is not stored.
pub async fn import_through(gateways: &[String], lines: &[Bytes]) -> Result<Duration, String> {
    let chunks: Vec<&[Bytes]> = lines.chunks(IMPORT_LINES).collect();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let worker = |place: usize| {
        let mut connection = Connection::new(&gateways[place % gateways.len()]);
        let (chunks, next) = (&chunks, &next);
        async move {
            while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                send(&mut connection, chunk).await?;
            }
            Ok::<(), String>(())
        }
    };
    try_join_all((0..gateways.len() * IMPORT_CONNECTIONS).map(worker)).await?;
    Ok(began.elapsed())
}

async fn send(connection: &mut Connection, chunk: &[Bytes]) -> Result<(), String> {
    let mut body = BytesMut::with_capacity(chunk.iter().map(|line| line.len() + 1).sum());
    for line in chunk {
        body.extend_from_slice(line);
        body.extend_from_slice(b"\n");
    }
    let path = "/v1/assert/batch";
    let response = connection
        .send(Method::POST, path, "application/x-ndjson", body.freeze())
        .await?;
    let status = response.status();
    let reply = response
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    let reply = reply.to_bytes();
    let stored = reply
        .split(|byte| *byte == b'\n')
        .filter(|line| is_stored(line))
        .count();
    if stored == chunk.len() {
        return Ok(());
    }
    let odd = reply
        .split(|byte| *byte == b'\n')
        .find(|line| !is_stored(line));
    let odd = String::from_utf8_lossy(odd.unwrap_or_default()).into_owned();
    Err(format!(
        "{status}: {stored} of {} lines were stored; the first other reply: {odd}",
        chunk.len()
    ))
}

/// `{"line":…,"status":…}` of a record that is on all its owners: by word or by number.
fn is_stored(line: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"\"stored\"", b"\"present\"", b"201", b"200"];
    let name = b"\"status\":";
    let place = line.windows(name.len()).position(|window| window == name);
    let value = place.map_or(&[][..], |place| &line[place + name.len()..]);
    WORDS.iter().any(|word| value.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_lines_are_told_from_others() {
        assert!(is_stored(
            br#"{"line":1,"id":"ab","status":201,"copies":2}"#
        ));
        assert!(is_stored(br#"{"line":1,"id":"ab","status":200}"#));
        assert!(is_stored(br#"{"id":"ab","line":1,"status":"present"}"#));
        assert!(!is_stored(br#"{"id":"ab","line":1,"status":"accepted"}"#));
        assert!(!is_stored(
            br#"{"line":1,"id":"ab","status":202,"copies":1}"#
        ));
        assert!(!is_stored(br#"{"line":2,"error":{"status":400}}"#));
        assert!(!is_stored(b""));
    }
}
