//! Groups weighed against each other.

use std::cmp::Ordering;

use crate::group::Group;
use crate::strength::Ranked;
use crate::votes;

/// The groups with their weights, heaviest first.
#[derive(Debug, Clone)]
pub(crate) struct Conflict {
    pub(crate) shares: Vec<Share>,
    pub(crate) score: f64,
}

/// A group and its part of the whole weight.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) group: Group,
    pub(crate) weight: f64,
    pub(crate) share: f64,
}

/// What the votes say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    /// Votes counted, on all groups.
    pub(crate) votes: usize,
    /// The winning group's part of the whole weight of votes; none without votes.
    pub(crate) share: Option<f64>,
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
        shares.sort_unstable_by_key(|share| share.group.strongest.strength.id);
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
                .then(by_strength(&a.group, &b.group))
        });
        Conflict { shares, score }
    }

    /// The strongest claim of the group with most distinct source uris.
    pub(crate) fn widest(&self) -> Option<&Ranked> {
        self.groups()
            .min_by(|a, b| b.voices.len().cmp(&a.voices.len()).then(by_strength(a, b)))
            .map(|group| &group.strongest)
    }

    /// The strongest claim of the group with the greatest weight of votes, and the votes. Without votes all groups weigh
    /// nothing, and the tie goes to the strongest claim.
    pub(crate) fn elected(&self) -> (Option<&Ranked>, Tally) {
        let winner = self
            .groups()
            .map(|group| (votes::weight(group.votes.iter().copied()), group))
            .min_by(|(a_weight, a), (b_weight, b)| {
                b_weight.total_cmp(a_weight).then(by_strength(a, b))
            });
        let all = votes::weight(self.groups().flat_map(|group| group.votes.iter().copied()));
        let tally = Tally {
            votes: self.groups().map(|group| group.votes.len()).sum(),
            share: winner.filter(|_| all > 0.0).map(|(weight, _)| weight / all),
        };
        (winner.map(|(_, group)| &group.strongest), tally)
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.shares.iter().map(|share| &share.group)
    }
}

fn by_strength(a: &Group, b: &Group) -> Ordering {
    a.strongest.strength.order(&b.strongest.strength)
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
