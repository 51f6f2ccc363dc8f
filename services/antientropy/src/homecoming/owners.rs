//! The stores of those who own what is held here.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::view::ClusterView;
use sidecar::grpc::Channel;
use tokio::time::Instant;

use crate::stores::Asked;

/// First pause after an owner did not answer; doubled with every further failure.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);

/// Longest pause: an owner that is back confirms within half a minute.
const BACK_OFF_LONGEST: Duration = Duration::from_secs(30);

/// Connections by name, and who is left alone for a while.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<String, Owner>);

#[derive(Debug)]
struct Owner {
    address: String,
    channel: Channel,
    failures: u32,
    retry_at: Instant,
}

impl Owners {
    /// The store of an owner.
    ///
    /// # Errors
    /// Why it cannot be asked now, for people.
    pub(super) fn asked(&mut self, view: &ClusterView, name: &str) -> Result<Asked, String> {
        let known = view.known_names();
        self.0.retain(|owner, _| known.contains(owner));
        let address = view.member(name).map(|member| member.rpc_addr.clone());
        let address = address
            .filter(|address| !address.is_empty())
            .ok_or_else(|| format!("the address of {name}'s store"))?;
        if self
            .0
            .get(name)
            .is_none_or(|owner| owner.address != address)
        {
            let channel =
                sidecar::grpc::channel(&address).map_err(|error| format!("{name}: {error}"))?;
            let owner = Owner {
                address,
                channel,
                failures: 0,
                retry_at: Instant::now(),
            };
            self.0.insert(name.to_owned(), owner);
        }
        let cluster = view.cluster_id().unwrap_or_default();
        match self.0.get(name) {
            Some(owner) if owner.retry_at <= Instant::now() => {
                Asked::of_peer(owner.channel.clone(), cluster, name)
                    .ok_or_else(|| format!("{name}: its name is not fit for a header"))
            }
            _ => Err(format!("{name}, which does not answer")),
        }
    }

    pub(super) fn answered(&mut self, name: &str) {
        if let Some(owner) = self.0.get_mut(name) {
            owner.failures = 0;
        }
    }

    pub(super) fn failed(&mut self, name: &str) {
        if let Some(owner) = self.0.get_mut(name) {
            let pause = BACK_OFF_FIRST * (1 << owner.failures.min(5));
            owner.failures = owner.failures.saturating_add(1);
            owner.retry_at = Instant::now() + pause.min(BACK_OFF_LONGEST);
        }
    }
}
