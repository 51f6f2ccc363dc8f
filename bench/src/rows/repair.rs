//! Repair: rows 5 to 8.

use std::time::{Duration, Instant};

use assertion::RecordId;
use bytes::Bytes;
use e2e::cluster::{Cluster, REPAIR};
use e2e::node::Node;
use e2e::scrape::Scrape;
use merkle::Digest;
use prost::Message as _;
use proto::convert::shard_bits;
use proto::v1;
use rustix::process::Signal;

use crate::figures::{digits, each, median, ms};
use crate::lab::{Lab, NODES};
use crate::rows::Finding;
use crate::say;
use crate::stores::Stores;
use crate::wire;

/// Places of the node that lacks records, and of the one that has them: rows 7 and 8.
const LACKS: usize = 2;
const HAS: usize = 0;

/// Records that are missing: rows 5 and 8.
const HEALED: usize = 10_000;
const MOVED: usize = 1_000;

/// Row 6 looks at sessions for so long.
const SESSIONS: Duration = Duration::from_secs(10);

/// What one antientropy has counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    sessions: f64,
    round_trips: f64,
    seconds: f64,
    bytes: f64,
}

impl Counted {
    async fn at(lab: &Lab, cluster: &Cluster, place: usize) -> Result<Counted, String> {
        let reply = lab.http.get(&cluster.nodes[place].api("/metrics")).await?;
        let scrape = Scrape::read(&reply.text());
        let sum = |name: &str| scrape.values(&format!("stemedb_antientropy_{name}")).sum();
        Ok(Counted {
            sessions: sum("sessions_total"),
            round_trips: sum("round_trips_total"),
            seconds: sum("session_seconds_sum"),
            bytes: sum("record_bytes_total"),
        })
    }

    fn since(self, then: Counted) -> Counted {
        Counted {
            sessions: self.sessions - then.sessions,
            round_trips: self.round_trips - then.round_trips,
            seconds: self.seconds - then.seconds,
            bytes: self.bytes - then.bytes,
        }
    }
}

/// Ports that nodes talk to each other's stores on.
pub(super) fn rpc_ports(cluster: &Cluster) -> Vec<u16> {
    let port = |rpc: String| rpc.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    cluster
        .nodes
        .iter()
        .filter_map(|node| port(node.rpc()))
        .collect()
}

/// Row 6: the message by which an idle session learns that there is nothing to do, encoded here and sent to a store, which
/// must call it equal; and round trips for each session as the nodes count them.
pub(super) async fn equal(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    lab.settle(&cluster).await?;
    let stores = Stores::of(&cluster).await?;
    let shards = stores.shared(0, 1);
    let ask = v1::CompareRequest {
        shards: shard_bits(&shards),
        expected: Bytes::new(),
        ..v1::CompareRequest::default()
    };
    let said = stores
        .at(1)
        .compare(ask)
        .await
        .map_err(|status| status.to_string())?
        .into_inner();
    let (roots, _) = said.roots.as_chunks::<32>();
    let roots = shards.iter().copied().zip(roots.iter().copied());
    let expected: Digest = merkle::combined(roots);
    let ask = v1::CompareRequest {
        shards: shard_bits(&shards),
        expected: Bytes::copy_from_slice(&expected),
        seen_store_id: said.store_id.clone(),
        seen_run: said.run,
        seen_sequence: said.sequence,
        // As long as a session's.
        salt: Bytes::from_static(&[7; 16]),
    };
    let sent = ask.encoded_len();
    let said = stores
        .at(1)
        .compare(ask)
        .await
        .map_err(|status| status.to_string())?
        .into_inner();
    let bytes = sent + said.encoded_len();
    let before = Counted::at(lab, &cluster, 0).await?;
    let wire_before = wire::bytes(&rpc_ports(&cluster)[1..]);
    tokio::time::sleep(SESSIONS).await;
    let counted = Counted::at(lab, &cluster, 0).await?.since(before);
    let wire_after = wire::bytes(&rpc_ports(&cluster)[1..]);
    let trips = counted.round_trips / counted.sessions.max(1.0);
    let on_wire = match (wire_before, wire_after) {
        // Sessions of nodes 2 and 3 with each other use these ports too: twice as many as those of node 1.
        (Ok(before), Ok(after)) => {
            let each = (after - before) as f64 / (2.0 * counted.sessions.max(1.0));
            format!(
                "with HTTP/2, headers and pings about {} B a session",
                digits(each)
            )
        }
        (Err(why), _) | (_, Err(why)) => why,
    };
    Ok(Finding {
        measured: format!(
            "{} round trips, {bytes} B ({sent} asked, {} answered)",
            digits(trips),
            said.encoded_len()
        ),
        runs: format!("{} sessions", counted.sessions),
        beside: on_wire,
        ratio: None,
        holds: Some(said.equal && trips <= 1.0 && bytes <= 256),
        notes: if said.equal {
            Vec::new()
        } else {
            vec!["the stores were not equal".to_owned()]
        },
    })
}

/// What a repair of known size took.
struct Repair {
    /// From when it could begin until all records were home.
    took: Duration,
    counted: Counted,
    /// On the port of the store that had them, both directions.
    wire: Result<u64, String>,
    /// Canonical bytes that were missing.
    missing: usize,
}

/// Claims that are on one of their owners only, and where they are missing.
struct Lost {
    ids: Vec<RecordId>,
    bytes: usize,
}

/// Stops all repair, gives so many claims of the two nodes to one of them only, then lets the other one's repair run alone.
async fn repaired(lab: &Lab, cluster: &Cluster, count: usize) -> Result<Repair, String> {
    let stores = Stores::of(cluster).await?;
    lab.settle(cluster).await?;
    let before = Counted::at(lab, cluster, LACKS).await?;
    signal(cluster, Signal::STOP);
    let done = alone(lab, cluster, &stores, count, before).await;
    signal(cluster, Signal::CONT);
    let repair = done?;
    lab.settle(cluster).await?;
    Ok(repair)
}

fn signal(cluster: &Cluster, signal: Signal) {
    let repair = |node: &Node| node.signal_one("antientropy", signal);
    cluster.nodes.iter().for_each(repair);
}

async fn alone(
    lab: &Lab,
    cluster: &Cluster,
    stores: &Stores,
    count: usize,
    before: Counted,
) -> Result<Repair, String> {
    let lost = lose(lab, stores, count, |_, owners| {
        (owners == [HAS, LACKS]).then_some(HAS)
    })
    .await?;
    let ports = &rpc_ports(cluster)[HAS..=HAS];
    let wire = wire::bytes(ports);
    cluster.nodes[LACKS].signal_one("antientropy", Signal::CONT);
    let began = Instant::now();
    home(stores, LACKS, &lost[LACKS].ids, began).await?;
    let took = began.elapsed();
    // The session that brought them has ended when both peers had one and the bytes are counted.
    let counted = loop {
        let counted = Counted::at(lab, cluster, LACKS).await?.since(before);
        if counted.sessions >= 2.0 && counted.bytes >= lost[LACKS].bytes as f64 {
            break counted;
        }
        if began.elapsed() > REPAIR {
            return Err(format!("the session does not end: {counted:?}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let wire = wire.and_then(|before| Ok(wire::bytes(ports)?.saturating_sub(before)));
    Ok(Repair {
        took,
        counted,
        wire,
        missing: lost[LACKS].bytes,
    })
}

/// Gives claims to one of their owners only, until so many are missing somewhere. `choose` says which, none: not this one.
/// What is missing, by node.
async fn lose(
    lab: &Lab,
    stores: &Stores,
    count: usize,
    choose: impl Fn(usize, &[usize]) -> Option<usize>,
) -> Result<[Lost; NODES], String> {
    let mut kept: [Vec<Bytes>; NODES] = Default::default();
    let mut lost = [const {
        Lost {
            ids: Vec::new(),
            bytes: 0,
        }
    }; NODES];
    let mut number = 0;
    while number < count {
        let record = lab.claims.fresh_claim()?.record;
        let owners = stores.owners(record.topic().1);
        let Some(keeps) = choose(number, &owners) else {
            continue;
        };
        number += 1;
        kept[keeps].push(Bytes::copy_from_slice(record.canonical()));
        for lacks in owners.into_iter().filter(|owner| *owner != keeps) {
            lost[lacks].ids.push(record.id());
            lost[lacks].bytes += record.canonical().len();
        }
    }
    for (place, records) in kept.iter().enumerate() {
        stores.append(place, records).await?;
    }
    Ok(lost)
}

/// Waits until a store holds all of them.
async fn home(
    stores: &Stores,
    place: usize,
    ids: &[RecordId],
    began: Instant,
) -> Result<(), String> {
    loop {
        let held = stores.held(place, ids).await.unwrap_or(0);
        if held == ids.len() {
            return Ok(());
        }
        if began.elapsed() > REPAIR {
            return Err(format!(
                "{held} of {} came home in {} s",
                ids.len(),
                REPAIR.as_secs()
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Row 7: one record is missing at one of its owners. Round trips beyond the one that every session needs are those of the
/// repair; the bytes are all that went over the port of the store that has it until the session has ended.
pub(super) async fn one(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let (mut trips, mut bytes, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    for _ in 0..lab.runs {
        let repair = repaired(lab, &cluster, 1).await?;
        let counted = repair.counted;
        trips.push(counted.round_trips - (counted.sessions - 1.0).max(0.0));
        times.push(counted.seconds * 1_000.0);
        match repair.wire {
            Ok(wire) => bytes.push(wire as f64),
            Err(why) => notes.push(why),
        }
        say(&format!(
            "  {counted:?}, home after {} ms",
            digits(ms(repair.took))
        ));
    }
    let held = Stores::of(&cluster).await?.describe(LACKS).await?.records;
    let trip = median(trips.iter().copied());
    let byte = median(bytes.iter().copied());
    let time = median(times.iter().copied());
    notes.push(format!(
        "1 of {} at that node; {} ms are all sessions meanwhile",
        digits(held as f64),
        digits(time)
    ));
    Ok(Finding {
        measured: format!(
            "{} round trips, {} B with HTTP/2, headers and pings, {} ms",
            digits(trip),
            digits(byte),
            digits(time)
        ),
        runs: format!(
            "{}; {} B; {} ms",
            each(trips),
            each(bytes.iter().copied()),
            each(times)
        ),
        beside: String::new(),
        ratio: None,
        holds: (!bytes.is_empty()).then_some(trip <= 4.0 && byte <= 6_000.0 && time <= 50.0),
        notes,
    })
}

/// Row 8: a thousand records are missing at one of their owners; all bytes over the port of the store that has them against
/// the canonical bytes of those records.
pub(super) async fn moved(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let (mut shares, mut times, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        let repair = repaired(lab, &cluster, MOVED).await?;
        times.push(repair.took.as_secs_f64());
        say(&format!(
            "  {:?}, {} bytes missing",
            repair.counted, repair.missing
        ));
        match repair.wire {
            Ok(wire) => shares.push(wire as f64 / repair.missing as f64),
            Err(why) => notes.push(why),
        }
        if repair.counted.bytes > repair.missing as f64 {
            let moved = repair.counted.bytes;
            notes.push(format!("{moved} record bytes moved for {}", repair.missing));
        }
    }
    let share = median(shares.iter().copied());
    Ok(Finding {
        measured: format!("{} with HTTP/2, headers and pings", digits(share)),
        runs: format!(
            "{}; home after {} s",
            each(shares.iter().copied()),
            each(times)
        ),
        beside: String::new(),
        ratio: None,
        holds: (!shares.is_empty()).then_some(share <= 1.10),
        notes,
    })
}

/// Row 5: all repair is stopped, 10,000 claims are given to one of their owners only, in turn, and repair goes on: time until
/// every owner has all of them. No gateway knows that a push was lost, so nobody asks for the repair.
pub(super) async fn heal(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let stores = Stores::of(&cluster).await?;
    let mut times = Vec::new();
    for _ in 0..lab.runs {
        lab.settle(&cluster).await?;
        signal(&cluster, Signal::STOP);
        let keeps = |number: usize, owners: &[usize]| owners.get(number % owners.len()).copied();
        let lost = lose(lab, &stores, HEALED, keeps).await;
        signal(&cluster, Signal::CONT);
        let began = Instant::now();
        for (place, lost) in lost?.iter().enumerate() {
            home(&stores, place, &lost.ids, began).await?;
        }
        times.push(began.elapsed().as_secs_f64());
        say(&format!("  {} s", digits(began.elapsed().as_secs_f64())));
    }
    let time = median(times.iter().copied());
    Ok(Finding {
        measured: format!("{} s", digits(time)),
        runs: each(times),
        beside: String::new(),
        ratio: None,
        holds: Some(time <= 3.0),
        notes: Vec::new(),
    })
}
