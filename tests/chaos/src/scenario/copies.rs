//! Nodes that hold the copies die.

use std::time::Duration;

use crate::checker::DISK_REPLACED;
use crate::history::{Fault, Line, now_ms};
use crate::nemesis;
use crate::run::{PATIENCE, Run};

use super::{HOLD, PROOF_MS, REBALANCE_DELAY, Within};

/// Enough that copying them takes seconds at the rate that the scenario sets.
const RECORDS: usize = 4_000;

/// Longer than a proof counts.
const PAST_PROOFS: Duration = Duration::from_secs(18);

/// How long it may take until all others call a killed node DOWN.
const DOWN: Duration = Duration::from_secs(5);

/// How long a node with an empty disk may take to serve.
const READY: Duration = Duration::from_secs(60);

pub(super) async fn owner_dies_mid_copy(run: &mut Run) -> Result<(), String> {
    run.write_many(1, RECORDS).await;
    run.lab.whole(PATIENCE).await?;
    let mut replaced = Fault {
        name: DISK_REPLACED.to_owned(),
        detail: "node2".to_owned(),
        at: now_ms(),
        ..Fault::default()
    };
    run.lab.kill(2);
    run.lab.replace_disk(2)?;
    run.lab.bring_back();
    run.lab.ready(2, READY).await?;
    if run.lab.equal().await.is_ok() {
        let late = "the copy was over before its source could be killed";
        run.complaints.push(late.to_owned());
    }
    let killed = nemesis::Fault::KillNode(1);
    let begun = run.begin(&killed).await?;
    run.lab.hold(HOLD).await;
    run.end(&killed, begun, true).await?;
    replaced.healed = now_ms();
    run.workload.shared().record(&Line::Fault(replaced));
    Ok(())
}

pub(super) async fn node_killed(run: &mut Run) -> Result<(), String> {
    run.write_many(1, RECORDS / 4).await;
    run.lab.whole(PATIENCE).await?;
    let killed = nemesis::Fault::KillNode(3);
    let begun = run.begin(&killed).await?;
    let noticed = run.lab.down(3, PATIENCE).await?;
    run.lab.hold(REBALANCE_DELAY).await;
    let copied = run.lab.copied(PATIENCE).await?;
    crate::say(&format!(
        "  DOWN everywhere after {} ms; every record on two nodes {} ms past the delay",
        noticed.as_millis(),
        copied.as_millis()
    ));
    if noticed > DOWN {
        run.complaints
            .push(format!("DOWN only after {noticed:?}, not within {DOWN:?}"));
    }
    run.lab.hold(HOLD / 4).await;
    let fault = run.end(&killed, begun, true).await?;
    let within = Within::fault(run, &fault, 0)?;
    within.each_write(run, "taken with one retry", |write| {
        write.acknowledged() || write.accepted()
    });
    within.each_read(run, "answered with one retry", |read| read.status == 200);
    Ok(())
}

pub(super) async fn both_copies_down(run: &mut Run) -> Result<(), String> {
    run.write_many(1, RECORDS / 4).await;
    run.lab.whole(PATIENCE).await?;
    let fault = run
        .suffer(&nemesis::Fault::KillTwo(1, 2), PAST_PROOFS, true)
        .await?;
    let within = Within::fault(run, &fault, PROOF_MS)?;
    within.each_read(run, "incomplete or refused while both are down", |read| {
        !read.complete
    });
    // Whole again when both are back.
    run.lab.hold(Duration::from_secs(3)).await;
    let after = Within::time(run, fault.equal + 2_000, now_ms())?;
    after.each_read(run, "complete again", |read| read.complete);
    Ok(())
}

pub(super) async fn two_killed(run: &mut Run) -> Result<(), String> {
    run.lab.whole(PATIENCE).await?;
    let fault = run
        .suffer(&nemesis::Fault::KillTwo(1, 3), PAST_PROOFS, true)
        .await?;
    // Two of three calls go to nobody, once in three twice.
    let survivor = |gateways: &[String]| gateways.last().is_some_and(|last| last == "node2");
    let mut within = Within::fault(run, &fault, 500)?;
    within.writes.retain(|write| survivor(&write.gateways));
    within.each_write(run, "accepted with one copy by the survivor", |write| {
        write.status == 202 && write.copies == 1
    });
    let mut within = Within::fault(run, &fault, PROOF_MS)?;
    within.reads.retain(|read| survivor(&read.gateways));
    within.each_read(run, "answered as incomplete by the survivor", |read| {
        read.status == 200 && !read.complete
    });
    Ok(())
}
