//! Lenses over the real claims: row 12, and a row for each of them.

use crate::connection::clients;
use crate::figures::{Percentiles, digits, each};
use crate::lab::{Lab, gateways};
use crate::load;
use crate::rows::reads::{Questions, TAKING_TURNS, plain};
use crate::rows::{Finding, Used};
use crate::say;

/// Of all rows here.
pub(super) const BAR: &str = "≤ 3/8/20 ms";

/// Queries a second.
const RATE: u32 = 1_000;

/// All lenses.
pub(super) const LENSES: [&str; 8] = [
    "recency",
    "confidence",
    "authority",
    "consensus",
    "votes",
    "layered",
    "epoch",
    "skeptic",
];

/// The lens of the n-th question, when all are asked in turn.
pub fn lens(n: u64) -> &'static str {
    LENSES[usize::try_from(n % LENSES.len() as u64).unwrap_or(0)]
}

/// Row 12: 1,000 lens queries a second, each due at its own moment; all lenses in turn over all subjects and predicates,
/// through all gateways in turn. An answer that does not call itself complete counts as failed.
pub(super) async fn all(lab: &mut Lab) -> Result<Finding, String> {
    asked(lab, None).await
}

/// Rows 12a to 12h: the same questions through one lens.
pub(super) async fn one(lab: &mut Lab, lens: &'static str) -> Result<Finding, String> {
    asked(lab, Some(lens)).await
}

async fn asked(lab: &mut Lab, lens: Option<&'static str>) -> Result<Finding, String> {
    let cluster = lab.judged().await?;
    let questions = plain(&lab.claims)?;
    let targets = gateways(&cluster);
    let (mut times, mut notes) = (Vec::new(), Vec::new());
    let mut failures = 0;
    for run in 0..lab.runs {
        let work = Questions::new(&questions, targets.len(), None);
        let work = match lens {
            Some(lens) => work.through(lens),
            None => work,
        };
        let used = Used::by(&cluster);
        let seen = load::paced(clients(TAKING_TURNS, &targets, work), RATE, lab.length).await;
        let used = Used::by(&cluster).since(used).for_each(seen.calls, "query");
        say(&format!(
            "  {}; {used}; clients {:.0} % of one core {}",
            seen.percentiles(),
            seen.client_share() * 100.0,
            seen.complaint().unwrap_or_default()
        ));
        failures += seen.failures();
        notes.extend(seen.complaint());
        times.push(seen.percentiles());
        if run == 0 {
            if lens.is_none() {
                notes.push(format!(
                    "clients: {:.0} % of one core",
                    seen.client_share() * 100.0
                ));
            }
            notes.push(used);
        }
    }
    let middle = Percentiles::median(&times);
    Ok(Finding {
        measured: middle.to_string(),
        runs: format!("p99 {}", each(times.iter().map(|run| run.p99))),
        beside: match lens {
            Some(_) => String::new(),
            None => format!("{} subjects and predicates", digits(questions.len() as f64)),
        },
        ratio: None,
        holds: Some(failures == 0 && middle.p50 <= 3.0 && middle.p95 <= 8.0 && middle.p99 <= 20.0),
        notes,
    })
}
