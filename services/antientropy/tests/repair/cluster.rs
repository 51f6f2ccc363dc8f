//! Nodes of a store and an antientropy service, and a view that the test writes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::antientropy_client::AntientropyClient;
use proto::v1::membership_server::{Membership, MembershipServer};
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use stemedb_antientropy::{Config, peers::Peers};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::store::TestStore;
use crate::wire::Wire;

/// Everything awaited here takes a second or two; a machine under load gets time.
const DEADLINE: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Between two nudges for a session that failed.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Polls until it is as it should be.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut look = tokio::time::interval(LOOK);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        look.tick().await;
    }
}

/// How a cluster is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) num_shards: u32,
    pub(crate) sync_interval: Duration,
    pub(crate) hold: Duration,
}

/// Sessions follow each other quickly.
pub(crate) const BRISK: Plan = Plan {
    nodes: 2,
    num_shards: 8,
    sync_interval: Duration::from_millis(50),
    hold: Duration::from_secs(600),
};

/// After the first session only those that the test asks for.
pub(crate) const ASKED_ONLY: Plan = Plan {
    nodes: 2,
    num_shards: 8,
    sync_interval: Duration::from_secs(3_600),
    hold: Duration::from_secs(600),
};

/// One node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) store: TestStore,
    /// What passes between its store and other nodes.
    pub(crate) wire: Wire,
    pub(crate) peers: Peers,
    interval: Duration,
    client: AntientropyClient<Channel>,
    views: watch::Sender<v1::View>,
    departures: Arc<AtomicUsize>,
    shutdown: Shutdown,
    _tasks: Tasks,
}

/// Nodes that see each other.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) view: v1::View,
}

impl Cluster {
    /// Stores, then services once the stores hold what `fill` puts there.
    pub(crate) async fn start(plan: Plan, fill: impl FnOnce(&[TestStore])) -> Cluster {
        let stores: Vec<TestStore> = (0..plan.nodes)
            .map(|_| TestStore::new(plan.num_shards))
            .collect();
        fill(&stores);
        let mut local = Vec::new();
        let mut members = Vec::new();
        for (index, store) in stores.iter().enumerate() {
            let (address, behind) = store.serve().await;
            let wire = Wire::default();
            let rpc_addr = wire.before(behind).await.to_string();
            local.push((address, wire));
            members.push(v1::Member {
                name: format!("node{}", index + 1),
                status: v1::Status::Up.into(),
                phase: v1::Phase::Serving.into(),
                rpc_addr,
                ..v1::Member::default()
            });
        }
        let view = v1::View {
            cluster_id: "cluster".into(),
            num_shards: plan.num_shards,
            replication_factor: 2,
            least_replication_factor: 2,
            counted_replication_factor: 2,
            placement: members.iter().map(|member| member.name.clone()).collect(),
            members,
            ..v1::View::default()
        };
        let mut nodes = Vec::new();
        for (index, (store, ways)) in stores.into_iter().zip(local).enumerate() {
            let name = format!("node{}", index + 1);
            nodes.push(Node::start(plan, name, store, ways, &view).await);
        }
        Cluster { nodes, view }
    }

    /// Shows every node another view.
    pub(crate) fn show(&mut self, change: impl FnOnce(&mut v1::View)) {
        change(&mut self.view);
        self.view.version += 1;
        for node in &self.nodes {
            node.show(&self.view);
        }
    }

    /// The shards that a node owns, the global one included.
    pub(crate) fn owned(&self, index: usize) -> BTreeSet<u32> {
        let view = proto::view::ClusterView::new(self.view.clone(), None);
        view.placement()
            .owned_by(&self.nodes[index].name)
            .into_iter()
            .collect()
    }
}

impl Node {
    async fn start(
        plan: Plan,
        name: String,
        store: TestStore,
        (local, wire): (SocketAddr, Wire),
        view: &v1::View,
    ) -> Node {
        let (views, seen) = watch::channel(v1::View {
            node: name.clone(),
            ..view.clone()
        });
        let departures = Arc::default();
        let membership = serve_views(seen, Arc::clone(&departures)).await;
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::bind(any).await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let config = Config {
            sync_interval: plan.sync_interval,
            hold: plan.hold,
            repair_bytes_per_s: 0,
            store: local,
            membership,
            grpc,
            metrics: any,
        };
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let peers = stemedb_antientropy::assemble(&config, listener, &mut tasks, shutdown.clone());
        let peers = peers.await.unwrap();
        let client = AntientropyClient::connect(format!("http://{grpc}"))
            .await
            .unwrap();
        let interval = plan.sync_interval;
        Node {
            name,
            store,
            wire,
            peers,
            interval,
            client,
            views,
            departures,
            shutdown,
            _tasks: tasks,
        }
    }

    pub(crate) fn show(&self, view: &v1::View) {
        self.views.send_replace(v1::View {
            node: self.name.clone(),
            ..view.clone()
        });
    }

    pub(crate) async fn sync(&self, peer: &str, dry_run: bool) -> v1::PeerSync {
        let request = v1::SyncRequest {
            peers: vec![peer.to_owned()],
            dry_run,
        };
        let reply = self
            .client
            .clone()
            .sync(request)
            .await
            .unwrap()
            .into_inner();
        reply.peers.into_iter().next().unwrap()
    }

    pub(crate) async fn nudge(&self, peer: &str) {
        let request = v1::NudgeRequest {
            peer: peer.to_owned(),
        };
        self.client.clone().nudge(request).await.unwrap();
    }

    /// How it stands with rows that do not belong here.
    pub(crate) async fn home(&self) -> v1::HomecomingStatus {
        let reply = self.client.clone().status(v1::RepairStatusRequest {}).await;
        reply.unwrap().into_inner().home.unwrap()
    }

    /// How often it has said that it departs.
    pub(crate) fn departures(&self) -> usize {
        self.departures.load(Ordering::Relaxed)
    }

    pub(crate) async fn statuses(&self) -> Vec<v1::PeerStatus> {
        let reply = self.client.clone().status(v1::RepairStatusRequest {}).await;
        reply.unwrap().into_inner().peers
    }

    /// What is on its way from all peers together.
    pub(crate) async fn moving(&self) -> Option<v1::RepairTask> {
        let reply = self.client.clone().status(v1::RepairStatusRequest {}).await;
        reply.unwrap().into_inner().moving
    }

    /// Pauses repair of this node, or lets it go on.
    pub(crate) async fn pause(&self, paused: bool) {
        let request = v1::SteerRequest {
            paused: Some(paused),
            bytes_per_s: None,
        };
        self.client.clone().steer(request).await.unwrap();
    }

    /// How repair stands with a peer; nothing before it is known.
    pub(crate) fn status(&self, peer: &str) -> v1::PeerStatus {
        let all = self.peers.statuses(self.interval);
        all.into_iter()
            .find(|status| status.peer == peer)
            .unwrap_or_default()
    }

    /// Shards with a proof from the peer since the calls were last forgotten.
    pub(crate) fn proved(&self, peer: &str) -> BTreeSet<u32> {
        let state = self.store.state();
        let proofs = state.reports.iter().flat_map(|(_, report)| &report.proofs);
        let ranges = proofs
            .filter(|proof| proof.peer == peer)
            .flat_map(|proof| &proof.shards);
        ranges.flat_map(|range| range.first..=range.last).collect()
    }

    /// Waits for a first session that came to its end; one that failed is asked for again, for the next may be hours away.
    pub(crate) async fn first_session(&self, peer: &str) {
        let deadline = Instant::now() + DEADLINE;
        let mut look = tokio::time::interval(LOOK);
        let mut asked = Instant::now();
        while self.status(peer).sessions == 0 {
            look.tick().await;
            let said = self.status(peer).last_error;
            assert!(Instant::now() < deadline, "no session: {said}");
            if !said.is_empty() && asked.elapsed() > ASK_AGAIN {
                self.nudge(peer).await;
                asked = Instant::now();
            }
        }
    }

    /// Waits for one more session with a peer that begins from now on.
    pub(crate) async fn sessions(&self, peer: &str, more: u64) {
        let seen = self.status(peer).sessions;
        until("more sessions", || self.status(peer).sessions > seen + more).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// Membership that shows the test's view.
struct Views {
    view: watch::Receiver<v1::View>,
    departures: Arc<AtomicUsize>,
}

/// As membership does it: after a change, and now and then.
fn shown(view: watch::Receiver<v1::View>) -> impl Stream<Item = Result<v1::View, Status>> + Send {
    let repeat = Duration::from_millis(500);
    futures::stream::unfold((view, true), move |(mut view, first)| async move {
        if !first
            && matches!(
                tokio::time::timeout(repeat, view.changed()).await,
                Ok(Err(_))
            )
        {
            return None;
        }
        let seen = v1::View {
            shown_at_boot_ms: sidecar::clock::boot_ms(),
            ..view.borrow_and_update().clone()
        };
        Some((Ok(seen), (view, false)))
    })
}

async fn serve_views(view: watch::Receiver<v1::View>, departures: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(MembershipServer::new(Views { view, departures }))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not a matter of repair"))
}

#[tonic::async_trait]
impl Membership for Views {
    async fn get_view(&self, _: Request<v1::GetViewRequest>) -> Result<Response<v1::View>, Status> {
        Ok(Response::new(self.view.borrow().clone()))
    }

    type WatchViewStream = Pin<Box<dyn Stream<Item = Result<v1::View, Status>> + Send>>;

    async fn watch_view(
        &self,
        _: Request<v1::WatchViewRequest>,
    ) -> Result<Response<Self::WatchViewStream>, Status> {
        Ok(Response::new(Box::pin(shown(self.view.clone()))))
    }

    async fn join(&self, _: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        not_here()
    }

    async fn forget(
        &self,
        _: Request<v1::ForgetRequest>,
    ) -> Result<Response<v1::ForgetReply>, Status> {
        not_here()
    }

    async fn drain(
        &self,
        _: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainReply>, Status> {
        not_here()
    }

    async fn leave(
        &self,
        _: Request<v1::LeaveRequest>,
    ) -> Result<Response<v1::LeaveReply>, Status> {
        not_here()
    }

    async fn depart(
        &self,
        _: Request<v1::DepartRequest>,
    ) -> Result<Response<v1::DepartReply>, Status> {
        // The first time nobody else has heard of it yet.
        match self.departures.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Status::unavailable("nobody knows yet")),
            _ => Ok(Response::new(v1::DepartReply {})),
        }
    }
}
