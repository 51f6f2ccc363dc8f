//! A tree is its set.

use std::collections::{BTreeMap, BTreeSet};

use merkle::{BelowKind, EMPTY_ROOT, Grain, Id, LEAF_MAX, Path, Tree};
use proptest::prelude::*;

use crate::{SALT, ground, id, sets};

/// Every node of a tree, by asking for one after the other.
fn nodes(tree: &Tree) -> Vec<(Path, BelowKind)> {
    let mut open = vec![Path::ROOT];
    let mut nodes = Vec::new();
    while let Some(path) = open.pop() {
        let below = tree.describe(&path, &SALT, Grain::Ids, 0).remove(0);
        if let BelowKind::Inner { slots, .. } = below.kind {
            open.extend(
                (0..16)
                    .filter(|slot| slots & (1 << slot) != 0)
                    .filter_map(|slot| path.child(slot)),
            );
        }
        nodes.push((path, below.kind));
    }
    nodes
}

/// Nodes that are not in the tree before: what an insert makes, told without a clock.
fn made(before: &Tree, after: &Tree) -> usize {
    let known: BTreeMap<Path, BelowKind> = nodes(before).into_iter().collect();
    nodes(after)
        .into_iter()
        .filter(|(path, kind)| known.get(path) != Some(kind))
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_makes_the_same_tree(set in sets(), seed in any::<u64>()) {
        let whole: Tree = set.iter().copied().collect();
        let mut shuffled: Vec<Id> = set.iter().copied().collect();
        shuffled.sort_by_key(|id| *blake3::hash(&[&seed.to_be_bytes()[..], id].concat()).as_bytes());
        let mut grown = Tree::new();
        for id in shuffled {
            prop_assert!(grown.insert(id));
        }
        prop_assert_eq!(grown.root(), whole.root());
        prop_assert_eq!(nodes(&grown), nodes(&whole));
        prop_assert_eq!(grown.len(), set.len());
        prop_assert_eq!(grown.ids_after(None, usize::MAX), set.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_came_and_went_leaves_no_mark(set in sets(), passing in sets()) {
        let plain: Tree = set.iter().copied().collect();
        let mut tree = plain.clone();
        for id in &passing {
            prop_assert_eq!(tree.insert(*id), !set.contains(id));
        }
        for id in passing.difference(&set) {
            prop_assert!(tree.remove(id));
        }
        prop_assert_eq!(tree.root(), plain.root());
        prop_assert_eq!(nodes(&tree), nodes(&plain));
        for id in &set {
            prop_assert!(tree.remove(id));
        }
        prop_assert_eq!(tree.root(), EMPTY_ROOT);
        for id in &set {
            prop_assert!(tree.insert(*id));
        }
        prop_assert_eq!(tree.root(), plain.root());
    }

    #[test]
    fn roots_are_equal_exactly_when_the_sets_are(one in sets(), other in sets()) {
        let of = |set: &BTreeSet<Id>| set.iter().copied().collect::<Tree>().root();
        prop_assert_eq!(of(&one) == of(&other), one == other);
        if let Some(id) = one.first() {
            let mut less = one.clone();
            less.remove(id);
            prop_assert_ne!(of(&one), of(&less));
        }
    }

    #[test]
    fn a_digest_worked_out_step_by_step_is_the_one_worked_out_at_once(set in sets(), more in sets()) {
        let mut tree: Tree = set.iter().copied().collect();
        let mut now = set;
        for id in more.into_iter().take(40) {
            tree.insert(id);
            now.insert(id);
            prop_assert_eq!(tree.root(), now.iter().copied().collect::<Tree>().root());
        }
    }

    #[test]
    fn a_snapshot_stays_what_it_was(set in sets(), more in sets()) {
        let mut tree: Tree = set.iter().copied().collect();
        let snapshot = tree.clone();
        for id in &more {
            tree.insert(*id);
        }
        for id in &set {
            tree.remove(id);
        }
        let rebuilt: Tree = set.iter().copied().collect();
        prop_assert_eq!(snapshot.root(), rebuilt.root());
        prop_assert_eq!(snapshot.ids_after(None, usize::MAX), set.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn leaves_are_small_and_nodes_are_few_also_when_somebody_grinds_ids() {
    let tree: Tree = (0..100_000).map(ground).collect();
    let nodes = nodes(&tree);
    let leaves: Vec<usize> = nodes
        .iter()
        .filter_map(|(_, kind)| match kind {
            BelowKind::Leaf { short_ids } => Some(short_ids.len()),
            BelowKind::Inner { .. } => None,
        })
        .collect();
    assert!(leaves.iter().all(|ids| *ids <= LEAF_MAX));
    assert_eq!(leaves.iter().sum::<usize>(), 100_000);
    // The chain down to the prefix is six nodes; below it the ids are spread as others are.
    assert!(nodes.len() < 100_000 / 8, "{} nodes", nodes.len());
    assert!(tree.height() <= 6 + 6, "{} levels", tree.height());
}

#[test]
fn an_insert_makes_one_node_of_each_level_and_perhaps_a_split_leaf() {
    for make in [id, ground] {
        let mut tree: Tree = (0..20_000).map(make).collect();
        for number in 20_000..20_010 {
            let before = tree.clone();
            tree.insert(make(number));
            let made = made(&before, &tree);
            assert!(
                made <= tree.height() + 16,
                "{made} nodes, {} levels",
                tree.height()
            );
        }
    }
}
