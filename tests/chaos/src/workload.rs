//! Clients that write and ask at a constant rate through all gateways, whatever happens, and write down what they are told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, Question};
use crate::history::{Line, Recorder, now_ms};
use crate::lab::{Gateway, Gateways};
use crate::records::{self, Outgoing};

/// How long a client waits for an answer: more than a gateway takes for a 202 (2 s).
const PATIENCE: Duration = Duration::from_secs(3);

/// Calls of a client that may be open at a time: all that it begins in two tries that nobody answers, at ten a second.
const OPEN_MAX: usize = 64;

/// Claims that votes are cast on.
const EARLIER_MAX: usize = 256;

/// All lenses.
pub const LENSES: [&str; 8] = [
    "recency",
    "confidence",
    "consensus",
    "authority",
    "votes",
    "layered",
    "epoch",
    "skeptic",
];

/// How many clients there are, and how often each calls.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Clients that write.
    pub writers: u32,
    /// Clients that ask.
    pub readers: u32,
    /// Calls of each in a second.
    pub per_second: u32,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            writers: 4,
            readers: 3,
            per_second: 8,
        }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    gateways: Gateways,
    recorder: Recorder,
    next: AtomicU64,
    earlier: Mutex<VecDeque<Outgoing>>,
}

impl Shared {
    /// The next number of a record.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a line of the history.
    pub fn record(&self, line: &Line) {
        self.recorder.add(line);
    }

    /// Brings all lines to the file.
    pub fn flush(&self) {
        self.recorder.flush();
    }

    /// Gateways as they are now, in an order that chance gives.
    pub fn gateways(&self, chance: &mut StdRng) -> Vec<Gateway> {
        let mut gateways = self.gateways.read().expect("nobody panics with it").clone();
        gateways.shuffle(chance);
        gateways
    }

    /// Sends the next record through these gateways.
    pub async fn write(&self, client: &Client, gateways: &[Gateway], pick: usize) {
        let earlier = {
            let earlier = self.earlier.lock().await;
            earlier.get(pick % earlier.len().max(1)).cloned()
        };
        let record = records::outgoing(self.number(), now_ms(), earlier.as_ref());
        if record.kind == "assertion" {
            let mut earlier = self.earlier.lock().await;
            earlier.push_back(record.clone());
            if earlier.len() > EARLIER_MAX {
                earlier.pop_front();
            }
        }
        let write = client.write(gateways, &record).await;
        self.record(&Line::Write(write));
    }

    /// Something that was written about lately or long ago.
    pub fn question(&self, chance: &mut StdRng) -> Question {
        let last = self.next.load(Ordering::Relaxed).max(1);
        let number = chance.random_range(0..last);
        // Half of the questions are for the claims themselves, the rest for what a lens makes of them.
        let lens = LENSES.get(chance.random_range(0..2 * LENSES.len()));
        Question {
            subject: records::subject(number),
            predicate: lens.map_or("", |_| records::predicate(number)).to_owned(),
            lens: lens.map_or("", |lens| lens).to_owned(),
        }
    }
}

impl Workload {
    /// Starts the clients.
    pub fn start(gateways: Gateways, recorder: Recorder, seed: u64, rates: Rates) -> Workload {
        let shared = Arc::new(Shared {
            gateways,
            recorder,
            next: AtomicU64::new(0),
            earlier: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..rates.writers + rates.readers {
            let writes = number < rates.writers;
            let name = format!("{}{number}", if writes { "writer" } else { "reader" });
            let every = Duration::from_secs(1) / rates.per_second.max(1);
            let lane = Lane {
                client: Client::new(&name, PATIENCE),
                shared: Arc::clone(&shared),
                chance: StdRng::seed_from_u64(seed.wrapping_add(u64::from(number))),
                writes,
            };
            clients.spawn(lane.run(every, stopped.clone()));
        }
        Workload {
            shared,
            stop,
            clients,
        }
    }

    /// What the clients share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends the clients when their open calls have ended; the history is whole then.
    pub async fn stop(mut self) {
        // Nobody listens when all have ended.
        let _ = self.stop.send(true);
        while self.clients.join_next().await.is_some() {}
        self.shared.recorder.flush();
    }
}

/// One client's day.
struct Lane {
    client: Client,
    shared: Arc<Shared>,
    chance: StdRng,
    writes: bool,
}

impl Lane {
    async fn run(mut self, every: Duration, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(every);
        // What could not be begun in time is not made up for: the rate is that of a client that is served.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = ticks.tick() => {}
            }
            while open.len() >= OPEN_MAX {
                open.join_next().await;
            }
            while open.try_join_next().is_some() {}
            let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
            let gateways = shared.gateways(&mut self.chance);
            if self.writes {
                let pick = self.chance.random_range(0..EARLIER_MAX);
                open.spawn(async move { shared.write(&client, &gateways, pick).await });
            } else {
                let question = shared.question(&mut self.chance);
                open.spawn(async move {
                    let read = client.read(&gateways, &question).await;
                    shared.record(&Line::Read(read));
                });
            }
        }
        while open.join_next().await.is_some() {}
    }
}
