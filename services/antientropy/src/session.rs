//! One session with one peer: compare, walk down where the roots differ, copy what is lacking, say what that proves.
//!
//! What it may claim is decided by order alone. The own roots are read first, then the peer's; what the walk sees later can
//! only be more, since sets grow; a shard counts as contained once every id that the walk named is durable here. So all
//! that the peer held when its roots were read is here at the end, whatever was written meanwhile. The peer's store names itself in
//! every answer, the own one is asked at the end whether it is still the one that was compared.

pub mod copy;
mod direction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use merkle::{Digest, EMPTY_ROOT, Salt};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::error::{SessionError, Side};
use crate::metrics;
use crate::peer::{Peer, State};
use crate::refusals::Refusals;
use crate::remembered::Remembered;
use crate::stores::Asked;
use crate::worker::Shared;
use copy::Route;
use direction::{Direction, Moved};

/// Length of a session that finds more to do. Shorter: proofs of the other shards come sooner; longer: fewer shards are
/// walked twice.
const LIMIT: Duration = Duration::from_secs(3);

/// From the compare to the lookup of what seems to be missing, when records came here since the last session other than by
/// repair: what is on its way by push has arrived by then, and is not fetched a second time.
const SETTLE: Duration = Duration::from_millis(100);

/// What is missing for longer than this was missed by push, not overtaken by the session.
const OLD: Duration = Duration::from_secs(2);

/// What a session needs.
#[derive(Debug)]
pub struct Session<'a> {
    /// With whom.
    pub peer: &'a Peer,
    /// The own store.
    pub local: Asked,
    /// The peer's store.
    pub remote: Asked,
    /// Shards that the peer's ids are brought here of: those that this node owns, or all of them while its store counts
    /// as absent, since it may have held any shard for somebody else; and those of which it lost ids.
    pub owned: BTreeSet<u32>,
    /// The last shard there is, which is the global one.
    pub last: u32,
    /// Shards that the peer owns.
    pub theirs: BTreeSet<u32>,
    /// Also bring the peer what it owns and lacks.
    pub push: bool,
    /// Count what is missing, move nothing.
    pub dry_run: bool,
    /// This node was not let into the cluster yet: whether it has to bring anything but its own shards is not settled.
    pub joining: bool,
    /// Rate and places of the node.
    pub shared: &'a Shared,
    /// What was proved before.
    pub remembered: &'a mut Remembered,
    /// What was refused before.
    pub refusals: &'a mut Refusals,
    /// What it does, kept also when it fails.
    pub work: &'a mut Work,
}

/// What a session did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Records that this node has now and had not before; when counting only, those it lacks.
    pub pulled: u64,
    /// The same for the peer.
    pub pushed: u64,
    /// Their canonical bytes.
    pub record_bytes: u64,
    /// Questions asked of the peer's store.
    pub round_trips: u32,
    /// Something had been missing for so long that push must have missed it.
    pub found_old: bool,
}

impl Work {
    /// Adds what a following session did.
    pub fn add(&mut self, more: &Work) {
        self.pulled += more.pulled;
        self.pushed += more.pushed;
        self.record_bytes += more.record_bytes;
        self.round_trips += more.round_trips;
        self.found_old |= more.found_old;
    }
}

/// What a session proved.
#[derive(Debug)]
pub struct Outcome {
    /// When it started, in milliseconds of CLOCK_BOOTTIME.
    pub started_boot_ms: u64,
    /// Owned shards of which all that the peer held at the start is durable here.
    pub contained: BTreeSet<u32>,
    /// It came to its time limit with work left.
    pub unfinished: bool,
    /// The peer's store counts as absent.
    pub peer_counts_as_absent: bool,
    /// What ended it early, after the compare. What is contained is contained all the same.
    pub failure: Option<SessionError>,
    owned: usize,
}

impl Outcome {
    /// Every owned shard is contained.
    pub fn whole(&self) -> bool {
        self.contained.len() == self.owned
    }
}

/// The roots of both sides, the peer's read after the own.
struct Seen {
    own: BTreeMap<u32, Digest>,
    /// `None`: neither the own root nor one that was known before.
    remote: BTreeMap<u32, Option<Digest>>,
    /// How many ids each side has of a shard, where that was said.
    counts: BTreeMap<u32, (u64, u64)>,
    own_store: Bytes,
    remote_store: Bytes,
    peer_counts_as_absent: bool,
    /// Keys what is shortened in this session.
    salt: Salt,
    /// The own store took records since the last session, not from repair: more may be on their way.
    busy: bool,
}

impl Seen {
    /// About how many records of a shard are not here: at least one, where the two differ.
    fn lacking(&self, shard: u32) -> u64 {
        let (here, there) = self.counts.get(&shard).copied().unwrap_or_default();
        there.saturating_sub(here).max(1)
    }
}

/// Runs a session.
///
/// # Errors
/// When the two could not be compared, or when one of the stores was replaced meanwhile: then nothing is proved.
pub async fn run(session: &mut Session<'_>) -> Result<Outcome, SessionError> {
    let result = session.run().await;
    session.work.round_trips = session.remote.round_trips();
    result
}

impl Session<'_> {
    async fn run(&mut self) -> Result<Outcome, SessionError> {
        let started_boot_ms = sidecar::clock::boot_ms();
        let started = Instant::now();
        self.peer
            .update(|standing| standing.state = State::Comparing);
        let mut seen = self.compare().await?;
        let (contained, pull) = self.sort(&seen);
        let push = self.lacking_there(&seen);
        let mut outcome = Outcome {
            started_boot_ms,
            contained,
            unfinished: false,
            peer_counts_as_absent: seen.peer_counts_as_absent,
            failure: None,
            owned: self.owned.len(),
        };
        if !self.dry_run {
            let lacking: Vec<(u32, u64)> = pull
                .iter()
                .map(|shard| (*shard, seen.lacking(*shard)))
                .collect();
            let records = lacking.iter().map(|(_, records)| records).sum();
            self.peer.update(|standing| standing.found(&pull, records));
            self.shared.lacking.found(self.peer.name(), &lacking);
        }
        let paused = self.shared.home.is_paused() && !self.dry_run;
        let differ = (!pull.is_empty() || !push.is_empty()) && !paused;
        if differ {
            let span = tracing::info_span!("repair", peer = self.peer.name());
            let moved = self.bring(&mut seen, started, pull, push, &mut outcome);
            match moved.instrument(span).await {
                Err(error @ SessionError::StoreChanged(_)) => return Err(error),
                result => outcome.failure = result.err(),
            }
        }
        self.still_the_same(&seen).await?;
        let (remembered, releases) = (&*self.remembered, &self.shared.releases);
        outcome
            .contained
            .retain(|shard| remembered.is_whole(*shard, releases));
        for shard in &outcome.contained {
            if let Some(Some(root)) = seen.remote.get(shard) {
                self.remembered.proved(*shard, *root);
            }
        }
        if outcome.whole() {
            self.refusals.clear();
        }
        Ok(outcome)
    }

    /// Reads the own roots, then asks the peer in one message whether it shows what is expected of it.
    async fn compare(&mut self) -> Result<Seen, SessionError> {
        self.remembered.follow(&self.shared.releases);
        let mut shards = self.compared();
        let mut local = self.local.roots(&shards).await?;
        // What damage took of shards that are not owned comes again as well: it is here for whoever had no other place for it.
        let lacks = local.counts_as_absent || !local.lacking.is_empty();
        if lacks && !self.joining {
            match local.lacking.is_empty() {
                true => self.owned = (0..=self.last).collect(),
                false => self.owned.extend(&local.lacking),
            }
            shards = self.compared();
            local = self.local.roots(&shards).await?;
        }
        self.remembered.keep_only(&self.owned);
        self.remembered.bind_local(&local.store_id, local.losses);
        let busy = self.took_others(local.reached.sequence);
        let salt: Salt = rand::random();
        let here: BTreeMap<u32, u64> = shards.iter().copied().zip(local.counts).collect();
        let mut own: BTreeMap<u32, Digest> = shards.into_iter().zip(local.roots).collect();
        own.retain(|shard, root| self.owned.contains(shard) || *root != EMPTY_ROOT);

        let named: Vec<u32> = own.keys().copied().collect();
        let expected: BTreeMap<u32, Digest> = own
            .iter()
            .map(|(shard, root)| (*shard, self.expected(*shard, *root)))
            .collect();
        let digest = merkle::combined(expected.iter().map(|(shard, root)| (*shard, *root)));
        let mut reply = self
            .remote
            .compare(&named, Some(digest), &salt, self.remembered.seen())
            .await?;
        self.remembered.saw(&reply.reached);
        if !self.remembered.bind_remote(&reply.store_id) && reply.equal {
            // What was expected was learned from the store that was there before.
            reply = self
                .remote
                .compare(&named, None, &salt, self.remembered.seen())
                .await?;
        }
        let there = named.iter().copied().zip(reply.counts);
        let counts = there.map(|(shard, there)| {
            let here = here.get(&shard).copied().unwrap_or(0);
            (shard, (here, there))
        });
        let counts = counts.collect();
        let remote = if reply.equal {
            let known = |(shard, root)| (shard, Some(root));
            expected.into_iter().map(known).collect()
        } else {
            let shown = named.into_iter().zip(reply.roots);
            shown
                .map(|(shard, short)| {
                    let own = own.get(&shard).copied();
                    (shard, self.remembered.recognised(shard, own, &salt, short))
                })
                .collect()
        };
        Ok(Seen {
            own,
            remote,
            counts,
            own_store: local.store_id,
            remote_store: reply.store_id,
            peer_counts_as_absent: reply.counts_as_absent,
            salt,
            busy,
        })
    }

    /// Whether the own store took records since the last session that no session brought.
    fn took_others(&mut self, last_row: u64) -> bool {
        let brought = self.shared.brought.load(Ordering::Relaxed);
        self.remembered.has_grown(last_row, brought)
    }

    fn compared(&self) -> Vec<u32> {
        let theirs = self.theirs.iter().filter(|_| self.push);
        let shards: BTreeSet<u32> = self.owned.iter().chain(theirs).copied().collect();
        shards.into_iter().collect()
    }

    fn expected(&self, shard: u32, own: Digest) -> Digest {
        if !self.owned.contains(&shard) {
            return own;
        }
        let peer_owns = self.theirs.contains(&shard);
        self.remembered.expected(shard, own, peer_owns)
    }

    /// Owned shards of which the peer holds nothing new, and the others.
    fn sort(&self, seen: &Seen) -> (BTreeSet<u32>, Vec<u32>) {
        let known = |shard: &u32| match (seen.own.get(shard), seen.remote.get(shard)) {
            (Some(own), Some(Some(remote))) => self.remembered.contained(*shard, own, remote),
            _ => false,
        };
        let (known, other): (Vec<u32>, Vec<u32>) =
            self.owned.iter().partition(|shard| known(shard));
        (known.into_iter().collect(), other)
    }

    /// Shards of the peer of which we hold something that it may lack.
    fn lacking_there(&self, seen: &Seen) -> Vec<u32> {
        let differs = |shard: &&u32| {
            let own = seen.own.get(shard);
            let remote = seen.remote.get(shard).and_then(Option::as_ref);
            own.is_some_and(|own| *own != EMPTY_ROOT) && own != remote
        };
        let theirs = self.theirs.iter().filter(|_| self.push);
        theirs.filter(differs).copied().collect()
    }

    /// Walks and copies, first to here and then to there.
    async fn bring(
        &mut self,
        seen: &mut Seen,
        started: Instant,
        pull: Vec<u32>,
        push: Vec<u32>,
        outcome: &mut Outcome,
    ) -> Result<(), SessionError> {
        let deadline = started + LIMIT;
        self.peer.update(|standing| standing.state = State::Waiting);
        let Ok(place) = tokio::time::timeout_at(deadline, self.shared.places.acquire()).await
        else {
            outcome.unfinished = true;
            return Ok(());
        };
        let _place = place.map_err(|_| SessionError::Stopping)?;
        let settled = Instant::now() + if seen.busy { SETTLE } else { Duration::ZERO };
        let salt = seen.salt;
        let direction = |(from, origin): (_, &Bytes), (to, target): (_, &Bytes), avoid| Direction {
            route: Route {
                from,
                to,
                origin: origin.clone(),
                target: target.clone(),
                salt,
                rate: &self.shared.rate,
            },
            peer: self.peer,
            home: &self.shared.home,
            lacking: &self.shared.lacking,
            settled,
            deadline,
            dry_run: self.dry_run,
            avoid,
        };
        let waiting = self.refusals.waiting(sidecar::clock::boot_ms());
        let avoid = waiting.map(|id| merkle::short_id(&salt, id)).collect();
        let here = (&self.local, &seen.own_store);
        let there = (&self.remote, &seen.remote_store);

        let mut moved = Moved::default();
        let pulling = direction(there, here, avoid);
        let mut result = pulling.run(pull, &mut moved).await;
        outcome.contained.extend(moved.contained());
        for (shard, root) in &moved.roots {
            seen.remote.insert(*shard, Some(*root));
        }
        outcome.unfinished |= moved.unfinished;
        if result.is_ok() && !moved.unfinished && !push.is_empty() {
            result = match self.still_lacking(push, &moved.roots).await {
                Ok(push) if push.is_empty() => Ok(()),
                Ok(push) => {
                    let mut sent = Moved::default();
                    let pushing = direction(here, there, BTreeSet::new());
                    let result = pushing.run(push, &mut sent).await;
                    outcome.unfinished |= sent.unfinished;
                    self.count_pushed(&sent);
                    result
                }
                Err(error) => Err(error),
            };
        }
        self.count_pulled(&moved);
        result
    }

    /// Of shards that the peer may lack something of, those that are not what it showed now that its ids are here.
    async fn still_lacking(
        &self,
        mut shards: Vec<u32>,
        shown: &BTreeMap<u32, Digest>,
    ) -> Result<Vec<u32>, SessionError> {
        let now = self.local.roots(&shards).await?.roots;
        let mut now = now.iter();
        shards.retain(|shard| now.next() != shown.get(shard));
        Ok(shards)
    }

    fn count_pulled(&mut self, moved: &Moved) {
        let now = sidecar::clock::boot_ms();
        for id in &moved.copied.taken {
            self.refusals.taken(id);
        }
        for refused in &moved.copied.refused {
            self.refusals.refused(refused.id, now);
            metrics::refusal();
            let id = assertion::RecordId::from_bytes(refused.id);
            tracing::warn!(
                peer = self.peer.name(),
                %id,
                why = refused.reason,
                "a record cannot be taken; its shard has no proof from this peer until it can"
            );
        }
        let proof_age = self.peer.standing().lag.proof_age(now);
        self.work.found_old |= proof_age > OLD && moved.older_than(sidecar::clock::unix_ms(), OLD);
        self.work.pulled += self.moved_or_lacking(moved);
        self.work.record_bytes += moved.copied.bytes;
        let brought = &self.shared.brought;
        brought.fetch_add(moved.copied.records, Ordering::Relaxed);
        moved.copied.link_traces();
        metrics::moved("pull", moved.copied.records, moved.copied.bytes);
    }

    fn count_pushed(&mut self, moved: &Moved) {
        for refused in &moved.copied.refused {
            let id = assertion::RecordId::from_bytes(refused.id);
            let peer = self.peer.name();
            tracing::debug!(peer, %id, why = refused.reason, "the peer does not take a record");
        }
        self.work.pushed += self.moved_or_lacking(moved);
        self.work.record_bytes += moved.copied.bytes;
        moved.copied.link_traces();
        metrics::moved("push", moved.copied.records, moved.copied.bytes);
    }

    fn moved_or_lacking(&self, moved: &Moved) -> u64 {
        if self.dry_run {
            moved.lacking
        } else {
            moved.copied.records
        }
    }

    /// An own store that was replaced since the compare may hold less than was seen. The peer's says in each answer which it
    /// is.
    async fn still_the_same(&self, seen: &Seen) -> Result<(), SessionError> {
        if self.local.store_id().await? != seen.own_store {
            return Err(SessionError::StoreChanged(Side::Local));
        }
        Ok(())
    }
}
