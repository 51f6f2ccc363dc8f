//! Merkle trees over sets of record ids, and the walk by which two stores learn what one of them lacks.
//!
//! A [`Tree`] is a trie of 16-way nodes: its shape and its root depend on the set alone, never on the order in which ids came
//! or went, so equal roots mean equal sets. Digests are BLAKE3 over ids and children, not sums: clients choose what records
//! say, and with it the ids, so anything that adds up could be made to add up.
//!
//! Messages between stores carry digests and ids shortened to 8 bytes, keyed with a salt that the asking side picks for the
//! session: nobody can prepare two ids that look the same in it.

mod path;
mod tree;
pub mod walk;

pub use path::Path;
pub use tree::{LEAF_MAX, LISTED_MAX, Tree};

/// A record id.
pub type Id = [u8; 32];

/// BLAKE3 of a node of a tree.
pub type Digest = [u8; 32];

/// An id as messages carry it.
pub type ShortId = [u8; 8];

/// A node's digest as messages carry it.
pub type ShortDigest = [u8; 8];

/// What makes short ids and digests of one session different from those of any other.
pub type Salt = [u8; 16];

/// The root of a tree without ids.
pub const EMPTY_ROOT: Digest = [
    0x2d, 0x3a, 0xde, 0xdf, 0xf1, 0x1b, 0x61, 0xf1, 0x4c, 0x88, 0x6e, 0x35, 0xaf, 0xa0, 0x36, 0x73,
    0x6d, 0xcd, 0x87, 0xa7, 0x4d, 0x27, 0xb5, 0xc1, 0x51, 0x02, 0x25, 0xd0, 0xf5, 0x92, 0xe2, 0x13,
];

/// Domain of short forms, so that a short id can never be mistaken for a short digest of the same bytes.
const SHORT_ID: u8 = 0;
const SHORT_DIGEST: u8 = 1;

/// The short form of an id in one session.
pub fn short_id(salt: &Salt, id: &Id) -> ShortId {
    short(salt, SHORT_ID, id)
}

/// The short form of a digest in one session.
pub fn short_digest(salt: &Salt, digest: &Digest) -> ShortDigest {
    short(salt, SHORT_DIGEST, digest)
}

fn short(salt: &Salt, domain: u8, bytes: &[u8; 32]) -> [u8; 8] {
    // One BLAKE3 block: 16 + 1 + 32 bytes.
    let mut block = [0; 49];
    block[..16].copy_from_slice(salt);
    block[16] = domain;
    block[17..].copy_from_slice(bytes);
    let hash = blake3::hash(&block);
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_bytes()[..8]);
    short
}

/// One digest for the roots of many shards: two stores that come to the same one hold the same sets.
pub fn combined(roots: impl IntoIterator<Item = (u32, Digest)>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for (shard, root) in roots {
        hasher.update(&shard.to_be_bytes());
        hasher.update(&root);
    }
    *hasher.finalize().as_bytes()
}

/// How far the ids of a leaf are told apart by digests before they are shown one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Until few are left: the other side has most of them.
    Digests,
    /// Not at all: the other side has none of them, or as good as none.
    Ids,
}

impl Grain {
    /// Bytes of one answer beyond the asked nodes themselves, about, shared by them evenly. Shown ahead of a question, children
    /// of one node save a round trip. Of many nodes they would cost more bytes than what is missing, unless all of them are.
    pub fn ahead_bytes(self) -> usize {
        match self {
            Grain::Digests => 4 * 1024,
            Grain::Ids => 1024 * 1024,
        }
    }
}

/// What a tree shows of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// Where it is.
    pub path: Path,
    /// What is there.
    pub kind: BelowKind,
}

/// An inner node shows its children's digests, a leaf its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BelowKind {
    /// Children are at the slots whose bit is set.
    Inner {
        /// Bit i: the child of hex digit i has ids.
        slots: u16,
        /// One per set bit, in slot order.
        digests: Vec<ShortDigest>,
    },
    /// All ids below the path.
    Leaf {
        /// In the order of the full ids.
        short_ids: Vec<ShortId>,
    },
}
