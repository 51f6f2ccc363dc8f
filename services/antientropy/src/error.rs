//! What can go wrong in repair, named for the act that failed.

use tonic::Status;

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address is taken or not ours.
    #[error(transparent)]
    Listen(#[from] sidecar::grpc::ServeError),
    /// An address of a neighbour cannot be dialled.
    #[error("cannot dial a neighbour: {0}; see STEMEDB_LOOPBACK_PORT")]
    Dial(String),
    /// The metrics of the process.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// A part of the service ended unasked.
    #[error(transparent)]
    Task(#[from] sidecar::tasks::TaskError),
    /// A peer's task ended unasked: without it this node would never be complete again.
    #[error("repair with a peer ended unasked: {0}")]
    Peer(tokio::task::JoinError),
}

/// Why a session did not end well. The next one starts over; what was moved stays.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The view does not say where the peer's store is, or there is no cluster yet.
    #[error("cannot reach {peer}: {why}")]
    NoAddress {
        /// Node name.
        peer: String,
        /// What is missing.
        why: String,
    },
    /// A call to one of the two stores failed.
    #[error("{call} at the {side} store failed: {} ({:?})", status.message(), status.code())]
    Call {
        /// The call.
        call: &'static str,
        /// local or remote.
        side: Side,
        /// Its answer.
        status: Box<Status>,
    },
    /// A call did not end in time.
    #[error("{call} at the {side} store took more than {seconds} s")]
    Slow {
        /// The call.
        call: &'static str,
        /// local or remote.
        side: Side,
        /// The limit.
        seconds: u64,
    },
    /// A store answered with something that is not an answer.
    #[error("the {side} store answered {call} wrongly: {why}")]
    Reply {
        /// The call.
        call: &'static str,
        /// local or remote.
        side: Side,
        /// What is wrong with it.
        why: String,
    },
    /// A store was replaced while the session ran: what was seen or stored may be gone with the old one.
    #[error("the {0} store was replaced during the session")]
    StoreChanged(Side),
    /// The service ends.
    #[error("the service is stopping")]
    Stopping,
}

/// One of the two stores of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This node's store.
    Local,
    /// The peer's store.
    Remote,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Local => "local",
            Side::Remote => "remote",
        })
    }
}
