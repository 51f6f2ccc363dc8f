//! Why the service ended.

use std::net::SocketAddr;

use crate::disk::DiskError;
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
    #[error("cannot listen on {address}: {source}; set STEMEDB_LOOPBACK_PORT to a free range")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The member list on disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// SWIM.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// The gRPC or metrics listener broke.
    #[error("the {0} listener ended: {1}")]
    Serve(&'static str, String),
    /// A task ended that never should.
    #[error("{0} ended unasked; start the service again and report this with its log")]
    Broken(&'static str),
}
