//! The order that decides every tie: lower tier, higher confidence, later claim, smaller id.

use std::cmp::{Ordering, Reverse};

use assertion::{Claim, RecordId, public_json};

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
    pub(crate) fn of(claim: &Claim<'_>, decay: Decay) -> Strength {
        Strength {
            tier: claim.class.tier(),
            confidence: decay.confidence(claim),
            asserted_at: claim.asserted_at,
            id: claim.id,
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
    pub(crate) claim: &'a Claim<'a>,
    pub(crate) strength: Strength,
}

impl Candidate<'_> {
    pub(crate) fn keep(&self) -> Ranked {
        Ranked {
            canonical: self.claim.canonical.to_vec(),
            strength: self.strength,
        }
    }

    /// The same in the place of another one, whose room is used again: each claim may be stronger than all before it.
    pub(crate) fn replace(&self, other: &mut Ranked) {
        other.canonical.clear();
        other.canonical.extend_from_slice(self.claim.canonical);
        other.strength = self.strength;
    }
}

/// The same, to keep: the bytes are less than what they say, and are read again by an answer that shows them.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    pub(crate) canonical: Vec<u8>,
    pub(crate) strength: Strength,
}

impl Ranked {
    /// Its public JSON form.
    pub(crate) fn public_json(&self) -> Vec<u8> {
        public_json(&self.strength.id, &self.canonical)
    }

    /// Writes the claimed value. Only claims are ranked; a record of another kind would have none.
    pub(crate) fn write_value(&self, out: &mut Vec<u8>) {
        match Claim::from_stored(&self.canonical) {
            Some(claim) => claim.value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}
