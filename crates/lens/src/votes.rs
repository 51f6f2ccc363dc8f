//! Votes: whose weight is behind which claim.

use std::collections::BTreeMap;

use assertion::{RecordId, Vote};

use crate::resolver::TooMuch;

/// Most votes one answer counts, the latest of each voter on each claim: about 150 bytes of each are kept.
pub const MAX_VOTES: usize = 100_000;

type Hash = [u8; 32];

/// The latest vote of each voter on each claim.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    latest: BTreeMap<(Hash, Hash), Cast>,
}

#[derive(Debug)]
struct Cast {
    voted_at: i64,
    counted: Counted,
}

/// A vote that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    pub(crate) id: RecordId,
    pub(crate) weight: f64,
}

impl Votes {
    /// Takes a vote, unless a later one of the same voter on the same claim is known.
    pub(crate) fn learn(&mut self, vote: &Vote, id: RecordId) -> Result<(), TooMuch> {
        // A record's door lets only ids through; a vote on anything else would be on nothing.
        let Ok(assertion) = vote.assertion.parse() else {
            return Ok(());
        };
        let voter = *blake3::hash(vote.voter.as_bytes()).as_bytes();
        let place = (claim(&vote.subject, assertion), voter);
        let cast = Cast {
            voted_at: vote.voted_at,
            counted: Counted {
                id,
                weight: vote.weight,
            },
        };
        let full = self.latest.len() == MAX_VOTES;
        match self.latest.get_mut(&place) {
            Some(latest) if (latest.voted_at, latest.counted.id) < (cast.voted_at, id) => {
                *latest = cast;
            }
            Some(_) => {}
            None if full => return Err(TooMuch::Votes),
            None => {
                self.latest.insert(place, cast);
            }
        }
        Ok(())
    }

    /// The votes on a claim.
    pub(crate) fn on(&self, subject: &str, assertion: RecordId) -> impl Iterator<Item = Counted> {
        let claim = claim(subject, assertion);
        let cast = self.latest.range((claim, [0; 32])..=(claim, [0xff; 32]));
        cast.map(|(_, cast)| cast.counted)
    }
}

/// Sum of weights in id order, so that every machine rounds alike.
pub(crate) fn weight(votes: impl IntoIterator<Item = Counted>) -> f64 {
    let mut votes: Vec<Counted> = votes.into_iter().collect();
    votes.sort_unstable_by_key(|vote| vote.id);
    votes.iter().map(|vote| vote.weight).sum()
}

/// Votes go with claims by subject and id: one that names another subject lies in another shard, and never counts.
fn claim(subject: &str, assertion: RecordId) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(assertion.as_bytes());
    hasher.update(subject.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> RecordId {
        RecordId::from_bytes([byte; 32])
    }

    fn vote(subject: &str, voter: &str, weight: f64, voted_at: i64) -> Vote {
        Vote {
            subject: subject.into(),
            assertion: id(7).to_string(),
            voter: voter.into(),
            weight,
            voted_at,
        }
    }

    fn counted(votes: &Votes, subject: &str) -> Vec<f64> {
        let mut weights: Vec<f64> = votes.on(subject, id(7)).map(|vote| vote.weight).collect();
        weights.sort_by(f64::total_cmp);
        weights
    }

    #[test]
    fn the_latest_vote_of_a_voter_counts_and_of_equal_times_the_greater_id() {
        let casts = [
            (vote("s", "a", 0.1, 1), id(9)),
            (vote("s", "a", 0.2, 2), id(3)),
            (vote("s", "a", 0.3, 2), id(2)),
            (vote("s", "b", 0.4, 0), id(1)),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            let mut votes = Votes::default();
            for index in order {
                let (vote, id) = &casts[index];
                votes.learn(vote, *id).unwrap();
                votes.learn(vote, *id).unwrap();
            }
            assert_eq!(counted(&votes, "s"), [0.2, 0.4]);
        }
    }

    #[test]
    fn a_vote_that_names_another_subject_is_another_vote() {
        let mut votes = Votes::default();
        votes.learn(&vote("s", "a", 0.5, 1), id(1)).unwrap();
        votes.learn(&vote("t", "a", 0.25, 2), id(2)).unwrap();
        assert_eq!(counted(&votes, "s"), [0.5]);
        assert_eq!(counted(&votes, "t"), [0.25]);
        assert_eq!(votes.on("s", id(8)).count(), 0);
    }

    #[test]
    fn as_many_votes_as_the_bound_and_no_more() {
        let mut votes = Votes::default();
        for number in 0..MAX_VOTES {
            let vote = vote("s", &number.to_string(), 1.0, 0);
            votes.learn(&vote, id(1)).unwrap();
        }
        votes.learn(&vote("s", "7", 0.5, 1), id(2)).unwrap();
        let more = vote("s", "one more", 1.0, 0);
        assert_eq!(votes.learn(&more, id(3)), Err(TooMuch::Votes));
        assert_eq!(votes.on("s", id(7)).count(), MAX_VOTES);
    }
}
