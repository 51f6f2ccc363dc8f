//! A store in memory that does what a test tells it to.

mod answers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assertion::{Claim, Content, Place, Record, RecordId};
use bytes::Bytes;
use lens::Match;
use proto::cursor::{self, Position};
use proto::v1::store_server::{Store, StoreServer};
use proto::{convert, v1};
use sidecar::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use answers::{bytes_of, found, listed, marks, passes};

/// Shards of every test's cluster.
pub(crate) const NUM_SHARDS: u32 = 16;

/// What the store does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// All of them.
    Well,
    /// Answers nothing at all before it is well again.
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
    /// Records that arrive only after a comparison has begun: neither in roots nor in lists, and with a later sequence.
    pub(crate) late: Vec<RecordId>,
    /// Calls of `Context`, `ListSubjects` and `Follow` are refused: an earlier version.
    pub(crate) old: bool,
    /// Lists of claims and epochs in calls of `Context` are not seen: a somewhat later one.
    pub(crate) without_lists: bool,
    /// Calls of `Get`.
    pub(crate) gets: usize,
    /// Sources asked for in each call of `Context`.
    pub(crate) contexts: Vec<usize>,
    /// Records told in calls of `Context`.
    pub(crate) told: usize,
    /// Calls of `Describe` for somebody with an API key.
    pub(crate) describes: usize,
    /// When records came that came long ago, in Unix milliseconds.
    pub(crate) received: BTreeMap<RecordId, i64>,
    /// How long each page of the feed was to wait for news, in milliseconds.
    pub(crate) follow_waits: Vec<u32>,
    /// Rows that were copied from another store: its id and the sequence there.
    pub(crate) origins: BTreeMap<RecordId, ([u8; 16], u64)>,
    /// How its scrub stands, and how often it was begun.
    pub(crate) scrub: v1::ScrubReply,
    pub(crate) scrubs: usize,
    /// What it wants an operator to know.
    pub(crate) alarms: Vec<v1::Alarm>,
    /// Who it is.
    pub(crate) store_id: [u8; 16],
    sequence: u64,
    /// Sequences of rows that were given up.
    gone: BTreeSet<u64>,
}

/// The shard of a record.
pub(crate) fn shard_of(record: &Record) -> u32 {
    match record.place() {
        Place::Subject(subject) => shard::shard_of(subject, NUM_SHARDS),
        Place::Global => shard::global_shard(NUM_SHARDS),
    }
}

/// A store.
#[derive(Debug, Clone)]
pub(crate) struct FakeStore {
    /// Its node.
    pub(crate) node: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    news: watch::Sender<u64>,
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
                old: false,
                without_lists: false,
                gets: 0,
                contexts: Vec::new(),
                told: 0,
                describes: 0,
                received: BTreeMap::new(),
                follow_waits: Vec::new(),
                origins: BTreeMap::new(),
                scrub: v1::ScrubReply::default(),
                scrubs: 0,
                alarms: Vec::new(),
                store_id: *RecordId::of(node.as_bytes())
                    .as_bytes()
                    .first_chunk()
                    .unwrap(),
                sequence: 0,
                gone: BTreeSet::new(),
            })),
            news: watch::Sender::new(0),
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
        drop(state);
        self.news.send_replace(sequence);
    }

    /// Puts a record there that came when there were no readers yet.
    pub(crate) fn put_long_ago(&self, record: &Record) {
        self.state().received.insert(record.id(), 1);
        self.put(record);
    }

    /// Puts a record there that was copied from a row of another store.
    pub(crate) fn copy(&self, record: &Record, store: &FakeStore) {
        let origin = {
            let other = store.state();
            (other.store_id, other.records[&record.id()].1)
        };
        self.state().origins.insert(record.id(), origin);
        self.put(record);
    }

    /// Gives a record up to those who own it.
    pub(crate) fn give_up(&self, record: &Record) {
        let mut state = self.state();
        let (_, sequence) = state.records.remove(&record.id()).unwrap();
        state.gone.insert(sequence);
    }

    /// Takes all it held away, as a new disk does.
    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        state.records.clear();
        state.sequence = 0;
        state.store_id = *RecordId::of(&state.store_id)
            .as_bytes()
            .first_chunk()
            .unwrap();
    }

    /// Takes away what came behind a row, as an old disk image does.
    pub(crate) fn fall_back(&self, sequence: u64) {
        let mut state = self.state();
        state.records.retain(|_, (_, row)| *row <= sequence);
        state.sequence = sequence;
    }

    /// Refuses what an earlier version does not know.
    async fn enter_new(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.enter(metadata).await?;
        if self.state().old {
            return Err(Status::unimplemented("not in this version"));
        }
        Ok(())
    }

    /// Notes the call, and waits when it should. Nothing reaches one that was killed.
    async fn enter(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.state().metadata = metadata.clone();
        self.hang().await
    }

    async fn hang(&self) -> Result<(), Status> {
        // Its end is seen by connections only when they are looked at next.
        if self.running.lock().unwrap().is_none() {
            return Err(Status::unavailable("killed"));
        }
        while self.state().mood == Mood::Frozen {
            tokio::time::sleep(Duration::from_millis(5)).await; // between polls
        }
        Ok(())
    }

    fn ids_of(&self, shard: u32) -> Vec<(RecordId, u64)> {
        let state = self.state();
        state
            .records
            .values()
            .filter(|(record, _)| shard_of(record) == shard)
            .map(|(record, sequence)| (record.id(), *sequence))
            .collect()
    }
}

#[tonic::async_trait]
impl Store for FakeStore {
    type FetchStream = Pin<Box<dyn futures::Stream<Item = Result<v1::FetchReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        self.enter(request.metadata()).await?;
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
        self.enter(request.metadata()).await?;
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
            at: record.at_ms(),
            id: record.id(),
        };
        let matches = |claim: Claim<'_>| selection.matches(&claim) == Match::Yes;
        let mut page: Vec<&Record> = records
            .filter(|record| record.claim().is_some_and(matches))
            .filter(|record| from.is_none_or(|from| position(record) > from))
            .collect();
        page.sort_by_key(|record| position(record));
        if page.len() > request.limit as usize {
            page.truncate(request.limit as usize);
            let last = page.last().map(|record| position(record));
            reply.cursor = last.map_or_else(Bytes::new, |last| cursor::write(&selection, last));
        }
        if reply.complete {
            reply.marks = marks(&state, &page);
        }
        reply.records = page.into_iter().map(found).collect();
        Ok(Response::new(reply))
    }

    async fn context(
        &self,
        request: Request<v1::ContextRequest>,
    ) -> Result<Response<v1::ContextReply>, Status> {
        self.enter_new(request.metadata()).await?;
        let request = request.into_inner();
        let mut state = self.state();
        state.contexts.push(request.sources.len());
        let list = |ids: &[Bytes]| -> Option<BTreeSet<String>> {
            let ids = ids.iter().map(|id| convert::record_id(id).unwrap());
            let ids: BTreeSet<String> = ids.map(|id| id.to_string()).collect();
            (!ids.is_empty() && !state.without_lists).then_some(ids)
        };
        let (claims, epochs) = (list(&request.votes_on), list(&request.epochs_of));
        let listed = |list: &Option<BTreeSet<String>>, id: &String| {
            list.as_ref().is_none_or(|list| list.contains(id))
        };
        let asked = |record: &&Record| match record.content() {
            Content::Source(source) => request.sources.contains(&source.uri),
            Content::Vote(vote) => {
                request.votes_of.as_ref() == Some(&vote.subject) && listed(&claims, &vote.assertion)
            }
            Content::Epoch(epoch) => {
                let named = epoch.supersedes.iter();
                let mut bears = named.map(|id| listed(&epochs, id));
                let own = listed(&epochs, &record.id().to_string());
                request.epochs && (own || bears.any(|bears| bears))
            }
            Content::Assertion(_) => false,
        };
        let seen = |record: &&Record| request.as_of_ms.is_none_or(|at| record.at_ms() <= at);
        // All source records instead of the latest ones, and small pages: the gateway has to cope with more than it needs.
        let after = request.cursor.first_chunk::<32>();
        let page: Vec<&Record> = state
            .records
            .values()
            .map(|(record, _)| record)
            .filter(|record| after.is_none_or(|after| record.id().as_bytes() > after))
            .filter(asked)
            .filter(seen)
            .take(3)
            .collect();
        let last = page.last().filter(|_| page.len() == 3);
        let reply = v1::ContextReply {
            cursor: last.map_or_else(Bytes::new, |last| bytes_of(last.id())),
            records: page.into_iter().map(found).collect(),
            counts_as_absent: state.absent,
        };
        state.told += reply.records.len();
        Ok(Response::new(reply))
    }

    async fn confirm(
        &self,
        _: Request<v1::ConfirmRequest>,
    ) -> Result<Response<v1::ConfirmReply>, Status> {
        Err(Status::unimplemented("not a matter of gateways"))
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsReply>, Status> {
        self.enter_new(request.metadata()).await?;
        let request = request.into_inner();
        let state = self.state();
        let mut counts = BTreeMap::<String, u64>::new();
        for claim in state
            .records
            .values()
            .filter_map(|(record, _)| record.assertion())
        {
            if claim.subject.starts_with(&request.prefix) && claim.subject > request.after {
                *counts.entry(claim.subject.clone()).or_default() += 1;
            }
        }
        let limit = request.limit as usize;
        Ok(Response::new(v1::ListSubjectsReply {
            more: counts.len() > limit,
            subjects: counts
                .into_iter()
                .take(limit)
                .map(|(subject, records)| v1::FoundSubject { subject, records })
                .collect(),
            counts_as_absent: state.absent,
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListReply>, Status> {
        self.enter_new(request.metadata()).await?;
        let request = request.into_inner();
        let state = self.state();
        let mut rows = listed(&state, &request);
        rows.retain(|key, _| *key > request.after);
        let limit = request.limit as usize;
        let through = match rows.keys().nth(limit - 1) {
            Some(last) if rows.len() > limit => last.clone(),
            _ => Bytes::new(),
        };
        Ok(Response::new(v1::ListReply {
            rows: rows.into_values().take(limit).collect(),
            through,
            complete: state.complete && !state.absent,
            proved_through_ms: if state.complete { 1_234 } else { 0 },
            counts_as_absent: state.absent,
        }))
    }

    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowReply>, Status> {
        self.enter_new(request.metadata()).await?;
        let request = request.into_inner();
        let mut news = self.news.subscribe();
        if request.store_id[..] != self.state().store_id[..] {
            let mut other = Status::failed_precondition("another store");
            let code = "other_store".parse().unwrap();
            other.metadata_mut().insert(proto::CODE_HEADER, code);
            return Err(other);
        }
        self.state().follow_waits.push(request.wait_ms);
        let wait = std::time::Duration::from_millis(request.wait_ms.into());
        let waited = news.wait_for(|_| self.state().sequence > request.after);
        let _ = tokio::time::timeout(wait, waited).await;
        let selection = convert::selection(request.selection.clone().unwrap_or_default())?;
        let state = self.state();
        let mut rows: Vec<&(Record, u64)> = state
            .records
            .values()
            .filter(|(_, sequence)| *sequence > request.after)
            .collect();
        rows.sort_by_key(|(_, sequence)| *sequence);
        rows.truncate(request.limit as usize);
        let mut bytes = 0;
        let fits = rows.iter().take_while(|(record, _)| {
            bytes += record.canonical().len();
            bytes <= 1024 * 1024
        });
        let fits = fits.count();
        rows.truncate(fits);
        let last = rows.last().map_or(request.after, |(_, sequence)| *sequence);
        // Behind the last row there may be others that are gone.
        let more = state.records.values().any(|(_, sequence)| *sequence > last);
        let through = if more { last } else { state.sequence };
        let passed = state.gone.range(request.after + 1..through + 1);
        let gone_through = passed.last().copied().unwrap_or(0);
        let unfiltered = request.selection.is_none();
        let records = rows
            .into_iter()
            .filter(|(record, _)| {
                let kinds = request.kinds.is_empty() && unfiltered;
                kinds || passes(record, &request, &selection)
            })
            .map(|(record, sequence)| {
                let origin = state.origins.get(&record.id());
                v1::HeldRecord {
                    id: bytes_of(record.id()),
                    canonical: Bytes::copy_from_slice(record.canonical()),
                    sequence: *sequence,
                    arrival: match origin {
                        Some(_) => v1::Arrival::Repair.into(),
                        None => v1::Arrival::Push.into(),
                    },
                    origin: origin.map(|(store_id, sequence)| v1::Origin {
                        store_id: Bytes::copy_from_slice(store_id),
                        sequence: *sequence,
                    }),
                    received_at_ms: match state.received.get(&record.id()) {
                        Some(received) => *received,
                        None => sidecar::clock::unix_ms(),
                    },
                    shard: shard_of(record),
                    ..v1::HeldRecord::default()
                }
            });
        Ok(Response::new(v1::FollowReply {
            records: records.collect(),
            through,
            head: state.sequence,
            gone_through,
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetReply>, Status> {
        self.enter(request.metadata()).await?;
        let request = request.into_inner();
        let mut state = self.state();
        state.gets += 1;
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
                sequence: match state.late.contains(&id) {
                    true => state.sequence + 1,
                    false => *sequence,
                },
                received_at_ms: 99,
                arrival: v1::Arrival::Push.into(),
                shard: shard_of(record),
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
        let for_somebody = request.metadata().contains_key("x-api-key");
        self.state().describes += usize::from(for_somebody);
        // The gateway asks every second: what the call before said stays to be seen.
        self.hang().await?;
        let state = self.state();
        Ok(Response::new(v1::DescribeReply {
            store_id: Bytes::copy_from_slice(&state.store_id),
            cluster_id: "c1".into(),
            num_shards: NUM_SHARDS,
            serving: state.mood != Mood::Full,
            records: state.records.len() as u64,
            sequence: state.sequence,
            alarms: state.alarms.clone(),
            counts_as_absent: state.absent,
            ..v1::DescribeReply::default()
        }))
    }

    async fn compare(
        &self,
        request: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        self.enter(request.metadata()).await?;
        let shards = convert::shards_of_bits(&request.get_ref().shards, NUM_SHARDS)?;
        let (mut roots, mut counts) = (Vec::new(), Vec::new());
        for shard in shards {
            let late = self.state().late.clone();
            let mut ids = self.ids_of(shard);
            ids.retain(|(id, _)| !late.contains(id));
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
        self.enter(request.metadata()).await?;
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

    async fn scrub(
        &self,
        request: Request<v1::ScrubRequest>,
    ) -> Result<Response<v1::ScrubReply>, Status> {
        self.enter(request.metadata()).await?;
        let mut state = self.state();
        state.scrubs += usize::from(request.get_ref().start);
        Ok(Response::new(state.scrub.clone()))
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
