//! One shard's ids as a trie.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::path::{Path, digit};
use crate::{Below, BelowKind, Digest, Grain, Id, Salt, ShortId, short_digest, short_id};

/// Most ids in a leaf. Larger: fewer nodes in memory; smaller: fewer bytes to tell one missing id.
pub const LEAF_MAX: usize = 32;

/// Most ids that are shown one by one. A larger leaf is shown as an inner node would be, so that telling one missing id of
/// two dozen takes digests of some and not the ids of all.
pub const LISTED_MAX: usize = 8;

/// Domain bytes of the hashes: a leaf can never pass for an inner node.
const LEAF: u8 = 0;
const INNER: u8 = 1;

/// Bytes of message that a described inner node or leaf takes besides its digests or ids.
const FRAME_BYTES: usize = 32;

/// A set of ids with a digest for every part of it.
///
/// A clone costs nothing and keeps showing the set as it was: changes copy only the nodes they touch.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Arc<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    /// Worked out when it is first asked for.
    digest: OnceLock<Digest>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// At most [`LEAF_MAX`] ids, ascending.
    Leaf(Vec<Id>),
    /// More than [`LEAF_MAX`] ids.
    Inner {
        count: usize,
        children: Box<[Option<Arc<Node>>; 16]>,
    },
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl FromIterator<Id> for Tree {
    fn from_iter<I: IntoIterator<Item = Id>>(ids: I) -> Tree {
        let mut ids: Vec<Id> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Tree {
            root: Arc::new(Node::build(&ids, 0)),
        }
    }
}

impl Tree {
    /// The empty set.
    pub fn new() -> Tree {
        Tree {
            root: Arc::new(Node::leaf(Vec::new())),
        }
    }

    /// Adds an id; false when it was there.
    pub fn insert(&mut self, id: Id) -> bool {
        // Looked up first: a change would give up digests that still hold.
        !self.contains(&id) && {
            Arc::make_mut(&mut self.root).insert(id, 0);
            true
        }
    }

    /// Takes an id out; false when it was not there.
    pub fn remove(&mut self, id: &Id) -> bool {
        self.contains(id) && {
            Arc::make_mut(&mut self.root).remove(id, 0);
            true
        }
    }

    /// Whether an id is there.
    pub fn contains(&self, id: &Id) -> bool {
        let mut node = &*self.root;
        let mut depth = 0;
        loop {
            match &node.kind {
                Kind::Leaf(ids) => return ids.binary_search(id).is_ok(),
                Kind::Inner { children, .. } => match &children[digit(id, depth)] {
                    Some(child) => node = child,
                    None => return false,
                },
            }
            depth += 1;
        }
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.root.count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of the set.
    pub fn root(&self) -> Digest {
        self.root.digest()
    }

    /// Up to `limit` ids after the given one, ascending.
    pub fn ids_after(&self, after: Option<&Id>, limit: usize) -> Vec<Id> {
        let mut found = Vec::with_capacity(limit.min(self.len()));
        self.root.collect_after(after, 0, limit, &mut found);
        found
    }

    /// What is at a path and, while a message of `max_bytes` has room, what is below it, two levels in all, in pre-order.
    /// With [`Grain::Digests`] a leaf of more than [`LISTED_MAX`] ids is shown as an inner node, whose children have the digests
    /// of leaves as they would in a tree with a node there.
    pub fn describe(&self, path: &Path, salt: &Salt, grain: Grain, max_bytes: usize) -> Vec<Below> {
        let below;
        let node = match self.node_at(path) {
            Some(node) => node,
            None => {
                below = Node::leaf(self.ids_below(path));
                &below
            }
        };
        let node = node.opened(path.depth(), grain);
        let mut shown = vec![node.show(*path, salt)];
        let mut bytes = size(&shown[0]);
        for (child_path, child) in node.children(path) {
            let below = child
                .opened(child_path.depth(), grain)
                .show(child_path, salt);
            bytes += size(&below);
            if bytes > max_bytes {
                break;
            }
            shown.push(below);
        }
        shown
    }

    /// The ids behind short ids below a path, in the order asked; `None` for those that are not there.
    pub fn lookup(&self, path: &Path, salt: &Salt, short_ids: &[ShortId]) -> Vec<Option<Id>> {
        let mut wanted: Vec<(ShortId, usize)> = short_ids
            .iter()
            .enumerate()
            .map(|(place, short)| (*short, place))
            .collect();
        wanted.sort_unstable();
        let mut found = vec![None; short_ids.len()];
        for id in self.ids_below(path) {
            let short = short_id(salt, &id);
            let from = wanted.partition_point(|(known, _)| *known < short);
            for (_, place) in wanted[from..]
                .iter()
                .take_while(|(known, _)| *known == short)
            {
                found[*place] = Some(id);
            }
        }
        found
    }

    /// Bytes of memory that the tree takes, about: nodes shared with clones count for each.
    pub fn memory_bytes(&self) -> usize {
        self.root.memory_bytes()
    }

    /// How many levels of nodes there are.
    pub fn height(&self) -> usize {
        self.root.height()
    }

    fn node_at(&self, path: &Path) -> Option<&Node> {
        let mut node = &*self.root;
        for depth in 0..path.depth() {
            let Kind::Inner { children, .. } = &node.kind else {
                return None;
            };
            node = children[digit(path.first(), depth)].as_deref()?;
        }
        Some(node)
    }

    fn ids_below(&self, path: &Path) -> Vec<Id> {
        let mut node = &*self.root;
        for depth in 0..path.depth() {
            match &node.kind {
                Kind::Leaf(ids) => {
                    return ids.iter().filter(|id| path.contains(id)).copied().collect();
                }
                Kind::Inner { children, .. } => match &children[digit(path.first(), depth)] {
                    Some(child) => node = child,
                    None => return Vec::new(),
                },
            }
        }
        let mut ids = Vec::with_capacity(node.count());
        node.collect_into(&mut ids);
        ids
    }
}

impl Node {
    fn leaf(ids: Vec<Id>) -> Node {
        Node {
            digest: OnceLock::new(),
            kind: Kind::Leaf(ids),
        }
    }

    /// From ascending ids that share their first `depth` digits.
    fn build(ids: &[Id], depth: u8) -> Node {
        if ids.len() <= LEAF_MAX {
            return Node::leaf(ids.to_vec());
        }
        Node::inner(ids, depth)
    }

    fn inner(ids: &[Id], depth: u8) -> Node {
        let mut children: Box<[Option<Arc<Node>>; 16]> = Box::default();
        let mut rest = ids;
        while let Some(first) = rest.first() {
            let slot = digit(first, depth);
            let end = rest.partition_point(|id| digit(id, depth) <= slot);
            let (below, others) = rest.split_at(end);
            children[slot] = Some(Arc::new(Node::build(below, depth + 1)));
            rest = others;
        }
        Node {
            digest: OnceLock::new(),
            kind: Kind::Inner {
                count: ids.len(),
                children,
            },
        }
    }

    fn count(&self) -> usize {
        match &self.kind {
            Kind::Leaf(ids) => ids.len(),
            Kind::Inner { count, .. } => *count,
        }
    }

    /// Adds an id that is not there.
    fn insert(&mut self, id: Id, depth: u8) {
        self.digest = OnceLock::new();
        match &mut self.kind {
            Kind::Leaf(ids) => {
                let place = ids.partition_point(|known| *known < id);
                ids.insert(place, id);
                if ids.len() > LEAF_MAX {
                    *self = Node::build(ids, depth);
                }
            }
            Kind::Inner { count, children } => {
                *count += 1;
                match &mut children[digit(&id, depth)] {
                    Some(child) => Arc::make_mut(child).insert(id, depth + 1),
                    empty => *empty = Some(Arc::new(Node::leaf(vec![id]))),
                }
            }
        }
    }

    /// Takes out an id that is there. A node that became small enough is a leaf again: the shape follows the set.
    fn remove(&mut self, id: &Id, depth: u8) {
        self.digest = OnceLock::new();
        match &mut self.kind {
            Kind::Leaf(ids) => ids.retain(|known| known != id),
            Kind::Inner { count, children } => {
                *count -= 1;
                let slot = &mut children[digit(id, depth)];
                if let Some(child) = slot {
                    if child.count() == 1 {
                        *slot = None;
                    } else {
                        Arc::make_mut(child).remove(id, depth + 1);
                    }
                }
                if *count <= LEAF_MAX {
                    let mut ids = Vec::with_capacity(*count);
                    self.collect_into(&mut ids);
                    *self = Node::leaf(ids);
                }
            }
        }
    }

    fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            match &self.kind {
                Kind::Leaf(ids) => {
                    hasher.update(&[LEAF]);
                    hasher.update(ids.as_flattened());
                }
                Kind::Inner { children, .. } => {
                    hasher.update(&[INNER]);
                    for (slot, child) in (0_u8..).zip(children.iter()) {
                        if let Some(child) = child {
                            hasher.update(&[slot]);
                            hasher.update(&child.digest());
                        }
                    }
                }
            }
            *hasher.finalize().as_bytes()
        })
    }

    /// What this node is shown as. Ids that go on with the same digit are shown as they are: going down would tell nothing.
    fn opened(&self, depth: u8, grain: Grain) -> Cow<'_, Node> {
        match &self.kind {
            Kind::Leaf(ids) if ids.len() > LISTED_MAX && grain == Grain::Digests => {
                let first = digit(&ids[0], depth);
                match ids.iter().any(|id| digit(id, depth) != first) {
                    true => Cow::Owned(Node::inner(ids, depth)),
                    false => Cow::Borrowed(self),
                }
            }
            Kind::Leaf(_) | Kind::Inner { .. } => Cow::Borrowed(self),
        }
    }

    fn show(&self, path: Path, salt: &Salt) -> Below {
        let kind = match &self.kind {
            Kind::Leaf(ids) => BelowKind::Leaf {
                short_ids: ids.iter().map(|id| short_id(salt, id)).collect(),
            },
            Kind::Inner { children, .. } => {
                let mut slots = 0;
                let mut digests = Vec::with_capacity(16);
                for (slot, child) in children.iter().enumerate() {
                    if let Some(child) = child {
                        slots |= 1 << slot;
                        digests.push(short_digest(salt, &child.digest()));
                    }
                }
                BelowKind::Inner { slots, digests }
            }
        };
        Below { path, kind }
    }

    fn children(&self, path: &Path) -> impl Iterator<Item = (Path, &Node)> {
        let children = match &self.kind {
            Kind::Leaf(_) => None,
            Kind::Inner { children, .. } => Some(children),
        };
        let path = *path;
        children
            .into_iter()
            .flat_map(|children| (0_u8..).zip(children.iter()))
            .filter_map(move |(slot, child)| Some((path.child(slot)?, child.as_deref()?)))
    }

    fn collect_into(&self, out: &mut Vec<Id>) {
        match &self.kind {
            Kind::Leaf(ids) => out.extend_from_slice(ids),
            Kind::Inner { children, .. } => {
                for child in children.iter().flatten() {
                    child.collect_into(out);
                }
            }
        }
    }

    /// `after` is `None` where every id of this node comes after it.
    fn collect_after(&self, after: Option<&Id>, depth: u8, limit: usize, out: &mut Vec<Id>) {
        if out.len() >= limit {
            return;
        }
        match &self.kind {
            Kind::Leaf(ids) => {
                let from = after.map_or(0, |after| ids.partition_point(|id| id <= after));
                out.extend(ids[from..].iter().take(limit - out.len()));
            }
            Kind::Inner { children, .. } => {
                let first = after.map_or(0, |after| digit(after, depth));
                for (slot, child) in children.iter().enumerate().skip(first) {
                    if let Some(child) = child {
                        let after = after.filter(|_| slot == first);
                        child.collect_after(after, depth + 1, limit, out);
                    }
                }
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        // Two reference counts stand before what an Arc points to.
        let own = size_of::<Node>() + 16;
        own + match &self.kind {
            Kind::Leaf(ids) => ids.capacity() * size_of::<Id>(),
            Kind::Inner { children, .. } => {
                let below: usize = children
                    .iter()
                    .flatten()
                    .map(|child| child.memory_bytes())
                    .sum();
                size_of_val(&**children) + below
            }
        }
    }

    fn height(&self) -> usize {
        match &self.kind {
            Kind::Leaf(_) => 1,
            Kind::Inner { children, .. } => {
                1 + children
                    .iter()
                    .flatten()
                    .map(|child| child.height())
                    .max()
                    .unwrap_or(0)
            }
        }
    }
}

fn size(below: &Below) -> usize {
    FRAME_BYTES
        + match &below.kind {
            BelowKind::Inner { digests, .. } => digests.len() * size_of::<crate::ShortDigest>(),
            BelowKind::Leaf { short_ids } => short_ids.len() * size_of::<ShortId>(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EMPTY_ROOT;

    fn id(number: u32) -> Id {
        *blake3::hash(&number.to_be_bytes()).as_bytes()
    }

    fn tree(numbers: impl IntoIterator<Item = u32>) -> Tree {
        numbers.into_iter().map(id).collect()
    }

    #[test]
    fn the_empty_root_is_the_hash_of_an_empty_leaf() {
        assert_eq!(Tree::new().root(), EMPTY_ROOT);
        assert_eq!(EMPTY_ROOT, *blake3::hash(&[LEAF]).as_bytes());
    }

    #[test]
    fn one_by_one_or_at_once_the_root_is_the_same() {
        let mut grown = Tree::new();
        for number in (0..2_000).rev() {
            assert!(grown.insert(id(number)));
            assert!(!grown.insert(id(number)));
        }
        assert_eq!(grown.root(), tree(0..2_000).root());
        for number in 500..2_000 {
            assert!(grown.remove(&id(number)));
            assert!(!grown.remove(&id(number)));
        }
        assert_eq!(grown.root(), tree(0..500).root());
        assert_eq!(grown.len(), 500);
        assert_eq!(grown.height(), tree(0..500).height());
    }

    #[test]
    fn a_clone_keeps_showing_the_set_as_it_was() {
        let mut now = tree(0..300);
        let before = now.clone();
        let root = before.root();
        now.insert(id(300));
        now.remove(&id(7));
        assert_eq!(before.root(), root);
        assert!(before.contains(&id(7)) && !before.contains(&id(300)));
        assert!(!now.contains(&id(7)) && now.contains(&id(300)));
    }

    #[test]
    fn pages_of_ids_are_in_order_and_whole() {
        let tree = tree(0..1_000);
        let mut all: Vec<Id> = (0..1_000).map(id).collect();
        all.sort_unstable();
        let mut paged = Vec::new();
        loop {
            let page = tree.ids_after(paged.last(), 33);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }

    #[test]
    fn short_ids_are_found_below_their_path_only() {
        let tree = tree(0..1_000);
        let salt = [5; 16];
        let wanted = id(77);
        let path = Path::of(&wanted, 3);
        let asked = [short_id(&salt, &id(5_000)), short_id(&salt, &wanted)];
        assert_eq!(tree.lookup(&path, &salt, &asked), [None, Some(wanted)]);
        let elsewhere = Path::ROOT
            .child(15 - u8::try_from(digit(&wanted, 0)).unwrap())
            .unwrap();
        assert_eq!(tree.lookup(&elsewhere, &salt, &asked), [None, None]);
    }

    #[test]
    fn a_description_shows_two_levels_and_respects_the_bound() {
        let tree = tree(0..3_000);
        let salt = [1; 16];
        let shown = tree.describe(&Path::ROOT, &salt, Grain::Digests, usize::MAX);
        assert_eq!(shown.len(), 17);
        assert!(shown[1..].iter().all(|below| below.path.depth() == 1));
        assert_eq!(
            tree.describe(&Path::ROOT, &salt, Grain::Digests, 0).len(),
            1
        );
        let deep = Path::of(&id(9), 9);
        let BelowKind::Leaf { short_ids } =
            &tree.describe(&deep, &salt, Grain::Digests, usize::MAX)[0].kind
        else {
            panic!("no node is that deep");
        };
        assert_eq!(short_ids, &[short_id(&salt, &id(9))]);
    }

    #[test]
    fn a_leaf_of_more_than_a_few_ids_is_shown_as_an_inner_node() {
        let tree = tree(0..30);
        let salt = [1; 16];
        let BelowKind::Inner { slots, digests } =
            &tree.describe(&Path::ROOT, &salt, Grain::Digests, 0)[0].kind
        else {
            panic!("thirty ids one by one");
        };
        let mut at = digests.iter();
        for slot in (0..16).filter(|slot| slots & (1 << slot) != 0) {
            let below = tree.ids_below(&Path::ROOT.child(slot).unwrap());
            let leaf = Node::leaf(below).digest();
            assert_eq!(at.next(), Some(&short_digest(&salt, &leaf)));
        }
        assert_eq!(at.next(), None);
        let shown = tree.describe(&Path::ROOT, &salt, Grain::Digests, usize::MAX);
        let listed: usize = shown[1..]
            .iter()
            .map(|below| match &below.kind {
                BelowKind::Leaf { short_ids } => short_ids.len(),
                BelowKind::Inner { .. } => panic!("a few ids as an inner node"),
            })
            .sum();
        assert_eq!(listed, 30);
        let shown = tree.describe(&Path::ROOT, &salt, Grain::Ids, 0);
        assert!(matches!(&shown[0].kind, BelowKind::Leaf { short_ids } if short_ids.len() == 30));
    }

    #[test]
    fn ids_that_go_on_with_the_same_digits_are_shown_at_once() {
        let tree: Tree = (0..20_u32)
            .map(|number| {
                let mut ground = id(number);
                ground[..8].fill(0xab);
                ground
            })
            .collect();
        let shown = tree.describe(&Path::ROOT, &[1; 16], Grain::Digests, usize::MAX);
        assert!(matches!(&shown[0].kind, BelowKind::Leaf { short_ids } if short_ids.len() == 20));
    }

    #[test]
    fn ids_that_share_a_long_prefix_make_a_deep_tree_of_few_nodes() {
        let ground: Tree = (0..100_000_u32)
            .map(|number| {
                let mut ground = id(number);
                ground[..3].copy_from_slice(&[0xab, 0xcd, 0xef]);
                ground
            })
            .collect();
        let usual = tree(0..100_000);
        assert!(ground.height() <= usual.height() + 6);
        assert!(ground.memory_bytes() < usual.memory_bytes() * 11 / 10);
    }
}
