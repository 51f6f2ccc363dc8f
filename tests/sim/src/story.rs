//! Histories that are told: what chance hardly ever brings together, a step at a time. Chance still decides when timers fire and how
//! long messages take, so each story has as many versions as there are seeds.

use crate::plan::Plan;
use crate::random::Random;
use crate::world::{Event, World};

/// What is told. In all of them one record is held by three nodes, of which one at most may give it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Two nodes each see the other among the owners, and themselves not.
    EachSeesTheOther,
    /// The same, in the moment in which they lose it: each may have asked the other while that was an owner still.
    EachSawTheOther,
    /// A node is an owner again, and vouches as one, while it still has confirmations from before.
    OwnerAgain,
    /// Confirmations are so old that the nodes that gave them have lost their disks since, one after the other.
    LostSince,
    /// A row goes from a stand-in to its owner between the two sessions by which a third is complete.
    BehindTwoSessions,
}

/// A step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// From now on this node places shards on these members.
    See {
        node: usize,
        members: &'static [usize],
    },
    /// Neither reaches the other.
    Cut(usize, usize),
    /// They do again.
    Mend(usize, usize),
    /// A client writes through this node.
    Write(usize),
    /// Its disk is lost, and it starts with an empty one.
    LoseDisk(usize),
    /// So long it stands still between the last confirmation and what follows from it.
    HoldUp { node: usize, ms: u64 },
}

/// How long a node is away that has lost its disk.
const AWAY_MS: u64 = 1_000;

/// The shard of all that is written.
const SHARD: u32 = 0;

impl Story {
    /// Each of them.
    pub const ALL: [Story; 5] = [
        Story::EachSeesTheOther,
        Story::EachSawTheOther,
        Story::OwnerAgain,
        Story::LostSince,
        Story::BehindTwoSessions,
    ];

    pub(crate) fn plan(self, random: &mut Random) -> Plan {
        let nodes = match self {
            Story::EachSeesTheOther | Story::EachSawTheOther | Story::OwnerAgain => 3,
            Story::LostSince | Story::BehindTwoSessions => 4,
        };
        Plan::told(nodes, random)
    }

    /// The steps, by milliseconds.
    fn acts(self) -> Vec<(u64, Act)> {
        let mut acts = match self {
            Story::BehindTwoSessions => behind_two_sessions(),
            _ => on_three_nodes(),
        };
        acts.extend(match self {
            Story::EachSeesTheOther => vec![(3_000, see(0, &[1, 2])), (3_000, see(1, &[0, 2]))],
            Story::EachSawTheOther => vec![
                (0, Act::HoldUp { node: 0, ms: 1_500 }),
                (0, Act::HoldUp { node: 1, ms: 1_500 }),
                (15_000, see(0, &[1, 2])),
                (15_000, see(1, &[0, 2])),
            ],
            Story::OwnerAgain => vec![
                (0, Act::HoldUp { node: 0, ms: 7_000 }),
                (15_000, see(0, &[1, 2])),
                (25_000, see(0, &[0, 2])),
                (25_000, see(1, &[0, 2])),
            ],
            Story::LostSince => vec![
                (
                    0,
                    Act::HoldUp {
                        node: 0,
                        ms: 16_000,
                    },
                ),
                (15_000, see(0, &[1, 2])),
                // It comes back and reaches only one that never had the record.
                (17_000, Act::Cut(0, 1)),
                (17_000, Act::Cut(1, 2)),
                (17_500, Act::LoseDisk(1)),
                (29_000, Act::Cut(0, 2)),
                (29_000, Act::LoseDisk(2)),
            ],
            Story::BehindTwoSessions => Vec::new(),
        });
        acts
    }
}

fn see(node: usize, members: &'static [usize]) -> Act {
    Act::See { node, members }
}

/// The first two write a record as its owners; to the third it is its own as well, and it fetches it.
fn on_three_nodes() -> Vec<(u64, Act)> {
    vec![
        (0, see(0, &[0, 1])),
        (0, see(1, &[0, 1])),
        (0, see(2, &[0, 2])),
        (0, see(3, &[1, 2])),
        (1_000, Act::Write(0)),
    ]
}

/// The third and the fourth take a record that the second shall own, which reaches only the first until then.
fn behind_two_sessions() -> Vec<(u64, Act)> {
    vec![
        (0, see(0, &[0, 1])),
        (0, see(1, &[1, 3])),
        (0, see(2, &[2, 3])),
        (0, see(3, &[1, 3])),
        (0, Act::Cut(0, 2)),
        (0, Act::Cut(0, 3)),
        (0, Act::Cut(1, 2)),
        (0, Act::Cut(1, 3)),
        (1_000, Act::Write(2)),
        // Whatever the first knows of the second is from before it gets the record.
        (6_000, Act::Cut(0, 1)),
        (6_000, Act::Mend(1, 2)),
        (6_500, see(2, &[1, 3])),
        // The third has given it up by now, if it may.
        (12_000, Act::Mend(0, 2)),
    ]
}

impl World {
    pub(crate) fn tell(&mut self, story: Story) {
        for (at, act) in story.acts() {
            self.at(at, Event::Act(act));
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::See { node, .. } if node >= self.nodes.len() => {}
            Act::See { node, members } => {
                self.note(format!("node{node} places shards on {members:?}"));
                let members = members.iter().copied().collect();
                self.nodes[node].confused = Some((u64::MAX, members));
                self.place(node);
            }
            Act::Cut(a, b) => {
                self.note(format!("cut: node{a} and node{b}"));
                self.network.cut(a, b);
                self.network.cut(b, a);
            }
            Act::Mend(a, b) => {
                self.note(format!("mended: node{a} and node{b}"));
                self.network.join(a, b);
            }
            Act::Write(node) => self.client_writes(node, SHARD),
            Act::LoseDisk(node) => self.lose_disk(node, Some(AWAY_MS)),
            Act::HoldUp { node, ms } => self.nodes[node].held_up_ms = Some(ms),
        }
    }
}
