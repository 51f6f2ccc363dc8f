//! What a history is made of, and the times of the rules. Times are those of the protocol where a rule rests on them, shorter
//! where they only make it rarer that something happens.

use crate::random::Random;

/// A rule that does not hold in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// None: the promise must hold.
    Nothing,
    /// Complete with proofs from all others but rf, instead of rf − 1.
    OneMoreMayMiss,
    /// A store that lost its disk goes on with the proofs it had.
    WipedStoreKeepsProofs,
    /// A store that lost its disk is believed at once.
    WipedStoreCounts,
    /// A store that lost its disk is believed once it has what others hold of the shards it owns now; it may have been the
    /// stand-in for others.
    OwnedShardsAreEnough,
    /// A write is acknowledged with one copy.
    OneCopyIsEnough,
    /// A session leaves out what the peer got by repair a moment ago, as it may leave out what was pushed a moment ago.
    RepairedIdsAreYoung,
    /// A proof is dated when the session ends.
    DatedAtTheEnd,
    /// A new member takes copies before the others know it.
    NewcomerCountsAtOnce,
    /// A proof counts among the members that the one side knows.
    ProofsDoNotTeach,
}

/// A gateway answers no 201 later than this after it sent the record.
pub(crate) const ACKNOWLEDGED_WITHIN_MS: u64 = 4_000;
/// Silence of a store after which a write goes to its stand-in, too.
pub(crate) const HEDGE_MS: u64 = 250;
/// Mean time between sessions with one peer.
pub(crate) const SESSION_EVERY_MS: u64 = 1_000;
/// A session ends after this with what it has.
pub(crate) const SESSION_LIMIT_MS: u64 = 3_000;
/// Ids younger than this may be left for the next session; proofs are dated that much earlier.
pub(crate) const YOUNG_MS: u64 = 500;
/// Records in one step of a session.
pub(crate) const BATCH: usize = 16;
/// How often a node looks at the others.
pub(crate) const WATCH_EVERY_MS: u64 = 500;
/// A member that is not heard of for this long is DOWN.
pub(crate) const DOWN_AFTER_MS: u64 = 2_500;
/// And after this more it loses its shards (60 s in the product).
pub(crate) const REBALANCE_DELAY_MS: u64 = 6_000;
/// How often all claims of completeness are checked.
pub(crate) const PROBE_EVERY_MS: u64 = 200;
/// Faults happen until then.
pub(crate) const FAULTS_UNTIL_MS: u64 = 45_000;
/// And this long after them everything has come home.
pub(crate) const HEALED_AFTER_MS: u64 = 30_000;

/// Drawn from the seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// At the start.
    pub(crate) founders: usize,
    pub(crate) copies: u32,
    pub(crate) num_shards: u32,
    /// When one more node joins.
    pub(crate) join_at_ms: Option<u64>,
    /// Messages that get lost, of a thousand.
    pub(crate) loss: u64,
    /// Longest way of a message.
    pub(crate) latency_ms: u64,
    /// Longest time between writes.
    pub(crate) write_every_ms: u64,
    /// Longest time between faults.
    pub(crate) fault_every_ms: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Plan {
        let (founders, copies) = random
            .pick(&[
                (2, 2),
                (3, 2),
                (3, 2),
                (3, 2),
                (3, 3),
                (4, 2),
                (4, 3),
                (5, 2),
                (5, 3),
            ])
            .unwrap_or((3, 2));
        let joins = random.permille(400);
        Plan {
            founders,
            copies,
            num_shards: u32::try_from(random.between(2, 5)).unwrap_or(4),
            join_at_ms: joins.then(|| random.between(1_000, 30_000)),
            loss: random.pick(&[0, 5, 30, 120]).unwrap_or(0),
            latency_ms: random.pick(&[2, 10, 60, 300]).unwrap_or(10),
            write_every_ms: random.pick(&[60, 250, 800]).unwrap_or(250),
            fault_every_ms: random.pick(&[800, 2_500, 6_000]).unwrap_or(2_500),
        }
    }
}
