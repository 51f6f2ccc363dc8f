//! Tells the own antientropy that a push to a peer failed, so that a session starts at once instead of at its next turn.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::antientropy_client::AntientropyClient;
use sidecar::grpc::Channel;
use tokio::sync::mpsc;

use crate::route::Name;

/// Nudges that wait. One that finds no room is for a peer that is waiting already, or repair is away.
const WAITING_MAX: usize = 64;

/// Between two nudges for one peer: a session takes about as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Antientropy is on this machine.
const CALL_MAX: Duration = Duration::from_secs(1);

/// Where failed pushes are reported.
#[derive(Debug, Clone)]
pub struct Nudges(mpsc::Sender<Name>);

impl Nudges {
    /// A way to report, and what was reported.
    pub fn new() -> (Nudges, mpsc::Receiver<Name>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Nudges(sender), receiver)
    }

    /// A push to this peer failed. Never waits: repair finds what is missing by itself, only later.
    pub fn failed(&self, peer: &Name) {
        let _ = self.0.try_send(Name::clone(peer));
    }
}

/// Passes nudges on until nobody reports any more.
pub async fn pass_on(mut reported: mpsc::Receiver<Name>, antientropy: Channel) {
    let mut last: BTreeMap<Name, Instant> = BTreeMap::new();
    while let Some(peer) = reported.recv().await {
        let now = Instant::now();
        last.retain(|_, at| now.duration_since(*at) < PAUSE);
        if last.contains_key(&peer) {
            continue;
        }
        last.insert(Name::clone(&peer), now);
        let request = v1::NudgeRequest {
            peer: peer.to_string(),
        };
        let mut client = AntientropyClient::new(antientropy.clone());
        match tokio::time::timeout(CALL_MAX, client.nudge(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(status)) => tracing::debug!(%peer, %status, "a nudge was not taken"),
            Err(_) => tracing::debug!(%peer, "a nudge was not answered"),
        }
    }
}
