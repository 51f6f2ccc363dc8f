//! Replies about nodes and the cluster.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::damage::Alarm;

/// How a node is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ready`, `not_ready` or `draining`.
    pub status: String,
    /// The node.
    pub node: String,
    /// Why it is not ready.
    #[schema(nullable = false)]
    pub reasons: Option<Vec<String>>,
    /// Its services: `ok`, or why not.
    pub services: BTreeMap<String, String>,
    /// What an operator should know of, whether it is ready or not.
    pub alarms: Vec<Alarm>,
}

/// That a process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    /// `live`.
    pub status: String,
    /// The node.
    pub node: String,
}

/// Everybody a node knows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Members {
    /// Who says so.
    pub node: String,
    /// The cluster, once it has formed.
    #[schema(required)]
    pub cluster_id: Option<String>,
    /// Its shards.
    pub num_shards: u32,
    /// Copies that every record shall have: the highest setting of all members.
    pub replication_factor: u32,
    /// Copies that answers count on: lower while members differ, and until records of a lower setting have theirs.
    pub counted_replication_factor: u32,
    /// Members that own shards.
    pub placement: Vec<String>,
    /// Why the cluster has not formed.
    pub waiting_for: String,
    /// Members refused at join, and why.
    pub refused: Vec<String>,
    /// The members.
    pub members: Vec<Member>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// UP, SUSPECT, DOWN or LEFT.
    pub status: String,
    /// What it says of itself.
    pub phase: String,
    /// Unix milliseconds since when it has this status.
    pub since_ms: i64,
    /// host:port for clients.
    pub api_addr: String,
    /// host:port for operators.
    pub admin_addr: String,
    /// host:port of its store.
    pub rpc_addr: String,
    /// host:port of membership.
    pub swim_addr: String,
    /// Higher wins.
    pub incarnation: u64,
    /// Software version.
    pub version: String,
    /// Copies that it was set to keep; 0: it does not say.
    pub replication_factor: u32,
    /// Its store.
    pub store_id: String,
    /// Shards that it owns.
    pub owned_shards: u32,
    /// Whether this gateway's writes go to its store.
    pub answers: bool,
    /// Its services: `ok`, or why not.
    pub services: BTreeMap<String, String>,
}

/// A member that was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgotten {
    /// Its name.
    pub forgotten: String,
    /// What may be lost with it.
    pub warning: String,
    /// Shards whose other owners are away as well: what is in them is lost if none of them comes back.
    pub shards_at_risk: Vec<u32>,
}

/// A member that leaves.
#[derive(Debug, Serialize, ToSchema)]
pub struct Leaving {
    /// Its name.
    pub leaving: String,
    /// Members that serve and stay: they take over.
    pub staying: Vec<String>,
    /// What the cluster has less of afterwards; empty: nothing.
    pub warning: String,
}

/// Who owns how much, and what would move.
#[derive(Debug, Serialize, ToSchema)]
pub struct Placed {
    /// Who says so.
    pub node: String,
    /// Shards of the cluster.
    pub num_shards: u32,
    /// Copies that every record shall have.
    pub replication_factor: u32,
    /// Who would join.
    pub join: Vec<String>,
    /// Who would leave.
    pub leave: Vec<String>,
    /// Shares by name.
    pub nodes: Vec<PlacedNode>,
    /// Records that would be copied.
    pub records_moved: u64,
    /// Canonical bytes of these, by what a sample of all records takes.
    pub bytes_moved: u64,
    /// Known members that were not counted because they do not answer.
    pub unreachable: Vec<Unreachable>,
}

/// One node's share.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlacedNode {
    /// Its name.
    pub id: String,
    /// Shards that it owns.
    pub shards: u32,
    /// Shards that it would own.
    pub shards_after: u32,
    /// Records in what it owns.
    pub records: u64,
    /// Records in what it would own.
    pub records_after: u64,
    /// Records that would come to it; one that comes to two nodes is counted at both.
    pub records_in: u64,
    /// Records that it would not have to keep.
    pub records_out: u64,
    /// Canonical bytes of these, by what a sample of all records takes: what repair sends. A row takes more on the disk, with its
    /// indexes.
    pub bytes_in: u64,
}

/// Whether all nodes hold what they shall hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verification {
    /// Every owner of every shard holds every record of it, and nobody is unreachable.
    pub equal: bool,
    /// Why not.
    #[schema(required)]
    pub reason: Option<String>,
    /// Records, each once.
    pub distinct_records: u64,
    /// Records on fewer nodes than there shall be.
    pub under_replicated: u64,
    /// Records that an owner lacks.
    pub missing_at_owners: u64,
    /// Rows at nodes that do not own them.
    pub foreign: u64,
    /// The nodes that answered.
    pub nodes: Vec<VerifiedNode>,
    /// The others.
    pub unreachable: Vec<Unreachable>,
}

/// A node that answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerifiedNode {
    /// Its name.
    pub id: String,
    /// Records it holds.
    pub records: u64,
    /// Shards it owns.
    pub shards: u32,
    /// Records it holds in shards that others own.
    pub foreign: u64,
}

/// A node that did not.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unreachable {
    /// Its name.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What repair did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Synced {
    /// This node.
    pub node: String,
    /// Whether it only counted.
    pub dry_run: bool,
    /// Peer by peer.
    pub peers: Vec<PeerSynced>,
}

/// What repair did with one peer.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeerSynced {
    /// Its name.
    pub peer: String,
    /// Records copied from it.
    pub pulled: u64,
    /// Records copied to it.
    pub pushed: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Calls to its store.
    pub round_trips: u32,
    /// Milliseconds.
    pub took_ms: u64,
    /// Empty when it went well.
    pub error: String,
}

/// How repair stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tasks {
    /// This node.
    pub node: String,
    /// Nothing is moved or given up.
    pub paused: bool,
    /// Bytes of records that may be moved per second.
    #[schema(required)]
    pub bytes_per_s: Option<u64>,
    /// What is on its way from all peers together, each record once; null: nothing is.
    #[schema(required)]
    pub moving: Option<Moving>,
    /// Peer by peer. A record that several of them have is counted at each.
    pub tasks: Vec<Task>,
    /// Records here that others own; of a node that leaves, what not all owners have confirmed.
    pub home: HomeTask,
}

/// How it stands with records that others own.
#[derive(Debug, Serialize, ToSchema)]
pub struct HomeTask {
    /// idle, confirming, releasing, waiting; of a node that leaves handing_over, departing.
    pub state: String,
    /// How many.
    pub foreign_records: u64,
    /// In how many shards.
    pub foreign_shards: u64,
    /// Given up since the start.
    pub released_records: u64,
    /// Empty: for nothing.
    pub waiting_for: String,
}

/// Records on their way, from a peer or from all. What is still to do is an estimate.
#[derive(Debug, Serialize, ToSchema)]
pub struct Moving {
    /// Shards that differ.
    pub shards: Vec<u32>,
    /// Brought.
    pub records_done: u64,
    /// To be brought.
    pub records_to_do: u64,
    /// Of all of them.
    pub percent: f64,
    /// Brought.
    pub bytes_done: u64,
    /// To be brought, at the mean length so far.
    pub bytes_to_do: u64,
    /// On average since it began.
    pub bytes_per_s: f64,
    /// Seconds that the rest takes; null before the first record.
    #[schema(required)]
    pub eta_s: Option<f64>,
}

/// How repair goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Steered {
    /// This node.
    pub node: String,
    /// Nothing is moved or given up.
    pub paused: bool,
    /// Bytes of records that may be moved per second.
    #[schema(required)]
    pub bytes_per_s: Option<u64>,
}

/// What two nodes hold differently of shards that both own.
#[derive(Debug, Serialize, ToSchema)]
pub struct Difference {
    /// One node.
    pub a: String,
    /// The other one.
    pub b: String,
    /// They hold the same.
    pub equal: bool,
    /// Shards that both own, the global one included.
    pub shards: u32,
    /// Ids that the other one lacks.
    pub only_a: Vec<String>,
    /// Ids that the first one lacks.
    pub only_b: Vec<String>,
    /// How many of these are in which shard.
    pub by_shard: Vec<ShardDifference>,
    /// There are more than were listed.
    pub more: bool,
}

/// What two nodes hold differently in a shard, of what was listed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShardDifference {
    /// The shard.
    pub shard: u32,
    /// Ids that the other one lacks.
    pub only_a: u64,
    /// Ids that the first one lacks.
    pub only_b: u64,
    /// Bytes of the records in `only_a`; null unless asked for.
    #[schema(required)]
    pub bytes_a: Option<u64>,
    /// Bytes of the records in `only_b`; null unless asked for.
    #[schema(required)]
    pub bytes_b: Option<u64>,
}

/// How repair stands with one peer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Task {
    /// Its name.
    pub peer: String,
    /// idle, comparing, descending, moving, waiting, paused.
    pub state: String,
    /// Seconds.
    pub lag_seconds: f64,
    /// Unix milliseconds.
    #[schema(required)]
    pub last_success: Option<i64>,
    /// Empty when it went well.
    pub last_error: String,
    /// Records copied from it since the start.
    pub pulled: u64,
    /// Records copied to it since the start.
    pub pushed: u64,
    /// Ids that the local store refused.
    pub refused: u64,
    /// Sessions that ended.
    pub sessions: u64,
    /// What is being brought.
    #[schema(required)]
    pub moving: Option<Moving>,
}
