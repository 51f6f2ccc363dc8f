//! Laws of placement.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shard::{Placement, compress, expand, global_shard};

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-z]{1,6}-[0-9]", 1..=8)
}

fn place(members: &BTreeSet<String>, num_shards: u32, rf: u32) -> Placement {
    Placement::new(members.iter().cloned(), num_shards, rf)
}

/// Slots that a member has in `after` and had not in `before`.
fn moved(before: &Placement, after: &Placement) -> usize {
    (0..after.num_shards())
        .map(|shard| {
            let old = before.owners(shard);
            after
                .owners(shard)
                .iter()
                .filter(|owner| !old.contains(owner))
                .count()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn owners_are_distinct_balanced_and_as_many_as_asked_for(
        members in names(), num_shards in 1..=300_u32, rf in 1..=4_u32,
    ) {
        let placement = place(&members, num_shards, rf);
        let copies = members.len().min(rf as usize);
        for shard in 0..num_shards {
            let owners: BTreeSet<_> = placement.owners(shard).iter().collect();
            prop_assert_eq!(owners.len(), copies);
        }
        let slots = placement.slots();
        let (least, most) = (slots.values().min().unwrap(), slots.values().max().unwrap());
        prop_assert!(most - least <= 1, "slots {:?}", slots);
        prop_assert_eq!(placement.owners(global_shard(num_shards)).len(), members.len());
    }

    #[test]
    fn only_the_set_of_members_counts(
        (members, shuffled) in names().prop_flat_map(|set| {
            let list: Vec<String> = set.iter().cloned().collect();
            (Just(set), Just(list).prop_shuffle())
        }),
    ) {
        let repeated = shuffled.iter().cloned().chain(shuffled.clone());
        prop_assert_eq!(place(&members, 64, 2), Placement::new(repeated, 64, 2));
    }

    /// The bound holds for the default of 256 shards and above; docs/adr/0002-placement.md has the figures for fewer.
    #[test]
    fn a_join_or_leave_moves_at_most_1_3_times_what_it_must(members in names(), rf in 2..=3_u32) {
        let joined = place(&members, 256, rf);
        let newcomer = members.iter().next_back().unwrap().clone();
        let mut without = members.clone();
        without.remove(&newcomer);
        let before = place(&without, 256, rf);
        let unavoidable = joined.slots()[&*newcomer];
        #[allow(clippy::cast_precision_loss, reason = "at most a thousand slots")]
        let bound = (unavoidable as f64 * 1.3) as usize;
        prop_assert!(moved(&before, &joined) <= bound, "join moves {} of {unavoidable}", moved(&before, &joined));
        let left = joined.slots()[&*newcomer].min(without.len().min(rf as usize) * 256);
        prop_assert!(moved(&joined, &before) * 10 <= left * 13, "leave moves {}", moved(&joined, &before));
    }

    #[test]
    fn runs_are_read_back_as_they_were(shards in prop::collection::btree_set(0..=256_u32, 0..100)) {
        let shards: Vec<u32> = shards.into_iter().collect();
        let runs = compress(shards.iter().copied());
        prop_assert_eq!(expand(runs.clone(), 256), Some(shards));
        for pair in runs.windows(2) {
            prop_assert!(pair[0].last + 1 < pair[1].first, "runs are merged");
        }
    }
}

#[test]
fn runs_from_outside_are_checked() {
    let run = |first, last| shard::ShardRange { first, last };
    assert_eq!(expand([run(0, 5), run(5, 6)], 10), None, "overlap");
    assert_eq!(expand([run(4, 3)], 10), None, "backwards");
    assert_eq!(
        expand([run(0, u32::MAX)], 256),
        None,
        "beyond the last shard"
    );
}
