//! Two sides that talk as two stores do, with every byte counted.

use std::collections::BTreeMap;

use merkle::walk::{Leaf, Walk};
use merkle::{Below, BelowKind, Grain, Id, Path, Tree};

use crate::SALT;

/// Bytes that a described node takes on the wire besides its digests or ids: place, index, slots and framing.
const NODE_BYTES: usize = 24;

/// One side: a tree for each shard.
pub(crate) type Side = BTreeMap<u32, Tree>;

/// What it took to bring one side's ids to the other.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    /// Questions asked of the far side: descents, and one lookup for each that found something.
    pub(crate) rounds: usize,
    /// Nodes asked for.
    pub(crate) nodes: usize,
    /// Bytes of what one side answered to descents.
    pub(crate) bytes: usize,
    /// Ids named although the receiver had them.
    pub(crate) needless: usize,
    /// Ids copied.
    pub(crate) copied: usize,
}

fn describe(side: &Side, asked: &[(u32, Path)], grains: &[Grain]) -> Vec<(u32, Below)> {
    let mut shown = Vec::new();
    for ((shard, path), grain) in asked.iter().zip(grains) {
        let room = grain.ahead_bytes() / asked.len();
        let below = side[shard].describe(path, &SALT, *grain, room);
        shown.extend(below.into_iter().map(|below| (*shard, below)));
    }
    shown
}

fn bytes_of(shown: &[(u32, Below)]) -> usize {
    let listed = |(_, below): &(u32, Below)| match &below.kind {
        BelowKind::Inner { digests, .. } => digests.len() * 8,
        BelowKind::Leaf { short_ids } => short_ids.len() * 8,
    };
    shown.iter().map(|node| NODE_BYTES + listed(node)).sum()
}

/// Copies to the receiver what it lacks of a leaf.
fn copy(giver: &Side, receiver: &mut Side, leaf: &Leaf, cost: &mut Cost) {
    let Leaf {
        shard,
        path,
        short_ids,
    } = leaf;
    let here = receiver[shard].lookup(path, &SALT, short_ids);
    let lacking: Vec<_> = short_ids
        .iter()
        .zip(here)
        .filter_map(|(short, held)| held.is_none().then_some(*short))
        .collect();
    cost.needless += short_ids.len() - lacking.len();
    let found: Vec<Id> = giver[shard]
        .lookup(path, &SALT, &lacking)
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(found.len(), lacking.len(), "the giver has what it shows");
    for id in found {
        assert!(receiver.get_mut(shard).unwrap().insert(id));
        cost.copied += 1;
    }
}

/// A whole session in one direction. `between` is called after every round: the sets may grow meanwhile.
pub(crate) fn pull(
    giver: &mut Side,
    receiver: &mut Side,
    mut between: impl FnMut(&mut Side, &mut Side),
) -> Cost {
    let mut cost = Cost::default();
    let differ: Vec<u32> = giver
        .iter()
        .filter(|(shard, tree)| tree.root() != receiver[shard].root())
        .map(|(shard, _)| *shard)
        .collect();
    let mut unfinished = differ.clone();
    let mut walk = Walk::new(differ);
    while let Some((asked, grains)) = walk.ask() {
        let shown = describe(giver, &asked, &grains);
        cost.rounds += 1;
        cost.nodes += asked.len();
        cost.bytes += bytes_of(&shown);
        let leaves = walk
            .answered(shown, describe(receiver, &asked, &grains))
            .unwrap();
        cost.rounds += usize::from(!leaves.is_empty());
        for leaf in &leaves {
            copy(giver, receiver, leaf, &mut cost);
        }
        let finished = walk.finished();
        unfinished.retain(|shard| !finished.contains(shard));
        between(giver, receiver);
    }
    assert!(unfinished.is_empty(), "every shard came to its end");
    cost
}
