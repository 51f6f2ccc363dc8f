//! The rows: what each measures, beside what, against which bar.

mod growth;
mod idle;
mod large;
mod lenses;
mod life;
mod reads;
mod repair;
mod trees;
mod writes;

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::node::SERVICES;
use futures::future::BoxFuture;

use crate::cpu;
use crate::figures::digits;
use crate::lab::Lab;

pub use lenses::lens;

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
    /// Its name: a number, and a letter when several rows measure one thing.
    pub name: &'static str,
    /// What it measures.
    pub title: &'static str,
    /// What it should be.
    pub bar: &'static str,
    /// Measures it.
    pub measure: Measure,
    /// Takes so long that it is only measured when it is asked for, by its name or by this word.
    pub on_request: Option<&'static str>,
}

impl Row {
    /// Whether it is measured when these rows are asked for. A number asks for all of its letters.
    pub fn is_asked(&self, asked: &[String]) -> bool {
        let exactly = |word: &String| word == self.name || Some(word.as_str()) == self.on_request;
        let by_number = |word: &String| word == place(self.name).0;
        match self.on_request {
            None if asked.is_empty() => true,
            None => asked.iter().any(|word| exactly(word) || by_number(word)),
            Some(_) => asked.iter().any(exactly),
        }
    }
}

/// A name's number and its letters: names sort by them.
fn place(name: &str) -> (&str, &str) {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    name.split_at(digits)
}

/// What sorts lines of the table by the names of their rows; none for what is no name.
pub fn order(name: &str) -> Option<(u8, String)> {
    let (number, letters) = place(name);
    Some((number.parse().ok()?, letters.to_owned()))
}

const fn row(name: &'static str, title: &'static str, bar: &'static str, measure: Measure) -> Row {
    Row {
        name,
        title,
        bar,
        measure,
        on_request: None,
    }
}

const fn on_request(word: &'static str, row: Row) -> Row {
    Row {
        on_request: Some(word),
        ..row
    }
}

/// All rows, in the order in which they are measured: those that need the loaded cluster follow the import, those that break
/// it or add to it come last.
pub const ALL: &[Row] = &[
    row(
        "2",
        "sustained durable single writes (2 copies, FULL), 64 clients",
        "≥ 1.0 × etcd, 3 nodes",
        |lab| Box::pin(writes::sustained(lab)),
    ),
    row(
        "1",
        "durable single write at 500/s, p99",
        "≤ 3 × (one fsync + one loopback round trip)",
        |lab| Box::pin(writes::single(lab)),
    ),
    row(
        "4",
        "written → readable on every owner",
        "in the ack; ≤ 1.5 s after an owner that missed it is back",
        |lab| Box::pin(writes::readable(lab)),
    ),
    row(
        "3",
        "import of the real claims (2 copies, FULL)",
        "≥ 25 % of raw SQLite",
        |lab| Box::pin(writes::import(lab)),
    ),
    row("20", "disk bytes / canonical bytes", "≤ 1.8", |lab| {
        Box::pin(idle::disk(lab))
    }),
    row(
        "16",
        "idle memory: gateway, membership, antientropy each / store",
        "≤ 32 MiB / ≤ 128 MiB at 100k",
        |lab| Box::pin(idle::memory(lab)),
    ),
    row(
        "17",
        "idle CPU of three nodes",
        "≤ 3 % of one core",
        |lab| Box::pin(idle::cpu(lab)),
    ),
    row(
        "6",
        "bytes and round trips to learn that two nodes are equal",
        "1 round trip, ≤ 256 B",
        |lab| Box::pin(repair::equal(lab)),
    ),
    row(
        "12",
        "lens query at 1,000/s over the real claims, all lenses in turn",
        lenses::BAR,
        |lab| Box::pin(lenses::all(lab)),
    ),
    row("12a", "the same: recency", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "recency"))
    }),
    row("12b", "the same: confidence", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "confidence"))
    }),
    row("12c", "the same: authority", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "authority"))
    }),
    row("12d", "the same: consensus", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "consensus"))
    }),
    row("12e", "the same: votes", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "votes"))
    }),
    row("12f", "the same: layered", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "layered"))
    }),
    row("12g", "the same: epoch", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "epoch"))
    }),
    row("12h", "the same: skeptic", lenses::BAR, |lab| {
        Box::pin(lenses::one(lab, "skeptic"))
    }),
    row(
        "12i",
        "lens over one subject of 10,000 claims",
        "–",
        |lab| Box::pin(large::ten_thousand(lab)),
    ),
    row(
        "13",
        "gateway over a query straight at the store, p99 at 200/s",
        "≤ 1 ms",
        |lab| Box::pin(reads::gateway(lab)),
    ),
    row(
        "21",
        "500 clients, 4 reads to 1 write, p99; bytes between nodes per write",
        "< 100 ms; ≤ 1.3 × canonical × (copies − 1)",
        |lab| Box::pin(reads::crowd(lab)),
    ),
    row(
        "8",
        "bytes moved / bytes missing, 1,000 missing",
        "≤ 1.10",
        |lab| Box::pin(repair::moved(lab)),
    ),
    row(
        "7",
        "find and repair 1 missing record",
        "≤ 4 round trips, ≤ 6 KB, ≤ 50 ms",
        |lab| Box::pin(repair::one(lab)),
    ),
    row(
        "5",
        "heal when every push was lost, 10k records",
        "≤ 3 s",
        |lab| Box::pin(repair::heal(lab)),
    ),
    row("11", "inserts with the trees / without", "≥ 85 %", |lab| {
        Box::pin(trees::share(lab))
    }),
    row(
        "15",
        "whole cluster restarted, all ready",
        "≤ 10 s",
        |lab| Box::pin(life::restart(lab)),
    ),
    row(
        "14",
        "kill -9 of a node: DOWN everywhere / gateways do without it",
        "≤ 5 s / the first failed call",
        |lab| Box::pin(life::kill(lab)),
    ),
    row(
        "9",
        "fill an empty node from the two others",
        "≤ 10 s for 100,000 records",
        |lab| Box::pin(life::fill(lab)),
    ),
    on_request(
        "ten-million",
        row(
            "10",
            "insert rate at 10,000,000 stored / at 100,000",
            "≥ 80 %",
            |lab| Box::pin(growth::ten_million(lab)),
        ),
    ),
    on_request(
        "large-subjects",
        row(
            "12j",
            "lens over one subject of 1,000,000 claims",
            "–",
            |lab| Box::pin(large::million(lab)),
        ),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn asked(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let rows = ALL.iter().filter(|row| row.is_asked(&words));
        rows.map(|row| row.name).collect()
    }

    #[test]
    fn every_row_has_its_own_name_and_place() {
        let orders: BTreeSet<_> = ALL.iter().map(|row| order(row.name).unwrap()).collect();
        assert_eq!(orders.len(), ALL.len());
        assert!(order("12") < order("12a") && order("12j") < order("13"));
        assert_eq!(order("large-subjects"), None);
    }

    #[test]
    fn a_number_asks_for_its_letters_and_for_nothing_that_takes_long() {
        assert_eq!(asked(&["1"]), ["1"]);
        assert_eq!(asked(&["12"]).len(), 10);
        assert_eq!(asked(&["12e", "3"]), ["3", "12e"]);
        assert_eq!(asked(&["large-subjects"]), ["12j"]);
        assert_eq!(asked(&["12j"]), ["12j"]);
        assert_eq!(asked(&["ten-million"]), ["10"]);
        assert_eq!(asked(&[]).len(), ALL.len() - 2);
    }
}
