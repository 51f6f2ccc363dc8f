//! Networks that fall apart.

use std::time::Duration;

use crate::history::Write;
use crate::nemesis;
use crate::run::{PATIENCE, Run, SCENARIO};

use super::unmoved::Placed;
use super::{HOLD, NOTICED_MS, Within};

/// Records that each side of a partition writes.
const EACH_SIDE: usize = 5_000;

/// What healing them may take.
const HEALED: Duration = Duration::from_secs(5);

/// What it may take until all know each other by their new addresses.
const MET: Duration = Duration::from_secs(15);

pub(super) async fn cut_between_two(run: &mut Run) -> Result<(), String> {
    let fault = run.suffer(&nemesis::Fault::Cut(1, 2), HOLD, true).await?;
    let within = Within::fault(run, &fault, NOTICED_MS)?;
    within.each_write(run, "acknowledged", Write::acknowledged);
    within.each_read(run, "answered", |read| read.status == 200);
    let took = run.lab.home(PATIENCE).await?;
    crate::say(&format!(
        "  stand-ins hold nothing {} ms after all were equal",
        took.as_millis()
    ));
    Ok(())
}

pub(super) async fn one_way_cut(run: &mut Run) -> Result<(), String> {
    let fault = run
        .suffer(&nemesis::Fault::CutOneWay(1, 2), HOLD, true)
        .await?;
    let within = Within::fault(run, &fault, NOTICED_MS)?;
    within.each_write(run, "taken", |write| {
        write.acknowledged() || write.accepted()
    });
    within.each_read(run, "answered", |read| read.status == 200);
    Ok(())
}

pub(super) async fn partition_heals(run: &mut Run) -> Result<(), String> {
    run.lab.whole(PATIENCE).await?;
    let fault = nemesis::Fault::Isolate(3);
    let begun = run.begin(&fault).await?;
    run.write_many(1, EACH_SIDE).await;
    run.write_many(3, EACH_SIDE).await;
    let fault = run.end(&fault, begun, true).await?;
    let met = fault.met - fault.healed;
    let taken = |write: &Write| write.acknowledged() || write.accepted();
    let mut within = Within::time(run, fault.at, fault.healed)?;
    within.writes.retain(|write| write.client == SCENARIO);
    within.each_write(run, "taken by its side", taken);
    let took = fault.equal - fault.healed;
    crate::say(&format!(
        "  all UP {met} ms after the partition was healed, equal after {took} ms"
    ));
    if u128::from(took) > HEALED.as_millis() {
        run.complaints
            .push(format!("equal only after {took} ms, not within {HEALED:?}"));
    }
    Ok(())
}

pub(super) async fn new_addresses(run: &mut Run) -> Result<(), String> {
    run.write_many(1, 1_000).await;
    run.lab.whole(PATIENCE).await?;
    let placed = Placed::now(run).await?;
    let moved = nemesis::Fault::NewAddresses;
    let begun = run.begin(&moved).await?;
    let took = run.lab.whole(PATIENCE).await?;
    crate::say(&format!(
        "  one cluster again after {} ms",
        took.as_millis()
    ));
    if took > MET {
        run.complaints.push(format!(
            "one cluster only after {took:?}, not within {MET:?}"
        ));
    }
    run.end(&moved, begun, true).await?;
    placed.unmoved(run).await
}
