//! Two sets come to contain each other, at a price that the difference sets.

use std::collections::BTreeSet;

use merkle::walk::NODES_MAX;
use merkle::{Id, Tree};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::exchange::{Cost, Side, pull};
use crate::{ground, id, sets};

/// Bytes that one answered node costs at most: itself and 16 children of at most 32 ids or 16 digests each.
const NODE_BYTES_MAX: usize = (24 + 16 * 8) + 16 * (24 + 32 * 8);

fn side(sets: &[BTreeSet<Id>]) -> Side {
    (0..)
        .zip(sets)
        .map(|(shard, set)| (shard, set.iter().copied().collect()))
        .collect()
}

fn is_within(giver: &Side, receiver: &Side) -> bool {
    let all = |tree: &Tree| tree.ids_after(None, usize::MAX);
    giver
        .iter()
        .all(|(shard, tree)| all(tree).iter().all(|id| receiver[shard].contains(id)))
}

/// The price that a difference may have. Each missing id leads down one way; a node of the giver that the receiver holds as a
/// leaf shows all its children, at most 16 more, one level deeper. The way has a node asked for on every second level.
fn check(cost: Cost, giver: &Side, receiver_before: &Side) -> Result<(), TestCaseError> {
    let height = giver
        .values()
        .chain(receiver_before.values())
        .map(Tree::height)
        .max()
        .unwrap_or(0);
    // A leaf may be shown as an inner node.
    let height = height + 1;
    let differ = giver
        .iter()
        .filter(|(shard, tree)| tree.root() != receiver_before[shard].root())
        .count();
    let extra: usize = receiver_before
        .iter()
        .map(|(shard, tree)| {
            tree.ids_after(None, usize::MAX)
                .iter()
                .filter(|id| !giver[shard].contains(id))
                .count()
        })
        .sum();
    let difference = cost.copied + extra;
    let way = height.div_ceil(2) + 1;
    let nodes_max = differ + 17 * difference * way;
    prop_assert!(
        cost.nodes <= nodes_max,
        "{cost:?}, height {height}, difference {difference}"
    );
    prop_assert!(
        cost.bytes <= (differ + 2 * difference * way) * NODE_BYTES_MAX,
        "{cost:?}"
    );
    // What is shown ahead of a question has little room when many nodes are asked for: then a level takes one.
    let descents = 2 * way + cost.nodes / NODES_MAX * way;
    prop_assert!(cost.rounds <= 2 * descents, "{cost:?}, height {height}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_two_sets_end_with_containment_both_ways(
        (ours, theirs) in (1_usize..5).prop_flat_map(|shards| (vec(sets(), shards), vec(sets(), shards)))
    ) {
        let (mut ours, mut theirs) = (side(&ours), side(&theirs));
        let before = ours.clone();
        let cost = pull(&mut theirs, &mut ours, |_, _| {});
        prop_assert!(is_within(&theirs, &ours));
        check(cost, &theirs, &before)?;
        let before = theirs.clone();
        let cost = pull(&mut ours, &mut theirs, |_, _| {});
        check(cost, &ours, &before)?;
        for (shard, tree) in &ours {
            prop_assert_eq!(tree.root(), theirs[shard].root());
        }
    }

    #[test]
    fn what_the_giver_had_at_the_start_arrives_while_both_sides_grow(
        ours in sets(), theirs in sets(), growth in vec(sets(), 4)
    ) {
        let (mut ours, mut theirs) = (side(&[ours]), side(&[theirs]));
        let at_start = theirs.clone();
        let mut growth = growth.into_iter();
        pull(&mut theirs, &mut ours, |giver, receiver| {
            for (place, id) in growth.next().unwrap_or_default().into_iter().enumerate() {
                let grows = if place % 2 == 0 { &mut *giver } else { &mut *receiver };
                grows.get_mut(&0).unwrap().insert(id);
            }
        });
        prop_assert!(is_within(&at_start, &ours));
    }
}

#[test]
fn equal_sets_cost_nothing_beyond_the_root() {
    let set: BTreeSet<Id> = (0..5_000).map(id).collect();
    let (mut ours, mut theirs) = (side(std::slice::from_ref(&set)), side(&[set]));
    let cost = pull(&mut theirs, &mut ours, |_, _| {});
    assert_eq!((cost.rounds, cost.bytes), (0, 0));
}

#[test]
fn one_id_missing_of_a_hundred_thousand_is_found_in_a_few_small_answers() {
    for make in [id, ground] {
        let theirs: Tree = (0..100_000).map(make).collect();
        let mut ours = theirs.clone();
        ours.remove(&make(4_711));
        let height = theirs.height() + 1;
        let (mut ours, mut theirs) = (Side::from([(0, ours)]), Side::from([(0, theirs)]));
        let cost = pull(&mut theirs, &mut ours, |_, _| {});
        assert_eq!(cost.copied, 1);
        // Two levels a descent, and the lookup of the leaf.
        assert!(
            cost.rounds <= height.div_ceil(2) + 1 && cost.rounds <= 7,
            "{cost:?}"
        );
        assert!(cost.bytes <= 8 * 1024, "{cost:?}");
        assert_eq!(cost.needless, 0, "{cost:?}");
    }
}

#[test]
fn an_empty_side_is_filled_without_a_needless_id() {
    let mut theirs: Side = (0..8)
        .map(|shard| {
            (
                shard,
                (shard * 10_000..shard * 10_000 + 2_000).map(id).collect(),
            )
        })
        .collect();
    let mut ours: Side = (0..8).map(|shard| (shard, Tree::new())).collect();
    let cost = pull(&mut theirs, &mut ours, |_, _| {});
    assert_eq!((cost.copied, cost.needless), (16_000, 0));
    // 8 bytes an id, and less than as much again for the nodes above them.
    assert!(cost.bytes < 16_000 * 16 * 2, "{cost:?}");
}
