//! Orders to the running `up`: one JSON line each way through a Unix socket that only its owner can open.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::cluster::Cluster;
use super::directory::{self, ClusterFile};
use crate::failure::Failure;

/// An order names an action and a node; an answer holds `cluster.json`.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What can be asked of `up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Say what runs.
    List,
    /// SIGTERM, in order.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// Start what does not run, and wait until it is ready.
    Start,
    /// A new node, or one that is there already.
    Add,
    /// Hand everything over, then stop and go.
    Remove,
    /// Stop and go, without handing anything over: the cluster has forgotten it.
    Drop,
}

impl Action {
    /// For people, after the fact.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Action::List => "listed",
            Action::Stop => "stopped",
            Action::Kill => "killed",
            Action::Pause => "paused",
            Action::Resume => "resumed",
            Action::Start => "ready",
            Action::Add => "added",
            Action::Remove | Action::Drop => "removed",
        }
    }
}

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What to do.
    pub(crate) action: Action,
    /// With which node; empty for `list`, and for `add` of the next one.
    #[serde(default)]
    pub(crate) node: String,
    /// With which of its services; none: all four.
    #[serde(default)]
    pub(crate) service: Option<String>,
    /// For `remove`: also when fewer nodes stay than records shall have copies.
    #[serde(default)]
    pub(crate) force: bool,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Done, or found done.
    pub(crate) ok: bool,
    /// For people.
    pub(crate) said: String,
    /// What runs now.
    pub(crate) cluster: ClusterFile,
}

/// Opens the socket. A file left there by an `up` that was killed is replaced: the directory's lock says that it is gone.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::file("cannot replace", path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(Failure::file("cannot listen on", path))?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        .map_err(Failure::file("cannot protect", path))?;
    Ok(listener)
}

/// Serves orders for ever, each in its own task on the main thread.
pub(crate) async fn serve(listener: UnixListener, cluster: Rc<Cluster>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let cluster = Rc::clone(&cluster);
        tokio::task::spawn_local(async move {
            // A client that goes away has no need of the answer.
            let _ = answer(stream, &cluster).await;
        });
    }
}

async fn answer(stream: UnixStream, cluster: &Cluster) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => cluster.perform(&order).await,
        Err(error) => Answer {
            ok: false,
            said: format!("this is no order: {error}"),
            cluster: ClusterFile::default(),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writing.write_all(&text).await
}

/// Gives an order to the `up` of a data directory.
pub(crate) async fn ask(data_dir: &Path, order: &Order) -> Result<Answer, Failure> {
    let not_running = || {
        Failure::Local(format!(
            "no `stemedb up` runs with {}\n→ start one: stemedb up --data-dir {}",
            data_dir.display(),
            data_dir.display()
        ))
    };
    let file = directory::read_file(data_dir)?.ok_or_else(not_running)?;
    let stream = UnixStream::connect(&file.control)
        .await
        .map_err(|_| not_running())?;
    let broken = |error: io::Error| Failure::Local(format!("`stemedb up` went away: {error}"));
    let (reading, mut writing) = stream.into_split();
    let mut text = serde_json::to_vec(order).map_err(|error| Failure::Local(error.to_string()))?;
    text.push(b'\n');
    writing.write_all(&text).await.map_err(broken)?;
    let mut line = String::new();
    BufReader::new(reading.take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .await
        .map_err(broken)?;
    serde_json::from_str(&line).map_err(|_| broken(io::ErrorKind::UnexpectedEof.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_line_that_a_person_can_type() {
        let order: Order =
            serde_json::from_str(r#"{"action":"kill","node":"node2","service":"store"}"#).unwrap();
        assert_eq!(
            (order.action, order.node.as_str(), order.service.as_deref()),
            (Action::Kill, "node2", Some("store"))
        );
        let order: Order = serde_json::from_str(r#"{"action":"list"}"#).unwrap();
        assert_eq!((order.action, order.node.as_str()), (Action::List, ""));
        assert!(serde_json::from_str::<Order>(r#"{"action":"explode"}"#).is_err());
    }

    #[tokio::test]
    async fn without_up_the_way_to_start_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let order = Order {
            action: Action::List,
            node: String::new(),
            service: None,
            force: false,
        };
        let error = ask(directory.path(), &order).await.unwrap_err().to_string();
        assert!(error.contains("stemedb up --data-dir"), "{error}");
    }
}
