//! The fold: claims in, in any order; an answer out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use assertion::{Assertion, Content, Record, RecordId, SourceClass};
use thiserror::Error;

use crate::answer::{Answer, Layer, LeftOut};
use crate::conflict::Conflict;
use crate::decay::Decay;
use crate::epochs::{Epochs, MAX_EPOCHS};
use crate::group::{Group, ValueKey, group};
use crate::parameters::{Lens, Parameters};
use crate::selection::Match;
use crate::sources::{MAX_SOURCES, Sources};
use crate::strength::{Candidate, Ranked, Strength};
use crate::votes::{MAX_VOTES, Votes};

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
    /// Too many votes.
    #[error(
        "more than {MAX_VOTES} votes; narrow the question: ask for one subject and predicate, add as_of=, or use another lens"
    )]
    Votes,
    /// Too many epochs.
    #[error(
        "more than {MAX_EPOCHS} epochs; narrow the question: add as_of=, or use another lens with epoch="
    )]
    Epochs,
    /// Too many sources that have records.
    #[error(
        "records of more than {MAX_SOURCES} sources; narrow the question: add source= or as_of="
    )]
    Sources,
}

/// Takes a set of records one by one and answers. What concerns a claim (votes on it, its source, all epochs) is learned
/// before the claim is pushed; beyond that, order does not matter. The caller pushes each claim once, and may repeat what it
/// has learned. State is kept per distinct value and source, 32 bytes per claim, and what was learned.
#[derive(Debug)]
pub struct Resolver {
    parameters: Parameters,
    judge: Lens,
    decay: Decay,
    votes: Votes,
    epochs: Epochs,
    sources: Sources,
    values: BTreeMap<ValueKey, Group>,
    value_bytes: usize,
    claims: usize,
    left_out: LeftOut,
    best: Option<Ranked>,
    layers: BTreeMap<SourceClass, Layer>,
}

impl Resolver {
    /// A fold without records.
    pub fn new(parameters: Parameters) -> Resolver {
        Resolver {
            judge: parameters.judge(),
            decay: Decay(parameters.options.evaluated_at),
            parameters,
            votes: Votes::default(),
            epochs: Epochs::default(),
            sources: Sources::default(),
            values: BTreeMap::new(),
            value_bytes: 0,
            claims: 0,
            left_out: LeftOut::default(),
            best: None,
            layers: BTreeMap::new(),
        }
    }

    /// Takes one vote, epoch or source. What the lens does not look at, or what is later than `as_of`, changes nothing; nor
    /// does a claim, which is pushed.
    ///
    /// # Errors
    /// When more is known than one answer may keep.
    pub fn learn(&mut self, record: &Record) -> Result<(), TooMuch> {
        let Parameters { selection, .. } = &self.parameters;
        if !self.parameters.considers(record.kind()) || !selection.covers_time(record.at_ms()) {
            return Ok(());
        }
        match record.content() {
            Content::Vote(vote) if selection.covers_subject(&vote.subject) => {
                self.votes.learn(vote, record.id())
            }
            Content::Epoch(epoch) => self.epochs.learn(epoch, record.id()),
            Content::Source(source) if selection.covers_source(&source.uri) => {
                self.sources.learn(source, record.id())
            }
            Content::Assertion(_) | Content::Vote(_) | Content::Source(_) => Ok(()),
        }
    }

    /// Takes one claim. A record of another kind is learned.
    ///
    /// # Errors
    /// When the question covers more than one answer can weigh.
    pub fn push(&mut self, record: &Record) -> Result<(), TooMuch> {
        let Some(claim) = record.assertion() else {
            return self.learn(record);
        };
        if !self.is_considered(claim) {
            return Ok(());
        }
        self.claims += 1;
        if self.claims > MAX_CLAIMS {
            return Err(TooMuch::Claims);
        }
        let candidate = Candidate {
            record,
            claim,
            strength: Strength::of(claim, record.id(), self.decay),
        };
        if self
            .best
            .as_ref()
            .is_none_or(|best| self.prefers(&candidate.strength, &best.strength))
        {
            self.best = Some(candidate.keep());
        }
        if self.judge == Lens::Layered {
            self.layer(candidate);
        }
        self.count(candidate)
    }

    /// Judges a claim, and counts it by the first reason to leave it out.
    fn is_considered(&mut self, claim: &Assertion) -> bool {
        let left_out = &mut self.left_out;
        match self.parameters.selection.matches(claim) {
            Match::No => return false,
            Match::Withdrawn => left_out.withdrawn += 1,
            Match::Filtered => left_out.filtered += 1,
            Match::Yes => {
                let superseded = self.epochs.supersede(claim.epoch.as_deref());
                if self.sources.withdraw(&claim.source.uri, !superseded) {
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
        let class = candidate.claim.source.class;
        let layer = self.layers.entry(class).or_insert_with(|| Layer {
            strongest: candidate.keep(),
            candidates: 0,
        });
        layer.candidates += 1;
        if candidate
            .strength
            .is_stronger_than(&layer.strongest.strength)
        {
            layer.strongest = candidate.keep();
        }
    }

    fn count(&mut self, candidate: Candidate<'_>) -> Result<(), TooMuch> {
        let key = ValueKey::of(&candidate.claim.object);
        let distinct = self.values.len();
        let value = match self.values.entry(key) {
            Entry::Occupied(value) => {
                let value = value.into_mut();
                self.value_bytes += value.add(candidate);
                value
            }
            Entry::Vacant(_) if distinct == MAX_DISTINCT_VALUES => return Err(TooMuch::Values),
            Entry::Vacant(place) => {
                let value = place.insert(Group::new(candidate));
                self.value_bytes += value.bytes();
                value
            }
        };
        if self.judge == Lens::Votes {
            let subject = &candidate.claim.subject;
            value
                .votes
                .extend(self.votes.on(subject, candidate.strength.id));
        }
        if self.value_bytes > MAX_VALUE_BYTES {
            return Err(TooMuch::Bytes);
        }
        Ok(())
    }

    /// Whether a lens that picks one claim picks `a` before `b`. Every tie ends in the order of strength.
    fn prefers(&self, a: &Strength, b: &Strength) -> bool {
        match self.judge {
            Lens::Recency => b.asserted_at.cmp(&a.asserted_at).then(a.order(b)),
            Lens::Confidence => b.confidence.total_cmp(&a.confidence).then(a.order(b)),
            _ => a.order(b),
        }
        .is_lt()
    }

    /// The answer to what was pushed.
    pub fn finish(mut self) -> Answer {
        let set_digest = self.set_digest();
        let with_epochs = self.parameters.lens == Lens::Epoch;
        let epoch_cycles = with_epochs.then(|| self.epochs.cycles());
        let tolerance = self.parameters.options.tolerance.unwrap_or(0.0);
        let conflict = Conflict::of(group(self.values, tolerance));
        let (winner, tally) = match self.judge {
            Lens::Consensus => (conflict.widest().cloned(), None),
            Lens::Votes => {
                let (elected, tally) = conflict.elected();
                (elected.cloned(), Some(tally))
            }
            _ => (self.best, None),
        };
        Answer {
            judge: self.judge,
            parameters: self.parameters,
            winner,
            candidates: self.claims,
            conflict,
            tally,
            layers: self.layers,
            left_out: self.left_out,
            epoch_cycles,
            set_digest,
        }
    }

    /// BLAKE3 of the sorted ids of everything that was considered. What was learned but met no claim is not; epochs all are.
    fn set_digest(&self) -> [u8; 32] {
        let groups = || self.values.values();
        let mut ids: Vec<&RecordId> = groups().flat_map(|group| &group.ids).collect();
        ids.extend(groups().flat_map(|group| group.votes.iter().map(|vote| &vote.id)));
        ids.extend(self.epochs.ids());
        ids.extend(self.sources.considered());
        ids.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for id in ids {
            hasher.update(id.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// Answers for records that are already at hand, in any order. A record that is there twice counts once.
///
/// # Errors
/// When they are more than one answer can weigh.
pub fn resolve<'a>(
    parameters: Parameters,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<Answer, TooMuch> {
    let mut resolver = Resolver::new(parameters);
    let mut claims: BTreeMap<RecordId, &Record> = BTreeMap::new();
    for record in records {
        match record.content() {
            Content::Assertion(_) => {
                claims.insert(record.id(), record);
            }
            _ => resolver.learn(record)?,
        }
    }
    for claim in claims.into_values() {
        resolver.push(claim)?;
    }
    Ok(resolver.finish())
}
