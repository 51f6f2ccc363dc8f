//! The order that decides every tie: lower tier, higher confidence, later claim, smaller id.

use std::cmp::{Ordering, Reverse};

use assertion::{Assertion, Record, RecordId, write_object};

use crate::decay::Decay;

/// What the order looks at. `Less` is stronger, so the strongest claim sorts first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Strength {
    pub(crate) tier: u8,
    /// As stated, or what decay left of it.
    pub(crate) confidence: f64,
    pub(crate) asserted_at: i64,
    pub(crate) id: RecordId,
}

impl Strength {
    pub(crate) fn of(claim: &Assertion, id: RecordId, decay: Decay) -> Strength {
        Strength {
            tier: claim.source.class.tier(),
            confidence: decay.confidence(claim),
            asserted_at: claim.asserted_at,
            id,
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

/// A claim that is considered, with its place in the order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) record: &'a Record,
    pub(crate) claim: &'a Assertion,
    pub(crate) strength: Strength,
}

impl Candidate<'_> {
    pub(crate) fn keep(&self) -> Ranked {
        Ranked {
            record: self.record.clone(),
            strength: self.strength,
        }
    }
}

/// The same, to keep.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    pub(crate) record: Record,
    pub(crate) strength: Strength,
}

impl Ranked {
    /// Writes the claimed value. Only claims are ranked; a record of another kind would have none.
    pub(crate) fn write_value(&self, out: &mut Vec<u8>) {
        match self.record.assertion() {
            Some(claim) => write_object(out, &claim.object),
            None => out.extend_from_slice(b"null"),
        }
    }
}
