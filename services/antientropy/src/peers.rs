//! All known peers: a task for each, from the view that first names it to the view that does not any more.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use proto::follow::Views;
use proto::v1;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::peer::Peer;
use crate::worker::{Shared, Worker};

/// The peers by name, as the control service and the metrics see them.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    known: Arc<RwLock<BTreeMap<String, Arc<Peer>>>>,
}

impl Peers {
    /// A peer by name.
    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// How repair stands with each.
    pub fn statuses(&self, interval: Duration) -> Vec<v1::PeerStatus> {
        let now = sidecar::clock::boot_ms();
        self.all()
            .iter()
            .map(|peer| peer.status(now, interval))
            .collect()
    }

    fn insert(&self, peer: Arc<Peer>) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(peer.name().to_owned(), peer);
    }

    fn remove(&self, name: &str) {
        let removed = self
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(peer) = removed {
            peer.gone.cancel();
        }
    }
}

/// Starts and ends the peers' tasks as views come. Dropped, it ends all of them.
///
/// # Errors
/// When a peer's task panicked, so that the process ends and is started again.
pub async fn supervise(shared: Arc<Shared>, peers: Peers, mut views: Views) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    let all_gone = CancellationToken::new();
    let _end_with_us = all_gone.clone().drop_guard();
    loop {
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            let mut named = view.known_names();
            named.remove(view.node());
            for gone in peers
                .all()
                .iter()
                .filter(|peer| !named.contains(peer.name()))
            {
                tracing::info!(peer = gone.name(), "peer is gone, repair with it ends");
                peers.remove(gone.name());
            }
            for name in named {
                if peers.get(&name).is_none() {
                    let now = sidecar::clock::boot_ms();
                    let (peer, calls) = Peer::new(name, now, all_gone.child_token());
                    let peer = Arc::new(peer);
                    peers.insert(Arc::clone(&peer));
                    let worker = Worker::new(Arc::clone(&shared), peer, calls, views.clone());
                    tasks.spawn(worker.run());
                }
            }
        }
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return Ok(()) },
            Some(ended) = tasks.join_next() => ended.map_err(Error::Peer)?,
        }
    }
}
