//! Votes: whose weight is behind which claim.

use std::collections::BTreeMap;

use assertion::{RecordId, Vote};

use crate::resolver::TooMuch;

/// Most votes one answer counts, the latest of each voter on each claim that is considered: about 150 bytes of each are kept.
pub const MAX_VOTES: usize = 100_000;

type Hash = [u8; 32];

/// The latest vote of each voter on each claim. Claims go by their place among those that are considered.
#[derive(Debug, Default)]
pub(crate) struct Votes {
    latest: BTreeMap<(usize, Hash), Cast>,
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
    /// Takes a vote on the claim at this place, unless a later one of the same voter on it is known.
    pub(crate) fn learn(&mut self, claim: usize, vote: &Vote, id: RecordId) -> Result<(), TooMuch> {
        let voter = *blake3::hash(vote.voter.as_bytes()).as_bytes();
        let cast = Cast {
            voted_at: vote.voted_at,
            counted: Counted {
                id,
                weight: vote.weight,
            },
        };
        let full = self.latest.len() == MAX_VOTES;
        match self.latest.get_mut(&(claim, voter)) {
            Some(latest) if (latest.voted_at, latest.counted.id) < (cast.voted_at, id) => {
                *latest = cast;
            }
            Some(_) => {}
            None if full => return Err(TooMuch::Votes),
            None => {
                self.latest.insert((claim, voter), cast);
            }
        }
        Ok(())
    }

    /// Every vote that counts, with the place of its claim.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (usize, &Counted)> {
        self.latest
            .iter()
            .map(|((claim, _), cast)| (*claim, &cast.counted))
    }

    /// How many count.
    pub(crate) fn len(&self) -> usize {
        self.latest.len()
    }
}

/// Sum of weights in id order, so that every machine rounds alike.
pub(crate) fn weight(votes: impl IntoIterator<Item = Counted>) -> f64 {
    let mut votes: Vec<Counted> = votes.into_iter().collect();
    votes.sort_unstable_by_key(|vote| vote.id);
    votes.iter().map(|vote| vote.weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> RecordId {
        RecordId::from_bytes([byte; 32])
    }

    fn vote(voter: &str, weight: f64, voted_at: i64) -> Vote {
        Vote {
            subject: "s".into(),
            assertion: id(7).to_string(),
            voter: voter.into(),
            weight,
            voted_at,
        }
    }

    fn counted(votes: &Votes, claim: usize) -> Vec<f64> {
        let votes = votes.counted().filter(|(place, _)| *place == claim);
        let mut weights: Vec<f64> = votes.map(|(_, vote)| vote.weight).collect();
        weights.sort_by(f64::total_cmp);
        weights
    }

    #[test]
    fn the_latest_vote_of_a_voter_counts_and_of_equal_times_the_greater_id() {
        let casts = [
            (vote("a", 0.1, 1), id(9)),
            (vote("a", 0.2, 2), id(3)),
            (vote("a", 0.3, 2), id(2)),
            (vote("b", 0.4, 0), id(1)),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            let mut votes = Votes::default();
            for index in order {
                let (vote, id) = &casts[index];
                votes.learn(5, vote, *id).unwrap();
                votes.learn(5, vote, *id).unwrap();
            }
            votes.learn(6, &casts[0].0, casts[0].1).unwrap();
            assert_eq!(counted(&votes, 5), [0.2, 0.4]);
            assert_eq!(counted(&votes, 6), [0.1]);
            assert_eq!(votes.len(), 3);
        }
    }

    #[test]
    fn as_many_votes_as_the_bound_and_no_more() {
        let mut votes = Votes::default();
        for number in 0..MAX_VOTES {
            let vote = vote(&number.to_string(), 1.0, 0);
            votes.learn(0, &vote, id(1)).unwrap();
        }
        votes.learn(0, &vote("7", 0.5, 1), id(2)).unwrap();
        let more = vote("one more", 1.0, 0);
        assert_eq!(votes.learn(0, &more, id(3)), Err(TooMuch::Votes));
        assert_eq!(counted(&votes, 0).len(), MAX_VOTES);
    }
}
