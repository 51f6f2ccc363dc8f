//! Repair: rows 5 to 8.

use std::time::{Duration, Instant};

use assertion::RecordId;
use bytes::Bytes;
use e2e::cluster::{Cluster, REPAIR};
use e2e::scrape::Scrape;
use merkle::Digest;
use prost::Message as _;
use proto::convert::shard_bits;
use proto::v1;
use rustix::process::Signal;

use crate::figures::{digits, each, median, ms};
use crate::lab::{self, Lab, NODES, gateways};
use crate::rows::Finding;
use crate::rows::writes::serving;
use crate::say;
use crate::stores::Stores;
use crate::wire;

/// The node that misses something.
const AWAY: usize = NODES - 1;

/// Records that it misses: rows 5 and 8.
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
    took: Duration,
    counted: Counted,
    /// On the ports between nodes, both directions.
    wire: Result<u64, String>,
    /// Canonical bytes that were missing.
    missing: usize,
}

/// Makes a node miss exactly so many records, and lets only its own repair bring them: all other repair is stopped meanwhile.
async fn repaired(lab: &Lab, cluster: &Cluster, count: usize) -> Result<Repair, String> {
    let stores = Stores::of(cluster).await?;
    lab.settle(cluster).await?;
    let before = Counted::at(lab, cluster, AWAY).await?;
    let signal = |signal| {
        cluster
            .nodes
            .iter()
            .for_each(|node| node.signal_one("antientropy", signal))
    };
    signal(Signal::STOP);
    let done = without_others(lab, cluster, &stores, count).await;
    signal(Signal::CONT);
    let (took, wire, missing) = done?;
    let counted = Counted::at(lab, cluster, AWAY).await?.since(before);
    lab.settle(cluster).await?;
    Ok(Repair {
        took,
        counted,
        wire,
        missing,
    })
}

async fn without_others(
    lab: &Lab,
    cluster: &Cluster,
    stores: &Stores,
    count: usize,
) -> Result<(Duration, Result<u64, String>, usize), String> {
    let away = &cluster.nodes[AWAY];
    away.kill_one("store");
    let (ids, missing) = write_for(lab, cluster, stores, count).await?;
    away.start_one("store");
    serving(stores, AWAY).await?;
    // Its sessions are with the others' stores, so these ports carry them and nothing else but pings.
    let ports = &rpc_ports(cluster)[..AWAY];
    let wire = wire::bytes(ports);
    away.signal_one("antientropy", Signal::CONT);
    let began = Instant::now();
    home(stores, &ids, began).await?;
    let took = began.elapsed();
    let wire = wire.and_then(|before| Ok(wire::bytes(ports)?.saturating_sub(before)));
    Ok((took, wire, missing))
}

/// Writes claims through the other gateways until so many belong to the node that is away; those, and their bytes.
async fn write_for(
    lab: &Lab,
    cluster: &Cluster,
    stores: &Stores,
    count: usize,
) -> Result<(Vec<RecordId>, usize), String> {
    let (mut lines, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    while ids.len() < count {
        let claim = lab.claims.fresh_claim()?;
        if stores.owners(claim.record.subject()).contains(&AWAY) {
            ids.push(claim.record.id());
            bytes += claim.record.canonical().len();
            lines.push(claim.line);
        }
    }
    lab::import_through(&gateways(cluster)[..AWAY], &lines).await?;
    Ok((ids, bytes))
}

async fn home(stores: &Stores, ids: &[RecordId], began: Instant) -> Result<(), String> {
    loop {
        let held = stores.held(AWAY, ids).await.unwrap_or(0);
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

/// Row 7: one record is missing. Round trips beyond the one that every session needs are those of the repair.
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
    let held: u64 = Stores::of(&cluster).await?.describe(AWAY).await?.records;
    let (trip, byte, time) = (
        median(trips.iter().copied()),
        median(bytes.iter().copied()),
        median(times.iter().copied()),
    );
    notes.push(format!("1 of {} at that node", digits(held as f64)));
    Ok(Finding {
        measured: format!(
            "{} round trips, {} B with headers and pings, {} ms of sessions",
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

/// Row 8: a thousand records are missing; all bytes on the wire against the canonical bytes of the missing ones.
pub(super) async fn moved(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let (mut shares, mut times, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        let repair = repaired(lab, &cluster, MOVED).await?;
        times.push(repair.took.as_secs_f64());
        match repair.wire {
            Ok(wire) => shares.push(wire as f64 / repair.missing as f64),
            Err(why) => notes.push(why),
        }
        if repair.counted.bytes > repair.missing as f64 {
            notes.push(format!(
                "{} record bytes moved for {}",
                repair.counted.bytes, repair.missing
            ));
        }
    }
    let share = median(shares.iter().copied());
    Ok(Finding {
        measured: format!(
            "{} (with HTTP/2, headers and pings), home after {} s",
            digits(share),
            each(times)
        ),
        runs: each(shares.iter().copied()),
        beside: String::new(),
        ratio: None,
        holds: (!shares.is_empty()).then_some(share <= 1.10),
        notes,
    })
}

/// Row 5: one store is killed, and claims are written until it misses 10,000; time from when it serves again until it has
/// them all.
pub(super) async fn heal(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let stores = Stores::of(&cluster).await?;
    let mut times = Vec::new();
    for _ in 0..lab.runs {
        lab.settle(&cluster).await?;
        cluster.nodes[AWAY].kill_one("store");
        let (ids, _) = write_for(lab, &cluster, &stores, HEALED).await?;
        cluster.nodes[AWAY].start_one("store");
        let began = serving(&stores, AWAY).await?;
        home(&stores, &ids, began).await?;
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
