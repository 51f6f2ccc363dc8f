//! The loop that joins for ever. SWIM never comes together again after a split by itself; this does it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use rand::seq::{IteratorRandom as _, SliceRandom as _};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics;
use crate::seeds::{Seed, resolve_all};
use crate::swim::Swim;

/// Between two rounds while somebody is missing.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two rounds while nobody is: new addresses behind a seed's name are still found.
const INTERVAL_SETTLED: Duration = Duration::from_secs(5);
/// A round starts up to this share earlier or later, so that nodes started together do not stay in step.
const JITTER: f64 = 0.2;
/// Joins under way at once: a dead target can hold one for seconds.
const CONCURRENCY: usize = 16;
/// Targets of one round, drawn at random if there are more.
const TARGETS_MAX: usize = 64;
/// Failures shown to people.
const FAILURES_SHOWN: usize = 3;

/// Whom to join, as the roster has it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Known members that do not answer.
    pub absent: BTreeSet<SocketAddr>,
    /// Other members that answer.
    pub answering: BTreeSet<SocketAddr>,
    /// More addresses that need no joining: they were refused lately, or are our own.
    pub skip: BTreeSet<SocketAddr>,
    /// The cluster is formed and everybody answers.
    pub settled: bool,
}

/// How the last round went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// At least one round is over.
    pub tried: bool,
    /// What went wrong in it, the first few.
    pub failures: Vec<String>,
}

/// Joins seeds and absent members, for ever.
pub async fn keep_joining<S: Swim>(
    swim: Arc<S>,
    seeds: Vec<Seed>,
    mut targets: watch::Receiver<Targets>,
    report: watch::Sender<Report>,
) {
    loop {
        let started = Instant::now();
        let failures = round(swim.as_ref(), &seeds, &mut targets).await;
        report.send_if_modified(|last| {
            let now = Report {
                tried: true,
                failures,
            };
            let news = *last != now;
            *last = now;
            news
        });
        loop {
            let settled = targets.borrow_and_update().settled;
            let pause = if settled { INTERVAL_SETTLED } else { INTERVAL };
            let next = started + pause.mul_f64(1.0 + JITTER * (2.0 * rand::random::<f64>() - 1.0));
            // Somebody going missing ends a long pause early.
            tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                changed = targets.changed() => if changed.is_err() { return },
            }
        }
    }
}

async fn round<S: Swim>(
    swim: &S,
    seeds: &[Seed],
    targets: &mut watch::Receiver<Targets>,
) -> Vec<String> {
    let (mut addresses, mut failures) = resolve_all(seeds).await;
    let now = targets.borrow_and_update().clone();
    addresses.extend(&now.absent);
    let mut addresses: Vec<SocketAddr> = addresses
        .difference(&now.skip)
        .filter(|address| !now.answering.contains(address))
        .copied()
        .collect();
    addresses.shuffle(&mut rand::rng());
    addresses.truncate(TARGETS_MAX);
    if !now.settled {
        // Gossip can miss somebody; while things move, one more exchange of states a second makes up for it.
        addresses.extend(now.answering.iter().choose(&mut rand::rng()));
    }
    failures.extend(join_all(swim, addresses).await.1);
    failures.sort();
    failures.truncate(FAILURES_SHOWN);
    failures
}

/// Joins addresses, a bounded number at once: those that answered, and what went wrong with the others.
pub async fn join_all<S: Swim>(
    swim: &S,
    addresses: Vec<SocketAddr>,
) -> (Vec<SocketAddr>, Vec<String>) {
    let mut joins = futures::stream::iter(addresses)
        .map(|address| async move { (address, swim.join(address).await) })
        .buffer_unordered(CONCURRENCY);
    let mut joined = Vec::new();
    let mut failures = Vec::new();
    while let Some((address, outcome)) = joins.next().await {
        metrics::join_tried(outcome.is_ok());
        match outcome {
            Ok(()) => joined.push(address),
            Err(fault) => {
                tracing::debug!(%address, %fault, "join failed");
                failures.push(fault.to_string());
            }
        }
    }
    (joined, failures)
}
