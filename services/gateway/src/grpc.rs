//! The gRPC side of the gateway: the health service on loopback, for the command line, probes and `stemedb up`.

use sidecar::Shutdown;
use sidecar::grpc::{ServeError, serve};
use sidecar::health::{Readiness, readiness};
use tokio::net::TcpListener;
use tonic::service::Routes;

/// The latch that follows the gateway's readiness, and the listener that shows it.
pub async fn health(
    listener: TcpListener,
    shutdown: Shutdown,
) -> (Readiness, impl Future<Output = Result<(), ServeError>>) {
    let (latch, service) = readiness().await;
    (latch, serve(Routes::new(service), listener, shutdown))
}
