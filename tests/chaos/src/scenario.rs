//! Faults that the design calls for by name, each with what it has to look like meanwhile.

use std::time::Duration;

use crate::history::{self, Fault, Line, Read, Write};
use crate::nemesis;
use crate::run::{Outcome, Run};

mod copies;
mod disks;
mod pauses;
mod splits;
mod unmoved;

/// Names, and what happens.
pub const ALL: [(&str, &str); 16] = [
    (
        "node-killed",
        "one node is killed: no call fails twice, and past the delay every record is on two nodes again",
    ),
    (
        "owner-dies-mid-copy",
        "a node gets an empty disk, and the only complete owner dies while it copies",
    ),
    (
        "both-copies-down",
        "both nodes that hold a record are down, and come back",
    ),
    (
        "owner-paused",
        "a node stands still for a minute with questions queued at it",
    ),
    (
        "gateway-paused",
        "a gateway stands still in the middle of writes: its late 201 is true",
    ),
    (
        "cut-between-two",
        "only A and B are cut, C sees both: every write is acknowledged, stand-ins come home",
    ),
    (
        "partition-heals",
        "10,000 records differ after a partition: equal again within 5 s",
    ),
    (
        "disk-full",
        "no space is left on one node: others take over",
    ),
    (
        "disk-read-only",
        "a node's file system fails and cannot be written: others take over",
    ),
    (
        "sync-fails",
        "fsync fails and the unsynced pages are gone, again and again: every 201 is there",
    ),
    (
        "clock-back",
        "a node's wall clock is set back: nothing but stamps depends on it",
    ),
    (
        "byte-flipped",
        "a byte of a record changes on disk: found, and fetched from another node",
    ),
    (
        "rolling-restart",
        "nodes restart one by one: no call fails twice, no record moves",
    ),
    (
        "one-way-cut",
        "one node hears another that does not hear it: every write is taken",
    ),
    (
        "two-killed",
        "two of three are killed: the survivor takes writes and says what it does not know",
    ),
    (
        "new-addresses",
        "all nodes come back with other addresses: one cluster within 15 s, no record moves",
    ),
];

/// How long most faults last.
const HOLD: Duration = Duration::from_secs(12);

/// How long a dead node keeps its shards, in the scenario that waits for that.
const REBALANCE_DELAY: Duration = Duration::from_secs(6);

/// What a cluster may take to notice a fault, before calls are held to what is promised.
const NOTICED_MS: u64 = 3_000;

/// A proof counts for ten seconds; after that and a little, nothing may rest on it.
const PROOF_MS: u64 = 11_500;

/// The scenarios that these names mean.
///
/// # Errors
/// When there is none of that name.
pub fn named(names: &[String]) -> Result<Vec<&'static str>, String> {
    if names.iter().any(|name| name == "all") {
        return Ok(ALL.iter().map(|(name, _)| *name).collect());
    }
    let find = |name: &String| {
        let found = ALL.iter().find(|(known, _)| known == name);
        found
            .map(|(known, _)| *known)
            .ok_or_else(|| format!("there is no scenario {name}; --list names them"))
    };
    names.iter().map(find).collect()
}

/// Settings that a scenario needs on all nodes.
pub fn settings(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        // A copy that takes long enough to be in the middle of.
        "owner-dies-mid-copy" => &[("STEMEDB_REPAIR_BYTES_PER_S", "150000")],
        // Long enough that something is kept, short enough to see it go.
        "cut-between-two" => &[("STEMEDB_HOLD_S", "5")],
        "node-killed" => &[("STEMEDB_REBALANCE_DELAY_S", "6")],
        _ => &[],
    }
}

/// Plays a scenario and judges it. What goes wrong on the way is a complaint; the end is judged all the same.
///
/// # Errors
/// When the judgement itself fails.
pub async fn play(name: &str, mut run: Run) -> Result<Outcome, String> {
    let played = match name {
        "owner-dies-mid-copy" => copies::owner_dies_mid_copy(&mut run).await,
        "both-copies-down" => copies::both_copies_down(&mut run).await,
        "node-killed" => copies::node_killed(&mut run).await,
        "two-killed" => copies::two_killed(&mut run).await,
        "byte-flipped" => disks::byte_flipped(&mut run).await,
        "disk-full" => disks::others_take_over(&mut run, &nemesis::Fault::DiskFull(2)).await,
        "disk-read-only" => {
            disks::others_take_over(&mut run, &nemesis::Fault::DiskReadOnly(2)).await
        }
        "sync-fails" => disks::sync_fails(&mut run).await,
        "owner-paused" => pauses::owner_paused(&mut run).await,
        "gateway-paused" => pauses::gateway_paused(&mut run).await,
        "clock-back" => pauses::clock_back(&mut run).await,
        "rolling-restart" => pauses::rolling_restart(&mut run).await,
        "cut-between-two" => splits::cut_between_two(&mut run).await,
        "partition-heals" => splits::partition_heals(&mut run).await,
        "one-way-cut" => splits::one_way_cut(&mut run).await,
        "new-addresses" => splits::new_addresses(&mut run).await,
        _ => Err(format!("there is no scenario {name}")),
    };
    if let Err(why) = played {
        run.complaints.push(why);
    }
    run.finish().await
}

/// What was written and asked within a time: begun after the one moment, ended before the other.
struct Within {
    writes: Vec<Write>,
    reads: Vec<Read>,
}

impl Within {
    /// From so long after a fault began until it was healed.
    fn fault(run: &Run, fault: &Fault, after_ms: u64) -> Result<Within, String> {
        Within::time(run, fault.at + after_ms, fault.healed)
    }

    fn time(run: &Run, from: u64, to: u64) -> Result<Within, String> {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for line in history::read(run.written())? {
            match line {
                Line::Write(write) if write.at >= from && write.end <= to => writes.push(write),
                Line::Read(read) if read.at >= from && read.end <= to => reads.push(read),
                _ => {}
            }
        }
        Ok(Within { writes, reads })
    }

    /// Complains of the first write that is not as it should be, and when there is none to look at.
    fn each_write(&self, run: &mut Run, what: &str, good: impl Fn(&Write) -> bool) {
        let bad: Vec<&Write> = self.writes.iter().filter(|write| !good(write)).collect();
        if let Some(first) = bad.first() {
            let (some, all) = (bad.len(), self.writes.len());
            run.complaints
                .push(format!("{some} of {all} writes not {what}: {first:?}"));
        }
        if self.writes.is_empty() {
            run.complaints.push(format!("no write to be {what}"));
        }
    }

    /// The same of answers.
    fn each_read(&self, run: &mut Run, what: &str, good: impl Fn(&Read) -> bool) {
        let bad: Vec<&Read> = self.reads.iter().filter(|read| !good(read)).collect();
        if let Some(first) = bad.first() {
            let (some, all) = (bad.len(), self.reads.len());
            run.complaints
                .push(format!("{some} of {all} answers not {what}: {first:?}"));
        }
        if self.reads.is_empty() {
            run.complaints.push(format!("no answer to be {what}"));
        }
    }
}
