//! How long the machine stands still while something is measured: a bound holds beside what a node can do nothing about.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(10);
/// A round, with a durable write as a node makes before it shows what it saw, takes less on a machine that has time for it. What it
/// takes beyond counts.
const ROUND_MAX: Duration = Duration::from_millis(50);

/// A thread that wants a turn, and a durable write, many times a second.
pub(crate) struct Stalls {
    end: Sender<()>,
    watching: JoinHandle<Duration>,
}

impl Stalls {
    pub(crate) fn watch() -> Stalls {
        let (end, ended) = channel();
        let watching = std::thread::spawn(move || watch(&ended));
        Stalls { end, watching }
    }

    /// All of it since the beginning.
    pub(crate) fn end(self) -> Duration {
        drop(self.end);
        self.watching.join().unwrap()
    }
}

fn watch(ended: &Receiver<()>) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File::create(directory.path().join("turns")).unwrap();
    let mut stalled = Duration::ZERO;
    let mut begun = Instant::now();
    while ended.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        file.write_all(b"turn\n").unwrap();
        file.sync_all().unwrap();
        stalled += begun.elapsed().saturating_sub(ROUND_MAX);
        begun = Instant::now();
    }
    stalled
}
