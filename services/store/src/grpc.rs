//! The two services, and the one place where an error becomes a status.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use proto::convert;
use proto::v1;
use proto::v1::store_control_server::StoreControl;
use proto::v1::store_server::Store;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

use crate::completeness::Completeness;
use crate::damage::Damage;
use crate::door::Belonging;
use crate::error::{CallError, Refusal};
use crate::follow::Follows;
use crate::holdings::Holdings;
use crate::homecoming::Homecoming;
use crate::intake::{Incoming, Intake};
use crate::lookup;
use crate::query::Queries;
use crate::scrub::{self, Scrub};
use crate::space::Space;
use crate::trees::Trees;
use crate::walk::Walks;
use crate::writer::Writer;

/// Longest cluster id: it travels in metadata and in messages of belonging.
const CLUSTER_ID_MAX: usize = 128;

/// Serves `Store` and `StoreControl`.
#[derive(Debug, Clone)]
pub struct StoreService(Arc<Parts>);

/// What the services are made of.
#[derive(Debug)]
pub struct Parts {
    /// 16 bytes.
    pub store_id: [u8; 16],
    /// Shards of the cluster.
    pub num_shards: u32,
    /// Whose store it is.
    pub belonging: Belonging,
    /// The way to the writer.
    pub writer: Writer,
    /// Lenses and pages.
    pub queries: Queries,
    /// Feeds.
    pub follows: Follows,
    /// Repair.
    pub walks: Walks,
    /// Confirmations and releases.
    pub homecoming: Arc<Homecoming>,
    /// Connections that read.
    pub readers: sqlx::SqlitePool,
    /// Roots and trees.
    pub trees: Arc<Trees>,
    /// Proofs.
    pub completeness: Arc<Completeness>,
    /// Free disk.
    pub space: Arc<Space>,
    /// Used disk.
    pub holdings: Holdings,
    /// What is known to be damaged.
    pub damage: Arc<Damage>,
    /// Looks for more.
    pub scrub: Arc<Scrub>,
}

impl StoreService {
    /// Over these parts.
    pub fn new(parts: Parts) -> StoreService {
        StoreService(Arc::new(parts))
    }

    async fn store(&self, request: v1::AppendRequest) -> Result<v1::AppendReply, CallError> {
        // Its rows are being handed over: what came now would have to be handed over again.
        if request.arrival() == v1::Arrival::Push && self.0.completeness.is_leaving() {
            return Err(Refusal::Leaving.into());
        }
        let intake = Intake::new(request, self.0.num_shards)?;
        let bytes = intake.bytes();
        let room = self.0.writer.room(bytes)?;
        let _spans = intake.spans();
        let parsed = intake.parse().await;
        let sound: Vec<Incoming> = parsed.iter().flatten().cloned().collect();
        let new = match sound.len() {
            0 => Vec::new(),
            _ => self.0.writer.append(sound, bytes, room).await?,
        };
        let mut new = new.into_iter();
        let outcomes = parsed.into_iter().map(|parsed| match parsed {
            Err(reason) => outcome(v1::AppendStatus::Invalid, reason),
            // One answer per record that was sent.
            Ok(_) if new.next().unwrap_or_default() => {
                outcome(v1::AppendStatus::Stored, String::new())
            }
            Ok(_) => outcome(v1::AppendStatus::Present, String::new()),
        });
        Ok(v1::AppendReply {
            outcomes: outcomes.collect(),
        })
    }

    async fn bind(
        &self,
        request: v1::AdoptClusterRequest,
    ) -> Result<v1::AdoptClusterReply, CallError> {
        let Parts {
            store_id,
            num_shards,
            belonging,
            writer,
            ..
        } = &*self.0;
        let v1::AdoptClusterRequest {
            cluster_id,
            num_shards: named,
        } = request;
        if cluster_id.is_empty() || cluster_id.len() > CLUSTER_ID_MAX || !cluster_id.is_ascii() {
            let problem = format!("is not 1 to {CLUSTER_ID_MAX} ASCII characters");
            return Err(convert::WireError::new("cluster_id", problem).into());
        }
        if named != *num_shards {
            return Err(CallError::WrongCluster(format!(
                "this store has {num_shards} shards, cluster {cluster_id} has {named}; the number is fixed for a cluster's life"
            )));
        }
        match belonging.adopted() {
            Some(adopted) if *adopted != *cluster_id => {
                return Err(CallError::WrongCluster(format!(
                    "this store belongs to cluster {adopted} and cannot be bound to {cluster_id}; give the node an empty data directory"
                )));
            }
            Some(_) => {}
            None => {
                writer.adopt(cluster_id.clone()).await?;
                belonging.adopt(&cluster_id);
                tracing::info!(cluster_id, "the store belongs to a cluster now");
            }
        }
        Ok(v1::AdoptClusterReply {
            store_id: Bytes::copy_from_slice(store_id),
        })
    }

    fn described(&self) -> v1::DescribeReply {
        let parts = &*self.0;
        let standing = parts.completeness.of_owned();
        let (_, proved_through_ms) = standing.judge();
        let room = parts.space.check().map_err(|refusal| refusal.to_string());
        let room = parts.damage.why_unreadable().map_or(room, Err);
        v1::DescribeReply {
            store_id: Bytes::copy_from_slice(&parts.store_id),
            cluster_id: parts
                .belonging
                .adopted()
                .map(|id| id.to_string())
                .unwrap_or_default(),
            num_shards: parts.num_shards,
            serving: room.is_ok(),
            reason: room.err().unwrap_or_default(),
            records: parts.trees.records(),
            sequence: parts.trees.sequence(),
            counts_as_absent: parts.completeness.counts_as_absent(),
            database_bytes: parts.holdings.disk_bytes(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            proved_through_ms,
            known: parts.completeness.known(),
            alarms: scrub::alarms(&parts.damage),
            counted_replication_factor: parts.completeness.copies(),
        }
    }

    /// What a caller sees of an error. One that says that something is damaged has it looked at.
    fn refuse(&self, error: CallError) -> Status {
        self.0.damage.met(&error);
        status(error)
    }
}

fn outcome(status: v1::AppendStatus, reason: String) -> v1::AppendOutcome {
    v1::AppendOutcome {
        status: status.into(),
        reason,
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Store for StoreService {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<v1::FetchReply, Status>> + Send>>;

    async fn append(&self, request: Request<v1::AppendRequest>) -> Answer<v1::AppendReply> {
        self.store(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Answer<v1::QueryReply> {
        self.0
            .queries
            .answer(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetReply> {
        let Parts {
            readers,
            trees,
            completeness,
            ..
        } = &*self.0;
        lookup::get(readers, trees, completeness, request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Answer<v1::DescribeReply> {
        Ok(Response::new(self.described()))
    }

    async fn compare(&self, request: Request<v1::CompareRequest>) -> Answer<v1::CompareReply> {
        self.0
            .walks
            .compare(request.get_ref())
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn descend(&self, request: Request<v1::DescendRequest>) -> Answer<v1::DescendReply> {
        self.0
            .walks
            .descend(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn missing(&self, request: Request<v1::MissingRequest>) -> Answer<v1::MissingReply> {
        self.0
            .walks
            .missing(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Answer<Self::FetchStream> {
        let chunks = self
            .0
            .walks
            .fetch(request.into_inner())
            .await
            .map_err(|error| self.refuse(error))?;
        let service = self.clone();
        let chunks = ReceiverStream::new(chunks)
            .map(move |chunk| chunk.map_err(|error| service.refuse(error)));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn list_ids(&self, request: Request<v1::ListIdsRequest>) -> Answer<v1::ListIdsReply> {
        self.0
            .walks
            .list(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn confirm(&self, request: Request<v1::ConfirmRequest>) -> Answer<v1::ConfirmReply> {
        self.0
            .homecoming
            .confirm(request.get_ref())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn context(&self, request: Request<v1::ContextRequest>) -> Answer<v1::ContextReply> {
        self.0
            .queries
            .context(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> Answer<v1::ListSubjectsReply> {
        self.0
            .queries
            .subjects(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListReply> {
        self.0
            .queries
            .list(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn follow(&self, request: Request<v1::FollowRequest>) -> Answer<v1::FollowReply> {
        self.0
            .follows
            .page(request.into_inner())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }

    async fn scrub(&self, request: Request<v1::ScrubRequest>) -> Answer<v1::ScrubReply> {
        if request.get_ref().start {
            self.0.scrub.start();
        }
        Ok(Response::new(self.0.scrub.status()))
    }
}

#[tonic::async_trait]
impl StoreControl for StoreService {
    async fn adopt_cluster(
        &self,
        request: Request<v1::AdoptClusterRequest>,
    ) -> Answer<v1::AdoptClusterReply> {
        self.bind(request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn report_proofs(
        &self,
        request: Request<v1::ReportProofsRequest>,
    ) -> Answer<v1::ReportProofsReply> {
        let Parts {
            completeness,
            writer,
            num_shards,
            ..
        } = &*self.0;
        let report = convert::report(request.into_inner(), *num_shards)?;
        let taken = completeness.report(report, writer).await;
        let counts_as_absent = taken.map_err(|refusal| status(refusal.into()))?;
        Ok(Response::new(v1::ReportProofsReply { counts_as_absent }))
    }

    async fn admit(&self, request: Request<v1::AdmitRequest>) -> Answer<v1::AdmitReply> {
        let Parts {
            completeness,
            writer,
            ..
        } = &*self.0;
        let noted = completeness.admit(request.get_ref().fresh, writer).await;
        noted.map_err(|refusal| status(refusal.into()))?;
        Ok(Response::new(v1::AdmitReply {}))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseReply> {
        self.0
            .homecoming
            .release(request.get_ref())
            .await
            .map(Response::new)
            .map_err(|error| self.refuse(error))
    }
}

/// What a caller sees of an error: the gRPC code, the text, and a code for programs in `stemedb-code`.
pub(crate) fn status(error: CallError) -> Status {
    let (code, name) = match &error {
        CallError::Wire(_) => (Code::InvalidArgument, "invalid_request"),
        CallError::WrongCluster(_) => (Code::FailedPrecondition, "wrong_cluster"),
        CallError::WrongNode { .. } => (Code::FailedPrecondition, "wrong_node"),
        CallError::OtherStore { .. } => (Code::FailedPrecondition, "other_store"),
        CallError::FellBack { .. } => (Code::FailedPrecondition, "fell_back"),
        CallError::Refused(Refusal::DiskFull { .. }) => (Code::ResourceExhausted, "disk_full"),
        CallError::Refused(Refusal::Overloaded) | CallError::Overloaded => {
            (Code::ResourceExhausted, "overloaded")
        }
        CallError::Refused(Refusal::Busy) => (Code::Unavailable, "database_locked"),
        CallError::Refused(Refusal::Malformed(_)) => {
            (Code::FailedPrecondition, "database_malformed")
        }
        CallError::Refused(Refusal::Leaving) => (Code::Unavailable, "leaving"),
        CallError::NotReleased(_) => (Code::FailedPrecondition, "not_released"),
        CallError::Refused(Refusal::Stopping) => (Code::Unavailable, "stopping"),
        CallError::Refused(Refusal::MaybeStored(_)) => (Code::Unknown, "maybe_stored"),
        CallError::TooMuch(_) | CallError::TooLarge(_) => (Code::FailedPrecondition, "too_much"),
        CallError::TooSlow(_) => (Code::DeadlineExceeded, "too_slow"),
        CallError::Damaged { .. } => (Code::DataLoss, "damaged_row"),
        CallError::Read(_) => (Code::Internal, "database"),
    };
    if matches!(error, CallError::Read(_) | CallError::Damaged { .. }) {
        tracing::error!(%error, "a call could not be answered");
    }
    let mut status = Status::new(code, error.to_string());
    status
        .metadata_mut()
        .insert(proto::CODE_HEADER, MetadataValue::from_static(name));
    status
}
