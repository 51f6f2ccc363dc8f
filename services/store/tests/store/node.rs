//! One store in its own directory, as its neighbours see it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use proto::v1;
use proto::v1::store_client::StoreClient;
use proto::v1::store_control_client::StoreControlClient;
use sidecar::Shutdown;
use sidecar::grpc::Channel;
use sidecar::tasks::Tasks;
use stemedb_store::{Config, Error, Listeners};
use tokio::task::JoinHandle;

/// Shards of the stores in these tests: several, so that records spread, and few, so that they share.
pub(crate) const SHARDS: u32 = 8;

/// What a store that stops commits and copies: when it is given up, the next one on the file finds it locked.
const STOP_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    shutdown: Shutdown,
    running: JoinHandle<Result<(), Error>>,
    pub(crate) local: SocketAddr,
    pub(crate) peers: SocketAddr,
}

pub(crate) fn config(directory: &Path) -> Config {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        node: "node1".into(),
        data_dir: directory.to_path_buf(),
        min_free_bytes: 0,
        scrub_interval: None,
        readers: 2,
        num_shards: SHARDS,
        peers: any,
        local: any,
        metrics: any,
    }
}

impl Node {
    pub(crate) async fn start(directory: &Path) -> Node {
        Node::try_start(config(directory)).await.unwrap()
    }

    pub(crate) async fn try_start(config: Config) -> Result<Node, Error> {
        let listeners = Listeners::bind(&config).await?;
        let local = listeners.local.local_addr().unwrap();
        let peers = listeners.peers.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let readers =
            stemedb_store::assemble(&config, listeners, &mut tasks, shutdown.clone()).await?;
        let running = tokio::spawn(async move {
            let ended = tasks.join(STOP_MAX).await;
            readers.close().await;
            Ok(ended?)
        });
        Ok(Node {
            shutdown,
            running,
            local,
            peers,
        })
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.unwrap().unwrap();
    }

    /// Waits until the store ends by itself.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        self.running.await.unwrap()
    }

    pub(crate) fn store(&self) -> StoreClient<Channel> {
        StoreClient::new(sidecar::grpc::local_channel(self.local).unwrap())
    }

    pub(crate) fn peer(&self) -> StoreClient<Channel> {
        StoreClient::new(sidecar::grpc::local_channel(self.peers).unwrap())
    }

    pub(crate) fn control(&self) -> StoreControlClient<Channel> {
        StoreControlClient::new(sidecar::grpc::local_channel(self.local).unwrap())
    }

    pub(crate) async fn describe(&self) -> v1::DescribeReply {
        let mut store = self.store();
        store
            .describe(v1::DescribeRequest {})
            .await
            .unwrap()
            .into_inner()
    }
}
