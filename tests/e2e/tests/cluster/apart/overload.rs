//! Many more clients than a node takes at a time: the surplus is told to come again, nobody is lost, nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::http::{Http, Reply};
use e2e::node::Node;
use e2e::process;
use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::json;

use crate::claims::{acknowledged, id};
use crate::stage;

/// What a gateway has in hand at most of each, reads and writes.
const PLACES: usize = 512;

/// Half of the clients write, the others read. By hand, with a release build and the machine to itself:
/// E2E_PROGRAMS=target/release OVERLOAD_ROUNDS=20 OVERLOAD_NORMAL=300.
const CLIENTS: usize = 4 * PLACES;

/// Calls of each client that have to be answered.
const ROUNDS: usize = 2;

/// Clients of which all find a place, also where the machine is busy with other things and a store's readers are held up. By hand
/// as many as one node can serve: what the surplus costs those who find a place is told by a node that is full and no more.
const NORMAL: usize = PLACES / 32;

/// Connections that are opened at a time: what is measured is requests, not the length of the kernel's queue.
const OPENED_AT_ONCE: usize = 32;

/// Tries of one call, a second apart.
const TRIES: usize = 120;

/// Claims about the subject that the readers ask a lens about.
const CLAIMS: usize = 200;

/// Bytes of note in each record.
const NOTE: usize = 2_000;

/// What the memory of each may grow by: the gateway has a connection for each client, and 512 bodies and replies.
const GROWTH_MAX: [(&str, usize); 2] =
    [("gateway", 160 * 1024 * 1024), ("store", 128 * 1024 * 1024)];

/// A figure from the environment, for runs by hand.
fn given(key: &str, otherwise: usize) -> usize {
    let given = std::env::var(key).ok();
    given.map_or(otherwise, |given| given.parse().expect("a number"))
}

/// What the clients were told.
#[derive(Debug, Default)]
struct Told {
    /// Ids of acknowledged records.
    acknowledged: Vec<String>,
    /// How long accepted reads and writes took.
    accepted: Vec<Duration>,
    /// How long it took to be turned away.
    shed: Vec<Duration>,
    /// How long it took to be told that the store did not answer in time: on a machine that others use as well, that happens.
    late: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_beyond_capacity_is_shed() {
    let _turn = stage::empty().await;
    let cluster = Cluster::start(1, &[("STEMEDB_CLUSTER_MODE", "false")]).await;
    let http = Http::new();
    let node = cluster.node(1);
    prepare(&http, node).await;
    let rounds = given("OVERLOAD_ROUNDS", ROUNDS);

    let few = clients(node, given("OVERLOAD_NORMAL", NORMAL)).await;
    let normal = run(node, &few, "normal", rounds).await;
    // Where the store stands still, those who wait for it have all the places after a while.
    assert!(
        normal.shed.is_empty() || !normal.late.is_empty(),
        "{} of few were shed",
        normal.shed.len()
    );

    let many = clients(node, given("OVERLOAD_CLIENTS", CLIENTS)).await;
    let before = GROWTH_MAX.map(|(service, _)| resident(node, service));
    let watch = Watch::start(node);
    let began = Instant::now();
    let storm = run(node, &many, "storm", rounds).await;
    let took = began.elapsed();
    let most = watch.end().await;
    stage::figure(&format!(
        "{} clients of {PLACES} + {PLACES} places, {} calls accepted in {:.1} s: {}; {} turned away: {}; {} late; {} clients without surplus: {}",
        many.len(),
        storm.accepted.len(),
        took.as_secs_f64(),
        stage::percentiles(&storm.accepted),
        storm.shed.len(),
        stage::percentiles(&storm.shed),
        storm.late.len() + normal.late.len(),
        few.len(),
        stage::percentiles(&normal.accepted),
    ));
    assert!(!storm.shed.is_empty(), "all found a place");
    for ((service, limit), (before, most)) in GROWTH_MAX.iter().zip(before.iter().zip(most)) {
        let growth = most.saturating_sub(*before);
        stage::figure(&format!(
            "{service}: {} + {} MiB",
            before >> 20,
            growth >> 20
        ));
        assert!(growth < *limit, "{service} grew by {growth} bytes");
    }
    // Whoever was turned away has stored nothing, and whoever was not has; a record that may be stored came again as the same.
    let written = normal.acknowledged.len() + storm.acknowledged.len();
    let said = cluster.equal(&http).await;
    assert_eq!(said["distinct_records"], written + CLAIMS, "{said}");
}

/// Claims of different opinions about one subject.
async fn prepare(http: &Http, node: &Node) {
    let claims = (0..CLAIMS).map(|number| claim("overload:asked", number, number % 40));
    let body = format!("[{}]", claims.collect::<Vec<_>>().join(","));
    acknowledged(http, &node.api("/v1/assert/batch"), &body).await;
}

fn claim(subject: &str, source: usize, value: usize) -> String {
    json!({
        "subject": subject,
        "predicate": "measured",
        "object": { "type": "number", "value": value },
        "source": { "uri": format!("https://example.org/{source}"), "class": "expert" },
        "asserted_at": 1_700_000_000_000_i64,
        "note": "n".repeat(NOTE),
    })
    .to_string()
}

/// Clients with a connection each, which is open.
async fn clients(node: &Node, many: usize) -> Vec<Http> {
    let live = node.api("/v1/health/live");
    let opened = futures::stream::iter(0..many).map(|_| {
        let (http, live) = (Http::new(), live.clone());
        async move {
            let reply = http.get(&live).await;
            assert_eq!(reply.expect("the connection is taken").status, 200);
            http
        }
    });
    opened.buffer_unordered(OPENED_AT_ONCE).collect().await
}

/// All clients at once, each its calls one after the other.
async fn run(node: &Node, clients: &[Http], name: &str, rounds: usize) -> Told {
    let calls = clients.iter().enumerate().map(|(number, http)| {
        let (http, name) = (http.clone(), name.to_owned());
        let (write, read) = (
            node.api("/v1/assert"),
            node.api("/v1/query?subject=overload:asked&lens=skeptic"),
        );
        tokio::spawn(async move {
            let mut told = Told::default();
            for round in 0..rounds {
                let record = (number % 2 == 0)
                    .then(|| claim(&format!("overload:{name}:{number}"), round, round));
                let url = if record.is_some() { &write } else { &read };
                let reply = call(&http, url, record.as_deref(), &mut told).await;
                if record.is_some() {
                    told.acknowledged.push(id(&reply));
                } else {
                    // Thousands of clients that take replies apart would be most of the load.
                    let candidates = format!(r#""candidates":{CLAIMS},"#);
                    assert!(reply.text().contains(&candidates), "{}", reply.text());
                }
            }
            told
        })
    });
    let mut all = Told::default();
    for told in join_all(calls).await {
        let told = told.expect("a client does not panic");
        all.acknowledged.extend(told.acknowledged);
        all.accepted.extend(told.accepted);
        all.shed.extend(told.shed);
        all.late.extend(told.late);
    }
    all
}

/// One call until it is accepted. Turned away, it comes again when it was told to.
async fn call(http: &Http, url: &str, record: Option<&str>, told: &mut Told) -> Reply {
    let mut maybe_stored = false;
    for _ in 0..TRIES {
        let began = Instant::now();
        let reply = match record {
            Some(record) => http.post(url, record.to_owned()).await,
            None => http.get(url).await,
        };
        let reply = reply.expect("every request is answered");
        if reply.status != 503 {
            // A record that may be stored was, when it is there at the second try.
            let fresh = record.is_some() && !maybe_stored;
            let right = if fresh { 201 } else { 200 };
            let good = reply.status == right || maybe_stored && reply.status == 201;
            assert!(good, "{} {}", reply.status, reply.text());
            told.accepted.push(began.elapsed());
            return reply;
        }
        let said = reply.json();
        assert!(reply.is_late(), "{said}");
        if said["code"] == "overloaded" {
            told.shed.push(began.elapsed());
        } else {
            told.late.push(began.elapsed());
            maybe_stored |= record.is_some();
        }
        let wait = reply
            .header("retry-after")
            .and_then(|wait| wait.parse().ok());
        let wait = Duration::from_secs(wait.expect("seconds"));
        tokio::time::interval_at(tokio::time::Instant::now() + wait, wait)
            .tick()
            .await;
    }
    panic!("turned away {TRIES} times");
}

/// Looks at memory while others work.
struct Watch {
    goes_on: Arc<AtomicBool>,
    work: tokio::task::JoinHandle<[usize; 2]>,
}

impl Watch {
    fn start(node: &Node) -> Watch {
        let goes_on = Arc::new(AtomicBool::new(true));
        let pids = GROWTH_MAX.map(|(service, _)| node.pid(service).expect("it runs"));
        let look = Arc::clone(&goes_on);
        let work = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            let mut most = [0; 2];
            while look.load(Ordering::Relaxed) {
                pace.tick().await;
                for (most, pid) in most.iter_mut().zip(pids) {
                    *most = (*most).max(process::resident(pid));
                }
            }
            most
        });
        Watch { goes_on, work }
    }

    async fn end(self) -> [usize; 2] {
        self.goes_on.store(false, Ordering::Relaxed);
        self.work.await.expect("it only looks")
    }
}

fn resident(node: &Node, service: &str) -> usize {
    process::resident(node.pid(service).expect("it runs"))
}
