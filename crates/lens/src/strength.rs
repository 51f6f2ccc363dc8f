//! The order that decides every tie: lower tier, higher confidence, later claim, smaller id.

use std::cmp::{Ordering, Reverse};

use assertion::RecordId;

use crate::claim::Claim;

/// What the order looks at. `Less` is stronger, so the strongest claim sorts first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Strength {
    pub(crate) tier: u8,
    pub(crate) confidence: f64,
    pub(crate) asserted_at: i64,
    pub(crate) id: RecordId,
}

impl Strength {
    pub(crate) fn of(record: &Claim) -> Strength {
        let claim = record.said();
        Strength {
            tier: claim.source.class.tier(),
            confidence: claim.confidence,
            asserted_at: claim.asserted_at,
            id: record.id(),
        }
    }

    /// `Less` when `self` is stronger.
    pub(crate) fn order(&self, other: &Strength) -> Ordering {
        self.tier
            .cmp(&other.tier)
            .then(other.confidence.total_cmp(&self.confidence))
            .then(Reverse(self.asserted_at).cmp(&Reverse(other.asserted_at)))
            .then(self.id.cmp(&other.id))
    }

    pub(crate) fn is_stronger_than(&self, other: &Strength) -> bool {
        self.order(other) == Ordering::Less
    }
}
