//! Who is in the cluster, as one node sees it.
//!
//! SWIM (by the `memberlist` crate, behind [`swim::Swim`]) says which processes answer. Everything above that is ours: the
//! [`roster`] keeps the highest incarnation per name and tells DOWN from LEFT; the [`book`] carries members over restarts
//! and to nodes that never saw them; [`formation`] turns a set of nodes into one cluster, once; [`joining`] brings together
//! what a split parted; [`view`] is what the node's other services get. Nothing here knows that records exist.
//!
//! The pure parts (roster, book, formation, view, metadata, admission) take values and a moment and return values;
//! [`session`] is the only loop, and [`run`] the only place where things are put together.

pub mod admission;
pub mod book;
pub mod config;
pub mod disk;
pub mod error;
pub mod formation;
pub mod grpc;
pub mod joining;
pub mod metadata;
pub mod metrics;
pub mod node;
pub mod probing;
pub mod roster;
pub mod seeds;
pub mod session;
pub mod store;
pub mod swim;
pub mod telling;
pub mod view;

#[cfg(test)]
mod fixture;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::membership_server::MembershipServer;
use sidecar::Shutdown;
use sidecar::health::Readiness;
use sidecar::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

pub use config::Config;
pub use error::Error;

use disk::Disk;
use grpc::MembershipService;
use node::{COMMANDS_MAX, Node, NodeConfig};
use seeds::Seed;
use session::{End, Session};
use store::{GrpcStore, Health, keep_asking};
use swim::gossip::{Gossip, GossipConfig, GossipError};

/// Between two tries to resolve this node's own name: in a cluster the name server may come up after us.
const RESOLVE_RETRY: Duration = Duration::from_secs(1);
/// Between two tries to start SWIM anew on the port the last incarnation just left.
const RESTART_RETRY: Duration = Duration::from_millis(200);
/// Tries of that; the port is free within milliseconds unless something else took it.
const RESTART_TRIES: u32 = 25;
/// Saying goodbye takes up to 2.6 s (see [`session`] and [`swim::gossip`]); the watchers' streams end with it.
const GRACE: Duration = Duration::from_secs(4);

/// Runs the service until `shutdown`, then drains and says goodbye.
///
/// # Errors
/// When it cannot start, or something that should run for ever ends.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let exporter = metrics::install().map_err(|error| Error::Metrics(error.to_string()))?;
    let listener = sidecar::grpc::bind(config.grpc).await?;
    let scrapes = sidecar::grpc::bind(config.metrics).await?;
    let mut tasks = Tasks::new(shutdown.clone());
    assemble(config, listener, &mut tasks, shutdown.clone()).await?;
    tasks.spawn(
        "metrics",
        sidecar::metrics::serve(exporter, scrapes, shutdown),
    );
    tasks.join(GRACE).await?;
    Ok(())
}

/// Starts every part but the metrics listener, which a process has once.
///
/// # Errors
/// When a setting cannot be used.
pub async fn assemble(
    config: Config,
    listener: TcpListener,
    tasks: &mut Tasks,
    shutdown: Shutdown,
) -> Result<(), Error> {
    config.check()?;
    let seeds = config.parsed_seeds()?;
    let dial = sidecar::grpc::local_channel(config.store);
    let channel = dial.map_err(|error| Error::Dial(error.to_string()))?;
    let store = Arc::new(GrpcStore::new(channel));
    let ask_store = Arc::new(Notify::new());
    let (view, viewed) = watch::channel(Arc::new(first_view(&config)));
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (health, heard) = watch::channel(Health::Silent("not asked yet".into()));
    let (readiness, health_service) = sidecar::health::readiness().await;

    let service = MembershipService::new(viewed, commands, config.swim.port());
    let routes =
        tonic::service::Routes::new(health_service).add_service(MembershipServer::new(service));
    tasks.spawn(
        "gRPC",
        sidecar::grpc::serve(routes, listener, shutdown.clone()),
    );
    let asking = keep_asking(Arc::clone(&store), health, Arc::clone(&ask_store));
    let stop = shutdown.clone();
    tasks.spawn_infallible("asking the store", async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = asking => {}
        }
    });
    tasks.spawn("members", async move {
        let Some(host) = own_host(&config, &shutdown).await else {
            return Ok(());
        };
        let disk = Disk::new(config.directory.clone(), config.name.clone());
        let node = Node::load(
            node_config(&config, seeds, host),
            disk,
            view,
            received,
            heard,
        )?;
        incarnations(&config, node, store, ask_store, readiness, &shutdown).await
    });
    Ok(())
}

fn node_config(config: &Config, seeds: Vec<Seed>, host: IpAddr) -> NodeConfig {
    NodeConfig {
        name: config.name.clone(),
        num_shards: config.num_shards,
        replication_factor: config.replication_factor,
        rebalance_delay: config.rebalance_delay,
        bootstrap_expect: config.bootstrap_expect,
        seeds,
        host,
        api_port: config.api_port,
        admin_port: config.admin_port,
        rpc_port: config.rpc_port,
    }
}

/// Runs one incarnation after the other; a second one is the exception.
async fn incarnations(
    config: &Config,
    mut node: Node,
    store: Arc<GrpcStore>,
    ask_store: Arc<Notify>,
    readiness: Readiness,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let mut above = 0;
    let mut tries = 1;
    loop {
        let incarnation = node.next_incarnation(above).await?;
        let gossip = start(config, &node, incarnation, tries).await?;
        // Ready once it speaks SWIM: other nodes, a cluster or a store are nothing it has to wait for.
        readiness.set(true).await;
        let session = Session::new(
            &mut node,
            Arc::new(gossip),
            incarnation,
            Arc::clone(&store),
            Arc::clone(&ask_store),
        );
        match session.run(shutdown.cancelled()).await {
            End::Shutdown => return Ok(()),
            End::Again(used) => above = used,
            End::ForeignStore { remembered, found } => {
                return Err(Error::ForeignStore { remembered, found });
            }
            End::Broken(name) => return Err(Error::Broken(name)),
        }
        tries = RESTART_TRIES;
    }
}

async fn start(
    config: &Config,
    node: &Node,
    incarnation: u64,
    tries: u32,
) -> Result<Gossip, GossipError> {
    let host = node.host();
    let swim = SocketAddr::new(host, config.swim.port());
    let mut left = tries;
    loop {
        let roster = node.roster(incarnation, swim);
        let started = Gossip::start(GossipConfig {
            name: config.name.clone(),
            incarnation,
            cluster_name: config.cluster_name.clone(),
            secret: config.secret.clone(),
            bind: config.swim,
            advertise: host,
            metadata: node.metadata(incarnation, None).encode(),
            requirements: roster.requirements(),
            book: roster.book(node::now()).to_json(),
        })
        .await;
        left -= 1;
        match started {
            Err(GossipError::Start { .. }) if left > 0 => tokio::time::sleep(RESTART_RETRY).await,
            outcome => return outcome,
        }
    }
}

/// The address this node is reached under. A name that does not resolve yet is tried until it does; `None`: stopped first.
async fn own_host(config: &Config, shutdown: &Shutdown) -> Option<IpAddr> {
    loop {
        match config::resolve_host(&config.advertise_host, config.swim.ip()).await {
            Ok(ip) => {
                if ip.is_loopback() && !config.swim.ip().is_loopback() {
                    tracing::warn!(host = %config.advertise_host, %ip, "other machines cannot reach this address: set STEMEDB_ADVERTISE_HOST");
                }
                return Some(ip);
            }
            Err(fault) => {
                tracing::warn!(host = %config.advertise_host, %fault, "this node's own name does not resolve yet: set STEMEDB_ADVERTISE_HOST if it never will");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RESOLVE_RETRY) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

/// What is answered before SWIM runs.
fn first_view(config: &Config) -> v1::View {
    v1::View {
        node: config.name.clone(),
        num_shards: config.num_shards,
        replication_factor: config.replication_factor,
        least_replication_factor: config.replication_factor,
        waiting_for: "membership to start".into(),
        ..v1::View::default()
    }
}
