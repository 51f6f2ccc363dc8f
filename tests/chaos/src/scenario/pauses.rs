//! Time that passes wrongly: pauses, restarts, clocks.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;

use crate::client::{Client, Question};
use crate::history::{Line, Write, now_ms};
use crate::nemesis;
use crate::records;
use crate::run::{PATIENCE, Run, SCENARIO};

use super::unmoved::Placed;
use super::{HOLD, NOTICED_MS, PROOF_MS, Within};

/// How long the owner stands still.
const MINUTE: Duration = Duration::from_secs(60);

/// Questions that wait at it.
const QUEUED: u64 = 40;

/// Longer than any pause here.
const LONG: Duration = Duration::from_secs(100);

/// Writes that a gateway is stopped in the middle of, how far apart, and when it is.
const CAUGHT: u64 = 60;
const APART: Duration = Duration::from_millis(5);
const STOPPED_AT: u64 = 30;

pub(super) async fn owner_paused(run: &mut Run) -> Result<(), String> {
    run.write_many(1, 1_000).await;
    run.lab.whole(PATIENCE).await?;
    let fault = nemesis::Fault::PauseNode(2);
    let begun = run.begin(&fault).await?;
    let (client, gateway) = (Client::new(SCENARIO, LONG), [run.gateway(2)]);
    let questions = (0..QUEUED).map(|number| {
        let (client, gateway) = (client.clone(), gateway.clone());
        let question = Question {
            subject: records::subject(number),
            predicate: String::new(),
            lens: String::new(),
        };
        tokio::spawn(async move { client.read(&gateway, &question).await })
    });
    let questions: Vec<_> = questions.collect();
    run.lab.hold(MINUTE).await;
    run.end(&fault, begun, false).await?;
    for answer in join_all(questions).await {
        let read = answer.map_err(|error| error.to_string())?;
        if read.complete && read.proved_through + PROOF_MS < read.end {
            run.complaints
                .push(format!("complete by a proof that is too old: {read:?}"));
        }
        if read.status != 200 && read.status < 500 {
            run.complaints.push(format!("queued and lost: {read:?}"));
        }
        run.workload.shared().record(&Line::Read(read));
    }
    run.lab.whole(PATIENCE).await.map(drop)
}

pub(super) async fn gateway_paused(run: &mut Run) -> Result<(), String> {
    run.lab.whole(PATIENCE).await?;
    let (client, gateway) = (Client::new(SCENARIO, LONG), [run.gateway(1)]);
    let fault = nemesis::Fault::PauseService(1, "gateway");
    let mut begun = None;
    let mut ticks = tokio::time::interval(APART);
    let mut writes = Vec::new();
    for number in 0..CAUGHT {
        ticks.tick().await;
        if number == STOPPED_AT {
            begun = Some(run.begin(&fault).await?);
        }
        let claim = records::claim(run.workload.shared().number(), now_ms());
        let (client, gateway) = (client.clone(), gateway.clone());
        writes.push(tokio::spawn(
            async move { client.write(&gateway, &claim).await },
        ));
    }
    run.lab.hold(HOLD).await;
    run.lab.cluster.node(1).signal_one("gateway", Signal::CONT);
    let other = run.gateway(3);
    let mut late = 0;
    for write in join_all(writes).await {
        let write: Write = write.map_err(|error| error.to_string())?;
        let took = write.end - write.at;
        if write.acknowledged() && u128::from(took) > HOLD.as_millis() / 2 {
            late += 1;
            let other = std::slice::from_ref(&other);
            let said = client.replicas(other, &write.id).await?;
            let said = said.unwrap_or_default();
            let replicas = said["replicas"].as_array();
            let nodes: BTreeSet<&str> = replicas
                .into_iter()
                .flatten()
                .filter_map(|replica| replica["node"].as_str())
                .collect();
            if nodes.len() < 2 {
                run.complaints
                    .push(format!("a late 201 with copies at {nodes:?}: {write:?}"));
            }
        }
        run.workload.shared().record(&Line::Write(write));
    }
    crate::say(&format!("  {late} late acknowledgements"));
    if late == 0 {
        run.complaints
            .push("no acknowledgement was late".to_owned());
    }
    let begun = begun.ok_or("the gateway was not stopped")?;
    run.end(&fault, begun, true).await.map(drop)
}

pub(super) async fn clock_back(run: &mut Run) -> Result<(), String> {
    let fault = nemesis::Fault::ClockBack(2);
    let begun = run.begin(&fault).await?;
    run.lab.hold(HOLD).await;
    // Replication goes on, and is seen to, while the clock is wrong.
    run.lab.whole(PATIENCE).await?;
    let fault = run.end(&fault, begun, true).await?;
    let within = Within::fault(run, &fault, 0)?;
    within.each_write(run, "acknowledged", Write::acknowledged);
    within.each_read(run, "answered", |read| read.status == 200);
    Ok(())
}

pub(super) async fn rolling_restart(run: &mut Run) -> Result<(), String> {
    run.write_many(1, 1_000).await;
    run.lab.whole(PATIENCE).await?;
    let placed = Placed::now(run).await?;
    let rolling = nemesis::Fault::Rolling;
    let fault = run.suffer(&rolling, Duration::ZERO, true).await?;
    // Until well after the last node: what goes wrong when it is back counts too.
    run.lab.hold(Duration::from_millis(NOTICED_MS)).await;
    let within = Within::time(run, fault.at, now_ms())?;
    within.each_write(run, "taken with one retry", |write| {
        write.acknowledged() || write.accepted()
    });
    within.each_read(run, "answered with one retry", |read| read.status == 200);
    placed.unmoved(run).await
}
