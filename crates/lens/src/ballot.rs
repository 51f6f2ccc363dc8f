//! The claims that are considered, once all of them are known: votes on them are counted, and the answer is given.

use std::iter::Peekable;

use assertion::{Content, Record, RecordId};

use crate::answer::{Answer, GROUP_LISTED};
use crate::claims::Claims;
use crate::conflict::Conflict;
use crate::group::Group;
use crate::parameters::Lens;
use crate::resolver::{Resolver, TooMuch};
use crate::votes::Votes;

/// Bytes of ids that are hashed at a time: as much as makes hashing fast.
const HASHED_BYTES: usize = 64 * 1024;

/// What one answer keeps, in numbers. Each has its bound: [`crate::MAX_CLAIMS`], [`crate::MAX_DISTINCT_VALUES`],
/// [`crate::MAX_VALUE_BYTES`], [`crate::MAX_SOURCES`], [`crate::MAX_EPOCHS`], [`crate::MAX_VOTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Claims considered: 34 bytes of each.
    pub claims: usize,
    /// Distinct values: the strongest claim of each.
    pub values: usize,
    /// Bytes of these claims and of the uris of each value's sources.
    pub value_bytes: usize,
    /// Source uris that have records.
    pub sources: usize,
    /// Epochs that bear on the claims.
    pub epochs: usize,
    /// Votes that count.
    pub votes: usize,
}

/// All claims were pushed; the votes on those that are considered may be counted.
#[derive(Debug)]
pub struct Ballot {
    resolver: Resolver,
    votes: Votes,
}

impl Ballot {
    pub(crate) fn over(mut resolver: Resolver) -> Ballot {
        resolver.claims.sort();
        Ballot {
            resolver,
            votes: Votes::default(),
        }
    }

    /// Claims of one subject whose votes count, in ascending order: those from a place on (0: the first), at most so many. As
    /// many further is the next place; `None` when there are no more, or the lens does not look at votes.
    pub fn claims(&self, from: usize, most: usize) -> Option<(&str, Vec<RecordId>)> {
        self.resolver.claims.votable(from, most)
    }

    /// Which of these ids, which ascend, are those of claims that are considered; and how many of these claims there are up to
    /// the last of them. Whoever knows which claims have votes asks for the votes on these alone.
    pub fn among(&self, ids: &[RecordId]) -> (Vec<RecordId>, usize) {
        self.resolver.claims.among(ids)
    }

    /// Takes one vote. One on a claim that is not considered, a record of another kind, or what is later than `as_of`, changes
    /// nothing; nor does a vote that is known.
    ///
    /// # Errors
    /// When more votes count than one answer may keep.
    pub fn learn(&mut self, record: &Record) -> Result<(), TooMuch> {
        let Content::Vote(vote) = record.content() else {
            return Ok(());
        };
        let selection = self.resolver.parameters.selection();
        // A record's door lets only ids through; a vote on anything else would be on nothing.
        let Ok(id) = vote.assertion.parse() else {
            return Ok(());
        };
        let place = self.resolver.claims.place(&vote.subject, id);
        match place.filter(|_| selection.covers_time(vote.voted_at)) {
            Some(place) => self.votes.learn(place, vote, record.id()),
            None => Ok(()),
        }
    }

    /// How much is kept.
    pub fn kept(&self) -> Kept {
        Kept {
            claims: self.resolver.claims.len(),
            values: self.resolver.values.len(),
            value_bytes: self.resolver.value_bytes,
            sources: self.resolver.sources.len(),
            epochs: self.resolver.epochs.len(),
            votes: self.votes.len(),
        }
    }

    /// The answer to what was pushed and learned.
    pub fn finish(self) -> Answer {
        let set_digest = self.set_digest();
        let Ballot {
            mut resolver,
            votes,
        } = self;
        let with_epochs = resolver.parameters.lens() == Lens::Epoch;
        let epoch_cycles = with_epochs.then(|| resolver.epochs.cycles());
        let tolerance = resolver.parameters.options().tolerance.unwrap_or(0.0);
        let candidates = resolver.claims.len();
        let mut groups = resolver.values.group(tolerance);
        fill(&mut groups, &resolver.claims, &votes, resolver.judge);
        let conflict = Conflict::of(groups);
        let (winner, tally) = match resolver.judge {
            Lens::Consensus => (conflict.widest().cloned(), None),
            Lens::Votes => {
                let (elected, tally) = conflict.elected();
                (elected.cloned(), Some(tally))
            }
            _ => (resolver.best, None),
        };
        Answer {
            judge: resolver.judge,
            parameters: resolver.parameters,
            winner,
            candidates,
            conflict,
            tally,
            layers: resolver.layers,
            mixes: resolver.mixes,
            left_out: resolver.left_out,
            epoch_cycles,
            set_digest,
        }
    }

    /// BLAKE3 of the sorted ids of everything that was considered.
    fn set_digest(&self) -> [u8; 32] {
        let Resolver {
            claims,
            epochs,
            sources,
            ..
        } = &self.resolver;
        let mut others: Vec<&RecordId> = Vec::new();
        others.extend(self.votes.counted().map(|(_, vote)| &vote.id));
        others.extend(epochs.ids());
        others.extend(sources.considered());
        others.sort_unstable();
        let claims = claims.ids().map(|(id, _)| id).peekable();
        let ids = Merged(claims, others.into_iter().copied().peekable());
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::with_capacity(HASHED_BYTES + 32);
        for id in ids {
            bytes.extend_from_slice(id.as_bytes());
            if bytes.len() >= HASHED_BYTES {
                hasher.update(&bytes);
                bytes.clear();
            }
        }
        hasher.update(&bytes);
        *hasher.finalize().as_bytes()
    }
}

/// Two ascending lists as one.
struct Merged<A: Iterator, B: Iterator>(Peekable<A>, Peekable<B>);

impl<A: Iterator<Item = RecordId>, B: Iterator<Item = RecordId>> Iterator for Merged<A, B> {
    type Item = RecordId;

    fn next(&mut self) -> Option<RecordId> {
        match (self.0.peek(), self.1.peek()) {
            (Some(a), Some(b)) if b < a => self.1.next(),
            (None, _) => self.1.next(),
            _ => self.0.next(),
        }
    }
}

/// Tells each group the votes on its claims; and the first of them, for the lens that lists them.
fn fill(groups: &mut [Group], claims: &Claims, votes: &Votes, judge: Lens) {
    let values = groups.iter().map(|group| 1 + group.joined.len()).sum();
    let mut group_of = vec![0; values];
    for (place, group) in groups.iter().enumerate() {
        for value in group.joined.iter().chain([&group.number]) {
            group_of[usize::from(*value)] = place;
        }
    }
    for (claim, vote) in votes.counted() {
        if let Some(value) = claims.value_at(claim) {
            groups[group_of[usize::from(value)]].votes.push(*vote);
        }
    }
    if judge == Lens::Skeptic {
        for (id, value) in claims.ids() {
            let ids = &mut groups[group_of[usize::from(value)]].ids;
            if ids.len() < GROUP_LISTED {
                ids.push(id);
            }
        }
    }
}
