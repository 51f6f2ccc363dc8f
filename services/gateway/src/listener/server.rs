//! A listener with bounds on what a connection may send before a handler sees it, and an end that is not abrupt.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sidecar::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::error::Error;

/// Connections of one listener. The next one waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 4_096;

/// Bytes of a request's head before anybody looks at it; the layers refuse far less, with words.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header lines of a request.
const HEADERS_MAX: usize = 100;

/// How long a head may take, and an idle connection may stay.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// HTTP/2 requests on one connection.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Between pings on HTTP/2 connections.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long requests in hand may take once the shutdown has begun.
const DRAIN: Duration = Duration::from_secs(5);

/// A failed `accept` is a lack of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the shutdown; then takes no more connections and lets requests in hand end.
///
/// # Errors
/// When the listener is of no use any more.
pub async fn serve(listener: TcpListener, app: Router, shutdown: Shutdown) -> Result<(), Error> {
    listener.local_addr().map_err(Error::Accept)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let builder = builder();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (app, builder, shutdown) = (app.clone(), builder.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, app, builder, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "requests did not end in time and are dropped"
        );
    }
    Ok(())
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL);
    builder
}

async fn connection(
    stream: TcpStream,
    app: Router,
    builder: Builder<TokioExecutor>,
    shutdown: Shutdown,
) {
    // Replies are short and somebody waits for them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = TowerToHyperService::new(app);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // Clients hang up; that is no event for us.
        tracing::debug!(%error, "a connection ended early");
    }
}
