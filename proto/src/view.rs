//! The cluster view as services use it: a published [`v1::View`] with its placement worked out once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shard::Placement;

use crate::v1;

/// One node's view of the cluster, ready to route with. Cheap to share, never changed: a new view is a new value.
#[derive(Debug, Clone)]
pub struct ClusterView {
    view: v1::View,
    placement: Arc<Placement>,
    shown_at: Arc<AtomicU64>,
}

impl ClusterView {
    /// Works out the placement of a published view. `previous` lends its placement when nothing that decides it changed.
    pub fn new(mut view: v1::View, previous: Option<&ClusterView>) -> ClusterView {
        let shown_at = std::mem::take(&mut view.shown_at_boot_ms);
        let placement = match previous {
            Some(old) if same_placement(&old.view, &view) => Arc::clone(&old.placement),
            _ => Arc::new(Placement::new(
                view.placement.iter().cloned(),
                view.num_shards,
                view.replication_factor,
            )),
        };
        ClusterView {
            view,
            placement,
            shown_at: Arc::new(AtomicU64::new(shown_at)),
        }
    }

    /// Membership showed the same view again. False: it is another one.
    pub fn is_shown_again(&self, mut view: v1::View) -> bool {
        let shown_at = std::mem::take(&mut view.shown_at_boot_ms);
        let same = self.view == view;
        if same {
            self.shown_at.fetch_max(shown_at, Ordering::Relaxed);
        }
        same
    }

    /// When membership showed it last, in milliseconds of CLOCK_BOOTTIME; 0: it did not say.
    pub fn shown_at_boot_ms(&self) -> u64 {
        self.shown_at.load(Ordering::Relaxed)
    }

    /// The message itself.
    pub fn message(&self) -> &v1::View {
        &self.view
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.view.node
    }

    /// The cluster id, once formed.
    pub fn cluster_id(&self) -> Option<&str> {
        Some(self.view.cluster_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Shards of the cluster; the global shard has this number.
    pub fn num_shards(&self) -> u32 {
        self.view.num_shards
    }

    /// Copies every record shall have.
    pub fn replication_factor(&self) -> u32 {
        self.view.replication_factor
    }

    /// Copies that whatever is acknowledged has, as long as members differ in what they were told.
    pub fn least_replication_factor(&self) -> u32 {
        self.view.least_replication_factor
    }

    /// Copies a write needs: min(rf, known).
    pub fn copies_needed(&self) -> usize {
        (self.view.replication_factor as usize).min(self.known().count())
    }

    /// Copies that all stores count on; 0: none of them says anything yet.
    pub fn counted_replication_factor(&self) -> u32 {
        self.view.counted_replication_factor
    }

    /// An answer may do without fewer nodes than this: min(what all stores count on, known).
    pub fn copies_counted(&self) -> usize {
        (self.view.counted_replication_factor.max(1) as usize).min(self.known().count())
    }

    /// Who owns what.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The placement handle, for owners that outlive the view.
    pub fn shared_placement(&self) -> Arc<Placement> {
        Arc::clone(&self.placement)
    }

    /// Every member ever seen that has not left or been forgotten, DOWN ones included.
    pub fn known(&self) -> impl Iterator<Item = &v1::Member> {
        self.view
            .members
            .iter()
            .filter(|member| member.status() != v1::Status::Left)
    }

    /// Names of the known members.
    pub fn known_names(&self) -> BTreeSet<String> {
        self.known().map(|member| member.name.clone()).collect()
    }

    /// Known members that answer: UP or SUSPECT.
    pub fn live(&self) -> impl Iterator<Item = &v1::Member> {
        self.known()
            .filter(|member| matches!(member.status(), v1::Status::Up | v1::Status::Suspect))
    }

    /// A member by name.
    pub fn member(&self, name: &str) -> Option<&v1::Member> {
        self.view.members.iter().find(|member| member.name == name)
    }
}

fn same_placement(old: &v1::View, new: &v1::View) -> bool {
    old.placement == new.placement
        && old.num_shards == new.num_shards
        && old.replication_factor == new.replication_factor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, status: v1::Status) -> v1::Member {
        v1::Member {
            name: name.into(),
            status: status.into(),
            ..v1::Member::default()
        }
    }

    fn view() -> v1::View {
        v1::View {
            node: "node1".into(),
            num_shards: 256,
            replication_factor: 2,
            members: vec![
                member("node1", v1::Status::Up),
                member("node2", v1::Status::Down),
                member("node3", v1::Status::Left),
            ],
            placement: vec!["node1".into(), "node2".into()],
            ..v1::View::default()
        }
    }

    #[test]
    fn down_members_are_known_and_members_that_left_are_not() {
        let view = ClusterView::new(view(), None);
        assert_eq!(
            view.known_names(),
            BTreeSet::from(["node1".to_owned(), "node2".to_owned()])
        );
        assert_eq!(
            view.live().map(|m| m.name.as_str()).collect::<Vec<_>>(),
            ["node1"]
        );
        assert_eq!(view.copies_needed(), 2);
    }

    #[test]
    fn a_placement_is_worked_out_again_only_when_its_input_changed() {
        let first = ClusterView::new(view(), None);
        let mut newer = view();
        newer.version = 2;
        let second = ClusterView::new(newer.clone(), Some(&first));
        assert!(Arc::ptr_eq(&first.placement, &second.placement));
        newer.placement.push("node4".into());
        let third = ClusterView::new(newer, Some(&second));
        assert!(!Arc::ptr_eq(&second.placement, &third.placement));
    }
}
