//! `stemedb watch`, and what it printed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::{command, eventually};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

/// The command; killed when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    printed: Arc<Mutex<HashMap<String, usize>>>,
    _child: Child,
    reading: JoinHandle<()>,
}

impl Watch {
    /// Starts it with the URLs of all nodes.
    pub(super) fn start(cluster: &Cluster, from: &str) -> Watch {
        let urls = cluster.urls();
        let mut child = command::start(&["watch", "--json", "--from", from, "--url", &urls]);
        let output = child.stdout.take().expect("the output is a pipe");
        let printed = Arc::<Mutex<HashMap<String, usize>>>::default();
        let noted = Arc::clone(&printed);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let said: Value = serde_json::from_str(&line).expect("a line is JSON");
                let id = said["record"]["id"].as_str().expect("a record has an id");
                *lock(&noted).entry(id.to_owned()).or_default() += 1;
            }
        });
        Watch {
            printed,
            _child: child,
            reading,
        }
    }

    /// Waits until all of these were printed.
    pub(super) async fn has(&self, ids: &[String], deadline: Duration) {
        let what = format!("watch has printed all {} records", ids.len());
        eventually(&what, deadline, || async {
            let printed = lock(&self.printed).keys().cloned().collect();
            super::reader::all(&printed, ids)
        })
        .await;
    }

    /// Records that were printed more than once.
    pub(super) fn repeated(&self) -> Vec<String> {
        let printed = lock(&self.printed);
        let twice = printed.iter().filter(|(_, times)| **times > 1);
        twice.map(|(id, _)| id.clone()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn lock(printed: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    printed.lock().unwrap_or_else(PoisonError::into_inner)
}
