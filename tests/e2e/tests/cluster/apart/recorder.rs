//! What a gateway sends along with its calls, seen by a store made of paper in the place of the real one.

use std::sync::{Arc, Mutex, PoisonError};

use e2e::cluster::Cluster;
use e2e::http::Http;
use http::Method;
use proto::v1;
use proto::v1::store_control_server::{StoreControl, StoreControlServer};
use proto::v1::store_server::{Store, StoreServer};
use tokio::net::TcpListener;
use tokio_stream::Empty;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::claims::claim;
use crate::stage;

const KEY: &str = "steme_test_0123456789abcdef0123456789abcdef0123456789abcdef";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn the_key_and_the_trace_of_a_client_reach_the_store() {
    let _turn = stage::empty().await;
    let cluster = Cluster::plan(1, &[("STEMEDB_CLUSTER_MODE", "false")]);
    let node = cluster.node(1);
    let store = Recorder::default();
    let listener = TcpListener::bind(node.loopback("store")).await;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let server = tonic::transport::Server::builder()
        .add_service(health)
        .add_service(StoreServer::new(store.clone()))
        .add_service(StoreControlServer::new(store.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener.expect("a port of ours")));
    let server = tokio::spawn(server);
    for service in ["gateway", "membership", "antientropy"] {
        node.start_one(service);
    }
    let http = Http::new();
    cluster.ready(&http, node).await;

    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [
        ("content-type", "application/json"),
        ("x-api-key", KEY),
        ("traceparent", &parent),
    ];
    let write = node.api("/v1/assert");
    let written = http
        .send(Method::POST, &write, &headers, claim("recorder", 1))
        .await;
    assert_eq!(written.expect("the gateway answers").status, 201);
    let read = node.api("/v1/query?subject=recorder&lens=recency");
    let answer = http.send(Method::GET, &read, &headers, "").await;
    assert_eq!(answer.expect("the gateway answers").status, 200);

    for (call, key, trace) in store.calls() {
        assert_eq!(key.as_deref(), Some(KEY), "{call}");
        // A child span of the client's, in the client's trace.
        let trace = trace.unwrap_or_else(|| panic!("{call} has no traceparent"));
        assert!(
            trace.starts_with(&format!("00-{TRACE}-")),
            "{call}: {trace}"
        );
        assert!(!trace.contains("00f067aa0ba902b7"), "{call}: {trace}");
    }
    assert_eq!(store.calls().len(), 2, "{:?}", store.calls());
    server.abort();
}

/// A call with the key and the trace context that came with it.
type Call = (&'static str, Option<String>, Option<String>);

/// Stores nothing, says that it did, and keeps what came with the calls of clients.
#[derive(Debug, Clone, Default)]
struct Recorder {
    calls: Arc<Mutex<Vec<Call>>>,
    cluster: Arc<Mutex<String>>,
}

impl Recorder {
    fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    fn note<T>(&self, call: &'static str, request: &Request<T>) {
        let text = |key: &str| {
            let value = request.metadata().get(key)?.to_str().ok()?;
            Some(value.to_owned())
        };
        lock(&self.calls).push((call, text("x-api-key"), text("traceparent")));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn none<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("a store made of paper"))
}

#[tonic::async_trait]
impl Store for Recorder {
    type FetchStream = Empty<Result<v1::FetchReply, Status>>;

    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        self.note("append", &request);
        let stored = v1::AppendOutcome {
            status: v1::AppendStatus::Stored.into(),
            ..v1::AppendOutcome::default()
        };
        let outcomes = vec![stored; request.into_inner().records.len()];
        Ok(Response::new(v1::AppendReply { outcomes }))
    }

    async fn query(
        &self,
        request: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryReply>, Status> {
        self.note("query", &request);
        Ok(Response::new(v1::QueryReply {
            result_json: b"{}".to_vec().into(),
            complete: true,
            proved_through_ms: 1,
            ..v1::QueryReply::default()
        }))
    }

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        let cluster_id = lock(&self.cluster).clone();
        Ok(Response::new(v1::DescribeReply {
            store_id: vec![7; 16].into(),
            serving: !cluster_id.is_empty(),
            cluster_id,
            num_shards: 256,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..v1::DescribeReply::default()
        }))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetReply>, Status> {
        none()
    }

    async fn compare(
        &self,
        _: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        none()
    }

    async fn descend(
        &self,
        _: Request<v1::DescendRequest>,
    ) -> Result<Response<v1::DescendReply>, Status> {
        none()
    }

    async fn missing(
        &self,
        _: Request<v1::MissingRequest>,
    ) -> Result<Response<v1::MissingReply>, Status> {
        none()
    }

    async fn fetch(
        &self,
        _: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        none()
    }

    async fn list_ids(
        &self,
        _: Request<v1::ListIdsRequest>,
    ) -> Result<Response<v1::ListIdsReply>, Status> {
        none()
    }

    async fn context(
        &self,
        _: Request<v1::ContextRequest>,
    ) -> Result<Response<v1::ContextReply>, Status> {
        none()
    }

    async fn confirm(
        &self,
        _: Request<v1::ConfirmRequest>,
    ) -> Result<Response<v1::ConfirmReply>, Status> {
        none()
    }

    async fn list_subjects(
        &self,
        _: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsReply>, Status> {
        none()
    }

    async fn list(&self, _: Request<v1::ListRequest>) -> Result<Response<v1::ListReply>, Status> {
        none()
    }

    async fn follow(
        &self,
        _: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowReply>, Status> {
        none()
    }

    async fn scrub(
        &self,
        _: Request<v1::ScrubRequest>,
    ) -> Result<Response<v1::ScrubReply>, Status> {
        none()
    }
}

#[tonic::async_trait]
impl StoreControl for Recorder {
    async fn adopt_cluster(
        &self,
        request: Request<v1::AdoptClusterRequest>,
    ) -> Result<Response<v1::AdoptClusterReply>, Status> {
        *lock(&self.cluster) = request.into_inner().cluster_id;
        Ok(Response::new(v1::AdoptClusterReply {
            store_id: vec![7; 16].into(),
        }))
    }

    async fn release(
        &self,
        _: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseReply>, Status> {
        none()
    }

    async fn report_proofs(
        &self,
        _: Request<v1::ReportProofsRequest>,
    ) -> Result<Response<v1::ReportProofsReply>, Status> {
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
