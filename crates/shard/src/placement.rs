//! Who owns what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::balance::Balance;
use crate::global_shard;

/// The owners of every shard, for one set of members. A pure function of that set: the order in which members came, or who
/// works it out, does not matter.
///
/// Each shard has min(rf, n) distinct owners; slots per member differ by at most one; a join or leave moves little more than
/// it must (docs/adr/0002-placement.md has the figures).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    members: Vec<Arc<str>>,
    num_shards: u32,
    owners: Vec<Vec<Arc<str>>>,
}

impl Placement {
    /// Works it out: a few milliseconds for 256 shards and 8 members. Keep it, do not repeat it per request.
    pub fn new(members: impl IntoIterator<Item = String>, num_shards: u32, rf: u32) -> Placement {
        let names: BTreeSet<String> = members.into_iter().collect();
        let members: Vec<Arc<str>> = names.into_iter().map(Arc::from).collect();
        let copies = members.len().min(usize::try_from(rf).unwrap_or(usize::MAX));
        let owners = if copies == 0 {
            vec![Vec::new(); num_shards as usize]
        } else {
            assign(&members, num_shards, copies)
        };
        Placement {
            members,
            num_shards,
            owners,
        }
    }

    /// The owners of a shard, highest score first. The global shard is owned by all members; a shard that does not exist by
    /// nobody.
    pub fn owners(&self, shard: u32) -> &[Arc<str>] {
        if shard == global_shard(self.num_shards) {
            return &self.members;
        }
        self.owners.get(shard as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether a member owns a shard.
    pub fn owns(&self, name: &str, shard: u32) -> bool {
        self.owners(shard).iter().any(|owner| **owner == *name)
    }

    /// The shards of a member, the global shard included, ascending.
    pub fn owned_by(&self, name: &str) -> Vec<u32> {
        (0..=self.num_shards)
            .filter(|shard| self.owns(name, *shard))
            .collect()
    }

    /// Shards per member, without the global shard.
    pub fn slots(&self) -> BTreeMap<&str, usize> {
        let mut slots: BTreeMap<&str, usize> =
            self.members.iter().map(|name| (&**name, 0)).collect();
        for owner in self.owners.iter().flatten() {
            *slots.entry(owner).or_default() += 1;
        }
        slots
    }

    /// The members, by name.
    pub fn members(&self) -> &[Arc<str>] {
        &self.members
    }

    /// How many shards there are, without the global shard.
    pub fn num_shards(&self) -> u32 {
        self.num_shards
    }
}

/// The owners of one shard. Works out the whole placement: for one-off questions.
pub fn owners(
    shard: u32,
    members: impl IntoIterator<Item = String>,
    num_shards: u32,
    rf: u32,
) -> Vec<Arc<str>> {
    Placement::new(members, num_shards, rf)
        .owners(shard)
        .to_vec()
}

fn assign(members: &[Arc<str>], num_shards: u32, copies: usize) -> Vec<Vec<Arc<str>>> {
    let columns: Vec<Vec<i64>> = members
        .iter()
        .map(|name| scores(name, num_shards))
        .collect();
    let by_shard: Vec<Vec<i64>> = (0..num_shards as usize)
        .map(|shard| columns.iter().map(|column| column[shard]).collect())
        .collect();
    let owned = Balance::rendezvous(by_shard.clone(), members.len(), copies).settle();
    owned
        .iter()
        .zip(&by_shard)
        .map(|(owned, scores)| {
            let mut owners: Vec<usize> =
                (0..members.len()).filter(|&member| owned[member]).collect();
            owners.sort_by_key(|&member| std::cmp::Reverse(scores[member]));
            owners
                .into_iter()
                .map(|member| Arc::clone(&members[member]))
                .collect()
        })
        .collect()
}

/// A member's score for each shard: 32 bits each of its name's BLAKE3 output stream, so that sums stay exact in an i64.
fn scores(name: &str, num_shards: u32) -> Vec<i64> {
    let mut stream = blake3::Hasher::new();
    stream.update(name.as_bytes());
    let mut bytes = vec![0; num_shards as usize * 4];
    stream.finalize_xof().fill(&mut bytes);
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|word| i64::from(u32::from_be_bytes(*word)))
        .collect()
}
