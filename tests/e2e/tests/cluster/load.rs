//! Careful clients: they write and read all the time through all gateways, go to the next gateway once when one fails, and
//! hold every answer against what was acknowledged before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e2e::cluster::{Cluster, REPAIR};
use e2e::eventually;
use e2e::http::{Http, Reply};
use e2e::node::Node;
use futures::future::join;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::claims::{claim, id, ids};
use crate::stage;

/// A client makes this many calls a second at most: enough to have one in hand at any moment, and the machine has other work.
const PACE: Duration = Duration::from_millis(25);

/// Records of one subject stay below one page.
const SUBJECTS: u32 = 40;

/// The largest page there is.
const PAGE: usize = 1_000;

/// Until the clients have done so many calls as a test waits for: where a disk takes seconds to sync, each write takes as long.
pub(crate) const GOES_ON: Duration = Duration::from_secs(120);

/// A refusal that took so long tells of a machine that stood still: that a store is gone is noticed in less.
const STALLED: Duration = Duration::from_millis(400);

/// What the clients saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Acknowledged (201 or 200) ids by subject, each with the moment when the client knew.
    pub(crate) acknowledged: BTreeMap<String, Vec<(String, i64)>>,
    /// Writes answered 202.
    pub(crate) accepted: usize,
    /// Reads answered.
    pub(crate) reads: usize,
    /// Of those, the ones that said `complete: true`.
    pub(crate) complete: usize,
    /// Records that those had to hold, and did.
    pub(crate) checked: usize,
    /// Calls that needed the next gateway.
    pub(crate) retried: usize,
    /// Of those, the ones that went on because all that answered were late.
    pub(crate) stalled: usize,
    /// The longest call, retry included.
    pub(crate) slowest: Duration,
    /// Broken promises, for people.
    pub(crate) broken: Vec<String>,
}

impl Seen {
    /// One line for people.
    pub(crate) fn figures(&self) -> String {
        format!(
            "{} acknowledged, {} accepted, {} reads ({} complete, {} records in them checked), {} retried, {} of them in a stall, slowest {:.2} s",
            self.count(),
            self.accepted,
            self.reads,
            self.complete,
            self.checked,
            self.retried,
            self.stalled,
            self.slowest.as_secs_f64()
        )
    }

    /// Ids of all acknowledged records.
    pub(crate) fn ids(&self) -> Vec<String> {
        let known = self.acknowledged.values().flatten();
        known.map(|(id, _)| id.clone()).collect()
    }

    /// Acknowledged records in all.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.values().map(Vec::len).sum()
    }
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    work: JoinHandle<((), ())>,
}

impl Load {
    /// Starts a writer and a reader. `name` is the beginning of all their subjects.
    pub(crate) fn start(cluster: &Cluster, name: &str) -> Load {
        let client = Client {
            http: Http::new(),
            gateways: cluster.nodes.iter().map(|node| node.api("")).collect(),
            name: name.to_owned(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&client.seen);
        let (stop, stopped) = watch::channel(false);
        let (writer, reader) = (client.clone(), client);
        let work = join(writer.write(stopped.clone()), reader.read(stopped));
        Load {
            seen,
            stop,
            work: tokio::spawn(work),
        }
    }

    /// What they have seen so far.
    pub(crate) fn so_far(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Ends them after the calls in hand.
    pub(crate) async fn end(self) -> Seen {
        self.stop.send_replace(true);
        self.work.await.expect("the clients do not panic");
        let seen = lock(&self.seen).clone();
        assert!(seen.broken.is_empty(), "{:#?}", seen.broken);
        assert!(seen.checked > 0, "nothing was checked: {}", seen.figures());
        seen
    }
}

#[derive(Debug, Clone)]
struct Client {
    http: Http,
    gateways: Vec<String>,
    name: String,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    async fn write(self, stopped: watch::Receiver<bool>) {
        let mut pace = tokio::time::interval(PACE);
        let mut number = 0;
        while !*stopped.borrow() {
            pace.tick().await;
            let subject = self.subject(number);
            let record = claim(&subject, number);
            let reply = self.anywhere(number, "/v1/assert", Some(&record)).await;
            number += 1;
            let Some(reply) = reply else { continue };
            let mut seen = lock(&self.seen);
            match reply.status {
                200 | 201 => {
                    let known = seen.acknowledged.entry(subject).or_default();
                    known.push((id(&reply), unix_ms()));
                }
                202 => seen.accepted += 1,
                _ => seen
                    .broken
                    .push(format!("write: {} {}", reply.status, reply.text())),
            }
        }
    }

    async fn read(self, stopped: watch::Receiver<bool>) {
        let mut pace = tokio::time::interval(PACE);
        let mut number = 0;
        while !*stopped.borrow() {
            pace.tick().await;
            let subject = self.subject(number / 3);
            let path = format!("/v1/query?subject={subject}&limit={PAGE}");
            let reply = self.anywhere(number, &path, None).await;
            number += 1;
            if let Some(reply) = reply {
                self.judge(&subject, &reply);
            }
        }
    }

    fn subject(&self, number: u32) -> String {
        format!("{}:{}", self.name, number % SUBJECTS)
    }

    /// One call, through the next gateway when the first fails. None when that fails too, which is a broken promise: unless the
    /// machine stood still meanwhile, where times do not count. Then it goes round once more.
    async fn anywhere(&self, number: u32, path: &str, record: Option<&str>) -> Option<Reply> {
        let mut failures = Vec::new();
        let (mut gone, mut late) = (0, 0);
        let began = Instant::now();
        let round = self
            .gateways
            .iter()
            .cycle()
            .skip(number as usize % self.gateways.len());
        for (step, gateway) in round.take(2 + self.gateways.len()).enumerate() {
            if step == 2 {
                // One gateway may be gone with its node; whatever the others said, they said late.
                if gone + late < step || gone > 1 || stage::times_count() {
                    break;
                }
                lock(&self.seen).stalled += 1;
            }
            let url = format!("{gateway}{path}");
            let sent = Instant::now();
            let reply = match record {
                Some(record) => self.http.post(&url, record.to_owned()).await,
                None => self.http.get(&url).await,
            };
            let mut seen = lock(&self.seen);
            seen.slowest = seen.slowest.max(began.elapsed());
            match reply {
                Ok(reply) if reply.status < 500 => return Some(reply),
                Ok(reply) => {
                    late += usize::from(reply.is_late() && sent.elapsed() >= STALLED);
                    failures.push(format!("{gateway}: {} {}", reply.status, reply.text()));
                }
                Err(why) => {
                    gone += 1;
                    failures.push(format!("{gateway}: {why}"));
                }
            }
            seen.retried += 1;
        }
        let broken = format!("{path} failed at {} gateways: {failures:?}", failures.len());
        lock(&self.seen).broken.push(broken);
        None
    }

    /// An answer that calls itself complete holds every record that was acknowledged before its `proved_through`.
    fn judge(&self, subject: &str, reply: &Reply) {
        let mut seen = lock(&self.seen);
        seen.reads += 1;
        let body = reply.json();
        let meta = &body["meta"];
        let proved = match (reply.status, meta["complete"] == true) {
            (200, true) => meta["proved_through"].as_i64(),
            (200, false) => return,
            _ => None,
        };
        let Some(proved) = proved else {
            seen.broken.push(format!("read: {} {body}", reply.status));
            return;
        };
        seen.complete += 1;
        let held = ids(&body);
        let known = seen.acknowledged.get(subject).into_iter().flatten();
        let due: Vec<&String> = known
            .filter(|(_, at)| *at < proved)
            .map(|(id, _)| id)
            .collect();
        let missing: Vec<&&String> = due.iter().filter(|id| !held.contains(**id)).collect();
        let (checked, broken) = (due.len(), format!("{subject}: {meta} without {missing:?}"));
        if !missing.is_empty() {
            seen.broken.push(broken);
        }
        seen.checked += checked;
    }
}

/// Every acknowledged record is in an answer of every gateway that is complete through the last of them.
pub(crate) async fn all_there(cluster: &Cluster, seen: &Seen) {
    let http = Http::new();
    for node in &cluster.nodes {
        for (subject, acknowledged) in &seen.acknowledged {
            let last = acknowledged.iter().map(|(_, at)| *at).max();
            let body = complete(&http, node, subject, last.unwrap_or(0)).await;
            let held = ids(&body);
            let of = acknowledged.iter().map(|(id, _)| id);
            let lost: Vec<&String> = of.filter(|id| !held.contains(*id)).collect();
            assert!(lost.is_empty(), "{subject} at {}: lost {lost:?}", node.name);
        }
    }
}

/// All records of a subject, from an answer that calls itself complete through a moment: an owner that a push missed a moment
/// ago is complete through an earlier one.
pub(crate) async fn complete(http: &Http, node: &Node, subject: &str, through: i64) -> Value {
    let url = node.api(&format!("/v1/query?subject={subject}&limit={PAGE}"));
    eventually("a complete answer", REPAIR, || async {
        let reply = http.get(&url).await?;
        let body = reply.json();
        let meta = &body["meta"];
        let proved = meta["proved_through"].as_i64();
        let good = meta["complete"] == true && proved.is_some_and(|proved| proved > through);
        good.then_some(body).ok_or_else(|| reply.text())
    })
    .await
}

/// Now, on the clock that all nodes of this machine share.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.expect("the clock is set").as_millis();
    i64::try_from(ms).expect("the clock is set")
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
