//! When a copy that does not belong here may go.
//!
//! A store that holds a record of a shard it does not own (a stand-in, an owner of old) gives it up once all min(rf, known) owners
//! of its current view have confirmed theirs. Two rules keep that from losing anything, however views differ:
//!
//! - *Tenure*: a store confirms only while it was told that it is an owner, and releases only what it was told for the whole hold
//!   time that it is not. A confirmation that was asked for after the own ownership ended comes from somebody whose ownership
//!   ends later still; so of any set of stores that would release one record, the last to lose its ownership has confirmations of
//!   stores that are not in the set.
//! - *Settled*: a row is confirmed only after it was held for longer than any proof lasts. Else a row could move from a store that
//!   a session has not asked yet to one that it has asked already, and somebody would be complete without it.
//!
//! Why, and which of these rules the simulation shows and which it does not: docs/adr/0013-homecoming.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::global_shard;
use crate::proof::MAX_AGE_MS;

/// Nobody confirms or releases anything under a view that is older than this.
pub const VIEW_AGE_MAX_MS: u64 = 5_000;

/// A confirmation counts for this long after it was asked for.
pub const CONFIRMATION_AGE_MAX_MS: u64 = 10_000;

/// A row is confirmed when it was held for this long: an answer counts on proofs of at most [`MAX_AGE_MS`].
pub const SETTLED_MS: u64 = MAX_AGE_MS + 2_000;

/// Which shards a store was told that it owns, and since when it does not own the others. Lives in memory: after a restart the
/// time without ownership begins anew.
#[derive(Debug, Clone)]
pub struct Tenure {
    num_shards: u32,
    /// When the view behind the last report was shown.
    shown_at: Option<u64>,
    owned: BTreeSet<u32>,
    not_owned_since: BTreeMap<u32, u64>,
}

/// Why a row stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// The global shard belongs to every node.
    #[error("the global shard belongs to every node")]
    Global,
    /// This store owns the shard, as far as it was told.
    #[error("this store owns the shard")]
    Owned,
    /// This store counts as absent: it has to contain everything first.
    #[error("this store counts as absent")]
    Absent,
    /// This store wants what all others have of the shard, because it lost some or there shall be more copies.
    #[error("this store first fetches what all others have of the shard")]
    Wanted,
    /// Nobody said lately who owns what.
    #[error("the last word on who owns what is older than {} s, or of another view", VIEW_AGE_MAX_MS / 1_000)]
    OldView,
    /// It has not been without ownership for the whole hold time.
    #[error("the shard has not been without ownership for the hold time yet")]
    Held,
    /// A confirmation is from before the ownership ended, too old, or from the future.
    #[error("the confirmations are older than {} s, or than the end of the ownership", CONFIRMATION_AGE_MAX_MS / 1_000)]
    OldConfirmation,
}

impl Tenure {
    /// Nothing was said yet.
    pub fn new(num_shards: u32) -> Tenure {
        Tenure {
            num_shards,
            shown_at: None,
            owned: BTreeSet::new(),
            not_owned_since: BTreeMap::new(),
        }
    }

    /// Takes a report made at `now` under a view that was shown at `shown_at`.
    pub fn report(&mut self, now: u64, shown_at: u64, owned: &[u32]) {
        // A view from the future is a fault of the reporter.
        self.shown_at = (shown_at <= now).then_some(shown_at);
        self.owned = owned.iter().copied().collect();
        for shard in 0..self.num_shards {
            if self.owned.contains(&shard) {
                self.not_owned_since.remove(&shard);
            } else {
                self.not_owned_since.entry(shard).or_insert(now);
            }
        }
    }

    /// Whether this store may confirm what it holds of a shard.
    pub fn confirms(&self, now: u64, shard: u32) -> bool {
        self.is_current(now) && self.owned.contains(&shard)
    }

    /// Whether rows of a shard may be released whose confirmations were asked for at `asked_at` or later.
    ///
    /// # Errors
    /// Why they stay.
    pub fn may_release(
        &self,
        now: u64,
        shard: u32,
        asked_at: u64,
        hold_ms: u64,
    ) -> Result<(), Kept> {
        if shard >= global_shard(self.num_shards) {
            return Err(Kept::Global);
        }
        if !self.is_current(now) {
            return Err(Kept::OldView);
        }
        let Some(&since) = self.not_owned_since.get(&shard) else {
            return Err(Kept::Owned);
        };
        if now.saturating_sub(since) < hold_ms {
            return Err(Kept::Held);
        }
        let is_recent = now
            .checked_sub(asked_at)
            .is_some_and(|age| age <= CONFIRMATION_AGE_MAX_MS);
        if asked_at < since || !is_recent {
            return Err(Kept::OldConfirmation);
        }
        Ok(())
    }

    fn is_current(&self, now: u64) -> bool {
        self.shown_at
            .is_some_and(|at| now.saturating_sub(at) <= VIEW_AGE_MAX_MS)
    }
}

/// Of offered ids, those that may be released: the ones that every owner confirmed. Nothing when there are fewer owners than
/// copies needed, or one of them has not answered.
pub fn confirmed_by_all<'a, Id: Ord + Copy + 'a>(
    offered: &[Id],
    owners: impl IntoIterator<Item = &'a str>,
    copies_needed: usize,
    confirmed: &BTreeMap<String, BTreeSet<Id>>,
) -> Vec<Id> {
    let owners: BTreeSet<&str> = owners.into_iter().collect();
    if owners.is_empty() || owners.len() < copies_needed {
        return Vec::new();
    }
    let by_all = |id: &&Id| {
        owners
            .iter()
            .all(|owner| confirmed.get(*owner).is_some_and(|ids| ids.contains(*id)))
    };
    offered.iter().filter(by_all).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: u64 = 60_000;

    /// Owns shard 1 of 4; told so at 100,000.
    fn tenure() -> Tenure {
        let mut tenure = Tenure::new(4);
        tenure.report(100_000, 100_000, &[1, 4]);
        tenure
    }

    #[test]
    fn an_owner_confirms_and_keeps_and_nobody_else_does() {
        let tenure = tenure();
        assert!(tenure.confirms(100_500, 1) && tenure.confirms(100_500, 4));
        assert!(!tenure.confirms(100_500, 2));
        assert!(
            !tenure.confirms(105_001, 1),
            "not on a word of five seconds ago"
        );
        let late = 100_000 + HOLD;
        let mut tenure = tenure;
        tenure.report(late, late, &[1, 4]);
        assert_eq!(tenure.may_release(late, 1, late, HOLD), Err(Kept::Owned));
        assert_eq!(tenure.may_release(late, 4, late, HOLD), Err(Kept::Global));
        assert_eq!(tenure.may_release(late, 9, late, HOLD), Err(Kept::Global));
        assert_eq!(tenure.may_release(late, 2, late, HOLD), Ok(()));
    }

    #[test]
    fn ownership_in_between_begins_the_hold_time_anew() {
        let mut tenure = tenure();
        tenure.report(130_000, 130_000, &[2, 4]);
        tenure.report(131_000, 131_000, &[4]);
        let late = 100_000 + HOLD;
        tenure.report(late, late, &[4]);
        assert_eq!(tenure.may_release(late, 2, late, HOLD), Err(Kept::Held));
        assert_eq!(tenure.may_release(late, 0, late, HOLD), Ok(()));
        let later = 131_000 + HOLD;
        tenure.report(later, later, &[4]);
        assert_eq!(tenure.may_release(later, 2, later, HOLD), Ok(()));
    }

    #[test]
    fn old_views_and_old_confirmations_release_nothing() {
        let mut tenure = tenure();
        let late = 100_000 + HOLD;
        assert_eq!(tenure.may_release(late, 2, late, HOLD), Err(Kept::OldView));
        tenure.report(late, late - VIEW_AGE_MAX_MS - 1, &[4]);
        assert_eq!(tenure.may_release(late, 2, late, HOLD), Err(Kept::OldView));
        tenure.report(late, late + 1, &[4]);
        assert_eq!(tenure.may_release(late, 2, late, HOLD), Err(Kept::OldView));
        tenure.report(late, late, &[4]);
        for asked_at in [late + 1, late - CONFIRMATION_AGE_MAX_MS - 1] {
            let kept = tenure.may_release(late, 2, asked_at, HOLD);
            assert_eq!(kept, Err(Kept::OldConfirmation), "{asked_at}");
        }
        let oldest = late - CONFIRMATION_AGE_MAX_MS;
        assert_eq!(tenure.may_release(late, 2, oldest, HOLD), Ok(()));
        // Without a hold time the end of the ownership is the limit.
        tenure.report(late + 1, late + 1, &[2, 4]);
        tenure.report(late + 2, late + 2, &[4]);
        let kept = tenure.may_release(late + 3, 2, late + 1, 0);
        assert_eq!(kept, Err(Kept::OldConfirmation));
        assert_eq!(tenure.may_release(late + 3, 2, late + 2, 0), Ok(()));
    }

    #[test]
    fn one_owner_that_says_nothing_keeps_everything() {
        let says = |name: &str, ids: &[u8]| (name.to_owned(), ids.iter().copied().collect());
        let both = BTreeMap::from([says("a", &[1, 2, 3]), says("b", &[2, 3, 4])]);
        let offered = [1, 2, 3, 4, 5];
        assert_eq!(confirmed_by_all(&offered, ["a", "b"], 2, &both), vec![2, 3]);
        assert!(confirmed_by_all(&offered, ["a", "c"], 2, &both).is_empty());
        assert!(confirmed_by_all(&offered, ["a"], 2, &both).is_empty());
        assert!(confirmed_by_all(&offered, [], 0, &both).is_empty());
        let one = BTreeMap::from([says("a", &[5])]);
        assert_eq!(confirmed_by_all(&offered, ["a"], 1, &one), vec![5]);
    }
}
