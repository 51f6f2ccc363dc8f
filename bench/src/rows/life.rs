//! Nodes that go and come back: rows 9, 14 and 15.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, FORMATION, REPAIR, statuses};
use e2e::node::Node;
use rustix::process::Signal;

use crate::connection::clients;
use crate::figures::{digits, each, median};
use crate::lab::{Lab, NODES, gateways};
use crate::load;
use crate::rows::Finding;
use crate::rows::writes::Writes;
use crate::say;
use crate::stores::Stores;

/// Processes end within this when they are asked to.
const END: Duration = Duration::from_secs(30);

/// Writes a second while a node is killed, clients that take turns, and when it is killed.
const RATE: u32 = 200;
const TAKING_TURNS: usize = 64;
const KILL_AFTER: Duration = Duration::from_secs(3);

/// How long writes are watched.
const WATCH: Duration = Duration::from_secs(8);

/// Row 15: SIGTERM to all, then all are started at once; time until every gateway is ready and sees all nodes UP.
pub(super) async fn restart(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let mut times = Vec::new();
    for _ in 0..lab.runs {
        cluster
            .nodes
            .iter()
            .for_each(|node| node.signal(Signal::TERM));
        for node in &cluster.nodes {
            node.wait(END);
        }
        let began = Instant::now();
        cluster.nodes.iter().for_each(Node::start);
        cluster.formed().await;
        times.push(began.elapsed().as_secs_f64());
        say(&format!("  {} s", digits(began.elapsed().as_secs_f64())));
        lab.settle(&cluster).await?;
    }
    let time = median(times.iter().copied());
    Ok(Finding {
        measured: format!("{} s", digits(time)),
        runs: each(times),
        beside: String::new(),
        ratio: None,
        holds: Some(time <= 10.0),
        notes: Vec::new(),
    })
}

/// Row 9: a node whose database is gone is started; how long until its store holds again what it held.
pub(super) async fn fill(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let place = NODES - 1;
    let node = &cluster.nodes[place];
    let (mut times, mut held) = (Vec::new(), 0);
    for _ in 0..lab.runs {
        lab.settle(&cluster).await?;
        held = Stores::of(&cluster).await?.describe(place).await?.records;
        node.signal(Signal::TERM);
        node.wait(END);
        forget(node).map_err(|error| error.to_string())?;
        let began = Instant::now();
        node.start();
        holds(&cluster, place, held, began).await?;
        times.push(began.elapsed().as_secs_f64());
        say(&format!("  {} s", digits(began.elapsed().as_secs_f64())));
        cluster.formed().await;
    }
    lab.settle(&cluster).await?;
    let time = median(times.iter().copied());
    Ok(Finding {
        measured: format!("{} s for {} records", digits(time), digits(held as f64)),
        runs: each(times),
        beside: String::new(),
        ratio: None,
        holds: Some(time <= 10.0 * held as f64 / 100_000.0),
        notes: vec!["from the start of its processes on".to_owned()],
    })
}

/// Takes a node's database away, with all that belongs to it.
fn forget(node: &Node) -> std::io::Result<()> {
    for file in std::fs::read_dir(node.directory())? {
        let file = file?;
        if file.file_name().as_encoded_bytes().starts_with(b"store.") {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Waits until a store holds so many records.
async fn holds(
    cluster: &Cluster,
    place: usize,
    records: u64,
    began: Instant,
) -> Result<(), String> {
    loop {
        let seen = match Stores::of(cluster).await {
            Ok(stores) => stores.describe(place).await.map(|said| said.records),
            Err(starting) => Err(starting),
        };
        if seen.as_ref().is_ok_and(|seen| *seen >= records) {
            return Ok(());
        }
        if began.elapsed() > REPAIR {
            return Err(format!("{seen:?} of {records} records came"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Row 14: all four processes of a node are killed while 200 writes a second go through the other two gateways. When do both
/// call it DOWN, and until when did a write fail or take longer than 100 ms?
pub(super) async fn kill(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    let (mut downs, mut failed, mut disturbed, mut slowest) =
        (Vec::new(), 0, Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        lab.settle(&cluster).await?;
        let targets = gateways(&cluster)[..NODES - 1].to_vec();
        let work = Writes {
            claims: Arc::clone(&lab.claims),
            gateways: targets.len(),
        };
        let writes = load::paced(clients(TAKING_TURNS, &targets, work), RATE, WATCH);
        let (seen, down) = tokio::join!(writes, killed(lab, &cluster));
        let (down, killed_at) = down?;
        // The load counts from one second after its start, the kill from the start of both.
        let from = killed_at.saturating_sub(Duration::from_secs(1));
        let after = seen.told.iter().filter(|told| told.at > from);
        let last = after
            .map(|told| (told.at - from).as_secs_f64())
            .fold(0.0, f64::max);
        let longest = seen.times.max() as f64 / 1_000.0;
        say(&format!(
            "  DOWN after {} s; {} calls failed, slowest {} ms, disturbed for {} s",
            digits(down.as_secs_f64()),
            seen.failures(),
            digits(longest),
            digits(last)
        ));
        downs.push(down.as_secs_f64());
        failed += seen.failures();
        disturbed.push(last);
        slowest.push(longest);
        cluster.nodes[NODES - 1].start();
        cluster.formed().await;
    }
    let down = median(downs.iter().copied());
    Ok(Finding {
        measured: format!(
            "DOWN after {} s; {failed} writes failed, the slowest took {} ms, none over 100 ms later than {} s after the kill",
            digits(down),
            digits(median(slowest)),
            digits(median(disturbed.iter().copied()))
        ),
        runs: format!("{}; {} s", each(downs), each(disturbed)),
        beside: String::new(),
        ratio: None,
        holds: Some(failed == 0 && down <= 5.0),
        notes: Vec::new(),
    })
}

/// Kills the last node after a while; how long until both others call it DOWN, and when it was killed.
async fn killed(lab: &Lab, cluster: &Cluster) -> Result<(Duration, Duration), String> {
    let start = Instant::now();
    tokio::time::sleep(KILL_AFTER).await;
    let victim = &cluster.nodes[NODES - 1];
    victim.kill();
    let (began, killed_at) = (Instant::now(), start.elapsed());
    for node in &cluster.nodes[..NODES - 1] {
        loop {
            let seen = statuses(&lab.http, node).await?;
            if seen
                .iter()
                .any(|(name, status)| *name == victim.name && status == "DOWN")
            {
                break;
            }
            if began.elapsed() > FORMATION {
                return Err(format!("{} still sees {seen:?}", node.name));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok((began.elapsed(), killed_at))
}
