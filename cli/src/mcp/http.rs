//! Streamable HTTP: one endpoint, many clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::tools::Tools;
use crate::failure::Failure;
use crate::output;

/// Connections at a time: agents of one team, not the public. Further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// After a connection that could not be taken (out of file descriptors): time for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process is told to end.
pub(super) async fn serve(address: SocketAddr, tools: Tools) -> Result<(), Failure> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Local(format!("cannot listen on {address}: {error}")))?;
    let bound = listener.local_addr().unwrap_or(address);
    output::note(format!("MCP on http://{bound}/mcp"));
    tokio::select! {
        () = accept(listener, service(bound, tools)) => Ok(()),
        ended = tokio::signal::ctrl_c() => {
            ended.map_err(|error| Failure::Local(format!("cannot wait for signals: {error}")))
        }
    }
}

fn service(bound: SocketAddr, tools: Tools) -> StreamableHttpService<Tools, LocalSessionManager> {
    let config = StreamableHttpServerConfig::default();
    let config = if bound.ip().is_loopback() {
        // The default: loopback hosts alone, against pages that resolve their own name to this machine.
        config
    } else {
        config.disable_allowed_hosts()
    };
    StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        config.enforce_origin_validation(),
    )
}

async fn accept(listener: TcpListener, service: StreamableHttpService<Tools, LocalSessionManager>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                output::note(format!("mcp: cannot take a connection: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            // A connection that breaks concerns the client that had it.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
}
