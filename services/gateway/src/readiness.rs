//! Whether this node may be given requests: its four services, the view, and whether it is on its way out.
//!
//! Nothing here waits for other nodes: a node whose neighbours are all gone is ready, and says in every answer what it
//! could not prove.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::view::ClusterView;
use sidecar::Shutdown;
use sidecar::grpc::Channel;
use sidecar::health::{self, Readiness as Latch};
use tokio::sync::watch;

use crate::caller::Caller;
use crate::error::Error;
use crate::nodes::Nodes;
use crate::problem::{Problem, WAIT};
use crate::route::Route;

/// How long a neighbour may take to say how it is.
const CHECK_MAX: Duration = Duration::from_secs(1);

/// Between two looks while all is well.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks while something is missing: a node that is ready should be used.
const SOON_PAUSE: Duration = Duration::from_millis(100);

/// Late answers in a row that make a neighbour not ready: one is a busy machine.
const LATE_MAX: u32 = 2;

/// How the neighbours are: why one is not ready, or nothing.
pub type Services = BTreeMap<&'static str, Option<String>>;

/// Readiness of this node.
#[derive(Debug)]
pub struct Readiness {
    nodes: Arc<Nodes>,
    services: watch::Sender<Services>,
    alarms: watch::Sender<Vec<v1::Alarm>>,
    draining: Shutdown,
}

impl Readiness {
    /// Not ready yet. `draining`: the node was asked to stop.
    pub fn new(nodes: Arc<Nodes>, draining: Shutdown) -> Arc<Readiness> {
        let unknown = ["store", "membership", "antientropy"]
            .map(|name| (name, Some("was not asked yet".to_owned())));
        Arc::new(Readiness {
            nodes,
            services: watch::Sender::new(unknown.into()),
            alarms: watch::Sender::new(Vec::new()),
            draining,
        })
    }

    /// How the neighbours are.
    pub fn services(&self) -> Services {
        self.services.borrow().clone()
    }

    /// What the own store wants an operator to know. What it said last counts while it does not answer.
    pub fn alarms(&self) -> Vec<v1::Alarm> {
        self.alarms.borrow().clone()
    }

    async fn ask_for_alarms(&self) {
        let Some(lane) = self.nodes.lane(self.nodes.own()) else {
            return;
        };
        let caller = Caller::default();
        let described = lane.store().describe(&caller, CHECK_MAX);
        if let Ok(described) = described.await {
            self.alarms.send_replace(described.alarms);
        }
    }

    /// Whether this node stops.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until this node stops.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Whether membership keeps the view up: who else is known may have changed since, when it does not.
    pub fn view_is_kept_up(&self) -> bool {
        self.services
            .borrow()
            .get("membership")
            .is_some_and(Option::is_none)
    }

    /// Why this node is not ready, for people. Empty: it is.
    pub fn reasons(&self) -> Vec<String> {
        let services = self.services.borrow();
        let mut reasons: Vec<String> = services
            .iter()
            .filter_map(|(name, why)| Some(format!("{name} {}", why.as_deref()?)))
            .collect();
        drop(services);
        if self.is_draining() {
            reasons.push("draining: this node is stopping".to_owned());
        }
        if let Err(unusable) = self.view() {
            reasons.push(unusable.why);
        }
        reasons
    }

    /// The route, once there is a cluster that this node belongs to.
    ///
    /// # Errors
    /// 503, with the reason.
    pub fn formed(&self) -> Result<Arc<Route>, Problem> {
        self.view()
            .map_err(|unusable| Problem::not_ready_until(unusable.why, unusable.next_step))
    }

    fn view(&self) -> Result<Arc<Route>, Unusable> {
        let Some(route) = self.nodes.route() else {
            return Err(Unusable::yet("waiting for membership's view"));
        };
        match unusable(route.view()) {
            Some(unusable) => Err(unusable),
            None => Ok(route),
        }
    }
}

/// Why nothing can be done with a view, and what can be done about it.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    why: String,
    next_step: String,
}

impl Unusable {
    /// It will be of use by itself.
    fn yet(why: impl Into<String>) -> Unusable {
        Unusable {
            why: why.into(),
            next_step: WAIT.to_owned(),
        }
    }
}

/// Nothing, when a view is of use.
fn unusable(view: &ClusterView) -> Option<Unusable> {
    let (message, node) = (view.message(), view.node());
    if message.superseded {
        return Some(Unusable {
            why: format!(
                "superseded: another process runs as {node} and is newer; stop one of them"
            ),
            next_step: format!(
                "ask another gateway; waiting does not help: one of the two processes that are called {node} has to be stopped"
            ),
        });
    }
    let own = view.member(node);
    if own.is_some_and(|own| own.status() == v1::Status::Left) {
        return Some(Unusable {
            why: format!(
                "left: {node} has handed everything over and is no member any more; stop it, or start it again to join anew"
            ),
            next_step: format!(
                "ask another gateway; waiting does not help: {node} joins anew when its processes are started again"
            ),
        });
    }
    if view.cluster_id().is_some() {
        return None;
    }
    Some(Unusable::yet(match message.waiting_for.as_str() {
        "" => "waiting for the cluster to form".to_owned(),
        what => format!("waiting for {what}"),
    }))
}

/// Asks the neighbours again and again, and lets the latch follow.
///
/// # Errors
/// When a neighbour's address cannot be dialled at all.
pub async fn watch(
    readiness: Arc<Readiness>,
    neighbours: [(&'static str, SocketAddr); 3],
    latch: Latch,
    stop: Shutdown,
) -> Result<(), Error> {
    let mut asked = Vec::new();
    for (name, address) in neighbours {
        asked.push((name, sidecar::grpc::local_channel(address)?, 0));
    }
    let mut routes = readiness.nodes.routes();
    let mut was = None;
    loop {
        let before = readiness.services();
        let asks = asked.iter_mut().map(async |(name, channel, late)| {
            let before = before.get(name).cloned().flatten();
            (*name, ask(channel.clone(), late, before).await)
        });
        let asks = futures::future::join_all(asks);
        let (services, ()) = tokio::join!(asks, readiness.ask_for_alarms());
        readiness
            .services
            .send_replace(services.into_iter().collect());
        let reasons = readiness.reasons();
        let ready = reasons.is_empty();
        if was != Some(ready) {
            if ready {
                tracing::info!("ready");
            } else {
                tracing::info!(?reasons, "not ready");
            }
            latch.set(ready).await;
            was = Some(ready);
        }
        let pause = if ready || readiness.is_draining() {
            LOOK_PAUSE
        } else {
            SOON_PAUSE
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = readiness.draining.cancelled(), if !readiness.is_draining() => {}
            _ = routes.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Asks one neighbour. One late answer does not change what was said before.
async fn ask(channel: Channel, late: &mut u32, before: Option<String>) -> Option<String> {
    match tokio::time::timeout(CHECK_MAX, health::check(channel)).await {
        Ok(answer) => {
            *late = 0;
            answer.err()
        }
        Err(_) => {
            *late += 1;
            let gone = || "does not answer within a second".to_owned();
            if *late < LATE_MAX {
                before
            } else {
                Some(before.unwrap_or_else(gone))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::view;

    #[test]
    fn a_view_is_of_use_once_the_cluster_is_formed_and_this_process_is_the_one() {
        let formed = view(3, 2);
        assert_eq!(unusable(&formed), None);
        let mut forming = formed.message().clone();
        forming.cluster_id.clear();
        forming.waiting_for = "2 more nodes".into();
        let unformed = unusable(&ClusterView::new(forming, None));
        assert_eq!(unformed, Some(Unusable::yet("waiting for 2 more nodes")));
        let mut gone = formed.message().clone();
        gone.members[0].status = v1::Status::Left.into();
        let left = unusable(&ClusterView::new(gone, None)).unwrap();
        assert!(left.why.starts_with("left: node1"), "{left:?}");
        let mut twin = formed.message().clone();
        twin.superseded = true;
        let twin = unusable(&ClusterView::new(twin, None)).unwrap();
        assert!(twin.why.contains("superseded"), "{twin:?}");
        for unusable in [left, twin] {
            assert!(unusable.next_step.contains("waiting does not help"));
        }
    }
}
