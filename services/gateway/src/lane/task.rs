//! The task of a lane.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use metrics::{counter, gauge};
use proto::v1;
use sidecar::grpc::Channel;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;

use super::call::{self, Gathered, Part};
use super::{Depth, JOBS_MAX, Job, Lane, Message, Place, What};
use crate::caller::Caller;
use crate::config::Patience;
use crate::metrics::{APPENDS, LANE_RECORDS};
use crate::nodes::Nodes;
use crate::route::Name;
use crate::standing::{Change, Standing};
use crate::store::{Fault, Store, within};

/// `Append` calls on the way to one store. More would only fill its queue, and what waits there cannot be put into larger
/// calls any more.
const CALLS_MAX: usize = 3;

/// Records that are worth a call beside others on the way. Fewer wait for the answer to those, and share the next call: a
/// call costs more than a record does.
const WORTH_A_CALL: usize = 64;

/// Jobs taken in beside the calls on the way; the rest stays in the bounded inbox.
const WAITING_MAX: usize = 256;

/// How long a probe may take.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// First pause between probes of a store that is out, doubled with every one.
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause: a store that is back is used within a second.
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A call on the way.
#[derive(Debug)]
struct Flying {
    started: Instant,
    parts: Vec<Part>,
    /// The writes were told that it takes long.
    told: bool,
}

/// The state of a lane. [`LaneTask::run`] is its life.
pub struct LaneTask {
    node: Name,
    /// Writes have their own connection.
    writes: Store,
    /// Probes use the readers': they must not wait behind what they ask about.
    probes: Store,
    nodes: Arc<Nodes>,
    patience: Patience,
    inbox: mpsc::Receiver<Message>,
    depth: Arc<Depth>,
    gone: CancellationToken,
    standing: Standing,
    /// The last sign of life.
    heard: Instant,
    /// The last answer to a call.
    answered: Instant,
    waiting: VecDeque<Job>,
    flying: BTreeMap<u64, Flying>,
    calls: FuturesUnordered<BoxFuture<'static, (u64, Result<v1::AppendReply, Status>)>>,
    next_call: u64,
    probe: Option<BoxFuture<'static, Result<v1::DescribeReply, Status>>>,
    next_probe: Instant,
    probe_pause: Duration,
}

impl std::fmt::Debug for LaneTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneTask")
            .field("node", &self.node)
            .finish()
    }
}

impl LaneTask {
    /// A lane to a place, and the task that works it. `None` when a name cannot be sent as metadata.
    pub fn new(
        node: Name,
        place: Place,
        channels: (Channel, Channel),
        nodes: Arc<Nodes>,
        patience: Patience,
    ) -> Option<(Lane, LaneTask)> {
        let (reads, writes) = channels;
        let store = Store::new(Name::clone(&node), reads, &place.cluster_id)?;
        let writes = Store::new(Name::clone(&node), writes, &place.cluster_id)?;
        let (sender, inbox) = mpsc::channel(JOBS_MAX);
        let (depth, gone) = (Arc::new(Depth::default()), CancellationToken::new());
        let task = LaneTask {
            node,
            writes,
            probes: store.clone(),
            nodes,
            patience,
            inbox,
            depth: Arc::clone(&depth),
            gone: gone.clone(),
            standing: Standing::default(),
            heard: Instant::now(),
            answered: Instant::now(),
            waiting: VecDeque::new(),
            flying: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            next_call: 0,
            probe: None,
            next_probe: Instant::now(),
            probe_pause: PROBE_PAUSE,
        };
        let lane = Lane {
            store,
            place,
            inbox: sender,
            depth,
            gone,
        };
        Some((lane, task))
    }

    /// Works until the lane is closed.
    pub async fn run(mut self) {
        loop {
            self.start_calls();
            self.show_depth();
            let look = self.next_look();
            tokio::select! {
                () = self.gone.cancelled() => break,
                message = self.inbox.recv(), if self.waiting.len() < WAITING_MAX => match message {
                    Some(message) => self.take_all(message).await,
                    None => break,
                },
                Some((id, reply)) = self.calls.next(), if !self.calls.is_empty() => self.ended(id, reply),
                said = probed(&mut self.probe) => self.described(said),
                () = at(look) => self.look(look),
            }
        }
        self.fail_all();
        self.show_depth();
    }

    /// Takes what has come, and what others who are about to run have to say: they share the call.
    async fn take_all(&mut self, first: Message) {
        self.take(first);
        tokio::task::yield_now().await;
        while self.waiting.len() < WAITING_MAX {
            match self.inbox.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.waiting.push_back(job),
            Message::Lost => self.leave("a reader found nobody there"),
            Message::Look => self.look_again(),
        }
    }

    fn start_calls(&mut self) {
        while self.has_room() {
            let now = Instant::now();
            match call::gather(&mut self.waiting, now, self.patience.maybe_stored) {
                Gathered::Nothing => return,
                Gathered::Stale(job) => self.give_back(&job),
                Gathered::Call(call) => self.start(*call, now),
            }
        }
    }

    fn has_room(&self) -> bool {
        let waiting = self.depth.records.load(Ordering::Relaxed);
        self.calls.is_empty() || (self.calls.len() < CALLS_MAX && waiting >= WORTH_A_CALL)
    }

    fn start(&mut self, call: call::Call, now: Instant) {
        self.depth.take(call.request.records.len(), call.bytes);
        let id = self.next_call;
        self.next_call += 1;
        let span = call.span(&self.node);
        let request = self.writes.request(call.request, call.api_key.as_ref());
        let (mut client, limit) = (self.writes.client(), self.patience.maybe_stored);
        let sent = async move { (id, within(limit, client.append(request)).await) };
        self.calls.push(Box::pin(sent.instrument(span)));
        let flying = Flying {
            started: now,
            parts: call.parts,
            told: false,
        };
        self.flying.insert(id, flying);
    }

    fn ended(&mut self, id: u64, reply: Result<v1::AppendReply, Status>) {
        let Some(Flying { parts, .. }) = self.flying.remove(&id) else {
            return;
        };
        let told = match reply {
            Ok(reply) => call::split(reply, &parts).ok_or_else(|| {
                Status::internal("the store did not answer for every record of the call")
            }),
            Err(status) => Err(status),
        };
        match told {
            Ok(told) => {
                counter!(APPENDS, "outcome" => "ok").increment(1);
                self.heard();
                self.answered = Instant::now();
                self.enter();
                for (part, outcomes) in parts.iter().zip(told) {
                    part.tell(&self.node, What::Outcomes(outcomes));
                }
            }
            Err(status) => self.failed(&parts, &status),
        }
    }

    fn failed(&mut self, parts: &[Part], status: &Status) {
        let fault = Fault::of(status);
        let outcome = match fault {
            Fault::Gone => "gone",
            Fault::Silent => "silent",
            Fault::Overloaded => "overloaded",
            Fault::CannotTake => "cannot_take",
            Fault::Refused => "refused",
        };
        counter!(APPENDS, "outcome" => outcome).increment(1);
        if !matches!(fault, Fault::Gone | Fault::Silent) {
            self.heard();
            self.answered = Instant::now();
        }
        match fault {
            Fault::Gone | Fault::CannotTake => self.leave(status.message()),
            Fault::Refused => {
                tracing::error!(node = %self.node, %status, "a store finds fault with a call of this gateway");
            }
            Fault::Silent | Fault::Overloaded => {}
        }
        let busy = fault == Fault::Overloaded;
        for part in parts {
            let places = part.places.clone();
            part.tell(&self.node, What::Failed { places, busy });
        }
    }

    fn described(&mut self, said: Result<v1::DescribeReply, Status>) {
        self.probe = None;
        self.next_probe = Instant::now() + self.probe_pause;
        self.probe_pause = (self.probe_pause * 2).min(PROBE_PAUSE_MAX);
        match said {
            Ok(reply) => {
                self.heard();
                if self.standing.is_out() {
                    match self.nodes.recognise(&self.node, &reply) {
                        Ok(()) => self.enter(),
                        Err(why) => tracing::debug!(node = %self.node, why, "a store stays out"),
                    }
                }
            }
            Err(status) => match Fault::of(&status) {
                Fault::Gone => self.leave(status.message()),
                Fault::Silent => {}
                Fault::Overloaded | Fault::CannotTake | Fault::Refused => self.heard(),
            },
        }
    }

    /// When there is something to look for next.
    fn next_look(&self) -> Option<Instant> {
        let step = (self.patience.hedge / 2).max(Duration::from_millis(1));
        let quiet = self.quiet_since(self.heard).map(|since| {
            let steps = since.elapsed().as_millis() / step.as_millis() + 1;
            since + step * u32::try_from(steps).unwrap_or(u32::MAX)
        });
        let probe = (self.standing.is_out() && self.probe.is_none()).then_some(self.next_probe);
        [quiet, probe].into_iter().flatten().min()
    }

    /// Since when something is asked and nothing has come after `last`.
    fn quiet_since(&self, last: Instant) -> Option<Instant> {
        let oldest = self.flying.values().map(|flying| flying.started).min()?;
        Some(oldest.max(last))
    }

    fn look(&mut self, planned: Option<Instant>) {
        self.forgive(planned);
        if let Some(since) = self.quiet_since(self.heard) {
            let quiet = since.elapsed();
            // A store that commits a large group says nothing for a while either: ask whether it lives, in time to know
            // when the hedge is due.
            if self.probe.is_none() && quiet >= self.patience.hedge / 2 {
                self.ask();
            }
            let (silences, change) = self.standing.quiet(quiet, self.patience.hedge);
            if silences > 0 {
                self.tell_silence(self.patience.hedge);
            }
            if change == Some(Change::Out) {
                self.went_out("it says nothing");
            }
        }
        // It lives and gets nothing done: its disk hangs.
        let stuck = self.patience.write / 2;
        if self
            .quiet_since(self.answered)
            .is_some_and(|since| since.elapsed() >= stuck)
        {
            self.tell_silence(stuck);
        }
        if self.standing.is_out() && self.probe.is_none() && self.next_probe <= Instant::now() {
            self.ask();
        }
    }

    /// A look that comes late says that this process got no time, or was stopped. What could not be heard meanwhile is not
    /// the store's silence.
    fn forgive(&mut self, planned: Option<Instant>) {
        let late = planned.map_or(Duration::ZERO, |planned| planned.elapsed());
        let later = |last| {
            let since = self.quiet_since(last).unwrap_or(last);
            (since + late).min(Instant::now())
        };
        (self.heard, self.answered) = (later(self.heard), later(self.answered));
    }

    /// Tells the writes in calls of this age, and those that wait for as long, once, that others should be asked.
    fn tell_silence(&mut self, age: Duration) {
        let late = |job: &&mut Job| job.offered.elapsed() >= age;
        for job in self.waiting.iter_mut().filter(late) {
            job.tell_silence(&self.node);
        }
        for flying in self.flying.values_mut() {
            if !flying.told && flying.started.elapsed() >= age {
                flying.told = true;
                for part in &flying.parts {
                    part.tell(&self.node, What::Silent(part.places.clone()));
                }
            }
        }
    }

    fn ask(&mut self) {
        let store = self.probes.clone();
        self.probe = Some(Box::pin(async move {
            store.describe(&Caller::default(), PROBE_MAX).await
        }));
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
        self.standing.heard();
    }

    fn enter(&mut self) {
        self.probe_pause = PROBE_PAUSE;
        if self.standing.enter() == Some(Change::In) {
            tracing::info!(node = %self.node, "a store answers again");
            self.nodes.changed(&self.node, Change::In);
        }
    }

    fn leave(&mut self, why: &str) {
        if self.standing.leave() == Some(Change::Out) {
            self.went_out(why);
        }
    }

    fn went_out(&mut self, why: &str) {
        tracing::warn!(node = %self.node, why, "a store takes no writes; they go around it");
        self.nodes.changed(&self.node, Change::Out);
        self.look_again();
    }

    fn look_again(&mut self) {
        self.probe_pause = PROBE_PAUSE;
        self.next_probe = Instant::now();
    }

    fn give_back(&self, job: &Job) {
        self.depth.take(job.records.len(), job.bytes());
        let part = Part {
            events: job.events.clone(),
            places: job.places(),
        };
        let places = part.places.clone();
        part.tell(
            &self.node,
            What::Failed {
                places,
                busy: false,
            },
        );
    }

    fn fail_all(&mut self) {
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
        for job in std::mem::take(&mut self.waiting) {
            self.give_back(&job);
        }
        for part in std::mem::take(&mut self.flying)
            .into_values()
            .flat_map(|flying| flying.parts)
        {
            let places = part.places.clone();
            part.tell(
                &self.node,
                What::Failed {
                    places,
                    busy: false,
                },
            );
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges are f64")]
    fn show_depth(&self) {
        let records = self.depth.records.load(Ordering::Relaxed);
        gauge!(LANE_RECORDS, "node" => self.node.to_string()).set(records as f64);
    }
}

/// Waits for a moment; for ever when there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// The answer of a probe, when one is on the way.
async fn probed(
    probe: &mut Option<BoxFuture<'static, Result<v1::DescribeReply, Status>>>,
) -> Result<v1::DescribeReply, Status> {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}
