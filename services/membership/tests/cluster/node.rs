//! One membership service in its own runtime, and what a test may do to it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::membership_client::MembershipClient;
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use stemedb_membership::{Config, assemble};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::store::TestStore;

/// Everything awaited here is a matter of seconds; a machine under load gets time.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at a view.
const LOOK: Duration = Duration::from_millis(25);

/// How a node is started.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) swim_port: u16,
    pub(crate) seeds: Vec<String>,
    pub(crate) num_shards: u32,
    pub(crate) bootstrap_expect: usize,
    pub(crate) secret: Option<String>,
    pub(crate) cluster_name: String,
}

impl Plan {
    pub(crate) fn new(name: &str, swim_port: u16) -> Plan {
        Plan {
            name: name.into(),
            swim_port,
            seeds: Vec::new(),
            num_shards: 256,
            bootstrap_expect: 3,
            secret: None,
            cluster_name: "stemedb".into(),
        }
    }
}

/// Below the range that the kernel takes ports of outgoing connections from: nobody gets one in between by accident.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that is free for UDP and TCP now, and that no other test of this process gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS.len() {
        let start = std::process::id() as u16 % 100 * 100;
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (start + step) % PORTS.len() as u16;
        let address = ("127.0.0.1", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP");
}

struct Process {
    runtime: Runtime,
    grpc: SocketAddr,
    shutdown: Shutdown,
    service: tokio::task::JoinHandle<()>,
}

/// A node: its disk and its store live on while its process comes and goes.
pub(crate) struct TestNode {
    pub(crate) plan: Plan,
    directory: tempfile::TempDir,
    store: TestStore,
    process: Option<Process>,
}

impl TestNode {
    pub(crate) fn start(plan: Plan) -> TestNode {
        let store = TestStore::new(plan.num_shards);
        let mut node = TestNode {
            plan,
            directory: tempfile::tempdir().unwrap(),
            store,
            process: None,
        };
        node.restart();
        node
    }

    pub(crate) fn store(&self) -> &TestStore {
        &self.store
    }

    pub(crate) fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (store, told) = (self.store.clone(), self.store.clone());
        let config = Config {
            name: self.plan.name.clone(),
            cluster_name: self.plan.cluster_name.clone(),
            secret: self.plan.secret.clone(),
            swim: SocketAddr::from(([127, 0, 0, 1], self.plan.swim_port)),
            advertise_host: "127.0.0.1".into(),
            api_port: 18180,
            admin_port: 18181,
            rpc_port: 18182,
            seeds: self.plan.seeds.clone(),
            num_shards: self.plan.num_shards,
            replication_factor: 2,
            bootstrap_expect: self.plan.bootstrap_expect,
            rebalance_delay: Duration::from_secs(60),
            directory: self.directory.path().join("membership"),
            store: any,
            grpc: any,
            metrics: any,
        };
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let (grpc, service) = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(any).await.unwrap();
            let config = Config {
                store: listener.local_addr().unwrap(),
                ..config
            };
            tokio::spawn(store.serve(listener));
            let listener = sidecar::grpc::bind(any).await.unwrap();
            let grpc = listener.local_addr().unwrap();
            tokio::spawn(tell(told, grpc));
            let mut tasks = Tasks::new(stop.clone());
            assemble(config, listener, &mut tasks, stop).await.unwrap();
            let service = tokio::spawn(async move { tasks.join(DEADLINE).await.unwrap() });
            (grpc, service)
        });
        self.process = Some(Process {
            runtime,
            grpc,
            shutdown,
            service,
        });
    }

    /// As kill -9: no task runs another step, every socket closes, and nothing is written after it. A file that is being
    /// written on a thread of its own cannot be stopped, only waited for: the next process must not meet it.
    pub(crate) fn kill(&mut self) {
        let process = self.process.take().unwrap();
        process.runtime.shutdown_timeout(DEADLINE);
    }

    /// As SIGTERM.
    pub(crate) fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.shutdown.trigger();
        let ended = async { tokio::time::timeout(DEADLINE, process.service).await };
        process.runtime.block_on(ended).unwrap().unwrap();
        process.runtime.shutdown_timeout(DEADLINE);
    }

    fn call<T>(
        &self,
        call: impl AsyncFnOnce(MembershipClient<Channel>) -> Result<T, tonic::Status>,
    ) -> Result<T, tonic::Status> {
        let process = self.process.as_ref().unwrap();
        process.runtime.block_on(async {
            let endpoint = format!("http://{}", process.grpc);
            let client = MembershipClient::connect(endpoint).await.unwrap();
            call(client).await
        })
    }

    pub(crate) fn view(&self) -> v1::View {
        self.call(async |mut client| client.get_view(v1::GetViewRequest {}).await)
            .unwrap()
            .into_inner()
    }

    /// Looks until the view is as it should be.
    pub(crate) fn sees(&self, what: &str, condition: impl Fn(&v1::View) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let outcome = self.call(async |mut client| {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                let view = client.get_view(v1::GetViewRequest {}).await?.into_inner();
                if condition(&view) {
                    return Ok(None);
                }
                if Instant::now() > deadline {
                    return Ok(Some(view));
                }
            }
        });
        if let Some(view) = outcome.unwrap() {
            panic!("{} never sees {what}: {view:#?}", self.plan.name);
        }
    }

    pub(crate) fn forget(&self, name: &str) -> Result<String, tonic::Status> {
        let name = name.to_owned();
        self.call(async |mut client| client.forget(v1::ForgetRequest { name }).await)
            .map(|reply| reply.into_inner().warning)
    }

    /// Asks until somebody answers there: on a machine under load, one who does may be too late.
    pub(crate) fn joins(&self, host: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let joined = self.join(host);
            if !joined.is_empty() || Instant::now() > deadline {
                return joined;
            }
        }
    }

    pub(crate) fn join(&self, host: &str) -> Vec<String> {
        let hosts = vec![host.to_owned()];
        self.call(async |mut client| client.join(v1::JoinRequest { hosts }).await)
            .unwrap()
            .into_inner()
            .joined
    }
}

/// What repair does: tells the store whom the view knows.
async fn tell(store: TestStore, membership: SocketAddr) {
    let channel = sidecar::grpc::local_channel(membership).unwrap();
    let mut client = MembershipClient::new(channel);
    let mut tries = tokio::time::interval(LOOK);
    loop {
        tries.tick().await;
        let watched = client.watch_view(v1::WatchViewRequest {}).await;
        let Ok(mut views) = watched.map(tonic::Response::into_inner) else {
            continue;
        };
        while let Ok(Some(view)) = views.message().await {
            store.tell(&view);
        }
    }
}
