//! One page of ids: asked of every owner, and given up where all of them agree.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use merkle::Id;
use proto::v1;
use proto::v1::store_control_client::StoreControlClient;
use proto::view::ClusterView;
use shard::homecoming::confirmed_by_all;
use sidecar::clock::boot_ms;
use tokio::time::Instant;

use super::{Homecoming, LACKING_MAX, Stop, millis};
use crate::error::{SessionError, Side};
use crate::home::HomeState;
use crate::metrics;

/// A release is one transaction of the store; this ends one that hangs.
const RELEASE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// What the owners said of a page.
#[derive(Debug)]
pub(super) struct Offered {
    /// Before the first of them was asked, boot milliseconds.
    pub(super) asked_at: u64,
    /// What all of them confirm.
    pub(super) confirmed: Vec<Id>,
}

impl Homecoming {
    /// Asks all owners of the view, side by side.
    ///
    /// # Errors
    /// For whom or what it has to wait, for people.
    pub(super) async fn offer(
        &mut self,
        view: &ClusterView,
        shard: u32,
        ids: &[Id],
        needed: usize,
    ) -> Result<Offered, String> {
        let owners = view.placement().owners(shard);
        if owners.len() < needed || owners.is_empty() {
            return Err(format!(
                "owners of shard {shard}: there are {}, records need {needed}",
                owners.len()
            ));
        }
        let mut stores = Vec::new();
        for name in owners {
            stores.push((name, self.owners.asked(view, name)?));
        }
        let asked_at = boot_ms();
        let asked = stores.iter().map(|(_, store)| store.confirm(shard, ids));
        let said = join_all(asked).await;
        let mut confirmed = BTreeMap::new();
        let mut silent = None;
        for ((name, _), said) in stores.into_iter().zip(said) {
            match said {
                Ok(theirs) => {
                    self.owners.answered(name);
                    self.note_lacking(name, theirs.len() < ids.len());
                    confirmed.insert(name.to_string(), theirs);
                }
                Err(error) => {
                    tracing::debug!(owner = %name, %error, "rows are not confirmed");
                    self.owners.failed(name);
                    silent = Some(format!("{name}: {error}"));
                }
            }
        }
        if let Some(silent) = silent {
            return Err(silent);
        }
        let names = owners.iter().map(|name| &**name);
        Ok(Offered {
            asked_at,
            confirmed: confirmed_by_all(ids, names, needed, &confirmed),
        })
    }

    /// An owner that has lacked rows for long is sent them, too: perhaps it does not reach this node.
    fn note_lacking(&mut self, name: &str, lacks: bool) {
        if !lacks {
            self.lacking.remove(name);
            return;
        }
        let since = *self
            .lacking
            .entry(name.to_owned())
            .or_insert_with(Instant::now);
        if since.elapsed() >= LACKING_MAX
            && let Some(peer) = self.peers.get(name)
        {
            peer.nudged.notify_one();
            self.lacking.remove(name);
        }
    }

    /// Gives up confirmed rows, a transaction at a time. How many went.
    pub(super) async fn give_up(
        &mut self,
        view: &ClusterView,
        shard: u32,
        ids: &[Id],
        asked_at: u64,
    ) -> Result<u64, Stop> {
        let mut gone = 0;
        for part in ids.chunks(proto::RELEASE_IDS_MAX) {
            let current = self.view()?;
            if current.message().version != view.message().version
                || current.message().incarnation != view.message().incarnation
                || self.home.is_paused()
            {
                return Err(Stop::View);
            }
            self.home.update(|home| home.state = HomeState::Releasing);
            let request = v1::ReleaseRequest {
                shard,
                ids: Bytes::from(part.concat()),
                asked_at_boot_ms: asked_at,
                hold_ms: millis(self.hold),
                view_incarnation: view.message().incarnation,
                view_version: view.message().version,
            };
            self.shared.releases.note(shard);
            let mut client = StoreControlClient::new(self.shared.local.clone());
            let released = tokio::time::timeout(RELEASE_MAX, client.release(request)).await;
            self.shared.releases.note(shard);
            let reply = match released {
                Ok(Ok(reply)) => reply.into_inner(),
                // It was told something else meanwhile, or has not been told for long enough.
                Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {
                    tracing::debug!(shard, why = status.message(), "rows stay");
                    return Err(Stop::Kept(status.message().to_owned()));
                }
                Ok(Err(status)) => {
                    return Err(Stop::Own(SessionError::Call {
                        call: "Release",
                        side: Side::Local,
                        status: Box::new(status),
                    }));
                }
                Err(_) => {
                    return Err(Stop::Own(SessionError::Slow {
                        call: "Release",
                        side: Side::Local,
                        seconds: RELEASE_MAX.as_secs(),
                    }));
                }
            };
            metrics::released(reply.released);
            self.home.update(|home| {
                home.released += reply.released;
                if let Some(left) = home.foreign.get_mut(&shard) {
                    *left = left.saturating_sub(reply.released);
                }
            });
            gone += reply.released;
            let bytes = usize::try_from(reply.record_bytes).unwrap_or(usize::MAX);
            self.shared.rate.take(bytes).await;
        }
        Ok(gone)
    }
}
