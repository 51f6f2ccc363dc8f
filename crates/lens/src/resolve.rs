//! The answer to records that are at hand.

use std::collections::{BTreeMap, BTreeSet};

use assertion::{Claim, Content, Record, RecordId};

use crate::answer::Answer;
use crate::parameters::Parameters;
use crate::resolver::{Resolver, TooMuch};
use crate::selection::Match;

/// Answers for records that are already at hand, in any order. A record that is there twice counts once.
///
/// # Errors
/// When they are more than one answer can weigh.
pub fn resolve<'a>(
    parameters: Parameters,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<Answer, TooMuch> {
    let AtHand {
        claims,
        sources,
        epochs,
        votes,
    } = AtHand::sort(records);
    let matches = |claim: &&Claim<'_>| parameters.selection.matches(claim) == Match::Yes;
    let uris: BTreeSet<&str> = claims
        .values()
        .filter(matches)
        .map(|claim| &*claim.uri)
        .collect();
    let mut resolver = Resolver::new(parameters);
    for (uri, record) in sources {
        if uris.contains(uri) {
            resolver.learn(record)?;
        }
    }
    for claim in claims.values() {
        resolver.expect(claim)?;
    }
    let mut unasked = resolver.unasked_epochs();
    while let Some(id) = unasked.pop() {
        for epoch in epochs.get(&id).into_iter().flatten() {
            resolver.learn(epoch)?;
        }
        unasked.extend(resolver.unasked_epochs());
    }
    for claim in claims.values() {
        resolver.push(claim)?;
    }
    let mut ballot = resolver.ballot();
    for vote in votes {
        ballot.learn(vote)?;
    }
    Ok(ballot.finish())
}

/// Records by what they bear on.
#[derive(Default)]
struct AtHand<'a> {
    claims: BTreeMap<RecordId, Claim<'a>>,
    sources: Vec<(&'a str, &'a Record)>,
    /// Each under its own id, and under those that it supersedes.
    epochs: BTreeMap<RecordId, Vec<&'a Record>>,
    votes: Vec<&'a Record>,
}

impl<'a> AtHand<'a> {
    fn sort(records: impl IntoIterator<Item = &'a Record>) -> AtHand<'a> {
        let mut at_hand = AtHand::default();
        for record in records {
            match record.content() {
                Content::Assertion(_) => {
                    let claim = record.claim();
                    at_hand.claims.extend(claim.map(|claim| (claim.id, claim)));
                }
                Content::Source(source) => at_hand.sources.push((&source.uri, record)),
                Content::Vote(_) => at_hand.votes.push(record),
                Content::Epoch(epoch) => {
                    let named = epoch.supersedes.iter().filter_map(|id| id.parse().ok());
                    for concerned in named.chain([record.id()]) {
                        at_hand.epochs.entry(concerned).or_default().push(record);
                    }
                }
            }
        }
        at_hand
    }
}
