//! Merkle repair: brings every record home that push missed, and proves to the own store that nothing is missing.
//!
//! The service follows the cluster view of its node. Every known peer, DOWN or not, has a task that runs one session
//! after the other ([`worker`]). A session ([`session`]) asks the own store and the peer's store the same questions about
//! the shards that this node owns, walks down where they differ, copies what the own store lacks, and ends with a proof:
//! all that the peer held when the session began is durable here. The proofs are what the store's `complete` is made of
//! ([`report`]). What this node holds and others own goes once they all have confirmed it ([`homecoming`]).
//!
//! It keeps nothing that a restart would miss: what was copied is in the store, what was proved is proved again.

pub mod config;
pub mod error;
pub mod grpc;
pub mod home;
pub mod homecoming;
pub mod lacking;
pub mod lag;
pub mod metrics;
pub mod pace;
pub mod peer;
pub mod peers;
pub mod rate;
pub mod refusals;
pub mod remembered;
pub mod report;
pub mod session;
pub mod stores;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use proto::v1::antientropy_server::AntientropyServer;
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use config::Config;
pub use error::Error;

use home::Home;
use homecoming::Homecoming;
use lacking::Lacking;
use peers::Peers;
use rate::Rate;
use remembered::Releases;
use report::Reporter;
use worker::Shared;

/// Sessions that walk or move at a time. Each may hold four chunks of records and some 100,000 short ids, so this bounds the
/// memory of the process; comparing needs no place, so a busy node still proves what is equal.
const PLACES: usize = 4;

/// A session that is cut off loses nothing, so the end of the process need not wait for it.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the service until the shutdown.
///
/// # Errors
/// When a listener cannot be opened, or a part of the service ended unasked.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let exporter =
        sidecar::metrics::install().map_err(|error| Error::Metrics(error.to_string()))?;
    metrics::describe();
    let listener = sidecar::grpc::bind(config.grpc).await?;
    let scrapes = sidecar::grpc::bind(config.metrics).await?;
    let mut tasks = Tasks::new(shutdown.clone());
    let peers = assemble(&config, listener, &mut tasks, shutdown.clone()).await?;
    let interval = config.sync_interval;
    let standing = move || metrics::standing(&peers.statuses(interval));
    tasks.spawn(
        "metrics",
        sidecar::metrics::serve_with(exporter, standing, scrapes, shutdown),
    );
    tasks.join(GRACE).await?;
    Ok(())
}

/// Starts every part but the metrics listener, which a process has once.
///
/// # Errors
/// When an address cannot be dialled at all.
pub async fn assemble(
    config: &Config,
    listener: TcpListener,
    tasks: &mut Tasks,
    shutdown: Shutdown,
) -> Result<Peers, Error> {
    let dial = |address| {
        sidecar::grpc::local_channel(address).map_err(|error| Error::Dial(error.to_string()))
    };
    let local = dial(config.store)?;
    let membership = dial(config.membership)?;
    let (sender, views) = watch::channel(None);
    let peers = Peers::default();
    let reporter = Reporter::new(local.clone(), views.clone());
    let home = Arc::new(Home::default());
    let shared = Arc::new(Shared {
        interval: config.sync_interval,
        rate: Rate::new(config.repair_bytes_per_s),
        places: Semaphore::new(PLACES),
        local,
        reporter: reporter.clone(),
        releases: Releases::default(),
        brought: AtomicU64::new(0),
        lacking: Lacking::default(),
        home,
    });
    let homecoming = Homecoming::new(
        Arc::clone(&shared),
        peers.clone(),
        views.clone(),
        membership.clone(),
        config.hold,
    );
    let (readiness, health) = sidecar::health::readiness().await;
    let control = grpc::Control::new(peers.clone(), Arc::clone(&shared));
    let routes = tonic::service::Routes::new(health).add_service(AntientropyServer::new(control));
    let supervised = peers::supervise(shared, peers.clone(), views);
    tasks.spawn(
        "gRPC",
        sidecar::grpc::serve(routes, listener, shutdown.clone()),
    );
    tasks.spawn(
        "view",
        until(
            shutdown.clone(),
            endless(proto::follow::follow_view(membership, sender)),
        ),
    );
    tasks.spawn(
        "reports",
        until(shutdown.clone(), endless(reporter.repeat())),
    );
    tasks.spawn(
        "homecoming",
        until(shutdown.clone(), endless(homecoming.run())),
    );
    tasks.spawn("sessions", until(shutdown, supervised));
    // Ready as soon as it serves: a peer that is away, or a store that starts, is what it is there for.
    readiness.set(true).await;
    Ok(peers)
}

/// Drops endless work when the shutdown comes.
async fn until(
    shutdown: Shutdown,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = work => ended,
    }
}

/// Work that only ends when it is dropped.
async fn endless(work: impl Future<Output = ()>) -> Result<(), Error> {
    work.await;
    Ok(())
}
