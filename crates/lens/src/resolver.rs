//! The fold: claims in, in any order; an answer out.

use std::collections::BTreeMap;

use assertion::{Claim, Content, Record, RecordId, SourceClass};
use thiserror::Error;

use crate::answer::{Answer, Layer, LeftOut};
use crate::ballot::Ballot;
use crate::claims::Claims;
use crate::decay::Decay;
use crate::epochs::{Epochs, MAX_EPOCHS};
use crate::group::{Group, Values};
use crate::mixes::Mixes;
use crate::parameters::{Lens, Parameters};
use crate::selection::Match;
use crate::sources::{MAX_SOURCES, Sources};
use crate::strength::{Candidate, Ranked, Strength};
use crate::votes::MAX_VOTES;

/// Most distinct values one answer weighs against each other.
pub const MAX_DISTINCT_VALUES: usize = 10_000;

/// Most bytes of what is kept per value: the claim that stands for it, and the uris of its sources; and, to count votes, of the
/// names of subjects. Long texts and many sources are bounded by size, not by number; a node runs a handful of lenses at once.
pub const MAX_VALUE_BYTES: usize = 32 * 1024 * 1024;

/// Most claims one answer considers: 34 bytes of each are kept, for the set digest and for votes.
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
    /// Too many votes that count.
    #[error(
        "more than {MAX_VOTES} votes on the claims that are considered; narrow the question: add predicate=, class=, source=, min_confidence= or as_of="
    )]
    Votes,
    /// Too many epochs that bear.
    #[error(
        "the claims name more than {MAX_EPOCHS} epochs, with those that supersede them; narrow the question: add predicate=, class=, source=, min_confidence= or as_of=, or use another lens with epoch="
    )]
    Epochs,
    /// Too many sources that have records.
    #[error(
        "records of more than {MAX_SOURCES} sources; narrow the question: add source= or as_of="
    )]
    Sources,
}

/// Takes a set of records one by one and answers. Everything is looked at when it can tell what it bears on, so that nothing
/// else is kept or counted:
///
/// 1. what is known of a claim's source is learned;
/// 2. the claim is announced ([`Resolver::expect`]), and the epochs that bear on it are asked for
///    ([`Resolver::unasked_epochs`]) and learned, until there are no more;
/// 3. it is pushed;
/// 4. when all claims were pushed, the votes on those that are considered are learned ([`Resolver::ballot`]).
///
/// The first three may be done claim by claim, in any order of claims, or for many at a time. Each claim is pushed once; what has
/// been learned may be repeated. Kept are: per distinct value a claim and the uris of its sources; 34 bytes per claim; of sources,
/// epochs and votes those that bear.
#[derive(Debug)]
pub struct Resolver {
    pub(crate) parameters: Parameters,
    pub(crate) judge: Lens,
    decay: Decay,
    pub(crate) epochs: Epochs,
    pub(crate) sources: Sources,
    pub(crate) values: Values,
    pub(crate) value_bytes: usize,
    pub(crate) claims: Claims,
    pub(crate) left_out: LeftOut,
    pub(crate) best: Option<Ranked>,
    pub(crate) layers: BTreeMap<SourceClass, Layer>,
    pub(crate) mixes: Option<Mixes>,
}

impl Resolver {
    /// A fold without records.
    pub fn new(parameters: Parameters) -> Resolver {
        Resolver {
            mixes: Mixes::of(&parameters.selection),
            claims: Claims::of(&parameters),
            judge: parameters.judge(),
            decay: Decay(parameters.options.evaluated_at),
            parameters,
            epochs: Epochs::default(),
            sources: Sources::default(),
            values: Values::default(),
            value_bytes: 0,
            left_out: LeftOut::default(),
            best: None,
            layers: BTreeMap::new(),
        }
    }

    /// Takes what one record says of a source, or one epoch that bears on a claim that was announced. What does not, what the
    /// lens does not look at, what is later than `as_of`, and votes and claims change nothing.
    ///
    /// # Errors
    /// When more is known than one answer may keep.
    pub fn learn(&mut self, record: &Record) -> Result<(), TooMuch> {
        let Parameters { selection, .. } = &self.parameters;
        if !self.parameters.considers(record.kind()) || !selection.covers_time(record.at_ms()) {
            return Ok(());
        }
        match record.content() {
            Content::Epoch(epoch) => self.epochs.learn(epoch, record.id()),
            Content::Source(source) if selection.covers_source(&source.uri) => {
                self.sources.learn(source, record.id())
            }
            Content::Assertion(_) | Content::Vote(_) | Content::Source(_) => Ok(()),
        }
    }

    /// Announces a claim whose source is known: its epoch bears on the answer, when only that can leave the claim out.
    ///
    /// # Errors
    /// When more epochs bear than one answer may keep.
    pub fn expect(&mut self, claim: &Claim<'_>) -> Result<(), TooMuch> {
        if self.parameters.lens != Lens::Epoch {
            return Ok(());
        }
        let Some(id) = claim.epoch.and_then(|epoch| epoch.parse().ok()) else {
            return Ok(());
        };
        let else_left_out = self.parameters.selection.matches(claim) != Match::Yes
            || self.sources.is_retracted(&claim.uri);
        match else_left_out {
            true => Ok(()),
            false => self.epochs.bears(id),
        }
    }

    /// Ids of epochs that have come to bear since this was asked last: their records, and those of the epochs that supersede
    /// them, are to be learned. Then it is to be asked again, for who supersedes those.
    pub fn unasked_epochs(&mut self) -> Vec<RecordId> {
        self.epochs.take_unasked()
    }

    /// Takes one claim.
    ///
    /// # Errors
    /// When the question covers more than one answer can weigh.
    pub fn push(&mut self, claim: &Claim<'_>) -> Result<(), TooMuch> {
        self.expect(claim)?;
        if !self.is_considered(claim) {
            return Ok(());
        }
        if self.claims.len() == MAX_CLAIMS {
            return Err(TooMuch::Claims);
        }
        let strength = Strength::of(claim, self.decay);
        let candidate = Candidate { claim, strength };
        let judge = self.judge;
        match &mut self.best {
            None => self.best = Some(candidate.keep()),
            Some(best) if prefers(judge, &strength, &best.strength) => candidate.replace(best),
            Some(_) => {}
        }
        if self.judge == Lens::Layered {
            self.layer(candidate);
        }
        if let Some(mixes) = &mut self.mixes {
            mixes.note(claim);
        }
        self.count(candidate)
    }

    /// Judges a claim, and counts it by the first reason to leave it out.
    fn is_considered(&mut self, claim: &Claim<'_>) -> bool {
        let left_out = &mut self.left_out;
        match self.parameters.selection.matches(claim) {
            Match::No => return false,
            Match::Withdrawn => left_out.withdrawn += 1,
            Match::Filtered => left_out.filtered += 1,
            Match::Yes => {
                let superseded = self.epochs.is_superseded(claim.epoch);
                if self.sources.leaves_out(&claim.uri, !superseded) {
                    left_out.retracted += 1;
                } else if superseded {
                    left_out.superseded += 1;
                } else {
                    return true;
                }
            }
        }
        false
    }

    fn layer(&mut self, candidate: Candidate<'_>) {
        let class = candidate.claim.class;
        let layer = self.layers.entry(class).or_insert_with(|| Layer {
            strongest: candidate.keep(),
            candidates: 0,
        });
        layer.candidates += 1;
        if candidate
            .strength
            .is_stronger_than(&layer.strongest.strength)
        {
            candidate.replace(&mut layer.strongest);
        }
    }

    fn count(&mut self, candidate: Candidate<'_>) -> Result<(), TooMuch> {
        let claim = candidate.claim;
        let distinct = self.values.len();
        let number = match self.values.get_mut(&claim.value) {
            Some(value) => {
                self.value_bytes += value.add(candidate);
                value.number
            }
            None if distinct == MAX_DISTINCT_VALUES => return Err(TooMuch::Values),
            None => {
                let number = u16::try_from(distinct).map_err(|_| TooMuch::Values)?;
                let value = Group::new(candidate, number);
                self.value_bytes += value.bytes();
                self.values.insert(&claim.value, value);
                number
            }
        };
        self.value_bytes += self.claims.add(claim, number);
        if self.value_bytes > MAX_VALUE_BYTES {
            return Err(TooMuch::Bytes);
        }
        Ok(())
    }

    /// No more claims: what votes may be on is known.
    pub fn ballot(self) -> Ballot {
        Ballot::over(self)
    }

    /// The answer to what was pushed, without votes.
    pub fn finish(self) -> Answer {
        self.ballot().finish()
    }
}

/// Whether a lens that picks one claim picks `a` before `b`. Every tie ends in the order of strength.
fn prefers(judge: Lens, a: &Strength, b: &Strength) -> bool {
    match judge {
        Lens::Recency => b.asserted_at.cmp(&a.asserted_at).then(a.order(b)),
        Lens::Confidence => b.confidence.total_cmp(&a.confidence).then(a.order(b)),
        _ => a.order(b),
    }
    .is_lt()
}
