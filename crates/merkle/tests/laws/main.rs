//! What holds for every set of ids, and for every two of them.

#![allow(
    clippy::unwrap_used,
    reason = "what a test did not expect ends the test"
)]

mod exchange;
mod set;
mod walk;

use merkle::{Id, Salt};
use proptest::collection::btree_set;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A session's salt; the laws do not depend on which.
const SALT: Salt = [0x5a; 16];

/// The id of a record that nobody chose.
fn id(number: u32) -> Id {
    *blake3::hash(&number.to_be_bytes()).as_bytes()
}

/// An id that somebody ground to the first bytes `ab cd ef`, the 24 bits that protocol 6 names.
fn ground(number: u32) -> Id {
    let mut id = id(number);
    id[..3].copy_from_slice(&[0xab, 0xcd, 0xef]);
    id
}

/// Sets that share ids with one another, spread out, crowded below a prefix, or all but equal.
fn sets() -> impl Strategy<Value = BTreeSet<Id>> {
    let spread = (0_u32..3_000).prop_map(id);
    let crowded = (0_u32..3_000).prop_map(ground);
    // Nobody can grind so many digits; the trees must bear it all the same.
    let alike = (0_u8..2, any::<u8>()).prop_map(|(first, last)| {
        let mut id = [0; 32];
        id[0] = first << 4;
        id[31] = last;
        id
    });
    let one = prop_oneof![4 => spread, 2 => crowded, 1 => alike];
    btree_set(one, 0..600)
}
