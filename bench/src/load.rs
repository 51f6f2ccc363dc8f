//! Load: clients that always have a call in hand, or calls that are due at fixed moments.
//!
//! With a constant rate, a call's time counts from the moment it was due, not from when a client was free to send it: a stall
//! delays every call that was due meanwhile, and all of them show it. Clients that wait for their reply before they send the
//! next call would hide it (coordinated omission); they are used for throughput.
//!
//! Everything runs on the one thread of the bench, and its cost is part of the machine: [`Seen::client_cpu`] says how much.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cpu;
use crate::figures::{self, Percentiles};

/// Before anything counts: connections are opened, caches filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// A call that takes longer is told with its moment.
const LATE: Duration = Duration::from_millis(100);

/// Calls told with their moment, and different failures, at most.
const TOLD_MAX: usize = 10_000;
const REASONS_MAX: usize = 8;

/// Somebody who makes calls one after the other.
pub trait Client: Send + 'static {
    /// Makes the n-th call of all clients. The error is for people.
    fn call(&mut self, n: u64) -> impl Future<Output = Result<(), String>> + Send;
}

/// A call that failed or was late.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// When it ended, from the start of the load.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Whether it went well.
    pub well: bool,
}

/// What the clients saw.
#[derive(Debug)]
pub struct Seen {
    /// Times of calls that went well, in microseconds.
    pub times: Histogram<u64>,
    /// Calls that went well.
    pub well: u64,
    /// All calls, the warm-up included.
    pub calls: u64,
    /// Why others did not, with how often.
    pub failed: BTreeMap<String, u64>,
    /// From the first call that counts to the end of the last.
    pub took: Duration,
    /// CPU time of the clients meanwhile.
    pub client_cpu: Duration,
    /// The failed and the late ones.
    pub told: Vec<Told>,
}

impl Seen {
    fn new() -> Seen {
        Seen {
            times: figures::histogram(),
            well: 0,
            calls: 0,
            failed: BTreeMap::new(),
            took: Duration::ZERO,
            client_cpu: Duration::ZERO,
            told: Vec::new(),
        }
    }

    /// Calls per second that went well.
    pub fn rate(&self) -> f64 {
        self.well as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// p50, p95, p99 in milliseconds.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles::of(&self.times)
    }

    /// Calls that failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Share of one core that the clients used.
    pub fn client_share(&self) -> f64 {
        self.client_cpu.as_secs_f64() / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Nothing when all went well, else the most frequent failure.
    pub fn complaint(&self) -> Option<String> {
        let (reason, _) = self.failed.iter().max_by_key(|(_, count)| **count)?;
        Some(format!(
            "{} of {} calls failed: {reason}",
            self.failures(),
            self.well + self.failures()
        ))
    }

    fn note(&mut self, at: Duration, took: Duration, outcome: Result<(), String>) {
        let well = outcome.is_ok();
        match outcome {
            Ok(()) => {
                self.well += 1;
                figures::record(&mut self.times, took);
            }
            Err(reason) => {
                let known = self.failed.len() < REASONS_MAX || self.failed.contains_key(&reason);
                let reason = if known {
                    reason
                } else {
                    "other reasons".to_owned()
                };
                *self.failed.entry(reason).or_default() += 1;
            }
        }
        if (!well || took > LATE) && self.told.len() < TOLD_MAX {
            self.told.push(Told { at, took, well });
        }
    }
}

/// Every client has a call in hand at all times. The first second does not count.
pub async fn closed<C: Client>(clients: Vec<C>, length: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::new()));
    let next = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let counts_from = Instant::now() + WARM_UP;
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (seen, next, stop) = (Arc::clone(&seen), Arc::clone(&next), Arc::clone(&stop));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                let outcome = client.call(n).await;
                // Calls that end before the start of what counts, or after its end, are not part of the rate.
                if began >= counts_from && !stop.load(Ordering::Relaxed) {
                    let at = counts_from.elapsed();
                    lock(&seen).note(at, began.elapsed(), outcome);
                }
            }
        });
    }
    tokio::time::sleep_until(counts_from.into()).await;
    let cpu = cpu::own();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let (took, client_cpu) = (counts_from.elapsed(), cpu::own().saturating_sub(cpu));
    tasks.join_all().await;
    finish(&seen, next.load(Ordering::Relaxed), took, client_cpu)
}

/// So many calls a second, each due at its own moment. The calls of the first second do not count.
pub async fn paced<C: Client>(clients: Vec<C>, rate: u32, length: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::new()));
    let next = Arc::new(AtomicU64::new(0));
    let due = Arc::new(Semaphore::new(0));
    let warm_up = u64::from(rate) * WARM_UP.as_secs();
    let total = warm_up + u64::from(rate) * length.as_secs().max(1);
    let start = Instant::now() + Duration::from_millis(50);
    let moment = move |n: u64| start + Duration::from_secs_f64(n as f64 / f64::from(rate));
    let surplus = clients.len();
    let pacer = {
        let due = Arc::clone(&due);
        std::thread::spawn(move || {
            for n in 0..total {
                std::thread::sleep(moment(n).saturating_duration_since(Instant::now()));
                due.add_permits(1);
            }
            // One more for every client: it finds that there is nothing left.
            due.add_permits(surplus);
        })
    };
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (seen, next, due) = (Arc::clone(&seen), Arc::clone(&next), Arc::clone(&due));
        tasks.spawn(async move {
            while let Ok(permit) = due.acquire().await {
                permit.forget();
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    break;
                }
                let outcome = client.call(n).await;
                if n >= warm_up {
                    let at = moment(warm_up).elapsed();
                    lock(&seen).note(at, moment(n).elapsed(), outcome);
                }
            }
        });
    }
    tokio::time::sleep_until(moment(warm_up).into()).await;
    let cpu = cpu::own();
    tasks.join_all().await;
    let (took, client_cpu) = (moment(warm_up).elapsed(), cpu::own().saturating_sub(cpu));
    // It has ended: the last permit was its last act.
    let _ = pacer.join();
    finish(&seen, total, took, client_cpu)
}

fn finish(seen: &Mutex<Seen>, calls: u64, took: Duration, client_cpu: Duration) -> Seen {
    let seen = std::mem::replace(&mut *lock(seen), Seen::new());
    Seen {
        calls,
        took,
        client_cpu,
        ..seen
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at once, but for one stall.
    struct Stalls {
        at: u64,
        length: Duration,
    }

    impl Client for Stalls {
        async fn call(&mut self, n: u64) -> Result<(), String> {
            if n == self.at {
                tokio::time::timeout(self.length, std::future::pending::<()>())
                    .await
                    .unwrap_err();
            }
            if n.is_multiple_of(100) {
                Err("a hundredth".into())
            } else {
                Ok(())
            }
        }
    }

    #[tokio::test]
    async fn a_stall_shows_in_every_call_that_was_due_meanwhile() {
        let stall = Stalls {
            at: 1_000,
            length: Duration::from_millis(300),
        };
        let seen = paced(vec![stall], 1_000, Duration::from_secs(1)).await;
        assert_eq!((seen.well, seen.failures()), (990, 10));
        // 300 of 1,000 calls waited, the last of them hardly.
        assert!(seen.percentiles().p95 > 200.0, "{}", seen.percentiles());
        assert!(seen.complaint().unwrap().contains("a hundredth"));
    }

    #[tokio::test]
    async fn closed_clients_count_what_ends_in_time() {
        struct Turn;
        impl Client for Turn {
            async fn call(&mut self, _: u64) -> Result<(), String> {
                tokio::task::yield_now().await;
                Ok(())
            }
        }
        let seen = closed(vec![Turn, Turn], Duration::from_millis(200)).await;
        assert!(seen.well > 0 && seen.complaint().is_none());
    }
}
