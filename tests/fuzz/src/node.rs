//! A node in this process: a store on a disk, and a gateway in front of it. Both are whole; only sockets of clients are missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use proto::v1;
use proto::v1::store_client::StoreClient;
use proto::v1::store_control_client::StoreControlClient;
use proto::view::ClusterView;
use sidecar::Shutdown;
use sidecar::grpc::Channel;
use sidecar::tasks::Tasks;
use stemedb_gateway::app::{App, Places};
use stemedb_gateway::config::Patience;
use stemedb_gateway::listener;
use stemedb_gateway::nodes::{self, Nodes};
use stemedb_gateway::nudge::Nudges;
use stemedb_gateway::read::Reader;
use stemedb_gateway::readiness::Readiness;
use stemedb_gateway::web::Web;
use stemedb_gateway::writer::Writer;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::records;

/// Shards of the cluster: several, so that records spread, and few, so that they share.
pub const SHARDS: u32 = 8;

/// Its name and its cluster's.
pub const NAME: &str = "node1";
const CLUSTER: &str = "fuzz";

/// Whatever is sent is answered by then. Nothing here takes a thousandth of it.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Nobody is in a hurry: what is asked here is not what happens when a store is late.
const PATIENT: Patience = Patience {
    hedge: Duration::from_secs(30),
    write: Duration::from_secs(60),
    maybe_stored: Duration::from_secs(60),
    union: Duration::from_secs(60),
};

/// A reply, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// The node. It lives as long as the process.
pub struct Node {
    runtime: Runtime,
    router: axum::Router,
    channel: Channel,
    _directory: TempDir,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// Starts one that holds a few records.
    ///
    /// # Panics
    /// When this machine does not let it.
    pub fn start() -> Node {
        let directory = TempDir::new().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (app, channel) = runtime.block_on(begin(directory.path()));
        let cors = listener::cors(&[]).expect("no origins are origins");
        let router = listener::public_router(&app, cors);
        let node = Node {
            runtime,
            router,
            channel,
            _directory: directory,
        };
        let records = records::canonical().into_iter();
        let request = v1::AppendRequest {
            records: records
                .map(|canonical| v1::AppendRecord {
                    canonical: canonical.into(),
                    ..v1::AppendRecord::default()
                })
                .collect(),
            traces: Vec::new(),
            arrival: v1::Arrival::Push.into(),
        };
        let mut store = node.store();
        let held = node.wait(async move { store.append(request).await });
        held.expect("the golden vectors are stored");
        node
    }

    /// Sends a request to the public listener's router.
    ///
    /// # Panics
    /// When there is no whole answer in time.
    pub fn ask(&self, request: Request<Full<Bytes>>) -> Reply {
        let router = self.router.clone();
        self.wait(async move {
            let reply = router.oneshot(request).await;
            let (parts, body) = reply.unwrap_or_else(|never| match never {}).into_parts();
            let body = body.collect().await.expect("the body goes to its end");
            Reply {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.to_bytes(),
            }
        })
    }

    /// The store, as the node's own services see it.
    pub fn store(&self) -> StoreClient<Channel> {
        StoreClient::new(self.channel.clone())
            .max_decoding_message_size(proto::MESSAGE_MAX)
            .max_encoding_message_size(2 * proto::MESSAGE_MAX)
    }

    /// Its control.
    pub fn control(&self) -> StoreControlClient<Channel> {
        StoreControlClient::new(self.channel.clone())
    }

    /// Runs a call to its end.
    ///
    /// # Panics
    /// When it is not answered in time.
    pub fn wait<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        let limited = async move { tokio::time::timeout(ANSWER_MAX, call).await };
        let answer = self.runtime.block_on(limited);
        answer.unwrap_or_else(|_| panic!("no answer within {} s", ANSWER_MAX.as_secs()))
    }
}

async fn begin(directory: &Path) -> (Arc<App>, Channel) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = stemedb_store::Config {
        node: NAME.into(),
        data_dir: directory.to_path_buf(),
        min_free_bytes: 0,
        scrub_interval: None,
        readers: 2,
        num_shards: SHARDS,
        peers: any,
        local: any,
        metrics: any,
    };
    let listeners = stemedb_store::Listeners::bind(&config).await;
    let listeners = listeners.expect("a port");
    let local = listeners.local.local_addr().expect("a port");
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    let readers = stemedb_store::assemble(&config, listeners, &mut tasks, shutdown).await;
    tokio::spawn(stemedb_store::end(tasks, readers.expect("a database")));
    let channel = sidecar::grpc::local_channel(local).expect("an address");
    let mut control = StoreControlClient::new(channel.clone());
    let bound = v1::AdoptClusterRequest {
        cluster_id: CLUSTER.into(),
        num_shards: SHARDS,
    };
    control.adopt_cluster(bound).await.expect("a cluster");
    let admitted = v1::AdmitRequest { fresh: true };
    control.admit(admitted).await.expect("it counts");
    control.report_proofs(proofs()).await.expect("proofs");
    (gateway(local), channel)
}

/// Alone, it has everything.
pub fn proofs() -> v1::ReportProofsRequest {
    v1::ReportProofsRequest {
        known: vec![NAME.into()],
        replication_factor: 1,
        counted_replication_factor: 0,
        owned: vec![v1::ShardRange {
            first: 0,
            last: SHARDS,
        }],
        node: NAME.into(),
        view_shown_at_boot_ms: sidecar::clock::boot_ms(),
        view_incarnation: 1,
        view_version: 1,
        ..v1::ReportProofsRequest::default()
    }
}

/// The view of a cluster of one.
pub fn view() -> v1::View {
    v1::View {
        version: 1,
        node: NAME.into(),
        cluster_id: CLUSTER.into(),
        num_shards: SHARDS,
        replication_factor: 1,
        counted_replication_factor: 0,
        members: vec![v1::Member {
            name: NAME.into(),
            status: v1::Status::Up.into(),
            phase: v1::Phase::Serving.into(),
            rpc_addr: "127.0.0.1:1".into(),
            incarnation: 1,
            ..v1::Member::default()
        }],
        placement: vec![NAME.into()],
        ..v1::View::default()
    }
}

/// What `stemedb_gateway::assemble` puts together, without listeners and without neighbours other than the store.
fn gateway(store: SocketAddr) -> Arc<App> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let neighbour = || sidecar::grpc::local_channel(nowhere).expect("an address");
    let (nudges, _) = Nudges::new();
    let nodes = Nodes::new(NAME, store, PATIENT, nudges);
    let readiness = Readiness::new(Arc::clone(&nodes), Shutdown::new());
    let app = Arc::new(App {
        writer: Writer::new(Arc::clone(&nodes), PATIENT),
        reader: Reader::new(Arc::clone(&nodes), Arc::clone(&readiness), PATIENT),
        nodes: Arc::clone(&nodes),
        readiness,
        membership: neighbour(),
        antientropy: neighbour(),
        scrapes: Vec::new(),
        web: Web::default(),
        places: Places::default(),
    });
    let view = ClusterView::new(view(), None);
    let (sender, views) = watch::channel(Some(Arc::new(view)));
    tokio::spawn(async move {
        let ended = nodes::supervise(nodes, views).await;
        drop(sender);
        ended
    });
    app
}
