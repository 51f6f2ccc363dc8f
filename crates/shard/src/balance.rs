//! From scores to an exactly balanced assignment: a minimum-cost flow on as many vertices as there are members.
//!
//! Every shard starts with the members of highest score (rendezvous hashing). Then one slot at a time goes from a member that
//! has too many to one that has too few, along the cheapest chain of hand-overs. Successive shortest paths keep the sum of
//! scores the best there is for the balance reached, and that is what makes joins and leaves cheap: the corrections of two
//! neighbouring member sets are nearly the same corrections.

/// Scores by shard, then member; larger is better. A score fits an i64 with room for sums over all members.
pub(crate) struct Balance {
    scores: Vec<Vec<i64>>,
    /// Per shard: does the member own it?
    owns: Vec<Vec<bool>>,
    counts: Vec<usize>,
    members: usize,
}

/// The cheapest single hand-over from one member to another.
#[derive(Clone, Copy)]
struct HandOver {
    cost: i64,
    shard: usize,
}

impl Balance {
    /// Gives every shard its `copies` members of highest score. Scores of one shard are distinct in practice; equal ones
    /// go by member index, which is the order of names.
    pub(crate) fn rendezvous(scores: Vec<Vec<i64>>, members: usize, copies: usize) -> Balance {
        let mut counts = vec![0; members];
        let owns = scores
            .iter()
            .map(|of_shard| {
                let mut best: Vec<usize> = (0..members).collect();
                best.sort_by_key(|&member| std::cmp::Reverse(of_shard[member]));
                let mut owned = vec![false; members];
                for &member in &best[..copies] {
                    owned[member] = true;
                    counts[member] += 1;
                }
                owned
            })
            .collect();
        Balance {
            scores,
            owns,
            counts,
            members,
        }
    }

    /// Moves slots until the counts differ by at most one.
    pub(crate) fn settle(mut self) -> Vec<Vec<bool>> {
        let total: usize = self.counts.iter().sum();
        let least = total / self.members;
        let most = total.div_ceil(self.members);
        loop {
            let counts = &self.counts;
            let above = |limit: usize| {
                (0..self.members)
                    .filter(move |&m| counts[m] > limit)
                    .collect::<Vec<_>>()
            };
            let below = |limit: usize| {
                (0..self.members)
                    .filter(move |&m| counts[m] < limit)
                    .collect::<Vec<_>>()
            };
            let (from, to) = match (above(most), below(least)) {
                (from, _) if !from.is_empty() => (from, below(most)),
                (_, to) if !to.is_empty() => (above(least), to),
                _ => return self.owns,
            };
            self.move_one(&from, &to);
        }
    }

    /// Moves one slot from any of `from` to any of `to` along the cheapest chain (Bellman-Ford; a chain may pass through
    /// members that get one shard and give another).
    fn move_one(&mut self, from: &[usize], to: &[usize]) {
        let edges = self.cheapest_hand_overs();
        let mut distance: Vec<Option<i64>> = vec![None; self.members];
        let mut before: Vec<Option<(usize, usize)>> = vec![None; self.members];
        for &member in from {
            distance[member] = Some(0);
        }
        for _ in 0..self.members {
            for giver in 0..self.members {
                let Some(so_far) = distance[giver] else {
                    continue;
                };
                for taker in 0..self.members {
                    let Some(edge) = edges[giver][taker] else {
                        continue;
                    };
                    let reached = so_far + edge.cost;
                    if distance[taker].is_none_or(|known| reached < known) {
                        distance[taker] = Some(reached);
                        before[taker] = Some((giver, edge.shard));
                    }
                }
            }
        }
        let Some(&end) = to
            .iter()
            .filter(|&&member| distance[member].is_some())
            .min_by_key(|&&member| distance[member])
        else {
            unreachable!("a member with too few shards lacks one that a member with too many has")
        };
        let mut taker = end;
        // A shortest path visits each member at most once.
        for _ in 0..self.members {
            let Some((giver, shard)) = before[taker] else {
                break;
            };
            self.owns[shard][giver] = false;
            self.owns[shard][taker] = true;
            self.counts[giver] -= 1;
            self.counts[taker] += 1;
            taker = giver;
        }
    }

    fn cheapest_hand_overs(&self) -> Vec<Vec<Option<HandOver>>> {
        let mut edges: Vec<Vec<Option<HandOver>>> = vec![vec![None; self.members]; self.members];
        for (shard, owned) in self.owns.iter().enumerate() {
            for giver in (0..self.members).filter(|&member| owned[member]) {
                for taker in (0..self.members).filter(|&member| !owned[member]) {
                    let cost = self.scores[shard][giver] - self.scores[shard][taker];
                    let edge = &mut edges[giver][taker];
                    if edge.is_none_or(|known| cost < known.cost) {
                        *edge = Some(HandOver { cost, shard });
                    }
                }
            }
        }
        edges
    }
}
