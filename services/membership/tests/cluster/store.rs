//! A store that only says who it is and lets itself be bound to a cluster.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proto::v1;
use proto::v1::store_control_server::{StoreControl, StoreControlServer};
use proto::v1::store_server::{Store, StoreServer};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// One store: its "disk" outlives the listener.
#[derive(Clone)]
pub(crate) struct TestStore {
    described: Arc<Mutex<v1::DescribeReply>>,
}

impl TestStore {
    pub(crate) fn new(num_shards: u32) -> TestStore {
        let described = v1::DescribeReply {
            store_id: rand::random::<[u8; 16]>().to_vec().into(),
            num_shards,
            ..v1::DescribeReply::default()
        };
        TestStore {
            described: Arc::new(Mutex::new(described)),
        }
    }

    pub(crate) fn cluster_id(&self) -> String {
        self.described.lock().unwrap().cluster_id.clone()
    }

    /// As repair does.
    pub(crate) fn tell(&self, view: &v1::View) {
        let known = view.members.iter();
        let known = known.filter(|member| member.status() != v1::Status::Left);
        if !view.cluster_id.is_empty() {
            let names = known.map(|member| member.name.clone()).collect();
            self.described.lock().unwrap().known = names;
        }
    }

    pub(crate) async fn serve(self, listener: TcpListener) {
        tonic::transport::Server::builder()
            .add_service(StoreServer::new(self.clone()))
            .add_service(StoreControlServer::new(self))
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this store holds no records"))
}

#[tonic::async_trait]
impl Store for TestStore {
    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        Ok(Response::new(self.described.lock().unwrap().clone()))
    }

    async fn append(
        &self,
        _: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendReply>, Status> {
        not_here()
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

    async fn compare(
        &self,
        _: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        not_here()
    }

    async fn descend(
        &self,
        _: Request<v1::DescendRequest>,
    ) -> Result<Response<v1::DescendReply>, Status> {
        not_here()
    }

    type FetchStream = Pin<Box<dyn Stream<Item = Result<v1::FetchReply, Status>> + Send>>;

    async fn fetch(
        &self,
        _: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        not_here()
    }

    async fn missing(
        &self,
        _: Request<v1::MissingRequest>,
    ) -> Result<Response<v1::MissingReply>, Status> {
        not_here()
    }

    async fn list_ids(
        &self,
        _: Request<v1::ListIdsRequest>,
    ) -> Result<Response<v1::ListIdsReply>, Status> {
        not_here()
    }

    async fn context(
        &self,
        _: Request<v1::ContextRequest>,
    ) -> Result<Response<v1::ContextReply>, Status> {
        not_here()
    }

    async fn confirm(
        &self,
        _: Request<v1::ConfirmRequest>,
    ) -> Result<Response<v1::ConfirmReply>, Status> {
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
        request: Request<v1::AdoptClusterRequest>,
    ) -> Result<Response<v1::AdoptClusterReply>, Status> {
        let request = request.into_inner();
        let mut described = self.described.lock().unwrap();
        let bound = &described.cluster_id;
        if (!bound.is_empty() && *bound != request.cluster_id)
            || described.num_shards != request.num_shards
        {
            return Err(Status::failed_precondition(format!(
                "bound to {bound} with {} shards",
                described.num_shards
            )));
        }
        described.cluster_id = request.cluster_id;
        described.serving = true;
        Ok(Response::new(v1::AdoptClusterReply {
            store_id: described.store_id.clone(),
        }))
    }

    async fn release(
        &self,
        _: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseReply>, Status> {
        not_here()
    }

    async fn report_proofs(
        &self,
        _: Request<v1::ReportProofsRequest>,
    ) -> Result<Response<v1::ReportProofsReply>, Status> {
        not_here()
    }

    async fn admit(
        &self,
        request: Request<v1::AdmitRequest>,
    ) -> Result<Response<v1::AdmitReply>, Status> {
        let fresh = request.into_inner().fresh;
        self.described.lock().unwrap().counts_as_absent = !fresh;
        Ok(Response::new(v1::AdmitReply {}))
    }
}
