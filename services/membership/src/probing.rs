//! Our own pings: SWIM says who is alive by everybody's word; SUSPECT says that we ourselves get no answer.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::metrics;
use crate::swim::{Peer, Swim};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pings under way at once.
const CONCURRENCY: usize = 16;

/// One answer, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Who was asked.
    pub name: String,
    /// In which incarnation.
    pub incarnation: u64,
    /// Whether it answered.
    pub answered: bool,
}

/// Pings everybody who counts as alive, for ever.
pub async fn keep_probing<S: Swim>(
    swim: Arc<S>,
    peers: watch::Receiver<Vec<Peer>>,
    outcomes: mpsc::Sender<Outcome>,
) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = peers.borrow().clone();
        let mut pings = futures::stream::iter(now)
            .map(|peer| {
                let swim = Arc::clone(&swim);
                async move {
                    let answered = swim.ping(&peer).await;
                    (peer, answered)
                }
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((peer, answered)) = pings.next().await {
            metrics::pinged(answered);
            let outcome = Outcome {
                name: peer.name,
                incarnation: peer.incarnation,
                answered,
            };
            if outcomes.send(outcome).await.is_err() {
                return;
            }
        }
    }
}
