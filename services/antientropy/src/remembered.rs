//! What a session may expect a peer to hold: roots that were proved contained before.
//!
//! A root stands for a set of ids. Once all of a set is durable here it stays here, so a peer that still shows the same
//! root has nothing new, whatever this node has gained since. That is what makes the usual session one small message,
//! also for shards that the two nodes hold different sets of.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::{Mutex, MutexGuard, PoisonError};

use merkle::{Digest, EMPTY_ROOT, Salt, ShortDigest};

use crate::stores::Reached;

/// How often rows of a shard were given up: what was contained before need not be any more.
#[derive(Debug, Default)]
pub struct Releases(Mutex<BTreeMap<u32, u64>>);

impl Releases {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows are about to go, or have just gone: to be noted at both times, for a session may begin between them.
    pub fn note(&self, shard: u32) {
        *self.counts().entry(shard).or_default() += 1;
    }
}

/// Roots of one peer's shards whose ids are all in the local store, and how far the peer's store had come.
#[derive(Debug, Default)]
pub struct Remembered {
    local_store: Vec<u8>,
    /// How often the local store had lost ids.
    losses: u64,
    remote_store: Vec<u8>,
    roots: BTreeMap<u32, Digest>,
    seen: Reached,
    /// Of each shard, how often rows had been given up when the session began.
    releases: BTreeMap<u32, u64>,
    /// The last row of the local store when the session began, less those that repair had put there.
    last_row: u64,
}

impl Remembered {
    /// How far the peer's store was seen to have come.
    pub fn seen(&self) -> Reached {
        self.seen.clone()
    }

    /// The peer's store answered.
    pub fn saw(&mut self, reached: &Reached) {
        self.seen.clone_from(reached);
    }

    /// Binds the memory to the local store that answered. Another store than before has to prove everything anew, and so has one
    /// that has lost ids since: damaged rows that it put aside.
    pub fn bind_local(&mut self, store_id: &[u8], losses: u64) {
        if self.local_store != store_id || self.losses != losses {
            self.roots.clear();
            self.local_store = store_id.to_vec();
            self.losses = losses;
        }
    }

    /// Whether the local store took records since this was last asked, other than those that repair brought, with this peer or
    /// another one. Rows of a session that is just bringing some may count as others': then this one is careful once too often.
    pub fn has_grown(&mut self, last_row: u64, brought: u64) -> bool {
        let others = last_row.wrapping_sub(brought);
        std::mem::replace(&mut self.last_row, others) != others
    }

    /// The root behind a short one, when it is the own, one that was proved, or that of nothing.
    pub fn recognised(
        &self,
        shard: u32,
        own: Option<Digest>,
        salt: &Salt,
        short: ShortDigest,
    ) -> Option<Digest> {
        let proved = self.roots.get(&shard).copied();
        [own, proved, Some(EMPTY_ROOT)]
            .into_iter()
            .flatten()
            .find(|root| merkle::short_digest(salt, root) == short)
    }

    /// Forgets shards of which rows were given up. To be called before the own roots are read.
    pub fn follow(&mut self, releases: &Releases) {
        let counts = releases.counts().clone();
        let before = &self.releases;
        self.roots
            .retain(|shard, _| counts.get(shard) == before.get(shard));
        self.releases = counts;
    }

    /// Whether nothing of a shard was given up since the session began.
    pub fn is_whole(&self, shard: u32, releases: &Releases) -> bool {
        releases.counts().get(&shard) == self.releases.get(&shard)
    }

    /// Binds the memory to the peer's store that answered; false when roots of another one had to be dropped.
    pub fn bind_remote(&mut self, store_id: &[u8]) -> bool {
        if self.remote_store == store_id {
            return true;
        }
        let dropped = !self.roots.is_empty();
        self.roots.clear();
        self.remote_store = store_id.to_vec();
        !dropped
    }

    /// Forgets shards that this node does not own any more: their rows may be handed over and deleted.
    pub fn keep_only(&mut self, owned: &BTreeSet<u32>) {
        self.roots.retain(|shard, _| owned.contains(shard));
    }

    /// The root to expect: our own where both are owners and should hold the same; else what was proved last; else
    /// nothing.
    pub fn expected(&self, shard: u32, own: Digest, peer_owns: bool) -> Digest {
        if peer_owns {
            return own;
        }
        self.roots.get(&shard).copied().unwrap_or(EMPTY_ROOT)
    }

    /// Whether a peer that shows this root holds nothing that is not here.
    pub fn contained(&self, shard: u32, own: &Digest, remote: &Digest) -> bool {
        remote == own || *remote == EMPTY_ROOT || self.roots.get(&shard) == Some(remote)
    }

    /// Every id below this root is durable here.
    pub fn proved(&mut self, shard: u32, remote: Digest) {
        self.roots.insert(shard, remote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Digest = [1; 32];
    const OTHER: Digest = [2; 32];

    fn remembered() -> Remembered {
        let mut remembered = Remembered::default();
        remembered.bind_local(b"here", 0);
        remembered.bind_remote(b"there");
        remembered.proved(7, OTHER);
        remembered
    }

    #[test]
    fn two_owners_expect_the_same_root() {
        assert_eq!(remembered().expected(7, OWN, true), OWN);
    }

    #[test]
    fn a_peer_that_owns_nothing_is_expected_to_hold_nothing_new() {
        assert_eq!(remembered().expected(7, OWN, false), OTHER);
        assert_eq!(remembered().expected(8, OWN, false), EMPTY_ROOT);
    }

    #[test]
    fn known_roots_are_contained_and_others_are_not() {
        let remembered = remembered();
        assert!(remembered.contained(8, &OWN, &OWN));
        assert!(remembered.contained(8, &OWN, &EMPTY_ROOT));
        assert!(remembered.contained(7, &OWN, &OTHER));
        assert!(!remembered.contained(8, &OWN, &OTHER));
    }

    #[test]
    fn a_short_root_is_recognised_when_its_set_is_known() {
        let remembered = remembered();
        let salt = [9; 16];
        let recognised = |shard, root: &Digest| {
            remembered.recognised(shard, Some(OWN), &salt, merkle::short_digest(&salt, root))
        };
        assert_eq!(recognised(7, &OTHER), Some(OTHER));
        assert_eq!(recognised(8, &OTHER), None);
        assert_eq!(recognised(8, &OWN), Some(OWN));
        assert_eq!(recognised(8, &EMPTY_ROOT), Some(EMPTY_ROOT));
    }

    #[test]
    fn a_store_has_grown_since_it_was_last_looked_at() {
        let mut remembered = Remembered::default();
        assert!(remembered.has_grown(5, 0) && !remembered.has_grown(5, 0));
        assert!(remembered.has_grown(6, 0));
    }

    #[test]
    fn what_repair_brought_is_no_growth() {
        let mut remembered = Remembered::default();
        remembered.has_grown(5, 0);
        assert!(!remembered.has_grown(8, 3) && !remembered.has_grown(9, 4));
        assert!(remembered.has_grown(11, 5), "one of the two came otherwise");
    }

    #[test]
    fn another_store_on_either_side_proves_everything_anew() {
        let mut local = remembered();
        local.bind_local(b"here", 0);
        assert!(local.contained(7, &OWN, &OTHER));
        local.bind_local(b"wiped", 0);
        assert!(!local.contained(7, &OWN, &OTHER));

        let mut damaged = remembered();
        damaged.bind_local(b"here", 1);
        assert!(!damaged.contained(7, &OWN, &OTHER));
        damaged.proved(7, OTHER);
        damaged.bind_local(b"here", 1);
        assert!(damaged.contained(7, &OWN, &OTHER));

        let mut remote = remembered();
        assert!(remote.bind_remote(b"there"));
        assert!(!remote.bind_remote(b"restored"));
        assert!(!remote.contained(7, &OWN, &OTHER));
        assert!(remote.bind_remote(b"restored"));
    }

    #[test]
    fn a_shard_of_which_rows_were_given_up_is_proved_anew() {
        let releases = Releases::default();
        let mut remembered = remembered();
        remembered.follow(&releases);
        assert!(remembered.contained(7, &OWN, &OTHER));
        releases.note(7);
        assert!(!remembered.is_whole(7, &releases) && remembered.is_whole(8, &releases));
        remembered.follow(&releases);
        assert!(!remembered.contained(7, &OWN, &OTHER));
        remembered.proved(7, OTHER);
        releases.note(8);
        remembered.follow(&releases);
        assert!(remembered.contained(7, &OWN, &OTHER));
    }

    #[test]
    fn a_shard_that_moved_away_is_forgotten() {
        let mut remembered = remembered();
        remembered.keep_only(&BTreeSet::from([8]));
        assert!(!remembered.contained(7, &OWN, &OTHER));
    }
}
