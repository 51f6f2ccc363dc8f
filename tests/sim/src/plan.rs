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
    /// A new member takes copies once rf others know it.
    FewAreTold,
    /// A proof counts among the members that the one side knows.
    ProofsDoNotTeach,
    /// Rows are given up as soon as the shard is not owned, also on confirmations from before.
    NoHoldTime,
    /// A store confirms what it holds, owner or not.
    AnybodyConfirms,
    /// A confirmation counts however old it is.
    StaleConfirmations,
    /// Rows are given up under the view that was there when their owners were asked.
    OldView,
    /// A row is confirmed as soon as it is there.
    YoungRowsAreConfirmed,
    /// What was proved of a shard counts on when rows of it are given up.
    ProofsOutliveRows,
    /// A store is told what its own node is set to, while others acknowledge with fewer copies.
    OwnSettingCounts,
    /// A higher number of copies counts as soon as it is told.
    RaiseCountsAtOnce,
}

impl Broken {
    /// Each rule that can be broken.
    pub const ALL: [Broken; 18] = [
        Broken::OneMoreMayMiss,
        Broken::WipedStoreKeepsProofs,
        Broken::WipedStoreCounts,
        Broken::OwnedShardsAreEnough,
        Broken::OneCopyIsEnough,
        Broken::RepairedIdsAreYoung,
        Broken::DatedAtTheEnd,
        Broken::NewcomerCountsAtOnce,
        Broken::FewAreTold,
        Broken::ProofsDoNotTeach,
        Broken::NoHoldTime,
        Broken::AnybodyConfirms,
        Broken::StaleConfirmations,
        Broken::OldView,
        Broken::YoungRowsAreConfirmed,
        Broken::ProofsOutliveRows,
        Broken::OwnSettingCounts,
        Broken::RaiseCountsAtOnce,
    ];
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
/// How long rows stay that their node does not own (10 minutes in the product).
pub(crate) const HOLD_MS: u64 = 2_000;
/// How often a node looks after them.
pub(crate) const HOMECOMING_EVERY_MS: u64 = 1_000;
/// Rows that owners are asked about at once.
pub(crate) const OFFER: usize = 256;
/// A node that is dead for good is forgotten so long after everything has its copies again without it.
pub(crate) const FORGET_AFTER_MS: u64 = 12_000;
/// How often all claims of completeness are checked.
pub(crate) const PROBE_EVERY_MS: u64 = 200;
/// Faults happen until then.
pub(crate) const FAULTS_UNTIL_MS: u64 = 45_000;
/// And this long after them everything has come home.
pub(crate) const HEALED_AFTER_MS: u64 = 40_000;

/// Makes the chance that changes settings another one than that of all else.
const CHANGE: u64 = 0x636f_7069_6573;

/// Drawn from the seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// At the start.
    pub(crate) founders: usize,
    pub(crate) copies: u32,
    /// From when on nodes that start have another number of copies in their settings, and which.
    pub(crate) change: Option<(u64, u32)>,
    pub(crate) num_shards: u32,
    /// When more nodes join.
    pub(crate) joins_at_ms: Vec<u64>,
    /// When a node leaves.
    pub(crate) leave_at_ms: Option<u64>,
    /// When one dies that never comes back.
    pub(crate) death_at_ms: Option<u64>,
    /// Messages that get lost, of a thousand.
    pub(crate) loss: u64,
    /// Longest way of a message.
    pub(crate) latency_ms: u64,
    /// Longest time between writes.
    pub(crate) write_every_ms: u64,
    /// Longest time between faults.
    pub(crate) fault_every_ms: u64,
    /// Faults that only confuse a view, of a thousand.
    pub(crate) confusions: u64,
}

impl Plan {
    /// Nothing happens but what is told.
    pub(crate) fn told(founders: usize, random: &mut Random) -> Plan {
        Plan {
            founders,
            copies: 2,
            change: None,
            num_shards: 1,
            joins_at_ms: Vec::new(),
            leave_at_ms: None,
            death_at_ms: None,
            loss: 0,
            latency_ms: random.pick(&[2, 10, 20]).unwrap_or(10),
            write_every_ms: 0,
            fault_every_ms: 0,
            confusions: 0,
        }
    }

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
        let joins = random.pick(&[0, 0, 1, 1, 2]).unwrap_or(0);
        let joins_at_ms = (0..joins).map(|_| random.between(1_000, 25_000)).collect();
        let leaves = random.permille(350);
        let dies = random.permille(250);
        Plan {
            founders,
            copies,
            change: None,
            num_shards: u32::try_from(random.between(2, 5)).unwrap_or(4),
            joins_at_ms,
            leave_at_ms: leaves.then(|| random.between(4_000, 30_000)),
            death_at_ms: dies.then(|| random.between(4_000, 25_000)),
            loss: random.pick(&[0, 5, 30, 120]).unwrap_or(0),
            latency_ms: random.pick(&[2, 10, 60, 300]).unwrap_or(10),
            write_every_ms: random.pick(&[60, 250, 800]).unwrap_or(250),
            fault_every_ms: random.pick(&[800, 2_500, 6_000]).unwrap_or(2_500),
            confusions: random.pick(&[0, 100, 800]).unwrap_or(100),
        }
    }

    /// In two of five histories the setting is changed by one, up or down. By chance of its own: all else is the same history.
    pub(crate) fn draw_change(self, seed: u64) -> Plan {
        let mut random = Random::new(seed ^ CHANGE);
        let changes = random.permille(400);
        let at = random.between(3_000, 25_000);
        let copies = match random.permille(600) || self.copies < 2 {
            true => self.copies + 1,
            false => self.copies - 1,
        };
        Plan {
            change: changes.then_some((at, copies)),
            ..self
        }
    }

    /// The lowest setting that a node has at any time.
    pub(crate) fn fewest(&self) -> u32 {
        let changed = self.change.map(|(_, copies)| copies);
        changed.unwrap_or(self.copies).min(self.copies)
    }

    /// The highest.
    pub(crate) fn most(&self) -> u32 {
        let changed = self.change.map(|(_, copies)| copies);
        changed.unwrap_or(self.copies).max(self.copies)
    }
}
