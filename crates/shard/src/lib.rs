//! Which shard a record lies in, who owns a shard, and when a node may call itself complete for it.
//!
//! All of it is pure: the same members give the same [`Placement`] in every process, and times come from the caller.

mod balance;
pub mod homecoming;
mod movement;
mod placement;
pub mod proof;
mod ranges;

pub use movement::{Share, movement};
pub use placement::{Placement, owners};
pub use ranges::{ShardRange, compress, expand};

/// The shard of a subject: the first four bytes of its BLAKE3 hash, scaled. With 256 shards it is the first byte.
pub fn shard_of(subject: &str, num_shards: u32) -> u32 {
    let hash = blake3::hash(subject.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    let scaled = (u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(num_shards)) >> 32;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The shard that every node owns: one number beyond the others.
pub const fn global_shard(num_shards: u32) -> u32 {
    num_shards
}

/// A node's stable id: BLAKE3 of its name, first 16 bytes.
pub fn node_id(name: &str) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_256_shards_the_shard_is_the_first_byte_of_the_hash() {
        for subject in ["cas:7732-18-5", "cas:64-17-5", "constant:hubble"] {
            let first = blake3::hash(subject.as_bytes()).as_bytes()[0];
            assert_eq!(shard_of(subject, 256), u32::from(first));
        }
    }

    #[test]
    fn every_shard_number_is_below_the_number_of_shards() {
        for num_shards in [1, 3, 4, 255, 1_024] {
            for n in 0..2_000 {
                assert!(shard_of(&format!("cas:{n}"), num_shards) < num_shards);
            }
        }
    }
}
