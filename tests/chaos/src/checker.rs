//! Judges what clients were told against what is there in the end. Knows nothing of how a cluster works.
//!
//! The checks have the letters of the design's list of reliability bars; (e) and (f) are about keys and quotas, which no client
//! of these runs has.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Line, Read, Write};
use crate::state::State;

/// What has to hold: letter, and in words.
pub const CHECKS: [(char, &str); 5] = [
    ('a', "every acknowledged record is at all its owners"),
    ('b', "nothing is there that nobody wrote"),
    ('c', "all owners hold the same"),
    ('d', "every lens says the same at every owner"),
    (
        'g',
        "no complete answer missed what was acknowledged before its time",
    ),
];

/// Where records that only one disk held may be gone.
pub const DISK_REPLACED: &str = "disk-replaced";

/// A check that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Letter of the check.
    pub check: char,
    /// What was found.
    pub what: String,
}

impl Violation {
    fn of(check: char, what: impl Into<String>) -> Violation {
        Violation {
            check,
            what: what.into(),
        }
    }
}

/// Holds everything against everything.
pub fn check(history: &[Line], state: &State) -> Vec<Violation> {
    let writes = history.iter().filter_map(|line| match line {
        Line::Write(write) => Some(write),
        _ => None,
    });
    let writes: Vec<&Write> = writes.collect();
    let reads = history.iter().filter_map(|line| match line {
        Line::Read(read) => Some(read),
        _ => None,
    });
    // 202 says durable somewhere: gone only with that disk.
    let replaced = history
        .iter()
        .any(|line| matches!(line, Line::Fault(fault) if fault.name == DISK_REPLACED));
    let mut found = present(&writes, state, !replaced);
    found.extend(nothing_else(&writes, state));
    if !state.equal {
        found.push(Violation::of('c', format!("verify: {}", state.verified)));
    }
    found.extend(same_answers(state));
    found.extend(complete_answers(&writes, reads));
    // What could not be looked at is not known to be good.
    found.extend(state.unknown.iter().map(|what| Violation::of('a', what)));
    found
}

/// (a)
fn present(writes: &[&Write], state: &State, accepted_too: bool) -> Vec<Violation> {
    let promised = writes
        .iter()
        .filter(|write| write.acknowledged() || accepted_too && write.accepted());
    let mut found = Vec::new();
    for write in promised {
        let without = lacking(write, state);
        if !without.is_empty() || !state.everywhere.contains(&write.id) {
            found.push(Violation::of(
                'a',
                format!("not at {without:?}: {}", told(write)),
            ));
        }
    }
    found
}

/// Owners that do not hold a record. None also when it was not looked for: then it is not everywhere either, or only accepted.
fn lacking<'a>(write: &Write, state: &'a State) -> Vec<&'a str> {
    if write.record == "assertion" {
        let owners = state.listed.get(&write.subject).into_iter().flatten();
        return owners
            .filter(|(_, ids)| !ids.contains(&write.id))
            .map(|(node, _)| node.as_str())
            .collect();
    }
    state
        .replicas
        .get(&write.id)
        .map_or(Vec::new(), |replicas| {
            let lacking = replicas.owners.difference(&replicas.holders);
            lacking.map(String::as_str).collect()
        })
}

/// (b)
fn nothing_else(writes: &[&Write], state: &State) -> Vec<Violation> {
    let sent: BTreeSet<&str> = writes.iter().map(|write| write.id.as_str()).collect();
    let listed = state.listed.values().flat_map(BTreeMap::values).flatten();
    let strangers: BTreeSet<&String> = state
        .everywhere
        .iter()
        .chain(listed)
        .filter(|id| !sent.contains(id.as_str()))
        .collect();
    let mut found: Vec<Violation> = strangers
        .iter()
        .map(|id| Violation::of('b', format!("nobody wrote {id}")))
        .collect();
    found.extend(state.altered.iter().map(|what| Violation::of('b', what)));
    let misnamed = writes.iter().filter(|write| {
        let answered = write.answered_id.as_ref();
        answered.is_some_and(|answered| *answered != write.id)
    });
    found.extend(misnamed.map(|write| Violation::of('b', format!("misnamed: {}", told(write)))));
    found
}

/// (d)
fn same_answers(state: &State) -> Vec<Violation> {
    let mut found = Vec::new();
    for (question, answers) in &state.answers {
        let different: BTreeSet<&String> = answers.values().collect();
        if different.len() > 1 {
            found.push(Violation::of('d', format!("{question:?}: {answers:?}")));
        }
    }
    found
}

/// (g)
fn complete_answers<'a>(
    writes: &[&Write],
    reads: impl Iterator<Item = &'a Read>,
) -> Vec<Violation> {
    let mut claims: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in writes {
        if write.record == "assertion" && write.acknowledged() {
            claims.entry(&write.subject).or_default().push(write);
        }
    }
    let mut found = Vec::new();
    for read in reads.filter(|read| read.status == 200 && read.complete && !read.more) {
        let asked = claims.get(read.subject.as_str()).into_iter().flatten();
        let due: Vec<&&Write> = asked
            .filter(|write| write.end <= read.proved_through)
            .filter(|write| read.predicate.is_empty() || read.predicate == write.predicate)
            .collect();
        if read.lens.is_empty() {
            let shown: BTreeSet<&str> = read.ids.iter().map(String::as_str).collect();
            let missed = due.iter().find(|write| !shown.contains(write.id.as_str()));
            if let Some(missed) = missed {
                let what = format!("{read:?} missed {}", told(missed));
                found.push(Violation::of('g', what));
            }
        } else if read.considered < due.len() as u64 {
            let what = format!("{read:?} considered fewer than {} claims", due.len());
            found.push(Violation::of('g', what));
        }
    }
    found
}

fn told(write: &Write) -> String {
    serde_json::to_string(write).unwrap_or_else(|_| format!("{write:?}"))
}
