//! Why the service cannot run. What a client is refused for is in [`crate::problem`].

/// Named for the act that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A loopback listener's address is taken or not ours.
    #[error(transparent)]
    Listen(#[from] sidecar::grpc::ServeError),
    /// An address of a neighbour cannot be dialled.
    #[error("cannot dial a neighbour: {0}; see STEMEDB_LOOPBACK_PORT")]
    Dial(#[from] tonic::transport::Error),
    /// The metrics of the process.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// A setting that no header can carry.
    #[error(
        "`{0}` in http.allowed_origins is no origin; write scheme://host[:port], as https://example.org"
    )]
    Origin(String),
    /// A part of the service ended unasked.
    #[error(transparent)]
    Task(#[from] sidecar::tasks::TaskError),
    /// A store's task ended unasked: without it no record would reach that node again.
    #[error("the task of a store ended unasked: {0}")]
    Lane(tokio::task::JoinError),
    /// A public listener broke.
    #[error("an HTTP listener broke: {0}")]
    Accept(std::io::Error),
}
