//! The `Membership` service on loopback, for the node's own sidecars and its operator.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use proto::v1;
use proto::v1::membership_server::Membership;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Request, Response, Status};

use crate::node::{Command, Refusal};
use crate::roster::CannotForget;
use crate::seeds::Seed;

/// A watcher gets the view again after this long without a change: silence means that this service is dead.
const WATCH_REPEAT: Duration = Duration::from_secs(2);
/// Hosts of one Join.
const JOIN_HOSTS_MAX: usize = 64;

/// The service.
#[derive(Debug, Clone)]
pub struct MembershipService {
    view: watch::Receiver<Arc<v1::View>>,
    commands: mpsc::Sender<Command>,
    swim_port: u16,
}

impl MembershipService {
    /// Answers from `view`, passes commands on. `swim_port` is taken for hosts named without one.
    pub fn new(
        view: watch::Receiver<Arc<v1::View>>,
        commands: mpsc::Sender<Command>,
        swim_port: u16,
    ) -> MembershipService {
        MembershipService {
            view,
            commands,
            swim_port,
        }
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Status> {
        let stopping = || Status::unavailable("membership is stopping");
        let (reply, outcome) = oneshot::channel();
        self.commands
            .send(make(reply))
            .await
            .map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())
    }
}

fn refusal(fault: &CannotForget) -> Status {
    match fault {
        CannotForget::Unknown(_) => Status::not_found(fault.to_string()),
        CannotForget::Disk(_) => Status::unavailable(fault.to_string()),
        CannotForget::Up(_) | CannotForget::Own(_) => {
            Status::failed_precondition(fault.to_string())
        }
    }
}

fn kept(fault: &Refusal) -> Status {
    match fault {
        Refusal::Disk(_) => Status::unavailable(fault.to_string()),
        _ => Status::failed_precondition(fault.to_string()),
    }
}

/// A view on its way: it says how old it is when it is read.
fn shown(view: &v1::View) -> v1::View {
    v1::View {
        shown_at_boot_ms: sidecar::clock::boot_ms(),
        ..view.clone()
    }
}

/// The view now, then every new one, then the same again when nothing happens. Ends with the service.
fn views(
    receiver: watch::Receiver<Arc<v1::View>>,
) -> impl Stream<Item = Result<v1::View, Status>> + Send {
    futures::stream::unfold((receiver, true), |(mut receiver, first)| async move {
        if !first {
            let change = tokio::time::timeout(WATCH_REPEAT, receiver.changed()).await;
            if matches!(change, Ok(Err(_))) {
                return None;
            }
        }
        let view = shown(&receiver.borrow_and_update());
        Some((Ok(view), (receiver, false)))
    })
}

#[tonic::async_trait]
impl Membership for MembershipService {
    async fn get_view(&self, _: Request<v1::GetViewRequest>) -> Result<Response<v1::View>, Status> {
        Ok(Response::new(shown(&self.view.borrow())))
    }

    type WatchViewStream = Pin<Box<dyn Stream<Item = Result<v1::View, Status>> + Send>>;

    async fn watch_view(
        &self,
        _: Request<v1::WatchViewRequest>,
    ) -> Result<Response<Self::WatchViewStream>, Status> {
        Ok(Response::new(Box::pin(views(self.view.clone()))))
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinReply>, Status> {
        let hosts = request.into_inner().hosts;
        if hosts.is_empty() || hosts.len() > JOIN_HOSTS_MAX {
            return Err(Status::invalid_argument(format!(
                "{} hosts; 1 to {JOIN_HOSTS_MAX} are taken",
                hosts.len()
            )));
        }
        let seeds = hosts
            .iter()
            .map(|host| Seed::parse(host, self.swim_port))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| Status::invalid_argument(fault.to_string()))?;
        let joined = self.command(|reply| Command::Join(seeds, reply)).await?;
        Ok(Response::new(v1::JoinReply { joined }))
    }

    async fn forget(
        &self,
        request: Request<v1::ForgetRequest>,
    ) -> Result<Response<v1::ForgetReply>, Status> {
        let name = request.into_inner().name;
        let outcome = self
            .command(|reply| Command::Forget(name.clone(), reply))
            .await?;
        outcome.map_err(|fault| refusal(&fault))?;
        let warning = format!(
            "records whose only copies were on {name} are lost with it, unless it joins again with its disk; \
             `stemedb verify` shows when every record has its copies again"
        );
        Ok(Response::new(v1::ForgetReply { warning }))
    }

    async fn drain(
        &self,
        _: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainReply>, Status> {
        self.command(Command::Drain).await?;
        Ok(Response::new(v1::DrainReply {}))
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveRequest>,
    ) -> Result<Response<v1::LeaveReply>, Status> {
        let force = request.into_inner().force;
        let outcome = self.command(|reply| Command::Leave(force, reply)).await?;
        let staying = outcome.map_err(|fault| kept(&fault))?;
        let factor = self.view.borrow().replication_factor;
        let warning = match staying.len() {
            few if few < factor as usize => format!(
                "records will be on {few} nodes instead of {factor} until another node joins"
            ),
            _ => String::new(),
        };
        Ok(Response::new(v1::LeaveReply { staying, warning }))
    }

    async fn depart(
        &self,
        _: Request<v1::DepartRequest>,
    ) -> Result<Response<v1::DepartReply>, Status> {
        let outcome = self.command(Command::Depart).await?;
        outcome.map_err(|fault| kept(&fault))?;
        Ok(Response::new(v1::DepartReply {}))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    fn numbered(version: u64) -> Arc<v1::View> {
        Arc::new(v1::View {
            version,
            ..v1::View::default()
        })
    }

    #[tokio::test]
    async fn a_watcher_gets_the_view_every_change_and_a_sign_of_life() {
        let (sender, receiver) = watch::channel(numbered(1));
        let mut stream = Box::pin(views(receiver));
        let mut next = async || stream.next().await.map(|view| view.unwrap().version);
        assert_eq!(next().await, Some(1));
        sender.send_replace(numbered(2));
        assert_eq!(next().await, Some(2));
        let quiet_since = tokio::time::Instant::now();
        assert_eq!(next().await, Some(2));
        assert!(quiet_since.elapsed() >= WATCH_REPEAT);
        drop(sender);
        assert_eq!(next().await, None);
    }
}
