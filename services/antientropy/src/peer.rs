//! One known peer: how repair stands with it, and the ways to wake its task.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto::v1;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::lag::Lag;

/// Calls of `Sync` that may wait for one peer. More would only repeat what the waiting ones find.
const SYNCS_WAITING_MAX: usize = 4;

/// What a peer's task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Between sessions.
    Idle,
    /// Asking for roots.
    Comparing,
    /// Walking down both trees.
    Descending,
    /// Copying records.
    Moving,
    /// There is something to move, and somebody has paused it.
    Paused,
    /// Backing off, or waiting for a place among the running sessions.
    Waiting,
}

impl State {
    /// The word for it on the wire.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Comparing => "comparing",
            State::Descending => "descending",
            State::Moving => "moving",
            State::Paused => "paused",
            State::Waiting => "waiting",
        }
    }
}

/// Records on their way from a peer, over as many sessions as it takes.
#[derive(Debug, Clone)]
pub struct Task {
    began: Instant,
    shards: Vec<u32>,
    records_done: u64,
    bytes_done: u64,
    records_to_do: u64,
}

impl Task {
    fn message(&self) -> v1::RepairTask {
        let mean = self.bytes_done.checked_div(self.records_done).unwrap_or(0);
        v1::RepairTask {
            shards: self.shards.clone(),
            records_done: self.records_done,
            records_to_do: self.records_to_do,
            bytes_done: self.bytes_done,
            bytes_to_do: self.records_to_do.saturating_mul(mean),
            took_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// How repair stands with a peer.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the task is doing.
    pub state: State,
    /// How far behind this node may be.
    pub lag: Lag,
    /// Unix milliseconds of the last session that ended well; 0: none.
    pub last_success_ms: i64,
    /// Why the last session failed; empty when it did not.
    pub last_error: String,
    /// Records copied from the peer.
    pub pulled: u64,
    /// Records copied to the peer.
    pub pushed: u64,
    /// Ids that the local store refuses now.
    pub refused: u64,
    /// Sessions that ended well.
    pub sessions: u64,
    /// What is being brought.
    pub task: Option<Task>,
}

impl Standing {
    /// A session found what differs, and about how many records are to be brought.
    pub fn found(&mut self, shards: &[u32], records: u64) {
        if shards.is_empty() {
            self.task = None;
            return;
        }
        let task = self.task.get_or_insert_with(|| Task {
            began: Instant::now(),
            shards: Vec::new(),
            records_done: 0,
            bytes_done: 0,
            records_to_do: 0,
        });
        task.shards = shards.to_vec();
        task.records_to_do = records;
    }

    /// Records are here now.
    pub fn brought(&mut self, records: u64, bytes: u64) {
        if let Some(task) = &mut self.task {
            task.records_done += records;
            task.bytes_done += bytes;
            task.records_to_do = task.records_to_do.saturating_sub(records);
        }
    }
}

/// A call of `Sync` on its way to a peer's task.
#[derive(Debug)]
pub struct SyncCall {
    /// Count what is missing, move nothing.
    pub dry_run: bool,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<v1::PeerSync>,
}

/// A peer as everybody but its own task sees it.
#[derive(Debug)]
pub struct Peer {
    name: String,
    standing: Mutex<Standing>,
    syncs: mpsc::Sender<SyncCall>,
    /// A gateway's push to this peer failed.
    pub nudged: Notify,
    /// The peer left or was forgotten: its task ends.
    pub gone: CancellationToken,
}

impl Peer {
    /// A peer that has just become known, and the receiving end of its calls.
    pub fn new(
        name: String,
        now: u64,
        gone: CancellationToken,
    ) -> (Peer, mpsc::Receiver<SyncCall>) {
        let (syncs, calls) = mpsc::channel(SYNCS_WAITING_MAX);
        let standing = Standing {
            state: State::Idle,
            lag: Lag::new(now),
            last_success_ms: 0,
            last_error: String::new(),
            pulled: 0,
            pushed: 0,
            refused: 0,
            sessions: 0,
            task: None,
        };
        let peer = Peer {
            name,
            standing: Mutex::new(standing),
            syncs,
            nudged: Notify::new(),
            gone,
        };
        (peer, calls)
    }

    /// Node name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes the standing. The lock is never held across an await.
    pub fn update(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The standing now.
    pub fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks for a session; false when too many calls wait already.
    pub fn ask(&self, call: SyncCall) -> bool {
        self.syncs.try_send(call).is_ok()
    }

    /// The standing as a message.
    pub fn status(&self, now: u64, interval: Duration) -> v1::PeerStatus {
        let standing = self.standing();
        v1::PeerStatus {
            peer: self.name.clone(),
            lag_seconds: standing.lag.seconds(now, interval),
            last_success_ms: standing.last_success_ms,
            last_error: standing.last_error,
            state: standing.state.name().to_owned(),
            pulled: standing.pulled,
            pushed: standing.pushed,
            refused: standing.refused,
            sessions: standing.sessions,
            task: standing.task.as_ref().map(Task::message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_beyond_the_bound_are_turned_away() {
        let (peer, _calls) = Peer::new("node2".into(), 0, CancellationToken::new());
        let ask = || {
            let (reply, _) = oneshot::channel();
            peer.ask(SyncCall {
                dry_run: true,
                reply,
            })
        };
        let taken = (0..SYNCS_WAITING_MAX + 2).filter(|_| ask()).count();
        assert_eq!(taken, SYNCS_WAITING_MAX);
    }

    #[test]
    fn a_task_goes_on_over_sessions_until_nothing_differs() {
        let (peer, _calls) = Peer::new("node2".into(), 0, CancellationToken::new());
        let task = || peer.status(0, Duration::from_secs(1)).task;
        peer.update(|standing| standing.brought(5, 500));
        assert!(task().is_none());
        peer.update(|standing| standing.found(&[1, 4], 100));
        assert_eq!(task().unwrap().bytes_to_do, 0);
        peer.update(|standing| standing.brought(30, 9_000));
        peer.update(|standing| standing.found(&[4], 72));
        let now = task().unwrap();
        assert_eq!((now.records_done, now.records_to_do), (30, 72));
        assert_eq!((now.bytes_done, now.bytes_to_do), (9_000, 21_600));
        assert_eq!(now.shards, [4]);
        peer.update(|standing| standing.found(&[], 0));
        assert!(task().is_none());
    }

    #[test]
    fn the_status_shows_the_standing() {
        let (peer, _calls) = Peer::new("node2".into(), 1_000, CancellationToken::new());
        peer.update(|standing| {
            standing.state = State::Moving;
            standing.pulled = 3;
        });
        let status = peer.status(3_500, Duration::from_secs(1));
        assert_eq!((status.state.as_str(), status.pulled), ("moving", 3));
        assert!((status.lag_seconds - 2.5).abs() < 1e-9);
    }
}
