//! Whose turn it is, and on which cluster.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::Http;
use e2e::node::Node;
use e2e::traces::Receiver;
use tokio::sync::{Mutex, MutexGuard};

/// Longest silence of a store before its writes go elsewhere too: on a busy machine a store is often silent for a moment,
/// and the tests in peace count copies exactly.
const HEDGE_MS_IN_PEACE: &str = "10000";

/// When a write in peace is answered with too few copies, or none: a busy disk takes seconds to sync. Below the patience of the
/// HTTP client.
const WRITE_MS_IN_PEACE: &str = "12000";
const MAYBE_STORED_MS_IN_PEACE: &str = "13000";

/// What stand-ins took goes home while a test can wait for it.
const HOLD_S_IN_STORMS: &str = "1";

/// How often spans are sent.
const SPANS_EVERY_MS: &str = "200";

static STAGE: Mutex<Option<(Mood, Cluster)>> = Mutex::const_new(None);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Nothing is ever killed: every record is on its owners and nowhere else.
    Peace,
    /// Processes are killed; each test starts with all of them running and equal.
    Storm,
}

/// The right to use the stage until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(MutexGuard<'static, Option<(Mood, Cluster)>>);

/// The cluster that nobody breaks.
pub(crate) async fn peace() -> Turn {
    let settings = [
        ("STEMEDB_HEDGE_MS", HEDGE_MS_IN_PEACE),
        ("STEMEDB_WRITE_DEADLINE_MS", WRITE_MS_IN_PEACE),
        ("STEMEDB_MAYBE_STORED_DEADLINE_MS", MAYBE_STORED_MS_IN_PEACE),
    ];
    turn(Mood::Peace, &settings).await
}

/// The cluster for breaking, whole again.
pub(crate) async fn storm() -> Turn {
    let turn = turn(Mood::Storm, &[("STEMEDB_HOLD_S", HOLD_S_IN_STORMS)]).await;
    turn.nodes.iter().for_each(Node::start);
    turn.formed().await;
    turn.equal(&Http::new()).await;
    turn
}

/// An empty stage, for a test with a cluster of its own.
pub(crate) async fn empty() -> Turn {
    let mut stage = STAGE.lock().await;
    *stage = None;
    Turn(stage)
}

async fn turn(mood: Mood, settings: &[(&str, &str)]) -> Turn {
    let mut stage = STAGE.lock().await;
    if stage.as_ref().is_none_or(|(known, _)| *known != mood) {
        // The old one ends first.
        *stage = None;
        *stage = Some((mood, start(settings).await));
    }
    Turn(stage)
}

async fn start(settings: &[(&str, &str)]) -> Cluster {
    let (_, receiver) = receiver();
    let receiver = format!("http://{receiver}");
    let traced = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", SPANS_EVERY_MS),
    ];
    Cluster::start(3, &[settings, &traced].concat()).await
}

/// Where the clusters send their traces.
pub(crate) fn receiver() -> (&'static Receiver, SocketAddr) {
    static RECEIVER: OnceLock<(Receiver, SocketAddr)> = OnceLock::new();
    let (receiver, address) = RECEIVER.get_or_init(Receiver::start);
    (receiver, *address)
}

impl Deref for Turn {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        let (_, cluster) = self.0.as_ref().expect("this test has no shared cluster");
        cluster
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Dropping the cluster of a failed test prints its logs, and gives the next test a new one.
        if std::thread::panicking() {
            *self.0 = None;
        }
    }
}

/// Whether times that are promised are held to, by hand: E2E_TIMES=1. A machine that other things keep busy makes them longer.
pub(crate) fn times_count() -> bool {
    std::env::var_os("E2E_TIMES").is_some()
}

/// Prints a measured figure, also of a test that passes.
pub(crate) fn figure(text: &str) {
    // Written directly, it is not captured; if nobody reads it, nothing is lost.
    let _ = writeln!(std::io::stderr(), "figure: {text}");
}

/// The middle and the tail of these times, in milliseconds.
pub(crate) fn percentiles(took: &[Duration]) -> String {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(0.0, Duration::as_secs_f64) * 1_000.0
    };
    format!("p50 {:.1}, p99 {:.1} ms", at(50), at(99))
}
