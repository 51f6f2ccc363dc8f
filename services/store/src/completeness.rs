//! When this store may say `complete`, confirm, and release: the ledger of proofs, the durable condition behind it, what the store was
//! told of its shards, and dates that people can read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::convert::Told;
use shard::global_shard;
use shard::homecoming::{Kept, Tenure};
use shard::proof::{Lasting, Ledger, MAX_AGE_MS, Report};
use sidecar::clock::{boot_ms, unix_ms};

use crate::damage::Damage;
use crate::error::Refusal;
use crate::writer::Writer;

/// Looks at the ledger for one report, when ids go each time before what was found is on the disk.
const NOTE_TRIES: usize = 8;

/// What repair has proved to this store. The proofs live in memory; a restart loses them, as it must.
#[derive(Debug)]
pub struct Completeness {
    state: Mutex<State>,
    /// Reports are taken one after the other: the durable condition is written between two looks at the ledger.
    reports: tokio::sync::Mutex<()>,
    /// By shard: how often rows were given up or lost.
    departures: Arc<[AtomicU64]>,
    damage: Arc<Damage>,
    num_shards: u32,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    owned: Vec<u32>,
    known: BTreeSet<String>,
    tenure: Tenure,
    /// Incarnation and version of the view behind the last report.
    view: (u64, u64),
    leaving: bool,
}

/// What is to be given up, and on which grounds.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Rows of this shard.
    pub shard: u32,
    /// When the first confirmation was asked for, boot milliseconds.
    pub asked_at: u64,
    /// How long the shard must not have been owned.
    pub hold_ms: u64,
    /// The view whose owners confirmed.
    pub view: (u64, u64),
}

/// What was proved when an answer was begun. Taken before reading, so that what is read holds at least that much.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Boot milliseconds.
    proved_at: Option<u64>,
    watch: Watch,
    /// Unix less boot milliseconds, at that moment.
    offset_ms: i64,
    /// The store counted as absent.
    was_absent: bool,
}

/// Notices that rows of some shards are given up or lost.
#[derive(Debug, Clone)]
struct Watch {
    departures: Arc<[AtomicU64]>,
    shards: Vec<u32>,
    seen: u64,
}

impl Watch {
    fn new(departures: &Arc<[AtomicU64]>, shards: Vec<u32>) -> Watch {
        let mut watch = Watch {
            departures: Arc::clone(departures),
            shards,
            seen: 0,
        };
        watch.seen = watch.count();
        watch
    }

    fn count(&self) -> u64 {
        let of = |shard: &u32| self.departures.get(*shard as usize);
        let counts = self.shards.iter().filter_map(of);
        counts.map(|count| count.load(Ordering::SeqCst)).sum()
    }

    fn is_unchanged(&self) -> bool {
        self.count() == self.seen
    }
}

impl Standing {
    /// Complete, and through which Unix millisecond; to be asked when the answer is ready. A process that was stopped
    /// meanwhile finds its proofs too old, and one that gave up rows meanwhile may not have read them.
    pub fn judge(&self) -> (bool, i64) {
        match self.proved_at {
            Some(at) if boot_ms().saturating_sub(at) <= MAX_AGE_MS && self.watch.is_unchanged() => {
                (true, self.unix(at))
            }
            _ => (false, 0),
        }
    }

    /// The store counts as absent for this answer: it may lack what nobody else has, or have lost it while it was read. To be
    /// asked when the answer is ready.
    pub fn counts_as_absent(&self) -> bool {
        self.was_absent || !self.watch.is_unchanged()
    }

    fn unix(&self, boot: u64) -> i64 {
        self.offset_ms
            .saturating_add(i64::try_from(boot).unwrap_or(i64::MAX))
    }
}

impl Completeness {
    /// No proofs yet.
    pub fn new(lasting: Lasting, damage: Arc<Damage>, num_shards: u32) -> Completeness {
        let mut ledger = Ledger::restored(lasting);
        for shard in damage.shards() {
            ledger.lose(boot_ms(), shard);
        }
        Completeness {
            state: Mutex::new(State {
                ledger,
                owned: Vec::new(),
                known: BTreeSet::new(),
                tenure: Tenure::new(num_shards),
                view: (0, 0),
                leaving: false,
            }),
            reports: tokio::sync::Mutex::new(()),
            departures: (0..=num_shards).map(|_| AtomicU64::new(0)).collect(),
            damage,
            num_shards,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A ledger is changed by replacing values, never left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one shard and the global one.
    pub fn of(&self, shard: u32) -> Standing {
        self.over([shard])
    }

    /// For every shard there is.
    pub fn of_all(&self) -> Standing {
        self.over(0..self.num_shards)
    }

    /// For the shards that this node was told it owns; not proved while it was told nothing.
    pub fn of_owned(&self) -> Standing {
        let owned = self.state().owned.clone();
        let nothing = owned.is_empty();
        let standing = self.over(owned);
        Standing {
            proved_at: standing.proved_at.filter(|_| !nothing),
            ..standing
        }
    }

    fn over(&self, shards: impl IntoIterator<Item = u32>) -> Standing {
        let shards: Vec<u32> = shards.into_iter().collect();
        let now = boot_ms();
        let global = global_shard(self.num_shards);
        let state = self.state();
        let proved_at = shards
            .iter()
            .map(|shard| state.ledger.complete(now, *shard, global))
            .reduce(|one, other| Some(one?.min(other?)))
            .flatten();
        // What is waited for may be what nobody else has.
        let lacking = self.damage.touches(&shards) || self.damage.touches(&[global]);
        Standing {
            proved_at: proved_at.filter(|_| !lacking),
            watch: Watch::new(&self.departures, shards),
            offset_ms: unix_ms().saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)),
            was_absent: lacking || self.is_absent(&state),
        }
    }

    /// Whether the store counts as absent to its peers. What it waits for and nobody has makes its own answers incomplete for as
    /// long as that takes, and must not make theirs so.
    pub fn counts_as_absent(&self) -> bool {
        self.is_absent(&self.state())
    }

    /// How often ids have gone without being given up.
    pub fn losses(&self) -> u64 {
        self.damage.losses()
    }

    /// Notes a row that is to be looked at, of something that is answered without it.
    pub(crate) fn suspect(&self, sequence: i64) {
        self.damage.suspect(sequence);
    }

    fn is_absent(&self, state: &State) -> bool {
        let lacking = !state.ledger.lacking().is_empty();
        state.ledger.is_absent() || lacking || self.damage.is_unreadable()
    }

    /// Ids of these shards went without being given up: the store counts as absent until it holds what all others have of them,
    /// and no answer that is being read is complete. With `any`, ids of any shard may have gone.
    pub(crate) fn lose(&self, shards: &BTreeSet<u32>, any: bool) {
        let mut state = self.state();
        if any {
            state.ledger.set_absent(boot_ms());
        }
        for shard in shards {
            state.ledger.lose(boot_ms(), *shard);
        }
        for count in self.departures.iter() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Shards of which it wants what all others have, owned or not: ids were lost or are waited for, and it is known of which shards;
    /// or there shall be more copies than before.
    pub fn lacking(&self) -> Vec<u32> {
        let state = self.state();
        if state.ledger.is_absent() || self.damage.is_unreadable() {
            return Vec::new();
        }
        // One that leaves hands over what it has, and nobody counts on it for more.
        if state.ledger.gathers() && !state.leaving {
            return (0..=global_shard(self.num_shards)).collect();
        }
        let mut shards = self.damage.shards();
        shards.extend(state.ledger.lacking());
        shards.into_iter().collect()
    }

    /// Takes a report. Returns whether the store counts as absent after it. What has to outlive the process is on the disk before
    /// anybody is told.
    ///
    /// # Errors
    /// When that cannot be written; the report is not taken then.
    pub async fn report(&self, told: Told, writer: &Writer) -> Result<bool, Refusal> {
        let _one = self.reports.lock().await;
        let Told {
            report,
            shown_at,
            view,
            leaving,
        } = told;
        let (before, after) = self.noted(&report, writer).await?;
        match (before.absent, after.absent) {
            (true, false) => tracing::info!(
                "all that the other members had is here: this store counts from now on"
            ),
            (false, true) => tracing::info!(
                copies = after.replication_factor,
                "there are no more members than copies now: this store counts as absent until it has what they have"
            ),
            _ => {}
        }
        if before.replication_factor != after.replication_factor {
            tracing::info!(
                copies = after.replication_factor,
                "answers count on so many copies from now on"
            );
        }
        let mut state = self.state();
        let now = boot_ms();
        state.tenure.report(now, shown_at, &report.owned);
        state.owned.clone_from(&report.owned);
        state.known.clone_from(&report.known);
        state.view = view;
        state.leaving = leaving;
        // Taken where it is: rows may have been given up while it was written.
        state.ledger.report(now, report);
        Ok(self.is_absent(&state))
    }

    /// What the store says of itself before a report and after it; the latter is on the disk.
    async fn noted(&self, report: &Report, writer: &Writer) -> Result<(Lasting, Lasting), Refusal> {
        for _ in 0..NOTE_TRIES {
            // Before the ledger is looked at: when something is lost after this, nothing is noted, and it is looked at anew.
            let losses = self.losses();
            let before = self.state().ledger.lasting();
            let mut next = self.state().ledger.clone();
            next.report(boot_ms(), report.clone());
            let after = next.lasting();
            if before == after || writer.note(after, losses).await? {
                return Ok((before, after));
            }
        }
        Err(Refusal::Busy)
    }

    /// Copies of whatever was acknowledged and may not be here; 0: it was never told.
    pub fn copies(&self) -> u32 {
        self.state().ledger.lasting().replication_factor
    }

    /// Members that this store was last told of.
    pub fn known(&self) -> Vec<String> {
        self.state().known.iter().cloned().collect()
    }

    /// The node's copies count from now on. A store that is not `fresh` counts as absent until it holds all that the others have;
    /// which it is is on the disk before anybody is told.
    ///
    /// # Errors
    /// When that cannot be written; it counts as before then.
    pub async fn admit(&self, fresh: bool, writer: &Writer) -> Result<(), Refusal> {
        let _one = self.reports.lock().await;
        let losses = self.losses();
        let lasting = Lasting {
            absent: !fresh,
            ..self.state().ledger.lasting()
        };
        if !writer.note(lasting, losses).await? {
            // The caller asks again.
            return Err(Refusal::Busy);
        }
        if fresh {
            self.state().ledger.set_present();
        } else {
            self.state().ledger.set_absent(boot_ms());
        }
        tracing::info!(fresh, "the node was let into the cluster");
        Ok(())
    }

    /// This node is leaving the cluster.
    pub fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Whether this store vouches for its rows of a shard.
    pub fn confirms(&self, shard: u32) -> bool {
        !self.damage.is_unreadable() && self.state().tenure.confirms(boot_ms(), shard)
    }

    /// Whether rows may be given up.
    ///
    /// # Errors
    /// Why not.
    pub fn may_release(&self, order: &Order) -> Result<(), Kept> {
        let state = self.state();
        state.may_release(order)
    }

    /// The same, and from now on nothing counts on rows of the shard. Called by the writer right before it deletes them.
    ///
    /// # Errors
    /// Why they stay.
    pub(crate) fn begin_release(&self, order: &Order) -> Result<(), Kept> {
        let mut state = self.state();
        state.may_release(order)?;
        self.part(&mut state, order.shard);
        Ok(())
    }

    /// The rows are gone. What was proved since [`Completeness::begin_release`] may have seen them.
    pub(crate) fn end_release(&self, order: &Order) {
        self.part(&mut self.state(), order.shard);
    }

    /// Ends what was proved about the shard, and marks answers that are being read.
    fn part(&self, state: &mut State, shard: u32) {
        state.ledger.release(boot_ms(), shard);
        if let Some(count) = self.departures.get(shard as usize) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl State {
    fn may_release(&self, order: &Order) -> Result<(), Kept> {
        if self.ledger.is_absent() {
            return Err(Kept::Absent);
        }
        if self.ledger.gathers() || self.ledger.lacking().contains(&order.shard) {
            return Err(Kept::Wanted);
        }
        if self.view != order.view {
            return Err(Kept::OldView);
        }
        let Order {
            shard,
            asked_at,
            hold_ms,
            ..
        } = *order;
        self.tenure.may_release(boot_ms(), shard, asked_at, hold_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_old_date_is_no_proof_when_the_answer_is_ready() {
        let standing = |age: u64| Standing {
            proved_at: Some(boot_ms().saturating_sub(age)),
            watch: Watch::new(&Arc::from([]), Vec::new()),
            offset_ms: 0,
            was_absent: false,
        };
        assert!(standing(0).judge().0);
        assert_eq!(standing(MAX_AGE_MS + 1_000).judge(), (false, 0));
    }

    #[test]
    fn what_is_lost_while_an_answer_is_read_makes_it_one_of_an_absent_store() {
        let present = Lasting::default();
        let completeness = Completeness::new(present, Arc::new(Damage::none(Path::new(""))), 4);
        let standing = completeness.of(1);
        assert!(!standing.counts_as_absent());
        completeness.lose(&BTreeSet::from([1]), false);
        assert!(standing.counts_as_absent());
    }

    #[test]
    fn nothing_is_proved_at_the_start() {
        let lasting = |absent| Lasting {
            absent,
            ..Lasting::default()
        };
        let damage = || Arc::new(Damage::none(Path::new("")));
        let completeness = Completeness::new(lasting(false), damage(), 4);
        assert!(!completeness.of(1).judge().0);
        assert!(!completeness.of_owned().judge().0);
        assert!(
            Completeness::new(lasting(true), damage(), 4)
                .of_all()
                .counts_as_absent()
        );
    }
}
