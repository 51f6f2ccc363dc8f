//! Writes: rows 1 to 4.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, REPAIR};
use futures::future::try_join_all;

use crate::claims::{Claim, Claims};
use crate::connection::{Call, Connection, Work, clients};
use crate::figures::{self, Percentiles, digits, each, median, ms};
use crate::lab::{self, Lab, gateways};
use crate::load::{self, Seen};
use crate::peers::etcd::Puts;
use crate::peers::loopback::{Echo, Server, fsyncs};
use crate::peers::sqlite;
use crate::rows::{Finding, Used};
use crate::say;
use crate::stores::Stores;

/// Clients of row 2.
const CLIENTS: usize = 64;

/// Writes a second of row 1, and clients that take turns: enough that none is ever waited for.
const RATE: u32 = 500;
const TAKING_TURNS: usize = 32;

/// Records of row 4 in a run.
const READABLE: usize = 500;

/// One new claim after the other, through the gateways in turn.
pub(super) struct Writes {
    pub(super) claims: Arc<Claims>,
    pub(super) gateways: usize,
}

impl Work for Writes {
    fn call(&self, n: u64) -> Call {
        let target = usize::try_from(n).unwrap_or(0) % self.gateways;
        Call::post(target, "/v1/assert", self.claims.fresh())
    }

    fn good(&self, status: u16, _: &[u8]) -> bool {
        matches!(status, 200 | 201)
    }
}

/// Row 2: 64 clients, each with a write in hand at all times; etcd before it, run by run, with the same claims as values.
pub(super) async fn sustained(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.fresh().await;
    let etcd = lab.etcd().await;
    let targets = gateways(&cluster);
    let (mut ours, mut theirs, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    let mut beside = String::new();
    for run in 0..lab.runs {
        if let Ok(etcd) = &etcd {
            let first = run as u64 * 10_000_000;
            let puts = Puts {
                claims: Arc::clone(&lab.claims),
                members: etcd.members.len(),
                first,
            };
            let seen = load::closed(clients(CLIENTS, &etcd.members, puts), lab.length).await;
            say(&line("etcd", &seen));
            theirs.push(seen.rate());
            beside = format!("{} ({})", seen.percentiles(), etcd.version);
        }
        let work = Writes {
            claims: Arc::clone(&lab.claims),
            gateways: targets.len(),
        };
        let used = Used::by(&cluster);
        let seen = load::closed(clients(CLIENTS, &targets, work), lab.length).await;
        let used = Used::by(&cluster).since(used).for_each(seen.calls, "write");
        say(&format!("{}; {used}", line("stemedb", &seen)));
        notes.extend(seen.complaint());
        times.push(seen.percentiles());
        ours.push(seen.rate());
        if run == 0 {
            notes.push(format!(
                "clients: {:.0} % of one core",
                seen.client_share() * 100.0
            ));
            notes.push(used);
        }
        // What the writes left to do is done before the next run.
        lab.settle(&cluster).await?;
    }
    lab.end_etcd();
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
    let ratio = (!theirs.is_empty()).then(|| median(ratios));
    Ok(Finding {
        measured: format!(
            "{}/s; {}",
            digits(median(ours.iter().copied())),
            Percentiles::median(&times)
        ),
        runs: each(ours),
        beside: match etcd {
            Ok(_) => format!("etcd {}/s; {beside}", each(theirs)),
            Err(why) => why,
        },
        ratio: ratio.map(|ratio| format!("{} ×", digits(ratio))),
        holds: ratio.map(|ratio| ratio >= 1.0),
        notes,
    })
}

fn line(name: &str, seen: &Seen) -> String {
    let complaint = seen.complaint().unwrap_or_default();
    let client = seen.client_share() * 100.0;
    format!(
        "  {name}: {}/s; {}; clients {client:.0} % of one core {complaint}",
        digits(seen.rate()),
        seen.percentiles()
    )
}

/// Row 1: 500 writes a second, each due at its own moment. Beside it, run by run: fsync alone, an HTTP echo at the same rate,
/// and an HTTP echo that writes and syncs its body before it answers, which is one fsync and one round trip.
pub(super) async fn single(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.any().await;
    let targets = gateways(&cluster);
    let bodies = lab.claims.lines()[..1_000].to_vec();
    let mut ratios = Vec::new();
    let (mut times, mut raws, mut echoes, mut syncs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    for _ in 0..lab.runs {
        let directory = cluster.directory().to_owned();
        let body = bodies[0].clone();
        let synced = tokio::task::spawn_blocking(move || fsyncs(&directory, &body, 1_000));
        let synced = synced.await.map_err(|error| error.to_string())??;
        syncs.push(Percentiles::of(&synced));
        echoes.push(echo(&Server::start(None)?, &bodies, lab.length).await);
        raws.push(
            echo(
                &Server::start(Some(cluster.directory()))?,
                &bodies,
                lab.length,
            )
            .await,
        );
        let work = Writes {
            claims: Arc::clone(&lab.claims),
            gateways: targets.len(),
        };
        let seen = load::paced(clients(TAKING_TURNS, &targets, work), RATE, lab.length).await;
        notes.extend(seen.complaint());
        times.push(seen.percentiles());
        let raw = raws.last().map_or(0.0, |raw| raw.p99);
        ratios.push(seen.percentiles().p99 / raw);
    }
    let ratio = median(ratios);
    Ok(Finding {
        measured: Percentiles::median(&times).to_string(),
        runs: format!("p99 {}", each(times.iter().map(|run| run.p99))),
        beside: format!(
            "echo with fsync: {}; echo: {}; fsync: {}",
            Percentiles::median(&raws),
            Percentiles::median(&echoes),
            Percentiles::median(&syncs)
        ),
        ratio: Some(format!("{} ×", digits(ratio))),
        holds: Some(ratio <= 3.0),
        notes,
    })
}

async fn echo(server: &Server, bodies: &[bytes::Bytes], length: Duration) -> Percentiles {
    let targets = [server.authority.clone()];
    let work = Echo(bodies.to_vec());
    load::paced(clients(TAKING_TURNS, &targets, work), RATE, length)
        .await
        .percentiles()
}

/// Row 3: the whole file as NDJSON, 2,000 lines a request, two requests at a time for each gateway, as `stemedb import` sends
/// it. Before it, run by run, the same rows into one SQLite file by one process that does nothing else.
pub(super) async fn import(lab: &mut Lab) -> Result<Finding, String> {
    let records = Arc::new(lab.claims.records()?);
    let count = records.len() as f64;
    let (mut ours, mut raws, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        lab.clear();
        let rows = Arc::clone(&records);
        let raw = tokio::task::spawn_blocking(move || {
            let directory = e2e::place::make();
            sqlite::insert(directory.path(), &rows)
        });
        let raw = raw.await.map_err(|error| error.to_string())??;
        raws.push(count / raw.as_secs_f64());
        let cluster = lab.fresh().await;
        let used = Used::by(&cluster);
        let took = lab.load(&cluster).await?;
        let used = Used::by(&cluster)
            .since(used)
            .for_each(records.len() as u64, "claim");
        ours.push(count / took.as_secs_f64());
        say(&format!(
            "  stemedb {}/s, raw SQLite {}/s; {used}",
            digits(count / took.as_secs_f64()),
            digits(count / raw.as_secs_f64())
        ));
        notes = vec![used];
    }
    let ratio = median(ours.iter().zip(&raws).map(|(ours, raw)| ours / raw));
    Ok(Finding {
        measured: format!("{} claims/s", digits(median(ours.iter().copied()))),
        runs: each(ours),
        beside: format!(
            "raw SQLite, one process, one file, batches of 1,000: {}/s",
            each(raws)
        ),
        ratio: Some(format!("{:.0} %", ratio * 100.0)),
        holds: Some(ratio >= 0.25),
        notes,
    })
}

/// Row 4: after each acknowledgement every owner's store is asked for the record until it has it; time from before the write.
/// Then one store is killed, claims that it owns are written, and it comes back: time from when it serves until it has all.
pub(super) async fn readable(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.any().await;
    let stores = Stores::of(&cluster).await?;
    let (mut acks, mut times, mut at_once) = (Vec::new(), Vec::new(), 0);
    let mut backs = Vec::new();
    for _ in 0..lab.runs {
        let (ack, all, first) = written(lab, &cluster, &stores).await?;
        acks.push(ack);
        times.push(all);
        at_once += first;
        backs.push(handed_over(lab, &cluster, &stores).await?.as_secs_f64());
    }
    let writes = lab.runs * READABLE;
    let back = median(backs.iter().copied());
    Ok(Finding {
        measured: format!(
            "{at_once} of {writes} on all owners at the first look after the ack; {}; after an owner is back {} s",
            Percentiles::median(&times),
            digits(back)
        ),
        runs: format!(
            "p99 {}; back {} s",
            each(times.iter().map(|run| run.p99)),
            each(backs)
        ),
        beside: format!("the ack alone: {}", Percentiles::median(&acks)),
        ratio: None,
        holds: Some(at_once == writes && back <= 1.5),
        notes: Vec::new(),
    })
}

/// Times of the ack and until every owner has it, and how many had it at the first look.
async fn written(
    lab: &Lab,
    cluster: &Cluster,
    stores: &Stores,
) -> Result<(Percentiles, Percentiles, usize), String> {
    let targets = gateways(cluster);
    let mut connections: Vec<Connection> = targets
        .iter()
        .map(|target| Connection::new(target))
        .collect();
    let (mut acks, mut all, mut at_once) = (figures::histogram(), figures::histogram(), 0);
    for n in 0..READABLE {
        let claim = lab.claims.fresh_claim()?;
        let began = Instant::now();
        let target = n % targets.len();
        let reply = connections[target]
            .call(Call::post(target, "/v1/assert", claim.line))
            .await?;
        if reply.0 != 201 {
            return Err(format!("{} {}", reply.0, String::from_utf8_lossy(&reply.1)));
        }
        figures::record(&mut acks, began.elapsed());
        let id = [claim.record.id()];
        let owners = stores.owners(claim.record.topic().1);
        let mut looks = 0;
        loop {
            looks += 1;
            let held = try_join_all(owners.iter().map(|owner| stores.held(*owner, &id))).await?;
            if held.iter().sum::<usize>() == owners.len() {
                break;
            }
            if began.elapsed() > REPAIR {
                return Err(format!("a record is not on all its owners: {held:?}"));
            }
        }
        at_once += usize::from(looks == 1);
        figures::record(&mut all, began.elapsed());
    }
    Ok((Percentiles::of(&acks), Percentiles::of(&all), at_once))
}

async fn handed_over(lab: &Lab, cluster: &Cluster, stores: &Stores) -> Result<Duration, String> {
    let away = lab::NODES - 1;
    let node = &cluster.nodes[away];
    let claims: Vec<Claim> = std::iter::repeat_with(|| lab.claims.fresh_claim())
        .filter(|claim| {
            claim.as_ref().map_or(true, |claim| {
                stores.owners(claim.record.topic().1).contains(&away)
            })
        })
        .take(READABLE)
        .collect::<Result<_, _>>()?;
    node.kill_one("store");
    let lines: Vec<bytes::Bytes> = claims.iter().map(|claim| claim.line.clone()).collect();
    lab::import_through(&gateways(cluster)[..away], &lines).await?;
    let ids: Vec<_> = claims.iter().map(|claim| claim.record.id()).collect();
    node.start_one("store");
    let served = serving(stores, away).await?;
    loop {
        let held = stores.held(away, &ids).await.unwrap_or(0);
        if held == ids.len() {
            let took = served.elapsed();
            say(&format!(
                "  {} records home {} ms after the store serves",
                ids.len(),
                digits(ms(took))
            ));
            lab.settle(cluster).await?;
            return Ok(took);
        }
        if served.elapsed() > REPAIR {
            return Err(format!(
                "{held} of {} came home in {} s",
                ids.len(),
                REPAIR.as_secs()
            ));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a store serves; the moment.
async fn serving(stores: &Stores, place: usize) -> Result<Instant, String> {
    let began = Instant::now();
    loop {
        match stores.describe(place).await {
            Ok(said) if said.serving => return Ok(Instant::now()),
            said if began.elapsed() > REPAIR => {
                return Err(format!("a store does not come back: {said:?}"));
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
