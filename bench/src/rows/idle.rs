//! What a cluster costs that nobody asks anything: rows 16, 17 and 20.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::node::SERVICES;

use crate::figures::{digits, each, median};
use crate::lab::{Lab, NODES};
use crate::rows::{Finding, Used};
use crate::stores::Stores;
use crate::{cpu, say};

/// Before idle is looked at, and for how long.
const CALM: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(10);

/// Largest resident memory of each service over the nodes, in MiB.
fn resident(cluster: &Cluster) -> [f64; 4] {
    SERVICES.map(|service| {
        let of = |pid| cpu::resident_mib(pid).unwrap_or(0.0);
        let sizes = cluster
            .nodes
            .iter()
            .filter_map(|node| node.pid(service))
            .map(of);
        sizes.fold(0.0, f64::max)
    })
}

/// Row 16: resident memory of each process after the import, the largest of the three nodes.
pub(super) async fn memory(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    lab.settle(&cluster).await?;
    tokio::time::sleep(CALM).await;
    let [gateway, store, membership, antientropy] = resident(&cluster);
    let held = Stores::of(&cluster).await?.describe(0).await?.records;
    Ok(Finding {
        measured: format!(
            "gateway {gateway:.0}, membership {membership:.0}, antientropy {antientropy:.0} / store {store:.0} MiB"
        ),
        runs: "the largest of three nodes".to_owned(),
        beside: format!("{} records in each store", digits(held as f64)),
        ratio: None,
        holds: Some(
            [gateway, membership, antientropy]
                .iter()
                .all(|mib| *mib <= 32.0)
                && store <= 128.0,
        ),
        notes: vec!["resident, after the import and before any query".to_owned()],
    })
}

/// Row 17: CPU time of all twelve processes over 10 s without a client.
pub(super) async fn cpu(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    lab.settle(&cluster).await?;
    tokio::time::sleep(CALM).await;
    let mut runs = Vec::new();
    let mut shares = [0.0; 4];
    for _ in 0..lab.runs {
        let (before, began) = (Used::by(&cluster), Instant::now());
        tokio::time::sleep(LOOK).await;
        let seconds = began.elapsed().as_secs_f64();
        shares = Used::by(&cluster)
            .since(before)
            .0
            .map(|used| used.as_secs_f64() / seconds * 100.0);
        runs.push(shares.iter().sum::<f64>());
    }
    let total = median(runs.iter().copied());
    let parts = SERVICES
        .iter()
        .zip(shares)
        .map(|(name, share)| format!("{name} {share:.1}"));
    let parts: Vec<String> = parts.collect();
    Ok(Finding {
        measured: format!("{} % of one core", digits(total)),
        runs: each(runs),
        beside: format!("last run, three processes each: {}", parts.join(", ")),
        ratio: None,
        holds: Some(total <= 3.0),
        notes: Vec::new(),
    })
}

/// Row 20: bytes of all database files of three nodes, logs of SQLite included, against two copies of the canonical bytes.
pub(super) async fn disk(lab: &mut Lab) -> Result<Finding, String> {
    let cluster = lab.loaded().await?;
    lab.settle(&cluster).await?;
    tokio::time::sleep(CALM).await;
    let stores = Stores::of(&cluster).await?;
    let mut records = 0;
    for place in 0..NODES {
        records += stores.describe(place).await?.records;
    }
    let (mut files, mut logs) = (0, 0);
    for node in &cluster.nodes {
        let (data, wal) = size(node.directory())?;
        files += data;
        logs += wal;
    }
    let canonical: usize = lab
        .claims
        .records()?
        .iter()
        .map(|record| record.canonical().len())
        .sum();
    let canonical = 2.0 * canonical as f64;
    let ratio = (files + logs) as f64 / canonical;
    say(&format!(
        "  {records} rows, {files} + {logs} bytes, {canonical} canonical"
    ));
    Ok(Finding {
        measured: format!(
            "{} ({} B a row, {} canonical)",
            digits(ratio),
            digits((files + logs) as f64 / records.max(1) as f64),
            digits(canonical / records.max(1) as f64)
        ),
        runs: "one import".to_owned(),
        beside: format!(
            "without the write-ahead logs {}",
            digits(files as f64 / canonical)
        ),
        ratio: None,
        holds: Some(ratio <= 1.8),
        notes: Vec::new(),
    })
}

/// Bytes of the files of a node's data, and those of the write-ahead logs. What the services print is not data.
fn size(directory: &Path) -> Result<(u64, u64), String> {
    let (mut files, mut logs) = (0, 0);
    for entry in fs::read_dir(directory)
        .map_err(|error| error.to_string())?
        .flatten()
    {
        let Some(file) = entry.metadata().ok().filter(fs::Metadata::is_file) else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with("-wal") || name.ends_with("-shm") {
            logs += file.len();
        } else {
            files += file.len();
        }
    }
    Ok((files, logs))
}
