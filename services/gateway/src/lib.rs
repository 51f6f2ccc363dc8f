//! The clients' door: HTTP in, gRPC to the stores out.
//!
//! A write ([`api::assert`], [`api::batch`]) is checked here, once, and goes to every owner of its shard at once. What
//! becomes of it is decided by a value without clock or socket ([`mod@write`]), driven by [`writer`], and carried by one
//! [`lane`] for each store, where the writes of all requests share calls. A read ([`read`]) goes to one owner that can
//! prove that it has everything, or to all live nodes together. A reader of the [`feed`] is shown what all live stores take,
//! in the order in which each of them does.
//!
//! The gateway keeps nothing that a restart loses: records are on the stores' disks before a client hears of it, and the
//! view comes from membership. Any gateway takes any request.

pub mod api;
pub mod app;
pub mod arrivals;
pub mod caller;
pub mod cluster;
pub mod config;
pub mod description;
pub mod error;
pub mod feed;
pub mod grpc;
pub mod lane;
pub mod listener;
pub mod metrics;
pub mod nodes;
pub mod nudge;
pub mod parameters;
pub mod problem;
pub mod read;
pub mod readiness;
pub mod route;
pub mod scrape;
pub mod standing;
pub mod store;
pub mod web;
pub mod window;
pub mod write;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use config::Config;
pub use error::Error;

use app::{App, Places};
use nodes::Nodes;
use nudge::Nudges;
use read::Reader;
use readiness::Readiness;
use web::Web;
use writer::Writer;

/// For the tasks behind the requests: those in hand have ended before, or were dropped (listener/server.rs).
const GRACE: Duration = Duration::from_secs(2);

/// The listeners of a gateway, open: what they are bound to is known before anything runs.
#[derive(Debug)]
pub struct Listeners {
    /// The public API.
    pub api: TcpListener,
    /// The public API and the cluster's own.
    pub bind: TcpListener,
    /// gRPC on loopback.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Opens all.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn bind(config: &Config) -> Result<Listeners, Error> {
        Ok(Listeners {
            api: sidecar::grpc::bind(config.api).await?,
            bind: sidecar::grpc::bind(config.bind).await?,
            grpc: sidecar::grpc::bind(config.grpc).await?,
        })
    }
}

/// Runs the service until the shutdown, then lets requests in hand end.
///
/// # Errors
/// When a listener cannot be opened, or a part of the service ended unasked.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let exporter =
        sidecar::metrics::install().map_err(|error| Error::Metrics(error.to_string()))?;
    metrics::describe();
    let scrapes = sidecar::grpc::bind(config.metrics).await?;
    let listeners = Listeners::bind(&config).await?;
    // What requests in hand need goes on until they have ended.
    let quit = Shutdown::new();
    let mut tasks = Tasks::new(quit.clone());
    tasks.spawn(
        "metrics",
        sidecar::metrics::serve(exporter, scrapes, quit.clone()),
    );
    assemble(&config, listeners, &mut tasks, shutdown, quit).await?;
    tasks.join(GRACE).await?;
    Ok(())
}

/// Starts every part but the metrics listener, which a process has once. `shutdown` begins the end, `quit` follows when
/// the requests in hand have ended.
///
/// # Errors
/// When an address cannot be dialled at all, or a setting is wrong.
pub async fn assemble(
    config: &Config,
    listeners: Listeners,
    tasks: &mut Tasks,
    shutdown: Shutdown,
    quit: Shutdown,
) -> Result<(), Error> {
    let cors = listener::cors(&config.allowed_origins)?;
    let (nudges, nudged) = Nudges::new();
    let nodes = Nodes::new(&config.node, config.store, config.patience, nudges);
    let readiness = Readiness::new(Arc::clone(&nodes), shutdown.clone());
    let membership = sidecar::grpc::local_channel(config.membership)?;
    let antientropy = sidecar::grpc::local_channel(config.antientropy)?;
    let app = Arc::new(App {
        writer: Writer::new(Arc::clone(&nodes), config.patience),
        reader: Reader::new(Arc::clone(&nodes), Arc::clone(&readiness), config.patience),
        nodes: Arc::clone(&nodes),
        readiness: Arc::clone(&readiness),
        membership: membership.clone(),
        antientropy: antientropy.clone(),
        scrapes: config.scrapes.clone(),
        web: Web::default(),
        places: Places::default(),
    });
    let (sender, views) = watch::channel(None);
    let (latch, health) = grpc::health(listeners.grpc, quit.clone()).await;
    let neighbours = [
        ("store", config.store),
        ("membership", config.membership),
        ("antientropy", config.antientropy),
    ];
    let follow = proto::follow::follow_view(membership, sender);
    let nudging = nudge::pass_on(nudged, antientropy);
    tasks.spawn("gRPC", health);
    tasks.spawn("view", until(quit.clone(), endless(follow)));
    tasks.spawn("lanes", until(quit.clone(), nodes::supervise(nodes, views)));
    tasks.spawn("nudges", until(quit.clone(), endless(nudging)));
    tasks.spawn(
        "readiness",
        readiness::watch(readiness, neighbours, latch, quit.clone()),
    );
    let public = listener::serve(
        listeners.api,
        listener::public_router(&app, cors.clone()),
        shutdown.clone(),
    );
    let internal = listener::serve(
        listeners.bind,
        listener::cluster_router(&app, cors),
        shutdown,
    );
    tasks.spawn("HTTP", async move {
        let ended = tokio::try_join!(public, internal);
        quit.trigger();
        ended.map(|_| ())
    });
    Ok(())
}

/// Drops endless work when the end has come.
async fn until(quit: Shutdown, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::select! {
        () = quit.cancelled() => Ok(()),
        ended = work => ended,
    }
}

/// Work that only ends when it is dropped.
async fn endless(work: impl Future<Output = ()>) -> Result<(), Error> {
    work.await;
    Ok(())
}
