//! The stores of a cluster, asked straight over gRPC: who holds what, without a gateway between.

use std::sync::Arc;
use std::time::Duration;

use assertion::RecordId;
use bytes::Bytes;
use e2e::cluster::Cluster;
use e2e::node::Node;
use proto::v1;
use proto::v1::store_client::StoreClient;
use shard::Placement;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::load::Client;

/// Offset of the store's listener for its own node, in the node's block of loopback ports.
const STORE: u16 = 1;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Says which cluster a call is meant for, once that is known.
#[derive(Debug, Clone)]
pub struct OfCluster(Option<MetadataValue<Ascii>>);

impl Interceptor for OfCluster {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(cluster_id) = &self.0 {
            request
                .metadata_mut()
                .insert(proto::CLUSTER_ID_HEADER, cluster_id.clone());
        }
        Ok(request)
    }
}

/// A store, on the listener that its own gateway uses.
pub type Store = StoreClient<InterceptedService<Channel, OfCluster>>;

/// All stores, and who owns what.
#[derive(Debug, Clone)]
pub struct Stores {
    by_node: Vec<(String, Store)>,
    placement: Arc<Placement>,
}

impl Stores {
    /// Of a formed cluster, with the default number of shards and copies.
    ///
    /// # Errors
    /// When a store does not say who it is.
    pub async fn of(cluster: &Cluster) -> Result<Stores, String> {
        let mut by_node = Vec::new();
        let mut num_shards = 0;
        for node in &cluster.nodes {
            let mut first = store(node, None)?;
            let said = first.describe(v1::DescribeRequest {}).await;
            let said = said
                .map_err(|status| format!("{}: {status}", node.name))?
                .into_inner();
            num_shards = said.num_shards;
            by_node.push((node.name.clone(), store(node, Some(&said.cluster_id))?));
        }
        let names = by_node.iter().map(|(name, _)| name.clone());
        let placement = Arc::new(Placement::new(names, num_shards, 2));
        Ok(Stores { by_node, placement })
    }

    /// Places (from 0) of the nodes that own a subject.
    pub fn owners(&self, subject: &str) -> Vec<usize> {
        let shard = shard::shard_of(subject, self.placement.num_shards());
        let owners = self.placement.owners(shard);
        let named = |name: &String| owners.iter().any(|owner| **owner == **name);
        (0..self.by_node.len())
            .filter(|place| named(&self.by_node[*place].0))
            .collect()
    }

    /// Shards that two nodes share, ascending, the global one included.
    pub fn shared(&self, one: usize, other: usize) -> Vec<u32> {
        let of = |place: usize| self.placement.owned_by(&self.by_node[place].0);
        let others = of(other);
        of(one)
            .into_iter()
            .filter(|shard| others.contains(shard))
            .collect()
    }

    /// The store of a node by its place, from 0.
    pub fn at(&self, place: usize) -> Store {
        self.by_node[place].1.clone()
    }

    /// What a store says of itself.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn describe(&self, place: usize) -> Result<v1::DescribeReply, String> {
        let reply = self.at(place).describe(v1::DescribeRequest {}).await;
        Ok(reply.map_err(|status| status.to_string())?.into_inner())
    }

    /// Makes records durable at one store and nowhere else: a write whose other pushes were all lost.
    ///
    /// # Errors
    /// When the store does not take them.
    pub async fn append(&self, place: usize, canonical: &[Bytes]) -> Result<(), String> {
        for part in canonical.chunks(proto::APPEND_RECORDS_MAX) {
            let record = |canonical: &Bytes| v1::AppendRecord {
                canonical: canonical.clone(),
                ..v1::AppendRecord::default()
            };
            let request = v1::AppendRequest {
                records: part.iter().map(record).collect(),
                traces: Vec::new(),
                arrival: v1::Arrival::Push.into(),
            };
            let reply = self.at(place).append(request).await;
            let outcomes = reply
                .map_err(|status| status.to_string())?
                .into_inner()
                .outcomes;
            let stored = v1::AppendStatus::Stored;
            if let Some(odd) = outcomes.iter().find(|outcome| outcome.status() != stored) {
                return Err(format!("a record was not stored: {odd:?}"));
            }
        }
        Ok(())
    }

    /// How many of the ids a store holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn held(&self, place: usize, ids: &[RecordId]) -> Result<usize, String> {
        let mut held = 0;
        for part in ids.chunks(1_000) {
            let ids = part
                .iter()
                .map(|id| Bytes::copy_from_slice(id.as_bytes()))
                .collect();
            let request = v1::GetRequest {
                ids,
                provenance_only: true,
            };
            let reply = self.at(place).get(request).await;
            held += reply
                .map_err(|status| status.to_string())?
                .into_inner()
                .records
                .len();
        }
        Ok(held)
    }
}

fn store(node: &Node, cluster_id: Option<&str>) -> Result<Store, String> {
    let rpc = node.rpc();
    let port = rpc
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    // The peers' listener is the third of the block.
    let base = port.ok_or("no port of the store")? - 2;
    let addr = format!("http://127.0.0.1:{}", base + e2e::ports::LOOPBACK + STORE);
    let endpoint = Endpoint::from_shared(addr).map_err(|error| error.to_string())?;
    let channel = endpoint.tcp_nodelay(true).timeout(TIMEOUT).connect_lazy();
    let cluster_id = cluster_id.map(str::parse).transpose();
    let cluster_id = cluster_id.map_err(|_| "a cluster id is not ASCII".to_owned())?;
    let client = StoreClient::with_interceptor(channel, OfCluster(cluster_id));
    Ok(client.max_decoding_message_size(proto::MESSAGE_MAX))
}

/// Asks stores what gateways would ask them.
#[derive(Debug, Clone)]
pub struct Straight {
    /// All stores.
    pub stores: Stores,
    /// Subject and predicate.
    pub questions: Arc<Vec<(String, String)>>,
}

impl Client for Straight {
    async fn call(&mut self, n: u64) -> Result<(), String> {
        let place = usize::try_from(n).unwrap_or(0);
        let (subject, predicate) = &self.questions[place % self.questions.len()];
        let owners = self.stores.owners(subject);
        let owner = owners
            .get(place % owners.len().max(1))
            .ok_or("nobody owns it")?;
        let request = v1::QueryRequest {
            selection: Some(v1::Selection {
                subject: Some(subject.clone()),
                predicate: Some(predicate.clone()),
                ..v1::Selection::default()
            }),
            lens: Some(v1::LensCall {
                name: crate::rows::lens(n).to_owned(),
                ..v1::LensCall::default()
            }),
            ..v1::QueryRequest::default()
        };
        let reply = self.stores.at(*owner).query(request).await;
        let reply = reply.map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        if reply.get_ref().complete {
            Ok(())
        } else {
            Err("not complete".to_owned())
        }
    }
}
