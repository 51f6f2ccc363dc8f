//! Laws of placement.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shard::{Placement, compress, expand, global_shard, owners};

fn names(most: usize) -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-z]{1,6}-[0-9]", 1..=most)
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

/// Shards, copies and members for which the bound on moves is promised: at least eight slots for each ordered pair of
/// members (docs/adr/0002-placement.md). 256 shards with two copies: 8 members; 64 shards: 4.
fn promised() -> impl Strategy<Value = (u32, u32, BTreeSet<String>)> {
    let shards = prop::sample::select(vec![64_u32, 100, 128, 256, 512]);
    (shards, 2..=4_u32)
        .prop_flat_map(|(num_shards, rf)| {
            let most = (2..=8_u32)
                .rfind(|n| 8 * n * (n - 1) <= num_shards * rf)
                .unwrap_or(2);
            (Just(num_shards), Just(rf), names(most as usize))
        })
        .prop_filter("somebody stays", |(_, _, members)| members.len() > 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn owners_are_distinct_balanced_and_as_many_as_asked_for(
        members in names(12), num_shards in 1..=300_u32, rf in 1..=4_u32,
    ) {
        let placement = place(&members, num_shards, rf);
        let copies = members.len().min(rf as usize);
        for shard in 0..num_shards {
            let owners: BTreeSet<_> = placement.owners(shard).iter().collect();
            prop_assert_eq!(owners.len(), copies);
            prop_assert!(owners.iter().all(|owner| members.contains(&***owner)));
        }
        let slots = placement.slots();
        let (least, most) = (slots.values().min(), slots.values().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "slots {:?}", slots);
        prop_assert_eq!(placement.owners(global_shard(num_shards)).len(), members.len());
        prop_assert!(placement.owners(num_shards + 1).is_empty());
        let owned: usize = members.iter().map(|name| placement.owned_by(name).len() - 1).sum();
        prop_assert_eq!(owned, copies * num_shards as usize);
    }

    #[test]
    fn only_the_set_of_members_counts(
        (members, shuffled) in names(8).prop_flat_map(|set| {
            let list: Vec<String> = set.iter().cloned().collect();
            (Just(set), Just(list).prop_shuffle())
        }),
        shard in 0..=64_u32,
    ) {
        let repeated = shuffled.iter().cloned().chain(shuffled.clone());
        let placement = place(&members, 64, 2);
        prop_assert_eq!(&placement, &Placement::new(repeated, 64, 2));
        prop_assert_eq!(&owners(shard, shuffled, 64, 2)[..], placement.owners(shard));
    }

    #[test]
    fn a_join_or_leave_moves_at_most_1_3_times_what_it_must(
        (num_shards, rf, members) in promised(), who in any::<prop::sample::Index>(),
    ) {
        let with = place(&members, num_shards, rf);
        let mut others = members.clone();
        let name = members.iter().nth(who.index(members.len())).cloned().unwrap_or_default();
        others.remove(&name);
        let without = place(&others, num_shards, rf);
        let slots = with.slots()[&*name];
        prop_assert!(moved(&without, &with) * 10 <= slots * 13, "join moves {} of {slots}", moved(&without, &with));
        // With fewer members than copies there is nobody to move them to.
        let must = if others.len() < rf as usize { 0 } else { slots };
        prop_assert!(moved(&with, &without) * 10 <= must * 13, "leave moves {} of {must}", moved(&with, &without));
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
fn nobody_owns_anything_without_members_or_copies() {
    assert!(place(&BTreeSet::new(), 4, 2).owners(0).is_empty());
    assert!(
        place(&BTreeSet::from(["a".to_owned()]), 4, 0)
            .owners(0)
            .is_empty()
    );
}

/// What every node of every version must agree on, and what a release must not change: records would move.
#[test]
fn placements_are_what_they_always_were() {
    let members = || ["node1", "node2", "node3"].map(String::from);
    let placement = Placement::new(members(), 256, 2);
    let mut digest = blake3::Hasher::new();
    for shard in 0..=256 {
        digest.update(format!("{shard}:{};", placement.owners(shard).join(",")).as_bytes());
    }
    assert_eq!(
        &*digest.finalize().to_hex(),
        "17ec4ec0e9fbb5762d16976faafeb42191109a6b455ac4a5b108b2f7d8b53592"
    );
    assert_eq!(
        placement.slots().into_values().collect::<Vec<_>>(),
        [171, 170, 171]
    );
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
