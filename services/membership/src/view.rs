//! The published view: the roster in the words of the wire, numbered.

use proto::v1;

use crate::book::Gone;
use crate::metadata::ClusterId;
use crate::roster::{Member, Now, Roster, Standing};

/// The status of a member, as protocol 3 has it.
pub fn status(member: &Member) -> v1::Status {
    match member.standing {
        Standing::Alive if member.ping_failed => v1::Status::Suspect,
        Standing::Alive => v1::Status::Up,
        Standing::Dead => v1::Status::Down,
        Standing::Gone(_) => v1::Status::Left,
    }
}

/// Whether a member is shown: known, or LEFT while this process watched.
fn shown(member: &Member) -> bool {
    member.known() || (member.standing == Standing::Gone(Gone::Left) && member.seen_going)
}

fn message(name: &str, member: &Member) -> v1::Member {
    let about = &member.metadata;
    v1::Member {
        name: name.to_owned(),
        node_id: bytes::Bytes::copy_from_slice(&about.node_id),
        status: status(member).into(),
        phase: about.phase.message().into(),
        api_addr: about.address(about.api_port).to_string(),
        admin_addr: about.address(about.admin_port).to_string(),
        rpc_addr: about.address(about.rpc_port).to_string(),
        swim_addr: member.address.to_string(),
        incarnation: member.incarnation,
        since_ms: member.since_unix_ms,
        version: about.software.clone(),
        cluster_id: about
            .cluster_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        num_shards: about.num_shards,
        record_version: about.record_version,
        store_id: about
            .store_id
            .map(|id| bytes::Bytes::copy_from_slice(&id))
            .unwrap_or_default(),
        replication_factor: about.replication_factor.unwrap_or_default(),
    }
}

/// The roster as a view without a number. `formed` is the cluster the own store is bound to: before that, the node
/// belongs to none, whatever it has chosen.
pub fn view(roster: &Roster, formed: Option<ClusterId>, waiting_for: &str, now: Now) -> v1::View {
    let factors = roster.factors();
    v1::View {
        // Set when it is sent.
        shown_at_boot_ms: 0,
        incarnation: roster.incarnation(),
        version: 0,
        node: roster.name().to_owned(),
        cluster_id: formed.map(|id| id.to_string()).unwrap_or_default(),
        num_shards: roster.own().num_shards,
        replication_factor: factors.most,
        least_replication_factor: factors.least,
        counted_replication_factor: factors.counted,
        members: roster
            .members()
            .iter()
            .filter(|(_, member)| shown(member))
            .map(|(name, member)| message(name, member))
            .collect(),
        placement: roster.placement(now),
        waiting_for: waiting_for.to_owned(),
        refused: roster.refused().cloned().collect(),
        superseded: roster.superseded(),
    }
}

/// Numbers views: a view that says the same as the last keeps its number.
#[derive(Debug, Default)]
pub struct Numbering {
    last: v1::View,
}

impl Numbering {
    /// The view with its number, if it says anything new.
    pub fn next(&mut self, mut view: v1::View) -> Option<v1::View> {
        view.version = self.last.version;
        if view == self.last {
            return None;
        }
        view.version += 1;
        self.last = view.clone();
        Some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::fixture::{at, peer, roster, serving};

    #[test]
    fn a_view_shows_addresses_status_and_placement_by_name() {
        let mut roster = roster("node1", 7, Book::default());
        roster.observe(&[serving("node3", 3), peer("node2", 2, false)], at(5));
        let view = view(&roster, None, "", at(5));
        let names: Vec<_> = view.members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["node1", "node2", "node3"]);
        assert_eq!(view.placement, ["node3"]);
        assert_eq!(view.members[1].status(), v1::Status::Down);
        assert_eq!(view.members[2].status(), v1::Status::Up);
        assert_eq!(view.members[2].phase(), v1::Phase::Serving);
        assert_eq!(view.members[2].rpc_addr, "127.0.0.1:18182");
        assert_eq!(view.members[2].since_ms, at(5).unix_ms);
        assert_eq!((view.incarnation, view.num_shards), (7, 256));
    }

    #[test]
    fn the_number_grows_only_with_news() {
        let mut roster = roster("node1", 7, Book::default());
        let mut numbering = Numbering::default();
        let first = numbering.next(view(&roster, None, "", at(0))).unwrap();
        assert_eq!(first.version, 1);
        assert_eq!(numbering.next(view(&roster, None, "", at(1))), None);
        roster.observe(&[peer("node2", 2, true)], at(2));
        let second = numbering.next(view(&roster, None, "", at(2))).unwrap();
        assert_eq!(second.version, 2);
    }
}
