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
pub mod view;

#[cfg(test)]
mod fixture;
pub mod compat;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

pub use config::Config;
pub use error::Error;

use compat::Shutdown;
use disk::Disk;
use grpc::MembershipService;
use node::{COMMANDS_MAX, Node, NodeConfig};
use session::{End, Session};
use store::{GrpcStore, Health, keep_asking};
use swim::gossip::{Gossip, GossipConfig, GossipError};

/// Between two tries to resolve this node's own name: in a cluster the name server may come up after us.
const RESOLVE_RETRY: Duration = Duration::from_secs(1);
/// Between two tries to start SWIM anew on the port the last incarnation just left.
const RESTART_RETRY: Duration = Duration::from_millis(200);
/// Tries of that; the port is free within milliseconds unless something else took it.
const RESTART_TRIES: u32 = 25;

/// The loopback listeners, open: what they are bound to is known before anything runs.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Metrics over HTTP.
    pub metrics: TcpListener,
}

impl Listeners {
    /// Opens both.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn bind(config: &Config) -> Result<Listeners, Error> {
        let open = async |address: SocketAddr| {
            TcpListener::bind(address)
                .await
                .map_err(|source| Error::Listen { address, source })
        };
        Ok(Listeners {
            grpc: open(config.grpc).await?,
            metrics: open(config.metrics).await?,
        })
    }
}

/// Runs the service until `shutdown`, then drains and says goodbye.
///
/// # Errors
/// When it cannot start, or something that should run for ever ends.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let listeners = Listeners::bind(&config).await?;
    serve(config, listeners, shutdown).await
}

/// As [`run`], over listeners that are open already.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    config: Config,
    listeners: Listeners,
    shutdown: Shutdown,
) -> Result<(), Error> {
    config.check()?;
    let seeds = config.parsed_seeds()?;
    let Some(host) = own_host(&config, &shutdown).await else {
        return Ok(());
    };
    let node_config = NodeConfig {
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
    };
    let (view, viewed) = watch::channel(Arc::new(first_view(&config)));
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (health, heard) = watch::channel(Health::Silent("not asked yet".into()));
    let disk = Disk::new(config.directory.clone(), config.name.clone());
    let mut node = Node::load(node_config, disk, view, received, heard)?;
    let store = Arc::new(GrpcStore::new(compat::channel(config.store)));
    let ask_store = Arc::new(Notify::new());

    let mut tasks = JoinSet::new();
    let asked = (Arc::clone(&store), Arc::clone(&ask_store));
    tasks.spawn(async move {
        keep_asking(asked.0, health, asked.1).await;
        Err(Error::Broken("asking the store"))
    });
    let service = MembershipService::new(viewed, commands, config.swim.port());
    let stop = shutdown.clone();
    tasks.spawn(async move {
        compat::serve(service, listeners.grpc, stop)
            .await
            .map_err(|fault| Error::Serve("gRPC", fault.to_string()))
    });
    let members = incarnations(&config, host, &mut node, store, ask_store, &shutdown);
    tokio::pin!(members);
    loop {
        tokio::select! {
            ended = &mut members => return ended,
            Some(ended) = tasks.join_next() => match ended {
                Ok(Err(fault)) => return Err(fault),
                // The listeners stop at once; saying goodbye takes a little longer.
                Ok(Ok(())) if shutdown.is_cancelled() => {}
                _ => return Err(Error::Broken("a task of membership")),
            },
        }
    }
}

/// Runs one incarnation after the other; a second one is the exception.
async fn incarnations(
    config: &Config,
    host: std::net::IpAddr,
    node: &mut Node,
    store: Arc<GrpcStore>,
    ask_store: Arc<Notify>,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let mut above = 0;
    let mut tries = 1;
    loop {
        let incarnation = node.next_incarnation(above).await?;
        let gossip = start(config, host, node, incarnation, tries).await?;
        let session = Session::new(
            node,
            Arc::new(gossip),
            incarnation,
            Arc::clone(&store),
            Arc::clone(&ask_store),
        );
        match session.run(shutdown.cancelled()).await {
            End::Shutdown => return Ok(()),
            End::Again(used) => above = used,
            End::Broken(name) => return Err(Error::Broken(name)),
        }
        tries = RESTART_TRIES;
    }
}

async fn start(
    config: &Config,
    host: std::net::IpAddr,
    node: &Node,
    incarnation: u64,
    tries: u32,
) -> Result<Gossip, GossipError> {
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
async fn own_host(config: &Config, shutdown: &Shutdown) -> Option<std::net::IpAddr> {
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
        waiting_for: "membership to start".into(),
        ..v1::View::default()
    }
}
