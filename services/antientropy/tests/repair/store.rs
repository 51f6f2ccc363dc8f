//! A store in memory: sets of ids with real trees, behind the real contract.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use assertion::RecordId;
use bytes::Bytes;
use merkle::{Id, Path, Tree};
use prost::Message as _;
use proto::v1;
use proto::v1::store_control_server::{StoreControl, StoreControlServer};
use proto::v1::store_server::{Store, StoreServer};
use shard::homecoming::Tenure;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

/// Records in one chunk of a fetch.
const CHUNK: usize = 500;

/// A record of a shard: the bytes name the shard, so that nothing has to be parsed.
pub(crate) fn record(shard: u32, number: u32) -> Bytes {
    Bytes::from(format!("{shard}/{number}"))
}

pub(crate) fn id_of(canonical: &[u8]) -> Id {
    *RecordId::of(canonical).as_bytes()
}

fn shard_of(canonical: &[u8]) -> u32 {
    let text = std::str::from_utf8(canonical).unwrap();
    text.split_once('/').unwrap().0.parse().unwrap()
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) held: v1::HeldRecord,
    /// When it came, in milliseconds of CLOCK_BOOTTIME.
    pub(crate) boot_ms: u64,
}

/// What the store was asked, and what it is told to do wrong.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store_id: [u8; 16],
    num_shards: u32,
    pub(crate) trees: BTreeMap<u32, Tree>,
    pub(crate) rows: HashMap<Id, Row>,
    /// How often each call came from a peer.
    pub(crate) calls: BTreeMap<&'static str, usize>,
    /// Bytes of each comparison with a peer: request and reply.
    pub(crate) compare_bytes: Vec<usize>,
    /// With the time of their arrival, in milliseconds of CLOCK_BOOTTIME.
    pub(crate) reports: Vec<(u64, v1::ReportProofsRequest)>,
    pub(crate) counts_as_absent: bool,
    /// How often it lost ids, and the shards of which it may lack some.
    pub(crate) losses: u64,
    pub(crate) lacking: Vec<u32>,
    /// Its last row, as it says.
    pub(crate) sequence: u64,
    /// What peers said they had seen of it, with each comparison.
    pub(crate) seen: Vec<(Bytes, u64, u64)>,
    /// Not taken by `Append`.
    pub(crate) refused: BTreeSet<Id>,
    /// Every answer to `Descend` leaves its first node out.
    pub(crate) lies: bool,
    /// Nothing is given up, as by a store that counts as absent.
    pub(crate) keeps: bool,
    /// These bytes are sent for this id.
    pub(crate) forged: Option<(Id, Bytes)>,
    /// The next `Append` finds another store in place of this one.
    pub(crate) replaced_at_append: bool,
    /// Before each `Append` is answered.
    pub(crate) append_takes: Duration,
    /// What it was told that it owns.
    tenure: Tenure,
    /// Held, and not confirmed yet.
    pub(crate) unsettled: BTreeSet<Id>,
    /// How many rows were.
    pub(crate) confirmed: usize,
}

/// A store and the door that it is asked through.
#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    state: Arc<Mutex<State>>,
    down: Arc<AtomicBool>,
    /// Calls through this door come from a peer.
    peers: bool,
}

impl TestStore {
    pub(crate) fn new(num_shards: u32) -> TestStore {
        let state = State {
            store_id: rand::random(),
            num_shards,
            trees: (0..=num_shards).map(|shard| (shard, Tree::new())).collect(),
            rows: HashMap::new(),
            calls: BTreeMap::new(),
            compare_bytes: Vec::new(),
            reports: Vec::new(),
            counts_as_absent: false,
            losses: 0,
            lacking: Vec::new(),
            seen: Vec::new(),
            refused: BTreeSet::new(),
            lies: false,
            keeps: false,
            forged: None,
            replaced_at_append: false,
            append_takes: Duration::ZERO,
            tenure: Tenure::new(num_shards),
            unsettled: BTreeSet::new(),
            confirmed: 0,
            sequence: 0,
        };
        TestStore {
            state: Arc::new(Mutex::new(state)),
            down: Arc::default(),
            peers: false,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Nothing answers any more, or again.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// A client's write.
    pub(crate) fn put(&self, canonical: Bytes) {
        self.put_at(canonical, sidecar::clock::unix_ms());
    }

    pub(crate) fn put_at(&self, canonical: Bytes, received_at_ms: i64) {
        let held = v1::HeldRecord {
            received_at_ms,
            arrival: v1::Arrival::Push.into(),
            ..v1::HeldRecord::default()
        };
        self.state().insert(canonical, held);
    }

    /// A client's write that was traced, as all are.
    pub(crate) fn put_traced(&self, canonical: Bytes, trace_id: [u8; 16]) {
        let held = v1::HeldRecord {
            received_at_ms: sidecar::clock::unix_ms(),
            arrival: v1::Arrival::Push.into(),
            trace_id: Bytes::copy_from_slice(&trace_id),
            ..v1::HeldRecord::default()
        };
        self.state().insert(canonical, held);
    }

    pub(crate) fn put_all(&self, shard: u32, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.put(record(shard, number));
        }
    }

    pub(crate) fn holds(&self, canonical: &[u8]) -> bool {
        self.state().rows.contains_key(&id_of(canonical))
    }

    pub(crate) fn len(&self) -> usize {
        self.state().rows.len()
    }

    pub(crate) fn roots(&self) -> Vec<merkle::Digest> {
        self.state().trees.values().map(Tree::root).collect()
    }

    pub(crate) fn calls(&self, name: &str) -> usize {
        self.state().calls.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn forget_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.compare_bytes.clear();
        state.reports.clear();
    }

    /// Serves sidecars and peers through two doors until the runtime ends. Their addresses.
    pub(crate) async fn serve(&self) -> (std::net::SocketAddr, String) {
        let local = serve(self.clone()).await;
        let peers = TestStore {
            peers: true,
            ..self.clone()
        };
        (local, serve(peers).await.to_string())
    }

    fn asked(&self, call: &'static str) -> Result<MutexGuard<'_, State>, Status> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Status::unavailable("the node is down"));
        }
        let mut state = self.state();
        if self.peers {
            *state.calls.entry(call).or_default() += 1;
        }
        Ok(state)
    }
}

async fn serve(store: TestStore) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(
            StoreServer::new(store.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip),
        )
        .add_service(StoreControlServer::new(store))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}

impl State {
    /// A damaged row is put aside.
    pub(crate) fn lose(&mut self, canonical: &[u8]) {
        let (id, shard) = (id_of(canonical), shard_of(canonical));
        assert!(self.trees.get_mut(&shard).unwrap().remove(&id));
        self.rows.remove(&id);
        self.losses += 1;
        self.lacking = vec![shard];
        self.counts_as_absent = true;
    }

    /// False when it was there.
    fn insert(&mut self, canonical: Bytes, held: v1::HeldRecord) -> bool {
        let id = id_of(&canonical);
        let shard = shard_of(&canonical);
        if !self.trees.get_mut(&shard).unwrap().insert(id) {
            return false;
        }
        let held = v1::HeldRecord {
            id: Bytes::copy_from_slice(&id),
            sequence: self.sequence + 1,
            canonical,
            shard,
            ..held
        };
        self.sequence += 1;
        let boot_ms = sidecar::clock::boot_ms();
        self.rows.insert(id, Row { held, boot_ms });
        true
    }

    fn append(&mut self, record: v1::AppendRecord, arrival: i32) -> v1::AppendOutcome {
        if self.refused.contains(&id_of(&record.canonical)) {
            return v1::AppendOutcome {
                status: v1::AppendStatus::Invalid.into(),
                reason: "a form that this version does not read".into(),
            };
        }
        let held = v1::HeldRecord {
            received_at_ms: sidecar::clock::unix_ms(),
            arrival,
            origin: record.origin,
            trace_id: record.trace_id,
            ..v1::HeldRecord::default()
        };
        let stored = self.insert(record.canonical, held);
        let status = if stored {
            v1::AppendStatus::Stored
        } else {
            v1::AppendStatus::Present
        };
        v1::AppendOutcome {
            status: status.into(),
            reason: String::new(),
        }
    }

    fn replace(&mut self) {
        self.store_id = rand::random();
        self.rows.clear();
        self.trees.values_mut().for_each(|tree| *tree = Tree::new());
    }

    fn ids(&self, node: &v1::FetchNode, salt: &[u8]) -> Vec<(merkle::ShortId, Option<Id>)> {
        let salt = proto::convert::salt(salt).unwrap();
        let place = node.node.as_ref().unwrap();
        let path: Path = proto::convert::path(place).unwrap();
        let short_ids = proto::convert::short_ids(&node.short_ids).unwrap();
        let found = self.trees[&place.shard].lookup(&path, &salt, short_ids);
        short_ids.iter().copied().zip(found).collect()
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not a matter of repair"))
}

#[tonic::async_trait]
impl Store for TestStore {
    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        let request = request.into_inner();
        assert!(request.records.len() <= proto::APPEND_RECORDS_MAX);
        let takes = self.state().append_takes;
        // A slow disk, not a test that waits.
        let _ = tokio::time::timeout(takes, std::future::pending::<()>()).await;
        let mut state = self.asked("Append")?;
        let arrival = request.arrival;
        let outcomes = request
            .records
            .into_iter()
            .map(|record| state.append(record, arrival))
            .collect();
        if std::mem::take(&mut state.replaced_at_append) {
            state.replace();
        }
        Ok(Response::new(v1::AppendReply { outcomes }))
    }

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        let state = self.asked("Describe")?;
        Ok(Response::new(v1::DescribeReply {
            store_id: Bytes::copy_from_slice(&state.store_id),
            sequence: state.sequence,
            ..v1::DescribeReply::default()
        }))
    }

    async fn compare(
        &self,
        request: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        assert_eq!(
            request.metadata().get(proto::CLUSTER_ID_HEADER).unwrap(),
            "cluster"
        );
        let request = request.into_inner();
        let mut state = self.asked("Compare")?;
        let shards = proto::convert::shards_of_bits(&request.shards, state.num_shards)?;
        let roots: Vec<_> = shards
            .iter()
            .map(|shard| (*shard, state.trees[shard].root()))
            .collect();
        if self.peers {
            let told = (
                request.seen_store_id.clone(),
                request.seen_run,
                request.seen_sequence,
            );
            state.seen.push(told);
        }
        let equal = request.expected == merkle::combined(roots.iter().copied())[..];
        let mut reply = v1::CompareReply {
            equal,
            counts_as_absent: state.counts_as_absent,
            store_id: Bytes::copy_from_slice(&state.store_id),
            // Of any length that they may have.
            run: u64::MAX,
            sequence: state.sequence,
            losses: state.losses,
            lacking: state.lacking.clone(),
            ..v1::CompareReply::default()
        };
        if !equal {
            let shown = |root: &merkle::Digest| match proto::convert::salt(&request.salt) {
                Ok(salt) => merkle::short_digest(&salt, root).to_vec(),
                Err(_) => root.to_vec(),
            };
            let shown: Vec<Vec<u8>> = roots.iter().map(|(_, root)| shown(root)).collect();
            reply.roots = shown.concat().into();
            reply.counts = shards
                .iter()
                .map(|shard| state.trees[shard].len() as u64)
                .collect();
        }
        if self.peers {
            let bytes = request.encoded_len() + reply.encoded_len();
            state.compare_bytes.push(bytes);
        }
        Ok(Response::new(reply))
    }

    async fn descend(
        &self,
        request: Request<v1::DescendRequest>,
    ) -> Result<Response<v1::DescendReply>, Status> {
        let request = request.into_inner();
        let state = self.asked("Descend")?;
        assert!(request.nodes.len() <= proto::TREE_NODES_MAX);
        let salt = proto::convert::salt(&request.salt)?;
        let mut nodes = Vec::new();
        let count = request.nodes.len();
        let grains = proto::convert::grains(&request.ids, count);
        for ((asked, node), grain) in (0..).zip(&request.nodes).zip(grains) {
            let room = grain.ahead_bytes() / count;
            let path = proto::convert::path(node)?;
            let below = state.trees[&node.shard].describe(&path, &salt, grain, room);
            let describe = |below| proto::convert::described(asked, node.shard, below);
            nodes.extend(below.into_iter().map(describe));
        }
        if state.lies {
            nodes.remove(0);
        }
        let tops = request
            .nodes
            .iter()
            .filter(|node| node.depth == 0)
            .map(|node| state.trees[&node.shard].root());
        let roots: Vec<merkle::Digest> = tops.collect();
        Ok(Response::new(v1::DescendReply {
            nodes,
            roots: roots.concat().into(),
            store_id: Bytes::copy_from_slice(&state.store_id),
        }))
    }

    async fn missing(
        &self,
        request: Request<v1::MissingRequest>,
    ) -> Result<Response<v1::MissingReply>, Status> {
        let request = request.into_inner();
        let state = self.asked("Missing")?;
        assert!(request.nodes.len() <= proto::TREE_NODES_MAX);
        let missing = |node: &v1::FetchNode| {
            let ids = state.ids(node, &request.salt);
            let missing: Vec<_> = ids
                .iter()
                .filter(|(_, id)| id.is_none())
                .map(|(short, _)| *short)
                .collect();
            v1::FetchNode {
                node: node.node.clone(),
                short_ids: missing.concat().into(),
            }
        };
        let nodes = request.nodes.iter().map(missing).collect();
        Ok(Response::new(v1::MissingReply { nodes }))
    }

    type FetchStream = Pin<Box<dyn Stream<Item = Result<v1::FetchReply, Status>> + Send>>;

    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let request = request.into_inner();
        let state = self.asked("Fetch")?;
        assert!(request.nodes.len() <= proto::TREE_NODES_MAX);
        let mut records: Vec<v1::HeldRecord> = Vec::new();
        for node in &request.nodes {
            let ids = state.ids(node, &request.salt);
            let rows = ids.iter().filter_map(|(_, id)| state.rows.get(&(*id)?));
            records.extend(rows.map(|row| row.held.clone()));
        }
        if let Some((id, bytes)) = &state.forged {
            let forged = records.iter_mut().filter(|record| record.id == id[..]);
            forged.for_each(|record| record.canonical = bytes.clone());
        }
        for record in &mut records {
            if id_of(&record.canonical)[..] == record.id {
                record.id = Bytes::new();
            }
        }
        let store_id = Bytes::copy_from_slice(&state.store_id);
        let chunks: Vec<_> = records
            .chunks(CHUNK)
            .map(|chunk| {
                Ok(v1::FetchReply {
                    records: chunk.to_vec(),
                    store_id: store_id.clone(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn query(
        &self,
        _: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryReply>, Status> {
        not_here()
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetReply>, Status> {
        not_here()
    }

    async fn list_ids(
        &self,
        request: Request<v1::ListIdsRequest>,
    ) -> Result<Response<v1::ListIdsReply>, Status> {
        let request = request.into_inner();
        let state = self.asked("ListIds")?;
        let after = Id::try_from(&request.after[..]).ok();
        let limit = request.limit as usize;
        let mut ids = state.trees[&request.shard].ids_after(after.as_ref(), limit + 1);
        let more = ids.len() > limit;
        ids.truncate(limit);
        Ok(Response::new(v1::ListIdsReply {
            ids: ids.concat().into(),
            more,
        }))
    }

    async fn confirm(
        &self,
        request: Request<v1::ConfirmRequest>,
    ) -> Result<Response<v1::ConfirmReply>, Status> {
        let meant = request.metadata().get(proto::NODE_HEADER).cloned();
        let request = request.into_inner();
        let mut state = self.asked("Confirm")?;
        // Somebody else's question may come before this store is told anything.
        let node = state.reports.last().map(|(_, report)| report.node.clone());
        let meant = meant.unwrap();
        assert!(node.is_none_or(|node| meant.to_str().unwrap() == node));
        let owner = state
            .tenure
            .confirms(sidecar::clock::boot_ms(), request.shard);
        let ids = proto::convert::ids(&request.ids, proto::CONFIRM_IDS_MAX)?;
        let held = ids
            .into_iter()
            .filter(|id| owner && state.rows.contains_key(id) && !state.unsettled.contains(id));
        let ids: Vec<Id> = held.collect();
        state.confirmed += ids.len();
        Ok(Response::new(v1::ConfirmReply {
            ids: ids.concat().into(),
            owner,
        }))
    }

    async fn context(
        &self,
        _: Request<v1::ContextRequest>,
    ) -> Result<Response<v1::ContextReply>, Status> {
        not_here()
    }

    async fn list_subjects(
        &self,
        _: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsReply>, Status> {
        not_here()
    }

    async fn list(&self, _: Request<v1::ListRequest>) -> Result<Response<v1::ListReply>, Status> {
        not_here()
    }

    async fn follow(
        &self,
        _: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowReply>, Status> {
        not_here()
    }

    async fn scrub(
        &self,
        _: Request<v1::ScrubRequest>,
    ) -> Result<Response<v1::ScrubReply>, Status> {
        not_here()
    }
}

#[tonic::async_trait]
impl StoreControl for TestStore {
    async fn adopt_cluster(
        &self,
        _: Request<v1::AdoptClusterRequest>,
    ) -> Result<Response<v1::AdoptClusterReply>, Status> {
        not_here()
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseReply>, Status> {
        let request = request.into_inner();
        let mut state = self.asked("Release")?;
        let now = sidecar::clock::boot_ms();
        let (asked_at, hold) = (request.asked_at_boot_ms, request.hold_ms);
        let may = match state.keeps {
            true => Err(shard::homecoming::Kept::Absent),
            false => state.tenure.may_release(now, request.shard, asked_at, hold),
        };
        may.map_err(|kept| Status::failed_precondition(kept.to_string()))?;
        let report = &state.reports.last().unwrap().1;
        assert_eq!(request.view_version, report.view_version);
        let mut reply = v1::ReleaseReply::default();
        for id in proto::convert::ids(&request.ids, proto::RELEASE_IDS_MAX)? {
            if state.trees.get_mut(&request.shard).unwrap().remove(&id) {
                let row = state.rows.remove(&id).unwrap();
                reply.released += 1;
                reply.record_bytes += row.held.canonical.len() as u64;
            }
        }
        Ok(Response::new(reply))
    }

    async fn report_proofs(
        &self,
        request: Request<v1::ReportProofsRequest>,
    ) -> Result<Response<v1::ReportProofsReply>, Status> {
        let arrived = sidecar::clock::boot_ms();
        let report = request.into_inner();
        let mut state = self.asked("ReportProofs")?;
        let told = proto::convert::report(report.clone(), state.num_shards)?;
        state
            .tenure
            .report(arrived, told.shown_at, &told.report.owned);
        state.reports.push((arrived, report));
        Ok(Response::new(v1::ReportProofsReply {
            counts_as_absent: false,
        }))
    }

    async fn admit(
        &self,
        _: Request<v1::AdmitRequest>,
    ) -> Result<Response<v1::AdmitReply>, Status> {
        Err(Status::unimplemented("membership asks for that"))
    }
}
