//! Drives writes: carries what [`crate::write`] decides to the lanes, and back what the lanes report.
//!
//! A batch of records runs in a task of its own. A client that hangs up takes only its interest away: what was sent is
//! seen through, and what was confirmed stays confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::{Kind, Record, RecordId};
use bytes::Bytes;
use metrics::counter;
use sidecar::clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::Instrument as _;

use crate::caller::Caller;
use crate::config::Patience;
use crate::lane::{Event, Job, Outcome, What};
use crate::metrics::{HEDGES, WRITES};
use crate::nodes::Nodes;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::write::{Deadlines, Durability, Next, Verdict, Write};

/// Records of one batch: enough to share the cost of a call, few enough that answers keep coming.
pub const BATCH_RECORDS: usize = 256;

/// Record bytes in all writes that run, in KiB. More requests than fit wait a moment or are turned away; without the bound
/// slow stores would fill this process's memory with other people's patience.
const RUNNING_KIB_MAX: usize = 64 * 1024;

/// How long a single request waits for room. Longer: queues; shorter: refusals at every burst.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// How a record ended.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its id.
    pub id: RecordId,
    /// Its shard.
    pub shard: u32,
    /// What it is.
    pub kind: Kind,
    /// Its time, Unix milliseconds.
    pub at_ms: i64,
    /// What became of it.
    pub verdict: Verdict,
    /// The nodes that have it on disk for sure, by name.
    pub holders: Vec<Name>,
    /// Of a record that belongs everywhere: the known members that have not confirmed it, by name.
    pub pending: Option<Vec<Name>>,
}

/// Takes batches of records to the stores.
#[derive(Debug)]
pub struct Writer {
    nodes: Arc<Nodes>,
    deadlines: Deadlines,
    room: Arc<Semaphore>,
}

/// Room for a batch.
#[derive(Debug)]
pub struct Room(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Writer {
    /// A writer over these nodes.
    pub fn new(nodes: Arc<Nodes>, patience: Patience) -> Writer {
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Writer {
            nodes,
            deadlines: Deadlines {
                write_ms: ms(patience.write),
                maybe_stored_ms: ms(patience.maybe_stored),
            },
            room: Arc::new(Semaphore::new(RUNNING_KIB_MAX)),
        }
    }

    /// Room for these records, or a refusal when there is none for a while.
    ///
    /// # Errors
    /// 503 `overloaded`.
    pub async fn room(&self, records: &[Record]) -> Result<Room, Problem> {
        match tokio::time::timeout(ROOM_WAIT, self.wait_for_room(records)).await {
            Ok(Some(room)) => Ok(room),
            _ => Err(Problem::overloaded(
                "the stores take writes more slowly than they come",
            )),
        }
    }

    /// The same for streams, which wait as long as it takes: that is their back-pressure. `None` only when the process
    /// ends.
    pub async fn wait_for_room(&self, records: &[Record]) -> Option<Room> {
        let bytes: usize = records.iter().map(|record| record.canonical().len()).sum();
        let wanted = (bytes / 1024 + 1).min(RUNNING_KIB_MAX);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(wanted).await;
        permit.ok().map(Room)
    }

    /// Writes records and says how each ended, in their order. It begins at once and goes on when the caller does not
    /// wait for it; `held` is let go when all have ended.
    ///
    /// # Errors
    /// 500 when the task died.
    pub fn write<H: Send + 'static>(
        &self,
        records: Vec<Record>,
        durability: Durability,
        caller: Caller,
        held: H,
    ) -> impl Future<Output = Result<Vec<Written>, Problem>> + use<H> {
        let (sender, events) = mpsc::unbounded_channel();
        let batch = Batch {
            nodes: Arc::clone(&self.nodes),
            routes: self.nodes.routes(),
            deadlines: self.deadlines,
            durability,
            caller,
            records,
            writes: Vec::new(),
            running: 0,
            sender,
            events,
        };
        let work = async move {
            let written = batch.run().await;
            drop(held);
            written
        };
        let task = tokio::spawn(work.instrument(tracing::Span::current()));
        async move {
            task.await
                .map_err(|error| Problem::internal(&error.to_string()))
        }
    }
}

/// A batch that runs.
struct Batch {
    nodes: Arc<Nodes>,
    routes: watch::Receiver<Option<Arc<Route>>>,
    deadlines: Deadlines,
    durability: Durability,
    caller: Caller,
    records: Vec<Record>,
    writes: Vec<(Write, Bytes, Option<Verdict>)>,
    running: usize,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Batch {
    async fn run(mut self) -> Vec<Written> {
        let mut started = false;
        loop {
            let route = self.routes.borrow_and_update().clone();
            let mut wake = u64::MAX;
            if let Some(route) = route {
                if !std::mem::replace(&mut started, true) {
                    self.start(&route);
                }
                wake = self.advance(&route);
                if self.running == 0 {
                    return self.finish(&route);
                }
            }
            let pause = Duration::from_millis(wake.saturating_sub(clock::boot_ms()));
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                Ok(()) = self.routes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            while let Ok(event) = self.events.try_recv() {
                self.take(event);
            }
        }
    }

    fn start(&mut self, route: &Route) {
        let now = clock::boot_ms();
        let write = |record: &Record| {
            let shard = route.shard_of(record.place());
            let write = Write::new(shard, self.durability, self.deadlines, now);
            (write, Bytes::copy_from_slice(record.canonical()), None)
        };
        self.writes = self.records.iter().map(write).collect();
        self.running = self.writes.len();
    }

    /// Asks every write what to do, and does it. When to ask again at the latest.
    fn advance(&mut self, route: &Route) -> u64 {
        let now = clock::boot_ms();
        let mut wake = u64::MAX;
        let mut send = Vec::new();
        let mut jobs: BTreeMap<Name, VecDeque<(u32, Bytes)>> = BTreeMap::new();
        for (place, (write, canonical, ended)) in self.writes.iter_mut().enumerate() {
            if ended.is_some() {
                continue;
            }
            match write.advance(now, route, &mut send) {
                Next::Done(verdict) => {
                    *ended = Some(verdict);
                    self.running -= 1;
                }
                Next::Wait(until) => wake = wake.min(until),
            }
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            for node in send.drain(..) {
                jobs.entry(node)
                    .or_default()
                    .push_back((place, canonical.clone()));
            }
        }
        for (node, records) in jobs {
            self.send(&node, records);
        }
        wake
    }

    fn send(&mut self, node: &Name, records: VecDeque<(u32, Bytes)>) {
        let job = Job {
            records,
            api_key: self.caller.api_key.clone(),
            trace: self.caller.trace,
            events: self.sender.clone(),
            offered: Instant::now(),
            told: false,
        };
        let refused = match self.nodes.lane(node) {
            Some(lane) => lane.offer(job),
            None => Some(job),
        };
        if let Some(job) = refused {
            let places = job.records.iter().map(|(place, _)| *place).collect();
            // Through the queue like every other failure: the next round counts the pause from here.
            let what = What::Failed { places, busy: true };
            let node = Name::clone(node);
            let _ = self.sender.send(Event { node, what });
        }
    }

    fn take(&mut self, event: Event) {
        let Event { node, what } = event;
        let now = clock::boot_ms();
        match what {
            What::Outcomes(outcomes) => {
                for (place, outcome) in outcomes {
                    let Some(write) = self.write(place) else {
                        continue;
                    };
                    match outcome {
                        Outcome::Stored => write.confirmed(&node, true),
                        Outcome::Present => write.confirmed(&node, false),
                        Outcome::Invalid(reason) => write.refused(&node, reason),
                    }
                }
            }
            What::Failed { places, busy } => {
                for place in places {
                    if let Some(write) = self.write(place) {
                        write.failed(&node, now);
                    }
                }
                if !busy && node != *self.nodes.own() {
                    self.nodes.nudges().failed(&node);
                }
            }
            What::Silent(places) => {
                counter!(HEDGES).increment(places.len() as u64);
                for place in places {
                    if let Some(write) = self.write(place) {
                        write.silent(&node);
                    }
                }
            }
        }
    }

    fn write(&mut self, place: u32) -> Option<&mut Write> {
        let place = usize::try_from(place).ok()?;
        self.writes.get_mut(place).map(|(write, _, _)| write)
    }

    fn finish(self, route: &Route) -> Vec<Written> {
        let now = clock::boot_ms();
        let (records, writes) = (self.records, self.writes);
        let ended = records.into_iter().zip(writes);
        ended
            .map(|(record, (mut write, _, verdict))| {
                // One that ended early with too few copies may have more by the time that the last of the batch ends.
                let verdict = match write.advance(now, route, &mut Vec::new()) {
                    Next::Done(verdict) => verdict,
                    Next::Wait(_) => verdict.unwrap_or(Verdict::MaybeStored),
                };
                counter!(WRITES, "outcome" => outcome(&verdict)).increment(1);
                let holders: Vec<Name> = write.counted(route).cloned().collect();
                let pending = route.is_global(write.shard()).then(|| {
                    let owners = route.owners(write.shard()).iter();
                    owners
                        .filter(|owner| !holders.contains(owner))
                        .cloned()
                        .collect()
                });
                Written {
                    id: record.id(),
                    shard: write.shard(),
                    kind: record.kind(),
                    at_ms: record.at_ms(),
                    verdict,
                    holders,
                    pending,
                }
            })
            .collect()
    }
}

/// The word for a verdict, in replies and metrics.
pub fn outcome(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Stored => "stored",
        Verdict::Present => "present",
        Verdict::Accepted => "accepted",
        Verdict::MaybeStored => "maybe_stored",
        Verdict::Refused(_) => "refused",
    }
}
