//! The fold: claims in, in any order; an answer out.

use std::collections::BTreeMap;

use assertion::{Record, RecordId};

use thiserror::Error;

use crate::answer::{Answer, Conflict, LeftOut, Share, Winner};
use crate::claim::Claim;
use crate::group::{Group, ValueKey, group};
use crate::parameters::{Lens, Parameters};
use crate::selection::Match;
use crate::strength::Strength;

/// Most distinct values one answer weighs against each other.
pub const MAX_DISTINCT_VALUES: usize = 10_000;

/// Most bytes of what is kept per value: the claim that stands for it, and the uris of its sources. Long texts and many
/// sources are bounded by size, not by number; a node runs a handful of lenses at once.
pub const MAX_VALUE_BYTES: usize = 32 * 1024 * 1024;

/// Most claims one answer considers: 32 bytes of each are kept for the set digest.
pub const MAX_CLAIMS: usize = 2_000_000;

/// The question covers more than one answer can weigh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TooMuch {
    /// Too many distinct values.
    #[error(
        "more than {MAX_DISTINCT_VALUES} distinct values; narrow the question: add class=, source=, min_confidence= or as_of="
    )]
    Values,
    /// Too many bytes of distinct values and sources.
    #[error(
        "the distinct values and their sources take more than {MAX_VALUE_BYTES} bytes; narrow the question: add class=, source= or min_confidence="
    )]
    Bytes,
    /// Too many claims.
    #[error(
        "more than {MAX_CLAIMS} claims; narrow the question: add class=, source=, min_confidence= or as_of="
    )]
    Claims,
}

/// Takes a set of claims one by one and answers. The caller feeds each claim once; the order does not matter. State is kept
/// per distinct value and source, and 32 bytes per claim.
#[derive(Debug)]
pub struct Resolver {
    parameters: Parameters,
    values: BTreeMap<ValueKey, Group>,
    value_bytes: usize,
    claims: usize,
    left_out: LeftOut,
    best: Option<Claim>,
}

impl Resolver {
    /// A fold without claims.
    pub fn new(parameters: Parameters) -> Resolver {
        Resolver {
            parameters,
            values: BTreeMap::new(),
            value_bytes: 0,
            claims: 0,
            left_out: LeftOut::default(),
            best: None,
        }
    }

    /// Takes one claim.
    pub fn push(&mut self, record: &Record) -> Result<(), TooMuch> {
        let Some(claim) = Claim::of(record) else {
            return Ok(());
        };
        match self.parameters.selection.matches(claim.said()) {
            Match::No => return Ok(()),
            Match::Withdrawn => {
                self.left_out.withdrawn += 1;
                return Ok(());
            }
            Match::Filtered => {
                self.left_out.filtered += 1;
                return Ok(());
            }
            Match::Yes => {}
        }
        self.claims += 1;
        if self.claims > MAX_CLAIMS {
            return Err(TooMuch::Claims);
        }
        if self
            .best
            .as_ref()
            .is_none_or(|best| self.prefers(&claim, best))
        {
            self.best = Some(claim.clone());
        }
        self.count(&claim)
    }

    fn count(&mut self, record: &Claim) -> Result<(), TooMuch> {
        let key = ValueKey::of(&record.said().object);
        if let Some(value) = self.values.get_mut(&key) {
            self.value_bytes += value.add(record);
        } else {
            if self.values.len() == MAX_DISTINCT_VALUES {
                return Err(TooMuch::Values);
            }
            let value = Group::new(record);
            self.value_bytes += value.bytes();
            self.values.insert(key, value);
        }
        if self.value_bytes > MAX_VALUE_BYTES {
            return Err(TooMuch::Bytes);
        }
        Ok(())
    }

    /// Whether a lens that picks one claim picks `a` before `b`. Every tie ends in the order of strength.
    fn prefers(&self, a: &Claim, b: &Claim) -> bool {
        let by_strength = Strength::of(a).order(&Strength::of(b));
        let (one, other) = (a.said(), b.said());
        match self.parameters.lens {
            Lens::Recency => other.asserted_at.cmp(&one.asserted_at).then(by_strength),
            Lens::Confidence => other
                .confidence
                .total_cmp(&one.confidence)
                .then(by_strength),
            Lens::Authority | Lens::Consensus | Lens::Skeptic => by_strength,
        }
        .is_lt()
    }

    /// The answer to what was pushed.
    pub fn finish(self) -> Answer {
        let set_digest = set_digest(&self.values);
        let groups = group(self.values, self.parameters.tolerance.unwrap_or(0.0));
        let conflict = Conflict::of(groups);
        let winner = match self.parameters.lens {
            Lens::Consensus => conflict.widest().cloned(),
            _ => self.best,
        };
        Answer {
            parameters: self.parameters,
            winner: winner.map(Winner),
            candidates: self.claims,
            conflict,
            left_out: self.left_out,
            set_digest,
        }
    }
}

/// Answers for claims that are already at hand.
pub fn resolve<'a>(
    parameters: Parameters,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<Answer, TooMuch> {
    let mut resolver = Resolver::new(parameters);
    for record in records {
        resolver.push(record)?;
    }
    Ok(resolver.finish())
}

/// BLAKE3 of the sorted ids of every claim that was considered.
fn set_digest(values: &BTreeMap<ValueKey, Group>) -> [u8; 32] {
    let mut ids: Vec<&RecordId> = values.values().flat_map(|group| &group.ids).collect();
    ids.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

impl Conflict {
    /// Weighs groups against each other.
    pub(crate) fn of(groups: Vec<Group>) -> Conflict {
        let mut shares: Vec<Share> = groups
            .into_iter()
            .map(|group| Share {
                weight: group.weight(),
                share: 0.0,
                group,
            })
            .collect();
        // Sums in the order of the strongest claims' ids: the same on every machine.
        shares.sort_unstable_by_key(|share| share.group.strongest.id());
        let total: f64 = shares.iter().map(|share| share.weight).sum();
        let count = shares.len();
        #[allow(clippy::cast_precision_loss, reason = "at most 10,000 groups")]
        let even = 1.0 / count.max(1) as f64;
        for share in &mut shares {
            share.share = if total > 0.0 {
                share.weight / total
            } else {
                even
            };
        }
        let score = normalised_entropy(shares.iter().map(|share| share.share), count);
        shares.sort_by(|a, b| {
            b.share
                .total_cmp(&a.share)
                .then(Strength::of(&a.group.strongest).order(&Strength::of(&b.group.strongest)))
        });
        Conflict { shares, score }
    }

    /// The strongest claim of the group with most distinct source uris.
    fn widest(&self) -> Option<&Claim> {
        self.shares
            .iter()
            .map(|share| &share.group)
            .min_by(|a, b| {
                b.voices
                    .len()
                    .cmp(&a.voices.len())
                    .then(Strength::of(&a.strongest).order(&Strength::of(&b.strongest)))
            })
            .map(|group| &group.strongest)
    }
}

/// Entropy of the shares over the entropy of even shares: 0 for one group, 1 when all weigh the same.
fn normalised_entropy(shares: impl Iterator<Item = f64>, count: usize) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let entropy: f64 = shares
        .filter(|share| *share > 0.0)
        .map(|share| -share * libm::log(share))
        .sum();
    #[allow(clippy::cast_precision_loss, reason = "at most 10,000 groups")]
    let most = libm::log(count as f64);
    entropy / most
}
