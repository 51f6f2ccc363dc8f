//! One node's membership for the life of the process: what stays when SWIM is started anew under a higher incarnation.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{Disk, DiskError, Saved};
use crate::metadata::{ClusterId, Metadata, Phase};
use crate::roster::{CannotForget, CannotLeave, Now, Own, Roster};
use crate::seeds::Seed;
use crate::store::Health;
use crate::view::Numbering;

/// Highest record form this version reads (the `v` of a record).
const RECORD_VERSION: u32 = 1;

/// Commands that wait: people give them, one at a time.
pub const COMMANDS_MAX: usize = 16;

/// What a node is told once.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Node name.
    pub name: String,
    /// Shards of the cluster.
    pub num_shards: u32,
    /// Copies every record shall have.
    pub replication_factor: u32,
    /// How long a member that stopped serving keeps its shards.
    pub rebalance_delay: Duration,
    /// Nodes that must be UP before a cluster is made.
    pub bootstrap_expect: usize,
    /// Where to join.
    pub seeds: Vec<Seed>,
    /// Where this node's ports are, as others are told.
    pub host: IpAddr,
    /// Port of the public API.
    pub api_port: u16,
    /// Port of the cluster and admin API.
    pub admin_port: u16,
    /// Port of the store for peers.
    pub rpc_port: u16,
}

/// What a person asks of a running node.
#[derive(Debug)]
pub enum Command {
    /// Join through these at once; the reply names those that answered.
    Join(Vec<Seed>, oneshot::Sender<Vec<String>>),
    /// Declare a member gone; the reply comes when that is on disk.
    Forget(String, oneshot::Sender<Result<(), CannotForget>>),
    /// Take no new client requests; the reply comes when the view says so.
    Drain(oneshot::Sender<()>),
    /// Hand everything over and go, also with too few members left; the reply comes when that is on disk, and names the
    /// members that stay.
    Leave(bool, oneshot::Sender<Result<Vec<String>, Refusal>>),
    /// Everything was handed over; the reply comes when another member knows.
    Depart(oneshot::Sender<Result<(), Refusal>>),
}

/// Why a node does not go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It must not.
    #[error(transparent)]
    Leave(#[from] CannotLeave),
    /// It belongs to no cluster yet.
    #[error("this node belongs to no cluster yet: stop it, there is nothing to leave")]
    NotFormed,
    /// Another process of its name counts.
    #[error("another process of this name is newer, and counts: stop this one")]
    Superseded,
    /// It was never asked to leave.
    #[error("this node does not leave: ask for that first (`stemedb node leave`)")]
    NotLeaving,
    /// The intent is not on disk.
    #[error("not noted: {0}")]
    Disk(String),
}

/// What a node has and SWIM's incarnations share.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) disk: Disk,
    /// What the disk has now.
    pub(crate) saved: Saved,
    pub(crate) view: watch::Sender<Arc<v1::View>>,
    pub(crate) numbering: Numbering,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) draining: bool,
    /// It hands everything over and goes.
    pub(crate) leaving: bool,
    /// It has handed everything over.
    pub(crate) left: bool,
    /// Since which incarnation its copies count.
    pub(crate) admitted: Option<u64>,
    /// The others were looked for once: what they decided about this node while it was away has been heard if anybody answers.
    pub(crate) heard: bool,
    /// The members that this process made a cluster with.
    pub(crate) founders: Option<u64>,
    /// Its store has served since this process started.
    pub(crate) served: bool,
    /// The store as it last described itself; a store that is silent for a while is still the same one.
    pub(crate) store: Option<crate::store::Described>,
    /// A cluster id this node has chosen.
    pub(crate) chosen: Option<ClusterId>,
    /// The incarnation before this one, as the disk had it.
    previous: u64,
    /// The choice an earlier process left: known to others already, so that it is said from the start.
    inherited: Option<ClusterId>,
}

/// The moment.
pub(crate) fn now() -> Now {
    Now {
        boot_ms: sidecar::clock::boot_ms(),
        unix_ms: sidecar::clock::unix_ms(),
    }
}

/// The incarnation to take: above everything used before, and a time, so that people can read it.
pub(crate) fn incarnation_above(used: u64, unix_ms: i64) -> u64 {
    used.saturating_add(1)
        .max(u64::try_from(unix_ms).unwrap_or(0))
}

impl Node {
    /// Loads what the last process left. Nothing runs yet.
    ///
    /// # Errors
    /// When the file of members cannot be used.
    pub fn load(
        config: NodeConfig,
        disk: Disk,
        view: watch::Sender<Arc<v1::View>>,
        commands: mpsc::Receiver<Command>,
        health: watch::Receiver<Health>,
    ) -> Result<Node, DiskError> {
        let saved = disk.load()?;
        Ok(Node {
            chosen: saved.cluster_id,
            previous: saved.incarnation,
            inherited: saved.cluster_id,
            leaving: saved.leaving,
            left: false,
            admitted: saved.admitted,
            heard: false,
            founders: None,
            config,
            disk,
            saved,
            view,
            numbering: Numbering::default(),
            commands,
            health,
            draining: false,
            served: false,
            store: None,
        })
    }

    /// Takes the next incarnation, on disk before anybody hears of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn next_incarnation(&mut self, above: u64) -> Result<u64, DiskError> {
        self.previous = self.saved.incarnation;
        let used = above.max(self.saved.incarnation);
        let incarnation = incarnation_above(used, sidecar::clock::unix_ms());
        let saved = Saved {
            incarnation,
            ..self.saved.clone()
        };
        self.save(saved).await?;
        Ok(incarnation)
    }

    /// Writes to disk and remembers what is there.
    pub(crate) async fn save(&mut self, saved: Saved) -> Result<(), DiskError> {
        let disk = self.disk.clone();
        let content = saved.clone();
        tokio::task::spawn_blocking(move || disk.save(&content))
            .await
            .map_err(|stopped| self.disk.unwritten(stopped))??;
        self.saved = saved;
        Ok(())
    }

    /// The clusters that the member list on disk and the store belong to, when they are two. What such a store holds and
    /// acknowledges would be another cluster's.
    pub(crate) fn foreign_store(&self) -> Option<(ClusterId, ClusterId)> {
        let remembered = self.saved.cluster_id?;
        let found = self.store.as_ref()?.cluster_id?;
        (remembered != found).then_some((remembered, found))
    }

    /// Where this node's ports are, as others are told.
    pub(crate) fn host(&self) -> IpAddr {
        self.config.host
    }

    /// This node's description.
    pub fn metadata(&self, incarnation: u64, agreed: Option<u64>) -> Metadata {
        Metadata {
            node_id: shard::node_id(&self.config.name),
            cluster_id: self
                .store
                .as_ref()
                .and_then(|store| store.cluster_id)
                .or(self.inherited),
            num_shards: self.config.num_shards,
            incarnation,
            phase: self.phase(),
            record_version: RECORD_VERSION,
            store_id: self.store.as_ref().map(|store| store.store_id),
            host: self.config.host,
            api_port: self.config.api_port,
            admin_port: self.config.admin_port,
            rpc_port: self.config.rpc_port,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            agreed,
            founders: self.founders,
            told: self.store.as_ref().and_then(|store| store.told),
            replication_factor: Some(self.config.replication_factor),
            counted: self.store.as_ref().and_then(|store| store.counted),
        }
    }

    fn phase(&self) -> Phase {
        let serving = matches!(
            &*self.health.borrow(),
            Health::Answers(store) if store.serving && store.num_shards == self.config.num_shards
        );
        match (serving, self.served) {
            // Once said, these stay, also while the process stops.
            _ if self.left => Phase::Left,
            _ if self.leaving => Phase::Leaving,
            _ if self.draining => Phase::Draining,
            _ if self.admitted.is_none() || !self.heard => Phase::Joining,
            (true, _) => Phase::Serving,
            (false, true) => Phase::Stopping,
            (false, false) => Phase::Joining,
        }
    }

    /// Takes the store's news. A store of another number of shards is not ours, whatever it says.
    pub(crate) fn hear_store(&mut self) {
        let health = self.health.borrow_and_update().clone();
        if let Health::Answers(described) = health
            && described.num_shards == self.config.num_shards
        {
            self.served |= described.serving;
            self.store = Some(described);
        }
    }

    /// Why the store is of no use, for people.
    pub(crate) fn store_trouble(&self) -> Option<String> {
        match &*self.health.borrow() {
            Health::Silent(reason) => Some(format!("this node's store does not answer ({reason})")),
            Health::Answers(store) if store.num_shards != self.config.num_shards => Some(format!(
                "this node's store has num_shards {}, the settings say {}: set STEMEDB_NUM_SHARDS={} or start with an \
                 empty STEMEDB_DATA_DIR",
                store.num_shards, self.config.num_shards, store.num_shards
            )),
            Health::Answers(_) => None,
        }
    }

    /// A roster for a new incarnation.
    pub(crate) fn roster(&self, incarnation: u64, address: SocketAddr) -> Roster {
        let own = Own {
            name: self.config.name.clone(),
            num_shards: self.config.num_shards,
            rebalance_delay_ms: u64::try_from(self.config.rebalance_delay.as_millis())
                .unwrap_or(u64::MAX),
            previous: self.previous,
        };
        let metadata = self.metadata(incarnation, None);
        let mut roster = Roster::new(own, metadata, address, self.saved.book.clone(), now());
        if self.left {
            roster.depart(now());
        }
        roster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_is_above_all_used_ones_even_when_the_clock_went_back() {
        assert_eq!(incarnation_above(0, 1_790_000_000_000), 1_790_000_000_000);
        assert_eq!(
            incarnation_above(1_790_000_000_000, 1_700_000_000_000),
            1_790_000_000_001
        );
        assert_eq!(incarnation_above(5, -1), 6);
        assert_eq!(incarnation_above(u64::MAX, 1), u64::MAX);
    }
}
