//! Which records were shown lately.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use assertion::RecordId;

/// Records that are remembered. A record comes from its owners within seconds; more: memory of every reader; fewer: repeats
/// when one store is far behind the others.
const SHOWN_MAX: usize = 65_536;

/// The last records, by a hash with a key of its own: 8 bytes of each are enough, and nobody can make ids that meet there.
#[derive(Debug, Default)]
pub(super) struct Shown {
    key: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Shown {
    /// Notes a record. False: it was there already.
    pub(super) fn note(&mut self, id: &RecordId) -> bool {
        let hash = self.key.hash_one(id.as_bytes());
        if !self.known.insert(hash) {
            return false;
        }
        if self.order.len() == SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_new_once_until_the_window_has_moved_on() {
        let id = |number: usize| RecordId::of(&number.to_be_bytes());
        let mut shown = Shown::default();
        assert!(shown.note(&id(0)));
        assert!(!shown.note(&id(0)));
        for number in 1..SHOWN_MAX {
            assert!(shown.note(&id(number)));
        }
        assert!(!shown.note(&id(0)));
        assert!(shown.note(&id(SHOWN_MAX)), "the first one goes");
        assert!(shown.note(&id(0)));
        assert_eq!(shown.known.len(), SHOWN_MAX);
    }
}
