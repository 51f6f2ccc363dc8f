//! The stores of the cluster: a lane to each known member, and which of them answer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use proto::follow::Views;
use proto::v1;
use proto::view::ClusterView;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Patience;
use crate::error::Error;
use crate::lane::{Lane, LaneTask, Place};
use crate::metrics::NODES_OUT;
use crate::nudge::Nudges;
use crate::route::{Name, Route};
use crate::standing::Change;

/// The lanes, and the route that follows from the view and from what the lanes find.
#[derive(Debug)]
pub struct Nodes {
    own: Name,
    own_store: SocketAddr,
    patience: Patience,
    nudges: Nudges,
    state: Mutex<State>,
    routes: watch::Sender<Option<Arc<Route>>>,
}

#[derive(Debug, Default)]
struct State {
    view: Option<Arc<ClusterView>>,
    lanes: BTreeMap<Name, Arc<Lane>>,
    out: BTreeSet<Name>,
}

impl Nodes {
    /// None yet: they come with the view.
    pub fn new(own: &str, own_store: SocketAddr, patience: Patience, nudges: Nudges) -> Arc<Nodes> {
        Arc::new(Nodes {
            own: Name::from(own),
            own_store,
            patience,
            nudges,
            state: Mutex::default(),
            routes: watch::Sender::new(None),
        })
    }

    /// This node.
    pub fn own(&self) -> &Name {
        &self.own
    }

    /// The latest route, and every one after it.
    pub fn routes(&self) -> watch::Receiver<Option<Arc<Route>>> {
        self.routes.subscribe()
    }

    /// The latest route; `None` before membership answered.
    pub fn route(&self) -> Option<Arc<Route>> {
        self.routes.borrow().clone()
    }

    /// The lane of a member whose address is known.
    pub fn lane(&self, node: &str) -> Option<Arc<Lane>> {
        self.state().lanes.get(node).cloned()
    }

    /// Lanes of all known members whose address is known, by name.
    pub fn lanes(&self) -> Vec<Arc<Lane>> {
        self.state().lanes.values().cloned().collect()
    }

    /// Where failed pushes are reported.
    pub fn nudges(&self) -> &Nudges {
        &self.nudges
    }

    /// A lane found that its store does not answer, or answers again.
    pub fn changed(&self, node: &Name, change: Change) {
        let mut state = self.state();
        let news = match change {
            Change::Out => state.out.insert(Name::clone(node)),
            Change::In => state.out.remove(node),
        };
        if news {
            self.publish(&state);
        }
        drop(state);
        if change == Change::In && *node != self.own {
            // What went around it can come home.
            self.nudges.failed(node);
        }
    }

    /// Whether who describes itself is the store that this node's writes are meant for, and takes them.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn recognise(&self, node: &Name, described: &v1::DescribeReply) -> Result<(), String> {
        if !described.serving {
            return Err(format!("it is not serving: {}", described.reason));
        }
        let state = self.state();
        let Some(view) = &state.view else {
            return Err("there is no view".to_owned());
        };
        if described.cluster_id != view.cluster_id().unwrap_or_default() {
            return Err(format!("it belongs to cluster `{}`", described.cluster_id));
        }
        match view.member(node) {
            Some(member)
                if !member.store_id.is_empty() && member.store_id != described.store_id =>
            {
                Err("another store answers at its address".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges are f64")]
    fn publish(&self, state: &State) {
        let Some(view) = &state.view else { return };
        let mut out = state.out.clone();
        // A member without an address cannot be asked.
        let members = view.placement().members().iter();
        out.extend(
            members
                .filter(|name| !state.lanes.contains_key(*name))
                .cloned(),
        );
        gauge!(NODES_OUT).set(out.len() as f64);
        self.routes.send_modify(|route| {
            let next = Route::new(Arc::clone(view), out, route.as_deref());
            *route = Some(Arc::new(next));
        });
    }

    /// Takes a new view: lanes for members that came or moved, none for those that went.
    fn apply(self: &Arc<Nodes>, view: Arc<ClusterView>, tasks: &mut JoinSet<()>) {
        let mut state = self.state();
        let wanted = self.places(&view);
        let State {
            view: current,
            lanes,
            out,
        } = &mut *state;
        lanes.retain(|node, lane| {
            let stays = wanted.get(node) == Some(lane.place());
            if !stays {
                lane.close();
                out.remove(node);
            }
            stays
        });
        for (node, place) in wanted {
            let Entry::Vacant(vacant) = lanes.entry(Name::clone(&node)) else {
                continue;
            };
            match self.open(&node, place) {
                Ok((lane, task)) => {
                    tasks.spawn(task.run());
                    vacant.insert(Arc::new(lane));
                }
                Err(why) => tracing::error!(%node, why, "no way to a store"),
            }
        }
        for member in view.known() {
            if let Some(lane) = lanes.get(member.name.as_str()) {
                let before = current.as_ref().and_then(|view| view.member(&member.name));
                pass_on_status(lane, before, member);
            }
        }
        *current = Some(view);
        self.publish(&state);
    }

    /// Where the stores of the known members are. The own one is next door.
    fn places(&self, view: &ClusterView) -> BTreeMap<Name, Place> {
        let cluster_id = view.cluster_id().unwrap_or_default().to_owned();
        view.known()
            .filter_map(|member| {
                let address = if *member.name == *self.own {
                    self.own_store.to_string()
                } else {
                    member.rpc_addr.clone()
                };
                let place = Place {
                    address,
                    cluster_id: cluster_id.clone(),
                };
                (!place.address.is_empty()).then(|| (Name::from(member.name.as_str()), place))
            })
            .collect()
    }

    fn open(self: &Arc<Nodes>, node: &Name, place: Place) -> Result<(Lane, LaneTask), String> {
        let dial = || sidecar::grpc::channel(&place.address).map_err(|error| error.to_string());
        let channels = (dial()?, dial()?);
        let nodes = Arc::clone(self);
        LaneTask::new(Name::clone(node), place, channels, nodes, self.patience)
            .ok_or_else(|| "its name or the cluster's cannot be sent as metadata".to_owned())
    }
}

/// What the view says of a member is a hint: whether its store answers is for the lane to find out.
fn pass_on_status(lane: &Lane, before: Option<&v1::Member>, now: &v1::Member) {
    let is_down = |member: &v1::Member| member.status() == v1::Status::Down;
    match before {
        None if is_down(now) => lane.lost(),
        Some(before) if is_down(now) && !is_down(before) => lane.lost(),
        Some(before)
            if before.incarnation != now.incarnation
                || before.phase != now.phase
                || (is_down(before) && !is_down(now)) =>
        {
            lane.look();
        }
        _ => {}
    }
}

/// Keeps lanes by the views that come. Dropped, it ends all of them.
///
/// # Errors
/// When a lane's task panicked, so that the process ends and is started again.
pub async fn supervise(nodes: Arc<Nodes>, mut views: Views) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    loop {
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            nodes.apply(view, &mut tasks);
        }
        loop {
            tokio::select! {
                changed = views.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                Some(ended) = tasks.join_next() => ended.map_err(Error::Lane)?,
            }
        }
    }
}
