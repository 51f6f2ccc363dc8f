//! The rows: what each measures, beside what, against which bar.

mod idle;
mod life;
mod reads;
mod repair;
mod writes;

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::node::SERVICES;
use futures::future::BoxFuture;

use crate::cpu;
use crate::figures::digits;
use crate::lab::Lab;

pub use reads::lens;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finding {
    /// The median, in words and figures.
    pub measured: String,
    /// The runs.
    pub runs: String,
    /// What was measured beside it.
    pub beside: String,
    /// Against the bar, when it is a ratio.
    pub ratio: Option<String>,
    /// Whether the bar is held; none: this run cannot say.
    pub holds: Option<bool>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

impl Finding {
    /// Adds a note.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

/// CPU time by service, over all nodes.
#[derive(Debug, Clone, Copy)]
struct Used([Duration; 4]);

impl Used {
    /// Until now.
    fn by(cluster: &Cluster) -> Used {
        Used(SERVICES.map(|service| {
            let pids = cluster.nodes.iter().filter_map(|node| node.pid(service));
            pids.map(cpu::of).sum()
        }))
    }

    fn since(self, then: Used) -> Used {
        let mut used = self.0;
        for (used, before) in used.iter_mut().zip(then.0) {
            *used = used.saturating_sub(before);
        }
        Used(used)
    }

    /// In words, for each of so many calls.
    fn for_each(self, calls: u64, what: &str) -> String {
        let us = |place: usize| self.0[place].as_secs_f64() * 1e6 / calls.max(1) as f64;
        let parts = [us(0), us(1), us(2) + us(3)].map(digits);
        let [gateway, store, others] = parts;
        format!("CPU a {what}: gateway {gateway}, store {store}, others {others} µs")
    }
}

/// How a row is measured.
pub type Measure = for<'a> fn(&'a mut Lab) -> BoxFuture<'a, Result<Finding, String>>;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its number.
    pub number: u8,
    /// What it measures.
    pub title: &'static str,
    /// What it should be.
    pub bar: &'static str,
    /// Measures it.
    pub measure: Measure,
}

const fn row(number: u8, title: &'static str, bar: &'static str, measure: Measure) -> Row {
    Row {
        number,
        title,
        bar,
        measure,
    }
}

/// All rows, in the order in which they are measured: those that need the loaded cluster follow the import, those that break
/// it or add to it come last.
pub const ALL: &[Row] = &[
    row(
        2,
        "sustained durable single writes (2 copies, FULL), 64 clients",
        "≥ 1.0 × etcd, 3 nodes",
        |lab| Box::pin(writes::sustained(lab)),
    ),
    row(
        1,
        "durable single write at 500/s, p99",
        "≤ 3 × (one fsync + one loopback round trip)",
        |lab| Box::pin(writes::single(lab)),
    ),
    row(
        4,
        "written → readable on every owner",
        "in the ack; ≤ 1.5 s after an owner that missed it is back",
        |lab| Box::pin(writes::readable(lab)),
    ),
    row(
        3,
        "import of the real claims (2 copies, FULL)",
        "≥ 25 % of raw SQLite",
        |lab| Box::pin(writes::import(lab)),
    ),
    row(20, "disk bytes / canonical bytes", "≤ 1.8", |lab| {
        Box::pin(idle::disk(lab))
    }),
    row(
        16,
        "idle memory: gateway, membership, antientropy each / store",
        "≤ 32 MiB / ≤ 128 MiB at 100k",
        |lab| Box::pin(idle::memory(lab)),
    ),
    row(17, "idle CPU of three nodes", "≤ 3 % of one core", |lab| {
        Box::pin(idle::cpu(lab))
    }),
    row(
        6,
        "bytes and round trips to learn that two nodes are equal",
        "1 round trip, ≤ 256 B",
        |lab| Box::pin(repair::equal(lab)),
    ),
    row(
        12,
        "lens query at 1,000/s over the real claims",
        "≤ 3/8/20 ms",
        |lab| Box::pin(reads::lenses(lab)),
    ),
    row(
        13,
        "gateway over a query straight at the store, p99 at 200/s",
        "≤ 1 ms",
        |lab| Box::pin(reads::gateway(lab)),
    ),
    row(
        21,
        "500 clients, 4 reads to 1 write, p99; bytes between nodes per write",
        "< 100 ms; ≤ 1.3 × canonical × (copies − 1)",
        |lab| Box::pin(reads::crowd(lab)),
    ),
    row(
        8,
        "bytes moved / bytes missing, 1,000 missing",
        "≤ 1.10",
        |lab| Box::pin(repair::moved(lab)),
    ),
    row(
        7,
        "find and repair 1 missing record",
        "≤ 4 round trips, ≤ 6 KB, ≤ 50 ms",
        |lab| Box::pin(repair::one(lab)),
    ),
    row(
        5,
        "heal when every push was lost, 10k records",
        "≤ 3 s",
        |lab| Box::pin(repair::heal(lab)),
    ),
    row(15, "whole cluster restarted, all ready", "≤ 10 s", |lab| {
        Box::pin(life::restart(lab))
    }),
    row(
        14,
        "kill -9 of a node: DOWN everywhere / gateways do without it",
        "≤ 5 s / the first failed call",
        |lab| Box::pin(life::kill(lab)),
    ),
];

/// The row with a number.
pub fn by_number(number: u8) -> Option<&'static Row> {
    ALL.iter().find(|row| row.number == number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_its_own_number() {
        let numbers: BTreeSet<u8> = ALL.iter().map(|row| row.number).collect();
        assert_eq!(numbers.len(), ALL.len());
        assert!(by_number(11).is_none());
    }
}
