//! What moves when members join or leave, before anything does.

use std::collections::BTreeMap;

use crate::Placement;

/// One member before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Shards it owns, without the global shard.
    pub shards: u32,
    /// Shards it will own.
    pub shards_after: u32,
    /// Records in what it owns.
    pub records: u64,
    /// Records in what it will own.
    pub records_after: u64,
    /// Of those, the ones that have to come to it.
    pub records_in: u64,
    /// Records that are none of its business afterwards.
    pub records_out: u64,
}

/// The shares of all members of either placement. `counts`: records per shard, the global shard last; what is missing counts as none.
pub fn movement(now: &Placement, after: &Placement, counts: &[u64]) -> BTreeMap<String, Share> {
    let names = now.members().iter().chain(after.members());
    let mut shares: BTreeMap<String, Share> = names
        .map(|name| (name.to_string(), Share::default()))
        .collect();
    let global = now.num_shards();
    for (name, share) in &mut shares {
        for shard in 0..=global {
            let held = counts.get(shard as usize).copied().unwrap_or(0);
            let slot = u32::from(shard != global);
            let (owns, will_own) = (now.owns(name, shard), after.owns(name, shard));
            if owns {
                share.shards += slot;
                share.records += held;
            }
            if will_own {
                share.shards_after += slot;
                share.records_after += held;
            }
            match (owns, will_own) {
                (false, true) => share.records_in += held,
                (true, false) => share.records_out += held,
                _ => {}
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn placement(members: &[&str]) -> Placement {
        Placement::new(members.iter().map(|name| (*name).to_owned()), 64, 2)
    }

    #[test]
    fn a_join_moves_what_the_newcomer_gets_and_little_more() {
        let now = placement(&["node1", "node2", "node3"]);
        let after = placement(&["node1", "node2", "node3", "node4"]);
        let counts = [vec![10; 64], vec![7]].concat();
        let shares = movement(&now, &after, &counts);
        let new = shares["node4"];
        assert_eq!((new.shards, new.shards_after), (0, 32));
        assert_eq!((new.records, new.records_out), (0, 0));
        assert_eq!(new.records_in, 32 * 10 + 7, "its shards and the global one");
        let moved: u64 = shares.values().map(|share| share.records_in).sum();
        assert!(moved * 10 <= new.records_in * 13, "{moved}");
    }

    #[test]
    fn the_same_members_move_nothing() {
        let now = placement(&["node1", "node2", "node3"]);
        for share in movement(&now, &now, &[5; 65]).values() {
            assert_eq!((share.records_in, share.records_out), (0, 0));
            assert_eq!(share.records, share.records_after);
        }
    }

    proptest! {
        #[test]
        fn what_comes_and_what_goes_make_the_difference(
            now in proptest::collection::btree_set(0u8..8, 1..6),
            after in proptest::collection::btree_set(0u8..8, 1..6),
            counts in proptest::collection::vec(0u64..1_000, 65),
        ) {
            let place = |set: &std::collections::BTreeSet<u8>| {
                Placement::new(set.iter().map(|number| format!("node{number}")), 64, 2)
            };
            let shares = movement(&place(&now), &place(&after), &counts);
            for share in shares.values() {
                prop_assert_eq!(
                    share.records + share.records_in,
                    share.records_after + share.records_out
                );
            }
            let slots: u32 = shares.values().map(|share| share.shards_after).sum();
            prop_assert_eq!(slots as usize, 64 * after.len().min(2));
        }
    }
}
