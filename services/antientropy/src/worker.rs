//! The task of one peer: waits for a reason, runs a session, says how it went, and thinks about when to start the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use proto::follow::Views;
use proto::v1;
use proto::view::ClusterView;
use sidecar::grpc::Channel;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::error::SessionError;
use crate::home::Home;
use crate::lacking::Lacking;
use crate::metrics;
use crate::pace::{self, Ending, YOUNG};
use crate::peer::{Peer, State, SyncCall};
use crate::rate::Rate;
use crate::refusals::Refusals;
use crate::remembered::{Releases, Remembered};
use crate::report::Reporter;
use crate::session::{self, Outcome, Session, Work};
use crate::stores::Asked;

/// Least time between the end of a session and a nudged one, in parts of the interval: every failed push nudges, and a
/// peer that is down gets many.
const NUDGES_PER_INTERVAL: u32 = 4;

/// Longest run of sessions for one `Sync`: each stops at its time limit, the next goes on. The caller waits no longer.
pub const SYNC_MAX: Duration = Duration::from_secs(120);

/// What all tasks share.
#[derive(Debug)]
pub struct Shared {
    /// Mean time between sessions with one peer.
    pub interval: Duration,
    /// Bytes that repair may move.
    pub rate: Rate,
    /// Places for sessions that found something to do.
    pub places: Semaphore,
    /// The local store.
    pub local: Channel,
    /// Where proofs go.
    pub reporter: Reporter,
    /// What was given up.
    pub releases: Releases,
    /// Rows that sessions of this node have put into the local store since the start.
    pub brought: AtomicU64,
    /// What all peers together have and this node lacks.
    pub lacking: Lacking,
    /// Rows that do not belong here, and whether repair is paused.
    pub home: Arc<Home>,
}

/// What started a session.
enum Reason {
    /// The interval, or a change of the view.
    Due,
    /// A gateway's push failed.
    Nudged,
    /// Somebody waits for the outcome.
    Asked(SyncCall),
}

/// What decides whether a new view is a reason to start at once.
#[derive(PartialEq)]
struct Footing {
    cluster_id: Option<String>,
    placement: Vec<String>,
    replication_factor: u32,
    live: bool,
    address: String,
    incarnation: u64,
    phase: i32,
    store_id: bytes::Bytes,
}

/// One peer's task.
pub struct Worker {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    calls: mpsc::Receiver<SyncCall>,
    views: Views,
    remembered: Remembered,
    refusals: Refusals,
    connection: Option<(String, Channel)>,
    footing: Option<Footing>,
    failures: u32,
    nudged: bool,
    ended: Instant,
    next: Instant,
}

impl Worker {
    /// The first session starts at once.
    pub fn new(
        shared: Arc<Shared>,
        peer: Arc<Peer>,
        calls: mpsc::Receiver<SyncCall>,
        views: Views,
    ) -> Worker {
        let now = Instant::now();
        Worker {
            shared,
            peer,
            calls,
            views,
            remembered: Remembered::default(),
            refusals: Refusals::default(),
            connection: None,
            footing: None,
            failures: 0,
            nudged: false,
            ended: now,
            next: now,
        }
    }

    /// Runs sessions until the peer is gone. Dropped in the middle of one, nothing is lost: what was appended is durable,
    /// the rest is found again.
    pub async fn run(mut self) {
        let gone = self.peer.gone.clone();
        let sessions = async {
            loop {
                let reason = self.reason().await;
                self.session(reason).await;
            }
        };
        tokio::select! {
            () = gone.cancelled() => {}
            () = sessions => {}
        }
        self.shared.lacking.gone(self.peer.name());
    }

    /// Waits until there is a reason to start.
    async fn reason(&mut self) -> Reason {
        loop {
            tokio::select! {
                biased;
                Some(call) = self.calls.recv() => return Reason::Asked(call),
                () = self.peer.nudged.notified() => {
                    self.nudged = true;
                    let earliest = self.ended + self.shared.interval / NUDGES_PER_INTERVAL;
                    self.next = self.next.min(earliest);
                }
                Ok(()) = self.views.changed() => {
                    if self.stands_anew() {
                        self.next = Instant::now();
                    }
                }
                () = tokio::time::sleep_until(self.next) => {
                    let nudged = std::mem::take(&mut self.nudged);
                    return if nudged { Reason::Nudged } else { Reason::Due };
                }
            }
        }
    }

    /// Whether the latest view changes what a session with this peer would do or find.
    fn stands_anew(&mut self) -> bool {
        let view = self.views.borrow_and_update().clone();
        let footing = view.and_then(|view| footing(&view, self.peer.name()));
        let live = footing.as_ref().is_some_and(|footing| footing.live);
        let changed = footing != self.footing;
        self.footing = footing;
        changed && live
    }

    /// What there is a reason for, with everything that follows from it.
    async fn session(&mut self, reason: Reason) {
        let push = match reason {
            Reason::Due => false,
            Reason::Nudged => true,
            Reason::Asked(call) => return self.answer(call).await,
        };
        let (_, ended) = self.one(push, false).await;
        // One that came to its limit has not sent everything.
        self.nudged |= push && matches!(ended, Ok(true));
    }

    /// Sessions until everything is moved, for somebody who waits.
    async fn answer(&mut self, call: SyncCall) {
        let began = Instant::now();
        let mut work = Work::default();
        let error = loop {
            let (more, ended) = self.one(true, call.dry_run).await;
            work.add(&more);
            match ended {
                Err(error) => break error,
                Ok(false) => break String::new(),
                Ok(true) if call.dry_run => {
                    break "counted until the time limit of a session".to_owned();
                }
                Ok(true) if call.reply.is_closed() || began.elapsed() > SYNC_MAX => {
                    break "not all is moved yet; the status shows how it goes on".to_owned();
                }
                Ok(true) => {}
            }
        };
        // Nobody waits any more when the caller's deadline passed.
        let _ = call.reply.send(v1::PeerSync {
            peer: self.peer.name().to_owned(),
            pulled: work.pulled,
            pushed: work.pushed,
            record_bytes: work.record_bytes,
            round_trips: work.round_trips,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error,
        });
    }

    /// One session. Says what it did, and whether it stopped with work left or why it failed.
    async fn one(&mut self, push: bool, dry_run: bool) -> (Work, Result<bool, String>) {
        let began = Instant::now();
        let mut work = Work::default();
        let result = self.compare_and_move(push, dry_run, &mut work).await;
        let took = began.elapsed();
        metrics::session(&result, &work, took);
        let ended = match &result {
            Ok(Outcome {
                failure: Some(error),
                ..
            })
            | Err(error) => Err(error.to_string()),
            Ok(outcome) => Ok(outcome.unfinished),
        };
        if !dry_run {
            self.conclude(result, &work, took).await;
        }
        self.peer.update(|standing| standing.state = State::Idle);
        (work, ended)
    }

    async fn compare_and_move(
        &mut self,
        push: bool,
        dry_run: bool,
        work: &mut Work,
    ) -> Result<Outcome, SessionError> {
        let view = self.views.borrow().clone();
        let view = view.ok_or_else(|| self.unreachable("membership has not shown a view yet"))?;
        let cluster = view
            .cluster_id()
            .ok_or_else(|| self.unreachable("the cluster is not formed yet"))?;
        let channel = self.channel(&view)?;
        let header = || self.unreachable("a name is not fit for a header");
        let remote = Asked::of_peer(channel, cluster, self.peer.name()).ok_or_else(header)?;
        let local = Asked::own(self.shared.local.clone(), cluster).ok_or_else(header)?;
        let owned: BTreeSet<u32> = view.placement().owned_by(view.node()).into_iter().collect();
        let theirs: BTreeSet<u32> = view
            .placement()
            .owned_by(self.peer.name())
            .into_iter()
            .collect();
        let mut session = Session {
            peer: &self.peer,
            local,
            remote,
            owned,
            theirs,
            last: shard::global_shard(view.num_shards()),
            push,
            dry_run,
            joining: view
                .member(view.node())
                .is_some_and(|own| own.phase() == v1::Phase::Joining),
            shared: &self.shared,
            remembered: &mut self.remembered,
            refusals: &mut self.refusals,
            work,
        };
        session::run(&mut session).await
    }

    fn unreachable(&self, why: &str) -> SessionError {
        SessionError::NoAddress {
            peer: self.peer.name().to_owned(),
            why: why.to_owned(),
        }
    }

    /// The connection to the peer's store, made anew when its address changed.
    fn channel(&mut self, view: &Arc<ClusterView>) -> Result<Channel, SessionError> {
        let address = view
            .member(self.peer.name())
            .map(|member| member.rpc_addr.clone())
            .filter(|address| !address.is_empty())
            .ok_or_else(|| self.unreachable("the view does not name its store's address"))?;
        if let Some((known, channel)) = &self.connection
            && *known == address
        {
            return Ok(channel.clone());
        }
        let channel = sidecar::grpc::channel(&address)
            .map_err(|error| self.unreachable(&error.to_string()))?;
        self.connection = Some((address, channel.clone()));
        Ok(channel)
    }

    /// Reports the proof, keeps the books, sets the next start.
    async fn conclude(
        &mut self,
        result: Result<Outcome, SessionError>,
        work: &Work,
        took: Duration,
    ) {
        let now = sidecar::clock::boot_ms();
        if let Ok(outcome) = &result {
            self.prove(outcome).await;
        }
        let ending = match &result {
            Ok(Outcome {
                failure: Some(error),
                ..
            })
            | Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.complain(error);
                Ending::Failed(self.failures)
            }
            Ok(outcome) => {
                self.failures = 0;
                self.ended_well(outcome, work, now);
                if outcome.unfinished && !self.shared.home.is_paused() {
                    Ending::Unfinished
                } else {
                    Ending::Whole
                }
            }
        };
        let refused = self.refusals.len() as u64;
        self.peer.update(|standing| {
            standing.pulled += work.pulled;
            standing.pushed += work.pushed;
            standing.refused = refused;
        });
        self.ended = Instant::now();
        self.next = self.ended + pace::pause(self.shared.interval, ending, took, rand::random());
    }

    /// What a session proved goes to the store, also when it could not do all of its work.
    async fn prove(&self, outcome: &Outcome) {
        let joining = |name: &str| {
            let view = self.views.borrow();
            let member = view.as_ref().and_then(|view| view.member(name).cloned());
            member.is_some_and(|member| member.phase() == v1::Phase::Joining)
        };
        // A node that has just started may learn that its disk is an old one: until then it says nothing, and its word proves nothing.
        let own = self
            .views
            .borrow()
            .as_ref()
            .map(|view| view.node().to_owned());
        if outcome.contained.is_empty() || own.is_some_and(|own| joining(&own)) {
            return;
        }
        let proof = v1::PeerProof {
            peer: self.peer.name().to_owned(),
            shards: proto::convert::shard_ranges(&outcome.contained),
            proved_at_boot_ms: date(outcome),
            peer_counts_as_absent: outcome.peer_counts_as_absent || joining(self.peer.name()),
        };
        if let Err(status) = self.shared.reporter.report(vec![proof]).await {
            tracing::debug!(
                peer = self.peer.name(),
                why = status.message(),
                "proof not taken"
            );
        }
    }

    fn ended_well(&self, outcome: &Outcome, work: &Work, now: u64) {
        let whole = outcome.whole();
        self.peer.update(|standing| {
            standing.sessions += 1;
            standing.last_success_ms = sidecar::clock::unix_ms();
            standing.last_error.clear();
            standing.lag.ended(now, whole && !work.found_old);
            if whole {
                standing.lag.proved(date(outcome));
            }
        });
    }

    /// The first failure in a row is worth a line; the others are in the status and the metrics.
    fn complain(&self, error: &SessionError) {
        if self.failures == 1 {
            tracing::warn!(peer = self.peer.name(), %error, "repair session failed");
        } else {
            tracing::debug!(peer = self.peer.name(), %error, "repair session failed again");
        }
        self.peer
            .update(|standing| standing.last_error = error.to_string());
    }
}

/// The date of what a session proved, in milliseconds of CLOCK_BOOTTIME.
fn date(outcome: &Outcome) -> u64 {
    outcome
        .started_boot_ms
        .saturating_sub(YOUNG.as_millis() as u64)
}

fn footing(view: &ClusterView, peer: &str) -> Option<Footing> {
    let member = view.member(peer)?;
    Some(Footing {
        cluster_id: view.cluster_id().map(ToOwned::to_owned),
        placement: view.message().placement.clone(),
        replication_factor: view.replication_factor(),
        live: view.live().any(|live| live.name == peer),
        address: member.rpc_addr.clone(),
        incarnation: member.incarnation,
        phase: member.phase,
        store_id: member.store_id.clone(),
    })
}
