//! Where records go: the view, the nodes that do not answer, and who owns what without them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use assertion::Place;
use proto::v1;
use proto::view::ClusterView;
use shard::Placement;

/// A node's name.
pub type Name = Arc<str>;

/// Placements without some nodes that are kept. Each takes milliseconds to work out; with a handful of nodes there are
/// fewer sets than this, and with many only a few of them occur.
const KEPT_MAX: usize = 32;

/// One moment's answer to "whom to send to". A new view, or a node that stops or starts answering, makes a new one.
#[derive(Debug)]
pub struct Route {
    view: Arc<ClusterView>,
    /// Owners of the global shard: all known members, by name.
    known: Vec<Name>,
    out: BTreeSet<Name>,
    without: Arc<Mutex<BTreeMap<BTreeSet<Name>, Arc<Placement>>>>,
}

impl Route {
    /// A route by a view, around the nodes that are out. `previous` lends what it worked out for the same placement.
    pub fn new(view: Arc<ClusterView>, out: BTreeSet<Name>, previous: Option<&Route>) -> Route {
        let without = previous
            .filter(|old| Arc::ptr_eq(&old.view.shared_placement(), &view.shared_placement()))
            .map(|old| Arc::clone(&old.without))
            .unwrap_or_default();
        let known = view.known_names().into_iter().map(Name::from).collect();
        Route {
            known,
            view,
            out,
            without,
        }
    }

    /// The view.
    pub fn view(&self) -> &Arc<ClusterView> {
        &self.view
    }

    /// Nodes that do not answer.
    pub fn out(&self) -> &BTreeSet<Name> {
        &self.out
    }

    /// Copies a write needs: min(rf, known).
    pub fn copies_needed(&self) -> usize {
        self.view.copies_needed()
    }

    /// An answer of several nodes may do without fewer than so many: what was acknowledged with fewer copies is in each store.
    pub fn copies_counted(&self) -> usize {
        self.view.copies_counted()
    }

    /// The shard that a record lies in.
    pub fn shard_of(&self, place: Place<'_>) -> u32 {
        let num_shards = self.view.num_shards();
        match place {
            Place::Subject(subject) => shard::shard_of(subject, num_shards),
            Place::Global => shard::global_shard(num_shards),
        }
    }

    /// Whether a copy on this node counts: not before the others' stores were told of it, nor when it is known no more
    /// (docs/adr/0008-completeness.md). One that was a member before and starts again keeps its place and counts, but does not
    /// trust itself before it has heard from others.
    pub fn counts(&self, node: &Name) -> bool {
        let view = &self.view;
        let Some(member) = view.member(node) else {
            return false;
        };
        let placed = || view.placement().members().contains(node) && **node != *view.node();
        match (member.status(), member.phase()) {
            (v1::Status::Left, _) => false,
            (_, v1::Phase::Joining) => placed(),
            _ => true,
        }
    }

    /// Whether every known member owns this shard.
    pub fn is_global(&self, shard: u32) -> bool {
        shard == shard::global_shard(self.view.num_shards())
    }

    /// The owners of a shard, whether they answer or not. Those of the global shard are all known members: a retraction has
    /// to reach one that does not serve at the moment, too.
    pub fn owners(&self, shard: u32) -> &[Name] {
        if self.is_global(shard) {
            return &self.known;
        }
        self.view.placement().owners(shard)
    }

    /// Whom a record of the shard is sent to: its owners and their stand-ins, less those that are out or in `silent`.
    /// When nobody would be left, everybody counts again (protocol, section 4). The global shard has no stand-ins: everybody
    /// owns it.
    pub fn targets(&self, shard: u32, silent: &BTreeSet<Name>) -> Vec<Name> {
        if self.is_global(shard) {
            return self.known.clone();
        }
        let placement = self.view.placement();
        let members = placement.members();
        let left_out: BTreeSet<Name> = members
            .iter()
            .filter(|name| self.out.contains(*name) || silent.contains(*name))
            .cloned()
            .collect();
        let owners = placement.owners(shard);
        if left_out.is_empty() || left_out.len() == members.len() {
            return owners.to_vec();
        }
        let mut targets: Vec<Name> = owners
            .iter()
            .filter(|owner| !left_out.contains(*owner))
            .cloned()
            .collect();
        if targets.len() < owners.len() {
            let reduced = self.placement_without(left_out);
            for stand_in in reduced.owners(shard) {
                if !targets.contains(stand_in) {
                    targets.push(Arc::clone(stand_in));
                }
            }
        }
        targets
    }

    fn placement_without(&self, left_out: BTreeSet<Name>) -> Arc<Placement> {
        let mut kept = self.without.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(placement) = kept.get(&left_out) {
            return Arc::clone(placement);
        }
        let whole = self.view.placement();
        let rest = whole
            .members()
            .iter()
            .filter(|name| !left_out.contains(*name))
            .map(|name| name.to_string());
        let placement = Placement::new(rest, whole.num_shards(), self.view.replication_factor());
        let placement = Arc::new(placement);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(left_out, Arc::clone(&placement));
        placement
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A view of so many nodes, `node1` first, that are all UP.
    pub(crate) fn view(nodes: usize, replication_factor: u32) -> Arc<ClusterView> {
        let names: Vec<String> = (1..=nodes).map(|number| format!("node{number}")).collect();
        let member = |name: &String| v1::Member {
            name: name.clone(),
            status: v1::Status::Up.into(),
            ..v1::Member::default()
        };
        let message = v1::View {
            node: "node1".into(),
            cluster_id: "c".into(),
            num_shards: 16,
            replication_factor,
            least_replication_factor: replication_factor,
            counted_replication_factor: replication_factor,
            members: names.iter().map(member).collect(),
            placement: names,
            ..v1::View::default()
        };
        Arc::new(ClusterView::new(message, None))
    }

    fn names(list: &[&str]) -> BTreeSet<Name> {
        list.iter().map(|name| Name::from(*name)).collect()
    }

    #[test]
    fn a_node_that_is_out_is_replaced_and_the_other_owner_stays() {
        let whole = Route::new(view(3, 2), BTreeSet::new(), None);
        for shard in 0..16 {
            let owners = whole.owners(shard).to_vec();
            let out = BTreeSet::from([owners[0].clone()]);
            let route = Route::new(view(3, 2), out.clone(), None);
            let targets = route.targets(shard, &BTreeSet::new());
            assert_eq!(targets.len(), 2);
            assert!(targets.contains(&owners[1]));
            assert!(!targets.contains(&owners[0]));
            let by_silence = whole.targets(shard, &out);
            assert_eq!(by_silence, targets, "silent in one write is as good as out");
        }
    }

    #[test]
    fn all_out_counts_as_none_out() {
        let route = Route::new(view(3, 2), names(&["node1", "node2", "node3"]), None);
        for shard in 0..16 {
            assert_eq!(route.targets(shard, &BTreeSet::new()), route.owners(shard));
        }
        let route = Route::new(view(3, 2), names(&["node1", "node2"]), None);
        let silent = names(&["node3"]);
        assert_eq!(route.targets(0, &silent), route.owners(0));
    }

    #[test]
    fn all_known_members_own_the_global_shard_whether_they_serve_or_not() {
        let mut message = view(3, 2).message().clone();
        message.placement.pop();
        message.members[1].status = v1::Status::Down.into();
        let view = Arc::new(ClusterView::new(message, None));
        let route = Route::new(view, names(&["node2"]), None);
        let global = route.shard_of(Place::Global);
        let all: Vec<Name> = names(&["node1", "node2", "node3"]).into_iter().collect();
        assert_eq!((global, route.owners(global)), (16, &all[..]));
        assert_eq!(route.targets(global, &names(&["node3"])), all);
        assert!(!route.is_global(route.shard_of(Place::Subject("cas:7732-18-5"))));
    }

    #[test]
    fn a_copy_counts_on_members_that_the_stores_were_told_of() {
        let mut message = view(3, 2).message().clone();
        let mut joining = message.members[2].clone();
        joining.name = "node4".into();
        joining.set_phase(v1::Phase::Joining);
        message.members.push(joining);
        message.members[0].set_phase(v1::Phase::Joining);
        message.members[1].set_phase(v1::Phase::Joining);
        message.members[2].set_phase(v1::Phase::Leaving);
        let route = |message: &v1::View| {
            let view = ClusterView::new(message.clone(), None);
            Route::new(Arc::new(view), BTreeSet::new(), None)
        };
        let counted = |route: &Route| {
            let all = ["node1", "node2", "node3", "node4", "node5"].map(Name::from);
            let counted: Vec<String> = all
                .iter()
                .filter(|name| route.counts(name))
                .map(|name| name.to_string())
                .collect();
            counted
        };
        assert_eq!(counted(&route(&message)), ["node2", "node3"]);
        message.members[2].set_status(v1::Status::Left);
        assert_eq!(counted(&route(&message)), ["node2"]);
    }

    #[test]
    fn what_was_worked_out_is_kept_for_the_same_placement() {
        let view = view(3, 2);
        let first = Route::new(Arc::clone(&view), names(&["node2"]), None);
        for shard in 0..16 {
            first.targets(shard, &BTreeSet::new());
        }
        let second = Route::new(view, BTreeSet::new(), Some(&first));
        assert!(Arc::ptr_eq(&first.without, &second.without));
        assert_eq!(first.without.lock().unwrap().len(), 1);
    }
}
