//! Membership and antientropy that say what a test wants.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::Stream;
use proto::v1;
use proto::v1::antientropy_server::{Antientropy, AntientropyServer};
use proto::v1::membership_server::{Membership, MembershipServer};
use sidecar::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// A membership service with a view that a test changes.
#[derive(Debug, Clone)]
pub(crate) struct FakeMembership {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it publishes.
    pub(crate) view: watch::Sender<v1::View>,
}

/// An antientropy service that notes what it is told.
#[derive(Debug, Clone)]
pub(crate) struct FakeAntientropy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Peers of nudges.
    pub(crate) nudged: Arc<Mutex<Vec<String>>>,
    paused: Arc<Mutex<bool>>,
}

async fn serve(routes: impl FnOnce(Routes) -> Routes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve_at(listener, routes).await;
    address
}

async fn serve_at(listener: TcpListener, routes: impl FnOnce(Routes) -> Routes) {
    let (latch, health) = sidecar::health::readiness().await;
    latch.set(true).await;
    let routes = routes(Routes::new(health));
    tokio::spawn(sidecar::grpc::serve(routes, listener, Shutdown::new()));
}

impl FakeMembership {
    /// Starts one that publishes this view.
    pub(crate) async fn start(view: v1::View) -> FakeMembership {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let membership = FakeMembership {
            address: listener.local_addr().unwrap(),
            view: watch::Sender::new(view),
        };
        let service = MembershipServer::new(membership.clone());
        serve_at(listener, |routes| routes.add_service(service)).await;
        membership
    }
}

#[tonic::async_trait]
impl Membership for FakeMembership {
    type WatchViewStream = Pin<Box<dyn Stream<Item = Result<v1::View, Status>> + Send>>;

    async fn get_view(&self, _: Request<v1::GetViewRequest>) -> Result<Response<v1::View>, Status> {
        Ok(Response::new(self.view.borrow().clone()))
    }

    async fn watch_view(
        &self,
        _: Request<v1::WatchViewRequest>,
    ) -> Result<Response<Self::WatchViewStream>, Status> {
        let views = WatchStream::new(self.view.subscribe()).map(Ok);
        Ok(Response::new(Box::pin(views)))
    }

    async fn join(&self, _: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        Err(Status::unimplemented("gateways do not join"))
    }

    async fn forget(
        &self,
        request: Request<v1::ForgetRequest>,
    ) -> Result<Response<v1::ForgetReply>, Status> {
        match request.get_ref().name.as_str() {
            "node3" => Ok(Response::new(v1::ForgetReply {
                warning: "what only node3 had is lost".into(),
            })),
            "node2" => Err(Status::failed_precondition("node2 is UP")),
            name => Err(Status::not_found(format!("{name} is not known"))),
        }
    }

    async fn drain(
        &self,
        _: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainReply>, Status> {
        Err(Status::unimplemented("gateways do not drain"))
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveRequest>,
    ) -> Result<Response<v1::LeaveReply>, Status> {
        if !request.get_ref().force {
            return Err(Status::failed_precondition("1 other members serve"));
        }
        Ok(Response::new(v1::LeaveReply {
            staying: vec!["node2".into()],
            warning: "records will be on 1 nodes instead of 2".into(),
        }))
    }

    async fn depart(
        &self,
        _: Request<v1::DepartRequest>,
    ) -> Result<Response<v1::DepartReply>, Status> {
        Err(Status::unimplemented("gateways do not depart"))
    }
}

impl FakeAntientropy {
    /// Starts one.
    pub(crate) async fn start() -> FakeAntientropy {
        let nudged = Arc::<Mutex<Vec<String>>>::default();
        let service = FakeAntientropy {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            nudged: Arc::clone(&nudged),
            paused: Arc::default(),
        };
        let paused = Arc::clone(&service.paused);
        let address = serve(|routes| routes.add_service(AntientropyServer::new(service))).await;
        FakeAntientropy {
            address,
            nudged,
            paused,
        }
    }
}

#[tonic::async_trait]
impl Antientropy for FakeAntientropy {
    async fn nudge(
        &self,
        request: Request<v1::NudgeRequest>,
    ) -> Result<Response<v1::NudgeReply>, Status> {
        self.nudged.lock().unwrap().push(request.into_inner().peer);
        Ok(Response::new(v1::NudgeReply {}))
    }

    async fn sync(
        &self,
        request: Request<v1::SyncRequest>,
    ) -> Result<Response<v1::SyncReply>, Status> {
        if *self.paused.lock().unwrap() && !request.get_ref().dry_run {
            return Err(Status::failed_precondition("repair is paused on this node"));
        }
        let peer = v1::PeerSync {
            peer: "node2".into(),
            pulled: if request.get_ref().dry_run { 0 } else { 7 },
            ..v1::PeerSync::default()
        };
        Ok(Response::new(v1::SyncReply { peers: vec![peer] }))
    }

    async fn status(
        &self,
        _: Request<v1::RepairStatusRequest>,
    ) -> Result<Response<v1::RepairStatusReply>, Status> {
        let task = v1::RepairTask {
            shards: vec![3, 7],
            records_done: 30,
            records_to_do: 90,
            bytes_done: 6_000,
            bytes_to_do: 18_000,
            took_ms: 1_500,
        };
        let peer = v1::PeerStatus {
            peer: "node2".into(),
            lag_seconds: 1.5,
            state: "moving".into(),
            task: Some(task.clone()),
            ..v1::PeerStatus::default()
        };
        Ok(Response::new(v1::RepairStatusReply {
            peers: vec![peer],
            home: None,
            paused: *self.paused.lock().unwrap(),
            bytes_per_s: 0,
            moving: Some(task),
        }))
    }

    async fn steer(
        &self,
        request: Request<v1::SteerRequest>,
    ) -> Result<Response<v1::SteerReply>, Status> {
        let request = request.into_inner();
        let mut paused = self.paused.lock().unwrap();
        *paused = request.paused.unwrap_or(*paused);
        Ok(Response::new(v1::SteerReply {
            paused: *paused,
            bytes_per_s: request.bytes_per_s.unwrap_or(0),
        }))
    }
}
