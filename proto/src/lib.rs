//! The gRPC contract of StemeDB.
//!
//! [`v1`] is generated from `proto/stemedb/v1/*.proto`, where every message and field is explained. The other modules
//! make types of the pure crates from its types and back, so that no two services read them differently. What is a type of one
//! service alone (where a row came from, the span of a call) that service makes itself, at the edge, with the same checks.

pub mod convert;
pub mod cursor;
pub mod follow;
pub mod listing;
pub mod view;

/// Generated from `stemedb/v1/*.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code; the comments are in the proto files"
)]
pub mod v1 {
    tonic::include_proto!("stemedb.v1");
}

/// Metadata key of the caller's cluster id, on every call to a peer's store.
pub const CLUSTER_ID_HEADER: &str = "stemedb-cluster-id";

/// Metadata key of the name of the node that a call is meant for. Addresses move between nodes: a store of another node
/// refuses the call, or one disk could count as two copies.
pub const NODE_HEADER: &str = "stemedb-node";

/// Metadata key of the stable error code beside a gRPC status.
pub const CODE_HEADER: &str = "stemedb-code";

/// Largest gRPC message either side takes (protocol, section 8).
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// Most records in one `AppendRequest`.
pub const APPEND_RECORDS_MAX: usize = 1_000;

/// Most record bytes in one `AppendRequest`: below [`MESSAGE_MAX`] with room for framing and traces.
pub const APPEND_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Most records, subjects or rows on one page of Query, ListSubjects, List or Follow.
pub const PAGE_MAX: u32 = 1_000;

/// Most ids in one `GetRequest`, and in `include` of one `QueryRequest`.
pub const GET_IDS_MAX: usize = 1_000;

/// Most sources, claims or epochs that one `ContextRequest` names.
pub const CONTEXT_LIST_MAX: usize = 1_000;

/// Most ids on one page of ListIds: a mebibyte.
pub const LIST_IDS_MAX: u32 = 32_768;

/// Epochs that are named of those that supersede one: people want to know that one does, and look into it.
pub const SUPERSEDERS_MAX: usize = 10;

/// Longest wait that a `FollowRequest` may ask for, in milliseconds.
pub const FOLLOW_WAIT_MAX_MS: u32 = 10_000;

/// Follow calls that a store answers at a time: the readers of a few gateways.
pub const FOLLOW_CALLS_MAX: usize = 256;

/// Most nodes in one `DescendRequest`, `MissingRequest` or `FetchRequest`.
pub const TREE_NODES_MAX: usize = 256;
const _: () = assert!(merkle::walk::NODES_MAX <= TREE_NODES_MAX);

/// Most short ids in one `MissingRequest` or `FetchRequest`.
pub const SHORT_IDS_MAX: usize = 16_384;

/// Most ids in one `ConfirmRequest`: their records are read and hashed, some milliseconds of work.
pub const CONFIRM_IDS_MAX: usize = 4_096;

/// Most ids in one `ReleaseRequest`: they go in one transaction, and writes wait for it.
pub const RELEASE_IDS_MAX: usize = 1_000;
