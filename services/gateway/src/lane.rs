//! The way to one store: a bounded queue, a few calls in flight, and an eye on whether anybody is there.
//!
//! Writes of all requests meet here and share `Append` calls: the next call takes what has gathered while the ones before
//! it were on the way, so a lone write waits for nobody and many writes cost few calls. What the calls bring goes back to
//! the writes as [`Event`]s.

mod call;
mod task;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sidecar::trace::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};

use crate::route::Name;
use crate::store::Store;

pub use task::LaneTask;

/// Jobs that may wait for a lane. A job is a write, or up to a few hundred of a stream.
const JOBS_MAX: usize = 1_024;

/// Record bytes that may wait for a lane: a few seconds of work for a store that is slow. More is turned away at once, and
/// tried again by the writes that still wait.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What happened to records of a job at one node.
#[derive(Debug)]
pub struct Event {
    /// The node.
    pub node: Name,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub enum What {
    /// The store answered for each of these.
    Outcomes(Vec<(u32, Outcome)>),
    /// The call failed: nothing is known of these. `busy`: the store lives and asks for a pause.
    Failed {
        /// Places in the batch.
        places: Vec<u32>,
        /// No reason to start a repair.
        busy: bool,
    },
    /// These were sent, and the store says nothing.
    Silent(Vec<u32>),
}

/// What a store did with a record.
#[derive(Debug)]
pub enum Outcome {
    /// Durable, new.
    Stored,
    /// Durable already.
    Present,
    /// Not a record to this store: why.
    Invalid(String),
}

/// Records of one batch for one store.
#[derive(Debug)]
pub struct Job {
    /// Place in the batch, and canonical bytes.
    pub records: VecDeque<(u32, Bytes)>,
    /// The client's key.
    pub api_key: Option<MetadataValue<Ascii>>,
    /// The trace they belong to.
    pub trace: Option<Context>,
    /// Where news go. Unbounded, but what goes in is: a handful of events for each job.
    pub events: mpsc::UnboundedSender<Event>,
    /// When it was handed over.
    pub offered: Instant,
    /// Its writes were told that it takes long.
    pub told: bool,
}

impl Job {
    fn bytes(&self) -> usize {
        self.records.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn places(&self) -> Vec<u32> {
        self.records.iter().map(|(place, _)| *place).collect()
    }

    /// Tells its batch that others should be asked, once.
    fn tell_silence(&mut self, node: &Name) {
        if !std::mem::replace(&mut self.told, true) {
            let what = What::Silent(self.places());
            // One that has ended does not listen any more.
            let _ = self.events.send(Event {
                node: Name::clone(node),
                what,
            });
        }
    }
}

/// What a lane is told.
#[derive(Debug)]
enum Message {
    Job(Job),
    /// A reader found nobody there, or the view says so.
    Lost,
    /// Something changed about the node: look again at once.
    Look,
}

/// Where a store is. Another place is another lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// host:port.
    pub address: String,
    /// The cluster, empty before it is formed.
    pub cluster_id: String,
}

/// The handle of a lane.
#[derive(Debug)]
pub struct Lane {
    store: Store,
    place: Place,
    inbox: mpsc::Sender<Message>,
    depth: Arc<Depth>,
    gone: CancellationToken,
}

/// What waits in a lane.
#[derive(Debug, Default)]
struct Depth {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Depth {
    fn add(&self, records: usize, bytes: usize) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, records: usize, bytes: usize) {
        self.records.fetch_sub(records, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Lane {
    /// The store, for reads: they have a connection of their own, so that they do not wait behind megabytes of writes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where it leads.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Hands records over. They come back when the lane has too much already, or ends.
    pub fn offer(&self, job: Job) -> Option<Job> {
        let (records, bytes) = (job.records.len(), job.bytes());
        if self.depth.bytes.load(Ordering::Relaxed) + bytes > QUEUE_BYTES_MAX {
            return Some(job);
        }
        self.depth.add(records, bytes);
        let error = self.inbox.try_send(Message::Job(job)).err()?;
        self.depth.take(records, bytes);
        match error.into_inner() {
            Message::Job(job) => Some(job),
            Message::Lost | Message::Look => None,
        }
    }

    /// Nobody is there, as a reader or the view found out.
    pub fn lost(&self) {
        // A full inbox means that the lane is busy finding out by itself.
        let _ = self.inbox.try_send(Message::Lost);
    }

    /// The node may be back.
    pub fn look(&self) {
        let _ = self.inbox.try_send(Message::Look);
    }

    /// Ends the lane; what waits in it fails.
    pub fn close(&self) {
        self.gone.cancel();
    }
}
