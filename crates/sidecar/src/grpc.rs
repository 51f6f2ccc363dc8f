//! gRPC servers and channels, all set up alike.

use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

use crate::shutdown::Shutdown;
use crate::spans;

/// A connection that traces its calls. Cheap to clone; connects when first used and again whenever it was lost.
pub type Channel = spans::GrpcClient<tonic::transport::Channel>;

/// Calls in hand per connection; more are refused at once with RESOURCE_EXHAUSTED, so that a burst cannot fill memory.
const CALLS_PER_CONNECTION: usize = 512;

/// Streams a connection may open: a little above the calls, so that a refusal is an answer and not a stalled stream.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// A peer that does not answer a ping for this long is not there. Small, so that a cut is noticed within seconds; large
/// enough that a busy machine is not taken for a dead one.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Between pings, also on idle connections: without them a client never learns that the other side was cut off.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// A host that does not answer a SYN for this long is tried again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Flow-control windows, so that one batch of 4 MiB does not wait for window updates.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// How long calls in hand may go on once the shutdown has begun.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a listener stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen on {addr}: {source}; is another process using it?")]
    Bind {
        /// Which address.
        addr: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the gRPC listener broke: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Binds an address.
pub async fn bind(addr: std::net::SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| ServeError::Bind { addr, source })
}

/// Serves until the shutdown, then lets calls in hand end for a few seconds.
pub async fn serve(
    routes: Routes,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let begun = shutdown.clone();
    let server = Server::builder()
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION)
        .load_shed(true)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL * 5))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(spans::grpc_server())
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move { begun.cancelled().await });
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => ended.map_err(ServeError::from),
        () = deadline => Ok(()),
    }
}

/// A channel to `host:port`. Nothing is dialled before the first call.
pub fn channel(addr: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(spans::grpc_client(endpoint.connect_lazy()))
}

/// A channel to a neighbour of the same node.
pub fn local_channel(addr: std::net::SocketAddr) -> Result<Channel, tonic::transport::Error> {
    channel(&addr.to_string())
}
