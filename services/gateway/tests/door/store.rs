//! A store in memory that does what a test tells it to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assertion::{Record, RecordId};
use bytes::Bytes;
use lens::Match;
use proto::cursor::{self, Position};
use proto::v1::store_server::{Store, StoreServer};
use proto::{convert, v1};
use sidecar::Shutdown;
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Shards of every test's cluster.
pub(crate) const NUM_SHARDS: u32 = 16;

/// What the store does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// All of them.
    Well,
    /// Answers nothing at all.
    Frozen,
    /// Answers, but its disk hangs: `Append` never ends.
    Stuck,
    /// `Append` is refused: no room.
    Full,
    /// `Append` is refused so many times: too much to do.
    Busy(u32),
}

/// What it holds and says.
#[derive(Debug)]
pub(crate) struct State {
    /// What it does with calls.
    pub(crate) mood: Mood,
    /// Records by id, with their arrival sequence.
    pub(crate) records: BTreeMap<RecordId, (Record, u64)>,
    /// It can prove that it has everything.
    pub(crate) complete: bool,
    /// It started empty.
    pub(crate) absent: bool,
    /// Overrides the `result` of a lens.
    pub(crate) result: Option<Bytes>,
    /// Calls of `Append`, and records in each.
    pub(crate) appends: Vec<usize>,
    /// Metadata of the last call.
    pub(crate) metadata: MetadataMap,
    /// Queries answered.
    pub(crate) queries: usize,
    /// Records that arrive only when their sequence is looked at again: ids hidden from lists.
    pub(crate) late: Vec<RecordId>,
    sequence: u64,
}

/// A store.
#[derive(Debug, Clone)]
pub(crate) struct FakeStore {
    /// Its node.
    pub(crate) node: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    running: Arc<Mutex<Option<Shutdown>>>,
}

impl FakeStore {
    /// Starts one on a free port.
    pub(crate) async fn start(node: &str) -> FakeStore {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = FakeStore {
            node: node.to_owned(),
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(State {
                mood: Mood::Well,
                records: BTreeMap::new(),
                complete: true,
                absent: false,
                result: None,
                appends: Vec::new(),
                metadata: MetadataMap::new(),
                queries: 0,
                late: Vec::new(),
                sequence: 0,
            })),
            running: Arc::default(),
        };
        store.serve(listener).await;
        store
    }

    async fn serve(&self, listener: TcpListener) {
        let (latch, health) = sidecar::health::readiness().await;
        latch.set(true).await;
        let routes = Routes::new(health).add_service(StoreServer::new(self.clone()));
        let shutdown = Shutdown::new();
        *self.running.lock().unwrap() = Some(shutdown.clone());
        // Dropped at once, not drained: connections break as they do when a process dies.
        let dies = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = sidecar::grpc::serve(routes, listener, Shutdown::new()) => {}
                () = dies.cancelled() => {}
            }
        });
    }

    /// Ends it as a kill does; what it held is kept.
    pub(crate) fn kill(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            running.trigger();
        }
    }

    /// Starts it again at the same place.
    pub(crate) async fn restart(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.serve(listener).await;
    }

    /// Looks at it, or changes it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record there behind the gateway's back.
    pub(crate) fn put(&self, record: &Record) {
        let mut state = self.state();
        state.sequence += 1;
        let sequence = state.sequence;
        state
            .records
            .insert(record.id(), (record.clone(), sequence));
    }

    /// Notes the call, and waits for ever when it should.
    async fn enter(&self, metadata: &MetadataMap) {
        let mood = {
            let mut state = self.state();
            state.metadata = metadata.clone();
            state.mood
        };
        if mood == Mood::Frozen {
            std::future::pending::<()>().await;
        }
    }

    fn ids_of(&self, shard: u32) -> Vec<(RecordId, u64)> {
        let state = self.state();
        state
            .records
            .values()
            .filter(|(record, _)| shard::shard_of(record.subject(), NUM_SHARDS) == shard)
            .map(|(record, sequence)| (record.id(), *sequence))
            .collect()
    }
}

fn bytes_of(id: RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

#[tonic::async_trait]
impl Store for FakeStore {
    type FetchStream = Pin<Box<dyn futures::Stream<Item = Result<v1::FetchReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        self.enter(request.metadata()).await;
        let request = request.into_inner();
        let mood = {
            let mut state = self.state();
            state.appends.push(request.records.len());
            let mood = state.mood;
            if let Mood::Busy(times) = mood {
                state.mood = times.checked_sub(1).map_or(Mood::Well, Mood::Busy);
            }
            mood
        };
        match mood {
            Mood::Stuck => std::future::pending().await,
            Mood::Full => {
                let mut full = Status::resource_exhausted("disk full: 3 bytes are free");
                let code = "disk_full".parse().unwrap();
                full.metadata_mut().insert(proto::CODE_HEADER, code);
                return Err(full);
            }
            Mood::Busy(times) if times > 0 => return Err(Status::resource_exhausted("overloaded")),
            _ => {}
        }
        let outcomes = request.records.into_iter().map(|record| {
            let Ok(record) = Record::from_canonical(&record.canonical) else {
                return v1::AppendOutcome {
                    status: v1::AppendStatus::Invalid.into(),
                    reason: "not a record".into(),
                };
            };
            let known = self.state().records.contains_key(&record.id());
            if !known {
                self.put(&record);
            }
            let status = if known {
                v1::AppendStatus::Present
            } else {
                v1::AppendStatus::Stored
            };
            v1::AppendOutcome {
                status: status.into(),
                reason: String::new(),
            }
        });
        let outcomes = outcomes.collect();
        Ok(Response::new(v1::AppendReply { outcomes }))
    }

    async fn query(
        &self,
        request: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryReply>, Status> {
        self.enter(request.metadata()).await;
        let request = request.into_inner();
        let mut state = self.state();
        state.queries += 1;
        let selection = convert::selection(request.selection.clone().unwrap_or_default())?;
        let missing = request.include.iter().filter(|id| {
            let id = convert::record_id(id).unwrap();
            !state.records.contains_key(&id)
        });
        let mut reply = v1::QueryReply {
            complete: state.complete && !state.absent,
            proved_through_ms: if state.complete { 1_234 } else { 0 },
            counts_as_absent: state.absent,
            missing: missing.cloned().collect(),
            ..v1::QueryReply::default()
        };
        let records = state.records.values().map(|(record, _)| record);
        if let Some(call) = &request.lens {
            let parameters = convert::parameters(call, request.selection.unwrap_or_default())?;
            let answer = lens::resolve(parameters, records).unwrap().to_json();
            reply.result_json = state.result.clone().unwrap_or_else(|| answer.into());
            return Ok(Response::new(reply));
        }
        let from = cursor::read(&selection, &request.cursor)?;
        let position = |record: &Record| Position {
            at: record.assertion().asserted_at,
            id: record.id(),
        };
        let mut page: Vec<&Record> = records
            .filter(|record| selection.matches(record.assertion()) == Match::Yes)
            .filter(|record| from.is_none_or(|from| position(record) > from))
            .collect();
        page.sort_by_key(|record| position(record));
        if page.len() > request.limit as usize {
            page.truncate(request.limit as usize);
            let last = page.last().map(|record| position(record));
            reply.cursor = last.map_or_else(Bytes::new, |last| cursor::write(&selection, last));
        }
        reply.records = page
            .into_iter()
            .map(|record| v1::FoundRecord {
                id: bytes_of(record.id()),
                canonical: Bytes::copy_from_slice(record.canonical()),
            })
            .collect();
        Ok(Response::new(reply))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetReply>, Status> {
        self.enter(request.metadata()).await;
        let request = request.into_inner();
        let state = self.state();
        let held = request.ids.iter().filter_map(|id| {
            let id = convert::record_id(id).ok()?;
            let (record, sequence) = state.records.get(&id)?;
            Some(v1::HeldRecord {
                id: bytes_of(id),
                canonical: if request.provenance_only {
                    Bytes::new()
                } else {
                    Bytes::copy_from_slice(record.canonical())
                },
                sequence: *sequence,
                received_at_ms: 99,
                arrival: v1::Arrival::Push.into(),
                shard: shard::shard_of(record.subject(), NUM_SHARDS),
                ..v1::HeldRecord::default()
            })
        });
        Ok(Response::new(v1::GetReply {
            records: held.collect(),
            complete: false,
            proved_through_ms: 0,
            counts_as_absent: state.absent,
        }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        self.enter(request.metadata()).await;
        let state = self.state();
        Ok(Response::new(v1::DescribeReply {
            cluster_id: "c1".into(),
            num_shards: NUM_SHARDS,
            serving: state.mood != Mood::Full,
            records: state.records.len() as u64,
            sequence: state.sequence,
            ..v1::DescribeReply::default()
        }))
    }

    async fn compare(
        &self,
        request: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        self.enter(request.metadata()).await;
        let shards = convert::shards_of_bits(&request.get_ref().shards, NUM_SHARDS)?;
        let (mut roots, mut counts) = (Vec::new(), Vec::new());
        for shard in shards {
            let ids = self.ids_of(shard);
            let bytes: Vec<u8> = ids.iter().flat_map(|(id, _)| *id.as_bytes()).collect();
            roots.extend_from_slice(RecordId::of(&bytes).as_bytes());
            counts.push(ids.len() as u64);
        }
        Ok(Response::new(v1::CompareReply {
            roots: roots.into(),
            counts,
            ..v1::CompareReply::default()
        }))
    }

    async fn list_ids(
        &self,
        request: Request<v1::ListIdsRequest>,
    ) -> Result<Response<v1::ListIdsReply>, Status> {
        self.enter(request.metadata()).await;
        let request = request.into_inner();
        let late = self.state().late.clone();
        let mut ids: Vec<RecordId> = self
            .ids_of(request.shard)
            .into_iter()
            .filter(|(id, sequence)| *sequence <= request.max_sequence && !late.contains(id))
            .map(|(id, _)| id)
            .filter(|id| request.after.is_empty() || id.as_bytes()[..] > request.after[..])
            .collect();
        // Small pages, so that there are several.
        let more = ids.len() > 3;
        ids.truncate(3);
        let ids: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        Ok(Response::new(v1::ListIdsReply {
            ids: ids.into(),
            more,
        }))
    }

    async fn descend(
        &self,
        _: Request<v1::DescendRequest>,
    ) -> Result<Response<v1::DescendReply>, Status> {
        Err(Status::unimplemented("gateways do not repair"))
    }

    async fn missing(
        &self,
        _: Request<v1::MissingRequest>,
    ) -> Result<Response<v1::MissingReply>, Status> {
        Err(Status::unimplemented("gateways do not repair"))
    }

    async fn fetch(
        &self,
        _: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        Err(Status::unimplemented("gateways do not repair"))
    }
}
