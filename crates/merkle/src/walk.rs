//! The walk down two trees at once, without any input or output: it says which nodes to ask both sides for, takes the
//! answers, and names what the *giver* may have and the *receiver* may lack.
//!
//! Both sides may go on growing while it runs. It finds at least what the giver had and the receiver lacked when it began: a
//! part is left out only when both showed the same digest for it, or when the receiver listed the id itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Below, BelowKind, Grain, LEAF_MAX, Path, ShortDigest, ShortId};

/// Nodes asked for in one message: enough that a walk takes few round trips, few enough that the answer stays a message.
pub const NODES_MAX: usize = 256;

/// Nodes that wait to be asked for. An answer adds at most 16 × 16 for each node asked, and the walk goes depth first, so
/// this is four such layers: more than any set of real ids has. Only made-up answers come here.
const WAITING_MAX: usize = 4 * NODES_MAX * 256;

/// Ids that the giver has below a place; the receiver may have some of them too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The shard.
    pub shard: u32,
    /// Where both sides find them.
    pub path: Path,
    /// Which.
    pub short_ids: Vec<ShortId>,
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Who has.
    Giver,
    /// Who may lack.
    Receiver,
}

/// An answer that no honest tree gives. The walk cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at {path:?} of shard {shard}")]
pub struct WalkError {
    /// Who gave it.
    pub party: Party,
    /// The shard.
    pub shard: u32,
    /// The place.
    pub path: Path,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither asked for nor a child that its parent showed just before.
    #[error("a node that nobody asked for")]
    Unasked,
    /// The same node twice.
    #[error("a node shown twice")]
    Repeated,
    /// A node that was asked for is not there.
    #[error("no answer")]
    Unanswered,
    /// Children below a whole id, digests that do not match the slots, or a leaf that is too large.
    #[error("a node that no tree has")]
    Impossible,
    /// More nodes than a walk remembers.
    #[error("a tree without end")]
    Endless,
}

/// A place in one of the trees.
type Place = (u32, Path);

/// Nodes to ask for, and how each of them.
pub type Questions = (Vec<(u32, Path)>, Vec<Grain>);

/// A walk over some shards.
#[derive(Debug)]
pub struct Walk {
    /// Shards not begun, the next one last.
    shards: Vec<u32>,
    /// Places to ask for, the next one last.
    waiting: Vec<(Place, Grain)>,
    /// Asked for and not answered.
    asked: Vec<Place>,
    /// How each of them is asked for.
    grains: Vec<Grain>,
    /// How many places of a shard wait or are asked for.
    open: BTreeMap<u32, usize>,
    finished: Vec<u32>,
}

impl Walk {
    /// A walk over these shards, in their order.
    pub fn new(shards: impl IntoIterator<Item = u32>) -> Walk {
        let mut shards: Vec<u32> = shards.into_iter().collect();
        shards.reverse();
        Walk {
            shards,
            waiting: Vec::new(),
            asked: Vec::new(),
            grains: Vec::new(),
            open: BTreeMap::new(),
            finished: Vec::new(),
        }
    }

    /// The nodes to ask both sides for, at most [`NODES_MAX`], and how each of them; `None` when the walk is over. Depth first, so
    /// that one shard after the other comes to its end and little waits meanwhile. The same nodes again until they are answered.
    pub fn ask(&mut self) -> Option<Questions> {
        while self.asked.len() < NODES_MAX {
            let Some((place, grain)) = self.next() else {
                break;
            };
            self.asked.push(place);
            self.grains.push(grain);
        }
        (!self.asked.is_empty()).then(|| (self.asked.clone(), self.grains.clone()))
    }

    fn next(&mut self) -> Option<(Place, Grain)> {
        self.waiting.pop().or_else(|| {
            let shard = self.shards.pop()?;
            *self.open.entry(shard).or_default() += 1;
            Some(((shard, Path::ROOT), Grain::Digests))
        })
    }

    /// Takes what both sides show of the nodes asked for, parents before children, and returns what the receiver may lack.
    ///
    /// # Errors
    /// When one of the answers is none.
    pub fn answered(
        &mut self,
        giver: Vec<(u32, Below)>,
        receiver: Vec<(u32, Below)>,
    ) -> Result<Vec<Leaf>, WalkError> {
        let asked = std::mem::take(&mut self.asked);
        self.grains.clear();
        let roots: BTreeSet<Place> = asked.iter().copied().collect();
        let giver = shown(Party::Giver, giver, &roots)?;
        let receiver = shown(Party::Receiver, receiver, &roots)?;
        let mut step = Step {
            giver: &giver,
            receiver: &receiver,
            follow: Vec::new(),
            leaves: Vec::new(),
        };
        for place in &asked {
            step.look(*place, step.held(place));
        }
        let Step { follow, leaves, .. } = step;
        for ((shard, _), _) in &follow {
            *self.open.entry(*shard).or_default() += 1;
        }
        self.waiting.extend(follow.into_iter().rev());
        if let Some(&((shard, path), _)) = self.waiting.get(WAITING_MAX) {
            let fault = Fault::Endless;
            let party = Party::Giver;
            return Err(WalkError {
                party,
                shard,
                path,
                fault,
            });
        }
        for (shard, _) in asked {
            self.close(shard);
        }
        Ok(leaves)
    }

    /// The shards that came to their end since the last call: all that the receiver may lack of them was returned.
    pub fn finished(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.finished)
    }

    fn close(&mut self, shard: u32) {
        if let Some(open) = self.open.get_mut(&shard) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&shard);
                self.finished.push(shard);
            }
        }
    }
}

/// An answer by place.
type Shown = BTreeMap<Place, BelowKind>;

/// Checks an answer.
fn shown(
    party: Party,
    nodes: Vec<(u32, Below)>,
    asked: &BTreeSet<Place>,
) -> Result<Shown, WalkError> {
    let wrong = |(shard, path), fault| WalkError {
        party,
        shard,
        path,
        fault,
    };
    let mut shown = Shown::new();
    for (shard, Below { path, kind }) in nodes {
        let place = (shard, path);
        if !is_node(&path, &kind) {
            return Err(wrong(place, Fault::Impossible));
        }
        if !asked.contains(&place) && !is_child(&shown, asked, place) {
            return Err(wrong(place, Fault::Unasked));
        }
        if shown.insert(place, kind).is_some() {
            return Err(wrong(place, Fault::Repeated));
        }
    }
    match asked.iter().find(|place| !shown.contains_key(place)) {
        Some(place) => Err(wrong(*place, Fault::Unanswered)),
        None => Ok(shown),
    }
}

fn is_node(path: &Path, kind: &BelowKind) -> bool {
    match kind {
        BelowKind::Inner { slots, digests } => {
            slots.count_ones() as usize == digests.len() && path.child(0).is_some()
        }
        BelowKind::Leaf { short_ids } => short_ids.len() <= LEAF_MAX,
    }
}

/// Whether a node that was asked for is shown with this place as its child.
fn is_child(shown: &Shown, asked: &BTreeSet<Place>, (shard, path): Place) -> bool {
    let Some(depth) = path.depth().checked_sub(1) else {
        return false;
    };
    let parent = (shard, Path::of(path.first(), depth));
    asked.contains(&parent)
        && shown
            .get(&parent)
            .is_some_and(|kind| children(&parent.1, kind).any(|(child, _)| child == path))
}

/// The children of an inner node with their digests; none of a leaf.
fn children(path: &Path, kind: &BelowKind) -> impl Iterator<Item = (Path, ShortDigest)> {
    let (slots, digests) = match kind {
        BelowKind::Inner { slots, digests } => (*slots, digests.as_slice()),
        BelowKind::Leaf { .. } => (0, &[][..]),
    };
    let path = *path;
    (0..16)
        .filter(move |slot| slots & (1 << slot) != 0)
        .filter_map(move |slot| path.child(slot))
        .zip(digests.iter().copied())
}

/// What the receiver holds below a place.
#[derive(Clone, Copy)]
enum Held<'a> {
    /// Only these.
    Only(&'a [ShortId]),
    /// What is below an inner node.
    Below(&'a BelowKind),
    /// It did not say.
    Unknown,
}

/// Two answers laid side by side.
struct Step<'a> {
    giver: &'a Shown,
    receiver: &'a Shown,
    follow: Vec<(Place, Grain)>,
    leaves: Vec<Leaf>,
}

impl<'a> Step<'a> {
    fn held(&self, place: &Place) -> Held<'a> {
        match self.receiver.get(place) {
            Some(BelowKind::Leaf { short_ids }) => Held::Only(short_ids),
            Some(inner) => Held::Below(inner),
            None => Held::Unknown,
        }
    }

    /// Goes down from a place as far as the answers reach: three levels at most, since neither shows more than two.
    fn look(&mut self, place: Place, held: Held<'a>) {
        let (shard, path) = place;
        let Some(kind) = self.giver.get(&place) else {
            let grain = match held {
                Held::Only(_) => Grain::Ids,
                Held::Below(_) | Held::Unknown => Grain::Digests,
            };
            self.follow.push((place, grain));
            return;
        };
        if let BelowKind::Leaf { short_ids } = kind {
            let known = |short: &ShortId| matches!(held, Held::Only(ids) if ids.contains(short));
            let short_ids: Vec<ShortId> =
                short_ids.iter().filter(|id| !known(id)).copied().collect();
            if !short_ids.is_empty() {
                self.leaves.push(Leaf {
                    shard,
                    path,
                    short_ids,
                });
            }
            return;
        }
        let theirs: BTreeMap<Path, ShortDigest> = match held {
            Held::Unknown => {
                self.follow.push((place, Grain::Digests));
                return;
            }
            Held::Below(inner) => children(&path, inner).collect(),
            Held::Only(_) => BTreeMap::new(),
        };
        for (child, digest) in children(&path, kind) {
            let place = (shard, child);
            let held = match (held, theirs.get(&child)) {
                (Held::Only(_), _) => held,
                (_, Some(same)) if *same == digest => continue,
                (_, Some(_)) => self.held(&place),
                (_, None) => Held::Only(&[]),
            };
            self.look(place, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tree;

    const SALT: [u8; 16] = [7; 16];

    fn tree(numbers: impl IntoIterator<Item = u32>) -> Tree {
        let id = |number: u32| *blake3::hash(&number.to_be_bytes()).as_bytes();
        numbers.into_iter().map(id).collect()
    }

    fn answer(tree: &Tree, asked: &[Place]) -> Vec<(u32, Below)> {
        let describe = |(shard, path): &Place| {
            let shard = *shard;
            let below = tree.describe(path, &SALT, Grain::Digests, usize::MAX);
            below.into_iter().map(move |below| (shard, below))
        };
        asked.iter().flat_map(describe).collect()
    }

    fn fault(change: impl FnOnce(&mut Vec<(u32, Below)>)) -> (Party, Fault) {
        let tree = tree(0..100);
        let mut walk = Walk::new([3]);
        let (asked, _) = walk.ask().unwrap();
        let mut giver = answer(&tree, &asked);
        change(&mut giver);
        let error = walk.answered(giver, answer(&tree, &asked)).unwrap_err();
        (error.party, error.fault)
    }

    #[test]
    fn equal_trees_end_after_one_question() {
        let tree = tree(0..1_000);
        let mut walk = Walk::new([5, 9]);
        let (asked, grains) = walk.ask().unwrap();
        assert_eq!(grains, [Grain::Digests; 2]);
        assert_eq!(asked, [(5, Path::ROOT), (9, Path::ROOT)]);
        let both = answer(&tree, &asked);
        assert_eq!(walk.answered(both.clone(), both), Ok(Vec::new()));
        assert_eq!(walk.finished(), [5, 9]);
        assert_eq!(walk.ask(), None);
        assert!(walk.finished().is_empty());
    }

    #[test]
    fn a_question_stands_until_it_is_answered() {
        let mut walk = Walk::new(0..600);
        let first = walk.ask().unwrap();
        assert_eq!(first.0.len(), NODES_MAX);
        assert_eq!(walk.ask().unwrap(), first);
    }

    #[test]
    fn answers_that_no_tree_gives_are_named() {
        let at = |path: Path| Below {
            path,
            kind: BelowKind::Leaf {
                short_ids: Vec::new(),
            },
        };
        let child = Path::ROOT.child(4).unwrap();
        let grandchild = child.child(4).unwrap();
        assert_eq!(fault(Vec::clear), (Party::Giver, Fault::Unanswered));
        assert_eq!(
            fault(|nodes| nodes.push((4, at(Path::ROOT)))).1,
            Fault::Unasked
        );
        assert_eq!(
            fault(|nodes| nodes.push((3, at(grandchild)))).1,
            Fault::Unasked
        );
        assert_eq!(
            fault(|nodes| nodes.insert(0, (3, at(child)))).1,
            Fault::Unasked
        );
        assert_eq!(fault(|nodes| nodes.push((3, at(child)))).1, Fault::Repeated);
        let crowded = BelowKind::Leaf {
            short_ids: vec![[0; 8]; LEAF_MAX + 1],
        };
        assert_eq!(
            fault(|nodes| nodes[0].1.kind = crowded).1,
            Fault::Impossible
        );
        let odd = BelowKind::Inner {
            slots: 0b11,
            digests: vec![[0; 8]],
        };
        assert_eq!(fault(|nodes| nodes[0].1.kind = odd).1, Fault::Impossible);
    }

    #[test]
    fn a_tree_without_end_is_left_in_time() {
        let mut walk = Walk::new(0..NODES_MAX as u32);
        let mut seed = 0_u64;
        let mut endless = |party: u64, asked: &[Place]| -> Vec<(u32, Below)> {
            let mut nodes = Vec::new();
            for (shard, path) in asked {
                let below = (0..16).filter_map(|slot| path.child(slot));
                for path in std::iter::once(*path).chain(below) {
                    seed += 1;
                    let digests = vec![(seed * 2 + party).to_be_bytes(); 16];
                    let kind = BelowKind::Inner {
                        slots: u16::MAX,
                        digests,
                    };
                    nodes.push((*shard, Below { path, kind }));
                }
            }
            nodes
        };
        let fault = (0..40).find_map(|_| {
            let (asked, _) = walk.ask()?;
            let (giver, receiver) = (endless(0, &asked), endless(1, &asked));
            walk.answered(giver, receiver).err()
        });
        assert_eq!(fault.map(|error| error.fault), Some(Fault::Endless));
    }
}
