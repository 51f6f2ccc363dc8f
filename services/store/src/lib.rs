//! The data of one node: an SQLite database, a Merkle tree over the ids of each shard, lenses over the claims.
//!
//! A write is parsed and hashed in the call that brought it ([`intake`]), waits for the [`writer`], and is answered after the
//! commit that holds it. Reads go to connections of their own: questions to [`query`], which lenses answer with what
//! [`context`] finds; ids to [`lookup`], repair to [`walk`], feeds to [`follow`]. Claims are found by subject, or through
//! [`mentions`] by source and predicate, and epochs by time.
//! [`trees`] keeps what the shards come to, in memory and beside the rows, and is the one thing that writer and readers share:
//! it shows only what is durable. [`completeness`] holds what repair has proved, and with it when an answer may say
//! `complete`. [`homecoming`] confirms what belongs here, and gives up what does not. [`scrub`] looks for damage; what it and
//! answers found is in [`damage`].
//!
//! The store knows no members and calls nobody. Peers reach it on one listener and must name its cluster; the node's own
//! services reach it on another, which also has the calls that change what the store believes.

pub mod beginning;
mod bookkeeping;
pub mod checkpoint;
pub mod completeness;
pub mod config;
pub mod context;
pub mod damage;
pub mod database;
pub mod door;
pub mod error;
pub mod follow;
pub mod grpc;
pub mod held;
pub mod holdings;
pub mod homecoming;
pub mod intake;
mod limit;
pub mod list;
pub mod lookup;
pub mod mark;
pub mod mentions;
pub mod metrics;
mod prefix;
pub mod query;
pub mod scrub;
pub mod space;
pub mod subjects;
pub mod trees;
pub mod walk;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use proto::v1::store_control_server::StoreControlServer;
use proto::v1::store_server::StoreServer;
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

pub use config::Config;
pub use error::Error;

use beginning::Beginning;
use completeness::Completeness;
use damage::Damage;
use database::{Database, Identity, Readers};
use door::{Belonging, Door};
use follow::Follows;
use grpc::{Parts, StoreService};
use holdings::Holdings;
use homecoming::Homecoming;
use query::Queries;
use scrub::Scrub;
use space::Space;
use trees::Trees;
use walk::Walks;
use writer::{Writer, WriterTask};

/// Calls in hand get five seconds to end (sidecar); then the writer commits what it has.
const GRACE: Duration = Duration::from_secs(8);

/// The gRPC listeners, open: what they are bound to is known before anything runs.
#[derive(Debug)]
pub struct Listeners {
    /// For the stores' peers.
    pub peers: TcpListener,
    /// For the node's own services.
    pub local: TcpListener,
}

impl Listeners {
    /// Opens both.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn bind(config: &Config) -> Result<Listeners, Error> {
        Ok(Listeners {
            peers: sidecar::grpc::bind(config.peers).await?,
            local: sidecar::grpc::bind(config.local).await?,
        })
    }
}

/// Runs the service until the shutdown.
///
/// # Errors
/// When the database cannot be used, a listener cannot be opened, a write failed, or a part ended unasked.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let exporter =
        sidecar::metrics::install().map_err(|error| Error::Metrics(error.to_string()))?;
    metrics::describe();
    let listeners = Listeners::bind(&config).await?;
    let scrapes = sidecar::grpc::bind(config.metrics).await?;
    let mut tasks = Tasks::new(shutdown.clone());
    let readers = assemble(&config, listeners, &mut tasks, shutdown.clone()).await?;
    tasks.spawn(
        "metrics",
        sidecar::metrics::serve(exporter, scrapes, shutdown),
    );
    end(tasks, readers).await
}

/// Waits for the end of the parts that [`assemble`] started.
///
/// # Errors
/// The first fault of a part.
pub async fn end(tasks: Tasks, readers: Readers) -> Result<(), Error> {
    let ended = tasks.join(GRACE).await;
    readers.close().await;
    Ok(ended?)
}

/// Opens the database and starts every part but the metrics listener, which a process has once.
///
/// # Errors
/// When the database cannot be used.
pub async fn assemble(
    config: &Config,
    listeners: Listeners,
    tasks: &mut Tasks,
    shutdown: Shutdown,
) -> Result<Readers, Error> {
    let Database {
        mut writer,
        checkpointer,
        readers,
        identity,
        files,
        mark,
        damage,
        scrubs,
    } = Database::open(config).await?;
    let opened = |source| Error::of_opening(&config.data_dir, source);
    let filled = mentions::fill(&mut writer, &shutdown).await;
    if !filled.map_err(|source| Error::Index {
        path: config.data_dir.clone(),
        source,
    })? {
        database::close(writer).await;
        database::close(checkpointer).await;
        return Ok(readers);
    }
    let trees = Trees::open(readers.repair.clone(), identity.num_shards);
    let trees = Arc::new(trees.await.map_err(opened)?);
    let space = Space::new(files.directory().to_path_buf(), config.min_free_bytes);
    let (space, damage) = (Arc::new(space), Arc::new(damage));
    let shared = (Arc::clone(&trees), Arc::clone(&space), Arc::clone(&damage));
    let (task, writer) = WriterTask::new(writer, shared.0, shared.1, shared.2);
    let holdings = Holdings::new(files, Arc::clone(&trees));
    tracing::info!(
        records = trees.records(),
        bytes = holdings.disk_bytes(),
        counts_as_absent = identity.lasting.absent,
        "the database is open"
    );
    let copier = checkpoint::run(
        checkpointer,
        writer.clone(),
        Arc::clone(&trees),
        shutdown.clone(),
    );
    let beginning = Arc::new(Beginning::new(identity.store_id, trees.sequence()));
    let marking = mark::run(
        mark,
        Arc::clone(&trees),
        Arc::clone(&beginning),
        shutdown.clone(),
    );
    tasks.spawn("writer", task.run());
    tasks.spawn("checkpointer", copier);
    tasks.spawn("mark", marking);
    tasks.spawn_infallible("holdings", holdings.clone().measure(shutdown.clone()));
    let belonging = Belonging::new(&config.node, identity.cluster_id.clone());
    let follows = Follows::new(
        readers.questions.clone(),
        (Arc::clone(&trees), Arc::clone(&damage)),
        (identity.store_id, identity.num_shards),
        shutdown.clone(),
    );
    let disk = (space, holdings);
    let who = (belonging, identity, beginning);
    let scrubs = (scrubs, config.scrub_interval, damage);
    let parts = parts(who, writer, &readers, trees, follows, disk, scrubs);
    serve(parts, listeners, tasks, shutdown).await;
    Ok(readers)
}

fn parts(
    (belonging, identity, beginning): (Belonging, Identity, Arc<Beginning>),
    writer: Writer,
    readers: &Readers,
    trees: Arc<Trees>,
    follows: Follows,
    (space, holdings): (Arc<Space>, Holdings),
    (scrubs, interval, damage): (SqliteConnectOptions, Option<Duration>, Arc<Damage>),
) -> Parts {
    let Identity {
        store_id,
        num_shards,
        lasting,
        scrubbed_at_ms,
        ..
    } = identity;
    let completeness = Completeness::new(lasting, Arc::clone(&damage), num_shards);
    let completeness = Arc::new(completeness);
    let questions = readers.questions.clone();
    let homecoming = Arc::new(Homecoming::new(
        readers.repair.clone(),
        Arc::clone(&trees),
        Arc::clone(&completeness),
        writer.clone(),
    ));
    let scrub = Arc::new(Scrub::new(
        scrubs,
        writer.clone(),
        Arc::clone(&trees),
        Arc::clone(&completeness),
        Arc::clone(&damage),
        (interval, scrubbed_at_ms),
    ));
    let shared = || (Arc::clone(&trees), Arc::clone(&completeness));
    let (of_queries, of_walks) = (shared(), shared());
    Parts {
        store_id,
        num_shards,
        belonging,
        writer,
        follows,
        queries: Queries::new(questions.clone(), of_queries.0, of_queries.1, num_shards),
        walks: Walks::new(
            readers.repair.clone(),
            of_walks.0,
            of_walks.1,
            (store_id, beginning),
            num_shards,
        ),
        homecoming,
        readers: questions,
        trees,
        completeness,
        space,
        holdings,
        damage,
        scrub,
    }
}

/// Opens the doors, once there is something behind them: peers must name the cluster, the node's own services may, and only they have `StoreControl`.
async fn serve(parts: Parts, listeners: Listeners, tasks: &mut Tasks, shutdown: Shutdown) {
    let belonging = parts.belonging.clone();
    let homecoming = Arc::clone(&parts.homecoming);
    tasks.spawn_infallible("homecoming", homecoming.keep_ages(shutdown.clone()));
    let scrub = Arc::clone(&parts.scrub);
    tasks.spawn_infallible("scrub", scrub.run(shutdown.clone()));
    let service = StoreService::new(parts);
    let store = |door| {
        let belonging = belonging.clone();
        let store = StoreServer::new(service.clone())
            .max_decoding_message_size(proto::MESSAGE_MAX)
            .max_encoding_message_size(proto::MESSAGE_MAX);
        // Only for who asks for it: repair does, of other nodes.
        let store = match door {
            Door::Peers => store
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip),
            Door::Own => store,
        };
        InterceptedService::new(store, move |request| belonging.admit(request, door))
    };
    let (readiness, health) = sidecar::health::readiness().await;
    let for_peers = Routes::new(store(Door::Peers));
    let for_own = Routes::new(health)
        .add_service(store(Door::Own))
        .add_service(StoreControlServer::new(service.clone()));
    let Listeners { peers, local } = listeners;
    tasks.spawn(
        "gRPC of peers",
        sidecar::grpc::serve(for_peers, peers, shutdown.clone()),
    );
    tasks.spawn("local gRPC", sidecar::grpc::serve(for_own, local, shutdown));
    readiness.set(true).await;
}
