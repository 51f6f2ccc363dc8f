//! Writers at a constant rate: each record is due at a moment of its own, and sent again until it is acknowledged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::Http;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::claims::id;

/// For a development build on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Calls in hand, half of what a gateway takes.
const CALLS_MAX: usize = 256;

/// Records of one subject stay few.
const SUBJECTS: u64 = 1_000;

/// A record that nobody acknowledges for so long never will be.
const TRIES: usize = 30;

/// What became of the records.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Ids that were acknowledged, in that order.
    pub(crate) acknowledged: Vec<String>,
    /// From the moment when each was due to its acknowledgement.
    pub(crate) took: Vec<Duration>,
    /// Replies that acknowledged nothing.
    pub(crate) again: usize,
    /// Records that were due so far.
    pub(crate) due: usize,
}

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Writers {
    written: Arc<Mutex<Written>>,
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Writers {
    /// `rate` records a second, each with a note of so many bytes, through all gateways in turn.
    pub(crate) fn start(cluster: &Cluster, rate: u32, note: usize) -> Writers {
        let gateways: Vec<String> = cluster
            .nodes
            .iter()
            .map(|node| node.api("/v1/assert"))
            .collect();
        let written = Arc::<Mutex<Written>>::default();
        let (stop, stopped) = watch::channel(false);
        let work = write(
            gateways,
            rate,
            "n".repeat(note),
            Arc::clone(&written),
            stopped,
        );
        Writers {
            written,
            stop,
            work: tokio::spawn(work),
        }
    }

    /// What was written so far.
    pub(crate) fn so_far(&self) -> MutexGuard<'_, Written> {
        lock(&self.written)
    }

    /// Ends them when all that was due is acknowledged.
    pub(crate) async fn end(self) -> Written {
        self.stop.send_replace(true);
        self.work.await.expect("the writers do not panic");
        let written = std::mem::take(&mut *lock(&self.written));
        assert_eq!(written.acknowledged.len(), written.due, "all acknowledged");
        written
    }
}

async fn write(
    gateways: Vec<String>,
    rate: u32,
    note: String,
    written: Arc<Mutex<Written>>,
    stopped: watch::Receiver<bool>,
) {
    let http = Http::new();
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut number = 0;
    while !*stopped.borrow() {
        let due = pace.tick().await;
        let call = Arc::clone(&calls).acquire_owned().await.expect("open");
        let record = json!({
            "subject": format!("feeds:{}", number % SUBJECTS),
            "predicate": "measured",
            "object": { "type": "number", "value": number },
            "source": { "uri": "https://example.org/feeds", "class": "expert" },
            "asserted_at": 1_700_000_000_000_u64 + number,
            "note": note,
        });
        let (http, written) = (http.clone(), Arc::clone(&written));
        let mut gateways = gateways.clone();
        gateways.rotate_left(usize::try_from(number % 3).expect("below 3"));
        number += 1;
        lock(&written).due += 1;
        tokio::spawn(async move {
            send(&http, &gateways, record.to_string(), due, &written).await;
            drop(call);
        });
    }
    let all = u32::try_from(CALLS_MAX).expect("small");
    let _ended = calls.acquire_many(all).await.expect("open");
}

async fn send(
    http: &Http,
    gateways: &[String],
    record: String,
    due: Instant,
    written: &Mutex<Written>,
) {
    for gateway in gateways.iter().cycle().take(TRIES) {
        let reply = http.post(gateway, record.clone()).await;
        let mut written = lock(written);
        match reply {
            Ok(reply) if matches!(reply.status, 200 | 201) => {
                written.acknowledged.push(id(&reply));
                written.took.push(due.elapsed());
                return;
            }
            _ => written.again += 1,
        }
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}
