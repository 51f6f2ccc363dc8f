//! The last thing that a node does: every row that it holds is confirmed by all who own it from now on.
//!
//! Its store takes no clients' writes meanwhile, so the set of its rows stands still; should it have moved all the same, everything
//! is looked at again. Nothing is deleted: a record must never be on fewer disks because somebody leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proto::v1;
use proto::v1::membership_client::MembershipClient;
use proto::view::ClusterView;

use super::{Homecoming, Stop};
use crate::error::{SessionError, Side};
use crate::home::HomeState;
use crate::stores::Asked;

/// Membership answers when another member knows it.
const DEPART_MAX: Duration = Duration::from_secs(10);

/// How far a node has come with handing over.
#[derive(Debug)]
pub(super) struct Sweep {
    store: Bytes,
    /// The last row at its start.
    sequence: u64,
    /// Shards, and the rows in them, that are not confirmed whole.
    pending: BTreeMap<u32, u64>,
}

impl Homecoming {
    /// Goes on with handing over; departs when nothing is left.
    pub(super) async fn hand_over(
        &mut self,
        view: &ClusterView,
        own: &Asked,
        counts: &BTreeMap<u32, u64>,
    ) -> Result<(), Stop> {
        if has_left(view) {
            self.home.rest(None);
            return Ok(());
        }
        // From here on the store refuses writes: what comes after this look is nothing.
        self.tell().await?;
        let described = own.describe().await?;
        let stands = |sweep: &Sweep| {
            sweep.store == described.store_id && sweep.sequence == described.sequence
        };
        let sweep = match self.sweep.take() {
            Some(sweep) if stands(&sweep) => sweep,
            _ => Sweep {
                store: described.store_id.clone(),
                sequence: described.sequence,
                pending: counts.clone(),
            },
        };
        let mut left = sweep.pending.clone();
        self.sweep = Some(sweep);
        for shard in left.clone().into_keys() {
            self.home.update(|home| {
                home.state = HomeState::HandingOver;
                home.shard = Some(shard);
                home.foreign = left.clone();
            });
            if self.is_confirmed_whole(own, shard).await? {
                left.remove(&shard);
            }
            if let Some(sweep) = &mut self.sweep {
                sweep.pending.clone_from(&left);
            }
        }
        self.home.update(|home| home.foreign = left.clone());
        if left.is_empty() {
            let after = own.describe().await?;
            if after.store_id == described.store_id && after.sequence == described.sequence {
                self.depart().await?;
            }
        }
        Ok(())
    }

    /// Whether all owners vouch for every row of a shard.
    async fn is_confirmed_whole(&mut self, own: &Asked, shard: u32) -> Result<bool, Stop> {
        let mut after = None;
        loop {
            let (ids, more) = own.ids(shard, after, proto::CONFIRM_IDS_MAX).await?;
            after = ids.last().copied();
            if ids.is_empty() {
                return Ok(true);
            }
            let view = self.view()?;
            match self
                .offer(&view, shard, &ids, copies_that_stay(&view))
                .await
            {
                Ok(offered) if offered.confirmed.len() == ids.len() => {}
                Ok(offered) => {
                    let left = ids.len() - offered.confirmed.len();
                    self.home.rest(Some(format!(
                        "{left} rows of shard {shard} that not every owner confirms yet"
                    )));
                    return Ok(false);
                }
                Err(why) => {
                    self.home.rest(Some(why));
                    return Ok(false);
                }
            }
            if !more {
                return Ok(true);
            }
        }
    }

    async fn depart(&mut self) -> Result<(), Stop> {
        self.home.update(|home| home.state = HomeState::Departing);
        let mut client = MembershipClient::new(self.membership.clone());
        let departed = client.depart(v1::DepartRequest {});
        match tokio::time::timeout(DEPART_MAX, departed).await {
            Ok(Ok(_)) => {
                tracing::info!("every row is with its owners: this node has left");
                Ok(())
            }
            Ok(Err(status)) => Err(Stop::Own(SessionError::Call {
                call: "Depart",
                side: Side::Local,
                status: Box::new(status),
            })),
            Err(_) => Err(Stop::Own(SessionError::Slow {
                call: "Depart",
                side: Side::Local,
                seconds: DEPART_MAX.as_secs(),
            })),
        }
    }
}

fn has_left(view: &ClusterView) -> bool {
    let own = view.member(view.node());
    own.is_none_or(|own| own.phase() == v1::Phase::Left || own.status() == v1::Status::Left)
}

/// Copies that a record shall have among those who stay.
fn copies_that_stay(view: &ClusterView) -> usize {
    let stays =
        |member: &&v1::Member| !matches!(member.phase(), v1::Phase::Leaving | v1::Phase::Left);
    let staying = view.known().filter(stays).count();
    (view.replication_factor() as usize).min(staying).max(1)
}
