//! Why the service ended.

use crate::disk::DiskError;
use crate::metadata::ClusterId;
use crate::seeds::NotASeed;
use crate::swim::gossip::GossipError;

/// Every message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A seed cannot be read.
    #[error(transparent)]
    Seed(#[from] NotASeed),
    /// A loopback listener did not open.
    #[error("{0}; set STEMEDB_LOOPBACK_PORT to a free range")]
    Listen(#[from] sidecar::grpc::ServeError),
    /// The address of the own store cannot be dialled.
    #[error("cannot dial this node's store: {0}; see STEMEDB_LOOPBACK_PORT")]
    Dial(String),
    /// The metrics of the process.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// The member list on disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The database is another cluster's.
    #[error(
        "this node belongs to cluster {remembered}, its database to cluster {found}: put the node's own database back, or empty the whole data directory to join as a new store"
    )]
    ForeignStore {
        /// What the member list on disk says.
        remembered: ClusterId,
        /// What the database says.
        found: ClusterId,
    },
    /// SWIM.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// A part of the service ended unasked.
    #[error(transparent)]
    Task(#[from] sidecar::tasks::TaskError),
    /// A task ended that never should.
    #[error("{0} ended unasked; start the service again and report this with its log")]
    Broken(&'static str),
}
