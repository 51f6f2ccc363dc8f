//! The claims that are considered, once all of them are known: votes on them are counted, and the answer is given.

use std::collections::BTreeMap;

use assertion::{Assertion, Content, Record, RecordId};

use crate::answer::{Answer, GROUP_LISTED};
use crate::conflict::Conflict;
use crate::group::{Group, group};
use crate::parameters::Lens;
use crate::resolver::{Resolver, TooMuch};
use crate::votes::Votes;

/// What a subject takes besides its name: the map around it.
const SUBJECT_BYTES: usize = 64;

/// The claims that are considered: 40 bytes of each.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    list: Vec<Claim>,
    /// What they are about, numbered as they came. Kept when there are votes to count: a vote names the subject of its claim.
    subjects: BTreeMap<String, u32>,
}

#[derive(Debug)]
struct Claim {
    id: RecordId,
    /// The number of its value.
    value: u32,
    /// The number of its subject.
    subject: u32,
}

impl Claims {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a claim. Returns how many bytes its subject takes, when it is kept and new.
    pub(crate) fn add(
        &mut self,
        claim: &Assertion,
        id: RecordId,
        value: u32,
        with_subject: bool,
    ) -> usize {
        let known = self.subjects.get(&claim.subject).copied();
        let (subject, bytes) = match known {
            _ if !with_subject => (0, 0),
            Some(subject) => (subject, 0),
            None => {
                let subject = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
                self.subjects.insert(claim.subject.clone(), subject);
                (subject, claim.subject.len() + SUBJECT_BYTES)
            }
        };
        self.list.push(Claim { id, value, subject });
        bytes
    }

    fn sort(&mut self) {
        self.list
            .sort_unstable_by_key(|claim| (claim.subject, claim.id));
    }

    /// The place of the claim that a vote names by id and subject: one that names another subject lies in another shard, and
    /// never counts.
    fn place(&self, subject: &str, id: RecordId) -> Option<usize> {
        let subject = *self.subjects.get(subject)?;
        self.list
            .binary_search_by_key(&(subject, id), |claim| (claim.subject, claim.id))
            .ok()
    }
}

/// What one answer keeps, in numbers. Each has its bound: [`crate::MAX_CLAIMS`], [`crate::MAX_DISTINCT_VALUES`],
/// [`crate::MAX_VALUE_BYTES`], [`crate::MAX_SOURCES`], [`crate::MAX_EPOCHS`], [`crate::MAX_VOTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Claims considered: 40 bytes of each.
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
        let Claims { list, subjects } = &self.resolver.claims;
        let first = list.get(from)?;
        let (subject, _) = subjects.iter().find(|(_, n)| **n == first.subject)?;
        let same = list[from..].iter().take(most);
        let same = same.take_while(|claim| claim.subject == first.subject);
        Some((subject, same.map(|claim| claim.id).collect()))
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
        let mut groups = group(resolver.values, tolerance);
        fill(&mut groups, resolver.claims, &votes);
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
        let mut ids: Vec<&RecordId> = claims.list.iter().map(|claim| &claim.id).collect();
        ids.extend(self.votes.counted().map(|(_, vote)| &vote.id));
        ids.extend(epochs.ids());
        ids.extend(sources.considered());
        ids.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for id in ids {
            hasher.update(id.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// Tells each group the first of its claims, and the votes on all of them.
fn fill(groups: &mut [Group], claims: Claims, votes: &Votes) {
    let values = groups.iter().map(|group| 1 + group.joined.len()).sum();
    let mut group_of = vec![0; values];
    for (place, group) in groups.iter().enumerate() {
        for value in group.joined.iter().chain([&group.number]) {
            group_of[*value as usize] = place;
        }
    }
    let mut list = claims.list;
    for (claim, vote) in votes.counted() {
        groups[group_of[list[claim].value as usize]]
            .votes
            .push(*vote);
    }
    list.sort_unstable_by_key(|claim| claim.id);
    for claim in list {
        let ids = &mut groups[group_of[claim.value as usize]].ids;
        if ids.len() < GROUP_LISTED {
            ids.push(claim.id);
        }
    }
}
