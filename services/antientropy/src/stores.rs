//! The two stores of a session, asked through the same calls.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use merkle::{Digest, Grain, Id, Salt, ShortDigest, ShortId};
use proto::v1;
use proto::v1::store_client::StoreClient;
use sidecar::grpc::Channel;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{SessionError, Side};
use crate::session::copy::Wanted;

/// Longest wait for one answer. A dead peer is noticed by keep-alive long before; this ends a store that hangs.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Puts the cluster id on every call, and whom it is meant for: a store of another cluster or node refuses.
#[derive(Debug, Clone)]
pub struct Address {
    cluster_id: MetadataValue<Ascii>,
    node: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Address {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(proto::CLUSTER_ID_HEADER, self.cluster_id.clone());
        if let Some(node) = &self.node {
            metadata.insert(proto::NODE_HEADER, node.clone());
        }
        Ok(request)
    }
}

type Client = StoreClient<InterceptedService<Channel, Address>>;

/// A connection to one store, with a count of the questions asked.
#[derive(Debug, Clone)]
pub struct Asked {
    client: Client,
    /// For calls whose messages repeat themselves: places in trees and records. A neighbour takes them as they are.
    zipped: Client,
    side: Side,
    round_trips: Arc<AtomicU32>,
}

/// What a store said of the shards that it was asked to compare.
#[derive(Debug, Clone)]
pub struct Compared<Root> {
    /// The combined digest was the expected one; `roots` is empty.
    pub equal: bool,
    /// One root per asked shard, in order.
    pub roots: Vec<Root>,
    /// One count of ids per asked shard, in order; empty when equal.
    pub counts: Vec<u64>,
    /// The store counts as absent.
    pub counts_as_absent: bool,
    /// Who answered.
    pub store_id: Bytes,
    /// How far it had come.
    pub reached: Reached,
    /// How often ids had gone from it without being given up.
    pub losses: u64,
    /// It wants what all others have of these shards, owned or not.
    pub lacking: Vec<u32>,
}

/// How far a store was seen to have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Which store; empty: none was seen.
    pub store_id: Bytes,
    /// Its run.
    pub run: u64,
    /// Its last row.
    pub sequence: u64,
}

impl Asked {
    /// Asks the own store. `None` when the cluster id cannot be sent as metadata.
    pub fn own(channel: Channel, cluster_id: &str) -> Option<Asked> {
        Asked::new(channel, cluster_id, None, Side::Local)
    }

    /// Asks the store of a peer, and nobody else who may be found at its address: what one disk holds must not count for two
    /// nodes. `None` when a name cannot be sent as metadata.
    pub fn of_peer(channel: Channel, cluster_id: &str, node: &str) -> Option<Asked> {
        Asked::new(channel, cluster_id, Some(node), Side::Remote)
    }

    fn new(channel: Channel, cluster_id: &str, node: Option<&str>, side: Side) -> Option<Asked> {
        let value = |text: &str| MetadataValue::try_from(text).ok();
        let node = match node {
            Some(node) => Some(value(node)?),
            None => None,
        };
        let cluster_id = value(cluster_id)?;
        let client = StoreClient::with_interceptor(channel, Address { cluster_id, node })
            .max_decoding_message_size(proto::MESSAGE_MAX)
            .max_encoding_message_size(proto::MESSAGE_MAX);
        let zipped = match side {
            Side::Local => client.clone(),
            Side::Remote => client
                .clone()
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip),
        };
        Some(Asked {
            client,
            zipped,
            side,
            round_trips: Arc::default(),
        })
    }

    /// Which of the two it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Questions asked so far.
    pub fn round_trips(&self) -> u32 {
        self.round_trips.load(Ordering::Relaxed)
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, SessionError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let side = self.side;
        match tokio::time::timeout(CALL_MAX, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(SessionError::Call {
                call,
                side,
                status: Box::new(status),
            }),
            Err(_) => Err(SessionError::Slow {
                call,
                side,
                seconds: CALL_MAX.as_secs(),
            }),
        }
    }

    /// An answer that cannot be one.
    pub fn wrong(&self, call: &'static str, why: impl Into<String>) -> SessionError {
        SessionError::Reply {
            call,
            side: self.side,
            why: why.into(),
        }
    }

    /// Whole roots of the named shards.
    pub async fn roots(&self, shards: &[u32]) -> Result<Compared<Digest>, SessionError> {
        let request = v1::CompareRequest::default();
        self.compared(shards, request).await
    }

    /// Roots of the named shards in their short form, or "equal" when they combine to `expected`. A store that is behind what
    /// was `seen` of it fell back: it does not answer.
    pub async fn compare(
        &self,
        shards: &[u32],
        expected: Option<Digest>,
        salt: &Salt,
        seen: Reached,
    ) -> Result<Compared<ShortDigest>, SessionError> {
        let request = v1::CompareRequest {
            expected: expected.map_or_else(Bytes::new, |digest| Bytes::copy_from_slice(&digest)),
            salt: Bytes::copy_from_slice(salt),
            seen_store_id: seen.store_id,
            seen_run: seen.run,
            seen_sequence: seen.sequence,
            ..v1::CompareRequest::default()
        };
        self.compared(shards, request).await
    }

    async fn compared<const N: usize>(
        &self,
        shards: &[u32],
        request: v1::CompareRequest,
    ) -> Result<Compared<[u8; N]>, SessionError> {
        let may_be_equal = !request.expected.is_empty();
        let request = v1::CompareRequest {
            shards: proto::convert::shard_bits(shards),
            ..request
        };
        let mut client = self.client.clone();
        let reply = self.call("Compare", client.compare(request)).await?;
        let reached = Reached {
            store_id: reply.store_id.clone(),
            run: reply.run,
            sequence: reply.sequence,
        };
        if reply.equal && may_be_equal {
            return Ok(Compared {
                equal: true,
                roots: Vec::new(),
                counts: Vec::new(),
                counts_as_absent: reply.counts_as_absent,
                store_id: reply.store_id,
                reached,
                losses: reply.losses,
                lacking: reply.lacking,
            });
        }
        let (roots, rest) = reply.roots.as_chunks::<N>();
        if roots.len() != shards.len() || !rest.is_empty() {
            let why = format!(
                "{} bytes of roots for {} shards",
                reply.roots.len(),
                shards.len()
            );
            return Err(self.wrong("Compare", why));
        }
        Ok(Compared {
            equal: false,
            roots: roots.to_vec(),
            counts: reply.counts,
            counts_as_absent: reply.counts_as_absent,
            store_id: reply.store_id,
            reached,
            losses: reply.losses,
            lacking: reply.lacking,
        })
    }

    /// What is below the nodes.
    pub async fn descend(
        &self,
        nodes: Vec<v1::TreeNode>,
        grains: &[Grain],
        salt: Salt,
    ) -> Result<v1::DescendReply, SessionError> {
        let request = v1::DescendRequest {
            nodes,
            ids: proto::convert::grain_bits(grains),
            salt: Bytes::copy_from_slice(&salt),
        };
        let mut client = self.zipped.clone();
        self.call("Descend", client.descend(request)).await
    }

    /// Of each node's short ids, those that the store does not hold.
    pub async fn missing(
        &self,
        nodes: &[Wanted],
        salt: Salt,
    ) -> Result<Vec<Vec<ShortId>>, SessionError> {
        let request = v1::MissingRequest {
            nodes: nodes.iter().map(Wanted::message).collect(),
            salt: Bytes::copy_from_slice(&salt),
        };
        let mut client = self.zipped.clone();
        let reply = self.call("Missing", client.missing(request)).await?;
        if reply.nodes.len() != nodes.len() {
            let why = format!("{} nodes for {}", reply.nodes.len(), nodes.len());
            return Err(self.wrong("Missing", why));
        }
        let parse = |node: &v1::FetchNode| {
            let missing = proto::convert::short_ids(&node.short_ids);
            missing
                .map(<[ShortId]>::to_vec)
                .map_err(|error| self.wrong("Missing", error.to_string()))
        };
        reply.nodes.iter().map(parse).collect()
    }

    /// Records by short id, as a stream of chunks.
    pub async fn fetch(
        &self,
        nodes: Vec<v1::FetchNode>,
        salt: Salt,
    ) -> Result<Streaming<v1::FetchReply>, SessionError> {
        let request = v1::FetchRequest {
            nodes,
            salt: Bytes::copy_from_slice(&salt),
        };
        let mut client = self.zipped.clone();
        self.call("Fetch", client.fetch(request)).await
    }

    /// The next chunk of a fetch; `None` at its end.
    pub async fn next_chunk(
        &self,
        stream: &mut Streaming<v1::FetchReply>,
    ) -> Result<Option<v1::FetchReply>, SessionError> {
        match tokio::time::timeout(CALL_MAX, stream.message()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(status)) => Err(SessionError::Call {
                call: "Fetch",
                side: self.side,
                status: Box::new(status),
            }),
            Err(_) => Err(SessionError::Slow {
                call: "Fetch",
                side: self.side,
                seconds: CALL_MAX.as_secs(),
            }),
        }
    }

    /// Makes records durable. One outcome per record.
    pub async fn append(
        &self,
        records: Vec<v1::AppendRecord>,
    ) -> Result<Vec<v1::AppendOutcome>, SessionError> {
        let count = records.len();
        let request = v1::AppendRequest {
            records,
            traces: Vec::new(),
            arrival: v1::Arrival::Repair.into(),
        };
        let mut client = self.zipped.clone();
        let reply = self.call("Append", client.append(request)).await?;
        if reply.outcomes.len() != count {
            let why = format!("{} outcomes for {count} records", reply.outcomes.len());
            return Err(self.wrong("Append", why));
        }
        Ok(reply.outcomes)
    }

    /// A page of the ids of a shard, and whether more follow.
    pub async fn ids(
        &self,
        shard: u32,
        after: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<Id>, bool), SessionError> {
        let request = v1::ListIdsRequest {
            shard,
            max_sequence: 0,
            after: after.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id)),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let mut client = self.client.clone();
        let reply = self.call("ListIds", client.list_ids(request)).await?;
        let ids = proto::convert::ids(&reply.ids, limit)
            .map_err(|error| self.wrong("ListIds", error.to_string()))?;
        Ok((ids, reply.more))
    }

    /// Which of these ids the store vouches for.
    pub async fn confirm(&self, shard: u32, ids: &[Id]) -> Result<BTreeSet<Id>, SessionError> {
        let request = v1::ConfirmRequest {
            shard,
            ids: Bytes::from(ids.concat()),
        };
        let mut client = self.client.clone();
        let reply = self.call("Confirm", client.confirm(request)).await?;
        let confirmed = proto::convert::ids(&reply.ids, ids.len())
            .map_err(|error| self.wrong("Confirm", error.to_string()))?;
        Ok(confirmed.into_iter().collect())
    }

    /// Who the store is.
    pub async fn store_id(&self) -> Result<Bytes, SessionError> {
        Ok(self.describe().await?.store_id)
    }

    /// Who the store is and how far it has come.
    pub async fn describe(&self) -> Result<v1::DescribeReply, SessionError> {
        let mut client = self.client.clone();
        self.call("Describe", client.describe(v1::DescribeRequest {}))
            .await
    }
}
