//! Ids that the local store refused. Each is tried again with back-off, and until it is here its shard has no proof.

use std::collections::BTreeMap;

use merkle::Id;

/// Most ids kept per peer. A peer that offers more bad records than this has them fetched again, no worse: what is not
/// kept is only the pause between tries.
const KEPT_MAX: usize = 1_000;

/// First pause, in milliseconds; doubled with every refusal.
const FIRST_PAUSE_MS: u64 = 1_000;

/// Longest pause: a record that a new version can read is taken within a minute of the upgrade.
const LONGEST_PAUSE_MS: u64 = 60_000;

#[derive(Debug, Clone)]
struct Refusal {
    times: u32,
    retry_at: u64,
}

/// The refused ids of one peer.
#[derive(Debug, Default)]
pub struct Refusals {
    ids: BTreeMap<Id, Refusal>,
}

impl Refusals {
    /// Notes a refusal at `now` (milliseconds of CLOCK_BOOTTIME).
    pub fn refused(&mut self, id: Id, now: u64) {
        if !self.ids.contains_key(&id) && self.ids.len() >= KEPT_MAX {
            return;
        }
        let refusal = self.ids.entry(id).or_insert(Refusal {
            times: 0,
            retry_at: now,
        });
        let pause = FIRST_PAUSE_MS
            .saturating_mul(1 << refusal.times.min(16))
            .min(LONGEST_PAUSE_MS);
        refusal.times = refusal.times.saturating_add(1);
        refusal.retry_at = now.saturating_add(pause);
    }

    /// The record is here after all.
    pub fn taken(&mut self, id: &Id) {
        self.ids.remove(id);
    }

    /// All that the peer holds is here: nothing is refused any more.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// Ids that are not to be asked for yet.
    pub fn waiting(&self, now: u64) -> impl Iterator<Item = &Id> {
        self.ids
            .iter()
            .filter(move |(_, refusal)| refusal.retry_at > now)
            .map(|(id, _)| id)
    }

    /// How many are refused now.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn a_refused_id_waits_longer_every_time() {
        let mut refusals = Refusals::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refusals.refused(id(1), now);
            let mut pause = 0;
            while refusals.waiting(now + pause).count() > 0 {
                pause += 1_000;
            }
            pauses.push(pause / 1_000);
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_taken_id_is_forgotten() {
        let mut refusals = Refusals::default();
        refusals.refused(id(1), 0);
        refusals.taken(&id(1));
        assert!(refusals.is_empty());
        assert_eq!(refusals.waiting(0).count(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..5_000 {
            refusals.refused(id(number), 0);
        }
        assert_eq!(refusals.len(), KEPT_MAX);
    }
}
