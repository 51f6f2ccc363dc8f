//! The `Antientropy` service: a gateway's way to start sessions and to see how they stand.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use proto::v1;
use proto::v1::antientropy_server::Antientropy;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::peer::{Peer, State, SyncCall};
use crate::peers::Peers;
use crate::worker::{SYNC_MAX, Shared};

/// How much longer than its sessions a `Sync` may take: the session before them ends first.
const SYNC_SLACK: Duration = Duration::from_secs(10);

/// Serves the local gateway.
#[derive(Debug, Clone)]
pub struct Control {
    peers: Peers,
    shared: Arc<Shared>,
}

impl Control {
    /// Speaks for these peers.
    pub fn new(peers: Peers, shared: Arc<Shared>) -> Control {
        Control { peers, shared }
    }

    fn named(&self, name: &str) -> Result<Arc<Peer>, Status> {
        self.peers.get(name).ok_or_else(|| {
            let known: Vec<String> = self
                .peers
                .all()
                .iter()
                .map(|peer| peer.name().to_owned())
                .collect();
            Status::not_found(format!(
                "{name} is not a known peer; known are: {}",
                known.join(", ")
            ))
        })
    }
}

#[tonic::async_trait]
impl Antientropy for Control {
    async fn nudge(
        &self,
        request: Request<v1::NudgeRequest>,
    ) -> Result<Response<v1::NudgeReply>, Status> {
        self.named(&request.get_ref().peer)?.nudged.notify_one();
        Ok(Response::new(v1::NudgeReply {}))
    }

    async fn sync(
        &self,
        request: Request<v1::SyncRequest>,
    ) -> Result<Response<v1::SyncReply>, Status> {
        let request = request.into_inner();
        if self.shared.home.is_paused() && !request.dry_run {
            return Err(Status::failed_precondition("repair is paused on this node"));
        }
        let peers = if request.peers.is_empty() {
            self.peers.all()
        } else {
            let mut peers = Vec::new();
            for name in &request.peers {
                peers.push(self.named(name)?);
            }
            peers
        };
        let sessions = peers.iter().map(|peer| sync_with(peer, request.dry_run));
        let mut peers = join_all(sessions).await;
        peers.sort_by(|a, b| a.peer.cmp(&b.peer));
        peers.dedup_by(|a, b| a.peer == b.peer);
        Ok(Response::new(v1::SyncReply { peers }))
    }

    async fn status(
        &self,
        _request: Request<v1::RepairStatusRequest>,
    ) -> Result<Response<v1::RepairStatusReply>, Status> {
        let Shared {
            interval,
            home,
            rate,
            lacking,
            ..
        } = &*self.shared;
        let mut peers = self.peers.statuses(*interval);
        let paused = home.is_paused();
        let waiting = peers
            .iter_mut()
            .filter(|peer| paused && peer.task.is_some());
        waiting.for_each(|peer| State::Paused.name().clone_into(&mut peer.state));
        Ok(Response::new(v1::RepairStatusReply {
            peers,
            home: Some(home.status()),
            paused,
            bytes_per_s: rate.bytes_per_s(),
            moving: lacking.message(),
        }))
    }

    async fn steer(
        &self,
        request: Request<v1::SteerRequest>,
    ) -> Result<Response<v1::SteerReply>, Status> {
        let v1::SteerRequest {
            paused,
            bytes_per_s,
        } = request.into_inner();
        let Shared { home, rate, .. } = &*self.shared;
        if let Some(paused) = paused {
            home.pause(paused);
            tracing::info!(paused, "repair was paused, or goes on");
        }
        if let Some(bytes_per_s) = bytes_per_s {
            rate.set(bytes_per_s);
            tracing::info!(bytes_per_s, "repair has another limit");
        }
        if paused == Some(false) {
            // Those that stopped in the middle go on at once.
            let peers = self.peers.all();
            peers.iter().for_each(|peer| peer.nudged.notify_one());
        }
        Ok(Response::new(v1::SteerReply {
            paused: home.is_paused(),
            bytes_per_s: rate.bytes_per_s(),
        }))
    }
}

/// One peer's part of a `Sync`.
async fn sync_with(peer: &Peer, dry_run: bool) -> v1::PeerSync {
    let failed = |error: &str| v1::PeerSync {
        peer: peer.name().to_owned(),
        error: error.to_owned(),
        ..v1::PeerSync::default()
    };
    let (reply, outcome) = oneshot::channel();
    if !peer.ask(SyncCall { dry_run, reply }) {
        return failed(
            "too many calls wait for this peer already; see their outcome in the status",
        );
    }
    match tokio::time::timeout(SYNC_MAX + SYNC_SLACK, outcome).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => failed("the peer left while the call waited"),
        Err(_) => failed("still running; the status shows how it goes on"),
    }
}
