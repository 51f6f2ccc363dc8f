//! Disks that fail.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::history::{Line, Write, now_ms};
use crate::lab::poll;
use crate::nemesis;
use crate::run::{PATIENCE, Run};

use super::{HOLD, NOTICED_MS, Within};

/// How often a sync fails.
const SYNC_FAILURES: i32 = 5;

/// How long a store may take to write something, with eight clients.
const NEXT_SYNC: Duration = Duration::from_secs(20);

pub(super) async fn others_take_over(run: &mut Run, fault: &nemesis::Fault) -> Result<(), String> {
    let fault = run.suffer(fault, HOLD, true).await?;
    let within = Within::fault(run, &fault, NOTICED_MS)?;
    within.each_write(run, "acknowledged", Write::acknowledged);
    within.each_read(run, "answered", |read| read.status == 200);
    Ok(())
}

pub(super) async fn sync_fails(run: &mut Run) -> Result<(), String> {
    for failure in 1..=SYNC_FAILURES {
        let fault = nemesis::Fault::SyncFails(2);
        let begun = run.begin(&fault).await?;
        poll("no sync fails", NEXT_SYNC, || async {
            let failed = run.lab.controls[1].syncs_failed()?;
            (failed >= failure)
                .then_some(())
                .ok_or_else(|| format!("{failed} have failed"))
        })
        .await?;
        run.lab.hold(Duration::from_secs(1)).await;
        run.end(&fault, begun, true).await?;
    }
    Ok(())
}

pub(super) async fn byte_flipped(run: &mut Run) -> Result<(), String> {
    run.write_many(1, 1_000).await;
    run.lab.whole(PATIENCE).await?;
    // Ended in order, the store leaves everything in the database and nothing in the log beside it.
    let node = 2;
    run.lab.cluster.node(node).signal(Signal::TERM);
    run.lab.cluster.node(node).wait(PATIENCE);
    let flipped = flip(run, node)?;
    crate::say(&format!(
        "  a byte of {} on node{node} is flipped",
        flipped.id
    ));
    run.lab.cluster.node(node).start();
    run.lab.ready(node, PATIENCE).await?;
    let began = now_ms();
    run.lab.whole(PATIENCE).await?;
    // Nobody may be shown the wrong bytes meanwhile; that it is mended the checker sees in the end.
    let gateways: Vec<_> = run.lab.numbers().map(|node| run.gateway(node)).collect();
    // Unasked it comes within a day.
    let url = format!("{}/cluster/scrub?node=node{node}", gateways[0].admin);
    let begun = e2e::http::Http::new().post(&url, "").await?;
    if begun.status != 200 {
        return Err(begun.text());
    }
    poll("the damage is not found", PATIENCE, || async {
        let scrub = scrub(&gateways, node).await?;
        (scrub["found_rows"] == 1 && scrub["quarantined"] == 0)
            .then_some(())
            .ok_or_else(|| scrub.to_string())
    })
    .await?;
    poll("the record is not mended", PATIENCE, || async {
        let holders = replicas(&gateways, &flipped.id).await?;
        (holders >= 2)
            .then_some(())
            .ok_or_else(|| format!("{holders} hold it"))
    })
    .await?;
    let took = now_ms() - began;
    crate::say(&format!(
        "  found, and held by two again {took} ms after the start"
    ));
    Ok(())
}

/// How the scrub of a node stands, as the first one says.
async fn scrub(gateways: &[crate::lab::Gateway], node: usize) -> Result<Value, String> {
    let url = format!("{}/cluster/scrub", gateways[0].admin);
    let said = e2e::http::Http::new().get(&url).await?.json();
    let mut nodes = said["nodes"].as_array().into_iter().flatten();
    let found = nodes.find(|said| said["id"] == format!("node{node}"));
    found.cloned().ok_or_else(|| said.to_string())
}

/// Nodes that say they hold a record.
async fn replicas(gateways: &[crate::lab::Gateway], id: &str) -> Result<usize, String> {
    let http = e2e::http::Http::new();
    let url = format!("{}/v1/records/{id}/replicas", gateways[0].api);
    let reply = http.get(&url).await?;
    let holders = reply.json()["result"]["replicas"].as_array().map(Vec::len);
    holders.ok_or_else(|| reply.text())
}

/// Changes a letter in an acknowledged claim that a node holds; which claim it is.
fn flip(run: &Run, node: usize) -> Result<Write, String> {
    let path = run.lab.database(node);
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = crate::history::read(run.written())?;
    let claims = lines.into_iter().filter_map(|line| match line {
        Line::Write(write) if write.acknowledged() && write.record == "assertion" => Some(write),
        _ => None,
    });
    for claim in claims {
        // The closing quote too, or number 1 would be found in number 10.
        let wanted = format!("\"note\":\"{}\"", claim.note);
        // A page that was split keeps a copy that is not used.
        let found = bytes
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, window)| *window == wanted.as_bytes());
        let found: Vec<usize> = found.map(|(at, _)| at + wanted.len() - 2).collect();
        if found.is_empty() {
            continue;
        }
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(|error| error.to_string())?;
        for at in found {
            file.write_all_at(&[bytes[at] ^ 1], at as u64)
                .map_err(|error| error.to_string())?;
        }
        file.sync_all().map_err(|error| error.to_string())?;
        return Ok(claim);
    }
    Err(format!("no claim is found in {}", path.display()))
}
