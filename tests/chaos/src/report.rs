//! The table at the end.

use std::collections::BTreeMap;

use crate::checker::CHECKS;
use crate::history::{Fault, Line};
use crate::run::{Outcome, SCENARIO};
use crate::say;

/// Violations that are printed in full; the history has all that led to the rest.
const SHOWN: usize = 8;

/// Calls while something was broken.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    calls: u64,
    acknowledged: u64,
    accepted: u64,
    answered: u64,
    again: u64,
    failed: u64,
    silence_ms: u64,
}

/// Prints what was broken, what clients saw meanwhile, and whether every check holds.
pub fn print(outcome: &Outcome) {
    let successes = successes(&outcome.history);
    say(&format!(
        "{:<16} {:<22} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>8}",
        "fault",
        "where",
        "s",
        "calls",
        "acked",
        "202",
        "reads",
        "again",
        "failed",
        "silent",
        "whole in"
    ));
    let mut last = 0;
    for line in &outcome.history {
        last = last.max(match line {
            Line::Write(write) => write.end,
            Line::Read(read) => read.end,
            Line::Fault(fault) => fault.equal,
        });
        if let Line::Fault(fault) = line {
            print_row(
                fault,
                &row(&outcome.history, &successes, fault.at, fault.healed),
            );
        }
    }
    let whole = Fault {
        name: "all of the run".into(),
        at: first(&outcome.history),
        healed: last,
        ..Fault::default()
    };
    print_row(&whole, &row(&outcome.history, &successes, 0, u64::MAX));
    for (letter, what) in CHECKS {
        let of_it = outcome.violations.iter();
        let of_it: Vec<_> = of_it
            .filter(|violation| violation.check == letter)
            .collect();
        let verdict = if of_it.is_empty() {
            "holds"
        } else {
            "VIOLATED"
        };
        say(&format!("({letter}) {verdict:<8} {what}"));
        for violation in of_it.iter().take(SHOWN) {
            say(&format!("      {}", violation.what));
        }
        if of_it.len() > SHOWN {
            say(&format!("      and {} more", of_it.len() - SHOWN));
        }
    }
    for complaint in &outcome.complaints {
        say(&format!("FAILED: {complaint}"));
    }
    say(if outcome.good() {
        "verdict: good"
    } else {
        "verdict: BAD"
    });
}

fn print_row(fault: &Fault, row: &Row) {
    let seconds = |ms: u64| format!("{:.1}", ms as f64 / 1000.0);
    let whole = match fault.equal {
        0 => "-".to_owned(),
        equal => seconds(equal.saturating_sub(fault.healed)),
    };
    say(&format!(
        "{:<16} {:<22} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>8}",
        fault.name,
        fault.detail,
        seconds(fault.healed.saturating_sub(fault.at)),
        row.calls,
        row.acknowledged,
        row.accepted,
        row.answered,
        row.again,
        row.failed,
        seconds(row.silence_ms),
        whole
    ));
}

fn first(history: &[Line]) -> u64 {
    let begins = history.iter().map(|line| match line {
        Line::Write(write) => write.at,
        Line::Read(read) => read.at,
        Line::Fault(fault) => fault.at,
    });
    begins.min().unwrap_or_default()
}

/// When each client was served, in order.
fn successes(history: &[Line]) -> BTreeMap<&str, Vec<u64>> {
    let mut successes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in history {
        match line {
            Line::Write(write) if write.acknowledged() || write.accepted() => {
                successes.entry(&write.client).or_default().push(write.end);
            }
            Line::Read(read) if read.status == 200 => {
                successes.entry(&read.client).or_default().push(read.end);
            }
            _ => {}
        }
    }
    // What a scenario sends by itself has no rate.
    successes.retain(|client, _| !client.starts_with(SCENARIO));
    successes.values_mut().for_each(|ends| ends.sort_unstable());
    successes
}

/// Calls that began between two moments, and the longest that a client was not served at any time between them.
fn row(history: &[Line], successes: &BTreeMap<&str, Vec<u64>>, from: u64, to: u64) -> Row {
    let mut row = Row::default();
    for line in history {
        match line {
            Line::Write(write) if (from..=to).contains(&write.at) => {
                row.calls += 1;
                row.acknowledged += u64::from(write.acknowledged());
                row.accepted += u64::from(write.accepted());
                row.again += u64::from(write.gateways.len() > 1);
                row.failed += u64::from(!write.acknowledged() && !write.accepted());
            }
            Line::Read(read) if (from..=to).contains(&read.at) => {
                row.calls += 1;
                row.answered += u64::from(read.status == 200);
                row.again += u64::from(read.gateways.len() > 1);
                row.failed += u64::from(read.status != 200);
            }
            _ => {}
        }
    }
    let gaps = successes.values().flat_map(|ends| ends.windows(2));
    let gaps = gaps.filter(|gap| gap[1] >= from && gap[0] <= to);
    row.silence_ms = gaps.map(|gap| gap[1] - gap[0]).max().unwrap_or_default();
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Read, Write};

    fn write(client: &str, at: u64, status: u16) -> Line {
        Line::Write(Write {
            client: client.into(),
            at,
            end: at + 10,
            status,
            ..Write::default()
        })
    }

    #[test]
    fn calls_and_silence_are_those_of_the_time_of_the_fault() {
        let read = Line::Read(Read {
            client: "reader0".into(),
            at: 1_500,
            end: 1_510,
            status: 200,
            ..Read::default()
        });
        let history = [
            write("writer0", 500, 201),
            write("writer0", 1_000, 201),
            write("writer0", 1_400, 503),
            write("writer0", 1_900, 202),
            write("writer1", 900, 201),
            write("writer1", 3_000, 200),
            read,
        ];
        let row = row(&history, &successes(&history), 1_000, 2_000);
        let expected = Row {
            calls: 4,
            acknowledged: 1,
            accepted: 1,
            answered: 1,
            again: 0,
            failed: 1,
            silence_ms: 2_100,
        };
        assert_eq!(row, expected);
    }
}
