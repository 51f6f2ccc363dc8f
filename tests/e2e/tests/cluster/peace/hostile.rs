//! Hostile input, and what it is answered: docs/hostile-input.md is this test's table.
//!
//! Set UPDATE_DOCS=1 to write the page anew, and look at the difference.

mod bodies;
mod heads;
mod wire;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::http::Http;

use crate::stage;
use wire::Sent;

/// The page above its table.
const PREFACE: &str = "\
# Hostile input

What a node answers to what nobody should send. The table is written by a test
(`tests/e2e/tests/cluster/peace/hostile.rs`), which sends every row to a real node, finds the answer that is written here, sees
that the node still answers and, at the end, that no record was stored by any row but those marked \"taken\".

`status` is that of HTTP; `code` and `path` are those of the problem (of the line, in a stream). Without a code the refusal comes
from below the API: the bytes were no request that anybody could be named a problem of. `closed`: the connection ends without an
answer. Ports are those of a node with the usual settings.

Ids that somebody ground to one prefix cost no more than others: with 100,000 ids below the same 24 bits leaves stay small, an
insert makes one node a level, and one missing id is found in at most six answers of 8 KiB in all (`crates/merkle/tests/laws`).

| what is sent | to | status | code | path |
|---|---|---|---|---|
";

/// The node's answer to any of this comes at once, but for bodies that are waited for.
const ANSWER: Duration = Duration::from_secs(20);

/// One line of the table.
pub(super) struct Row {
    /// What is sent, for people.
    what: String,
    /// Where to.
    to: String,
    /// What goes over the wire.
    sent: Sent,
    /// It stores a record.
    taken: bool,
}

impl Row {
    fn new(what: impl Into<String>, to: &str, sent: Sent) -> Row {
        Row {
            what: what.into(),
            to: to.to_owned(),
            sent,
            taken: false,
        }
    }

    /// The same of one that is stored.
    fn taken(self) -> Row {
        Row {
            what: format!("{} (taken)", self.what),
            taken: true,
            ..self
        }
    }
}

fn rows() -> Vec<Row> {
    let mut rows = bodies::rows();
    rows.extend(bodies::of_other_types());
    rows.extend(heads::rows());
    rows.extend(wire::rows());
    rows
}

fn page(lines: &[String]) -> String {
    let mut page = PREFACE.to_owned();
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(page, "{line}");
    }
    page
}

#[tokio::test]
async fn hostile_input_is_answered_as_the_page_says_and_stores_nothing() {
    let cluster = stage::peace().await;
    let http = Http::new();
    let before = cluster.equal(&http).await["distinct_records"].as_u64();
    let node = cluster.node(1);
    let began = Instant::now();
    let (quick, slow): (Vec<Row>, Vec<Row>) = rows()
        .into_iter()
        .partition(|row| !row.sent.is_waited_for());
    let waiting: Vec<_> = slow
        .iter()
        .map(|row| tokio::spawn(row.sent.clone().exchange(node.port(), ANSWER)))
        .collect();
    let mut lines = Vec::new();
    let mut taken = 0;
    for row in &quick {
        let answer = row.sent.clone().exchange(node.port(), ANSWER).await;
        lines.push(format!(
            "| {} | {} | {} |",
            row.what,
            row.to,
            answer.cells()
        ));
        assert!(!answer.is_fault(), "{}: {answer:?}", row.what);
        assert!(
            !row.taken || answer.status == "201",
            "{}: {answer:?}",
            row.what
        );
        taken += u64::from(row.taken);
        let live = http.get(&node.api("/v1/health/live")).await;
        let live = live.expect("the node answers").status;
        assert_eq!(live, 200, "{}", row.what);
    }
    for (row, answer) in slow.iter().zip(waiting) {
        let answer = answer.await.expect("the exchange ends");
        assert!(!answer.is_fault(), "{}: {answer:?}", row.what);
        lines.push(format!(
            "| {} | {} | {} |",
            row.what,
            row.to,
            answer.cells()
        ));
    }
    stage::figure(&format!(
        "{} rows of hostile input in {:.1} s",
        lines.len(),
        began.elapsed().as_secs_f64()
    ));
    for service in e2e::node::SERVICES {
        assert!(node.runs(service), "{service} runs");
    }
    cluster.ready(&http, node).await;
    let after = cluster.equal(&http).await["distinct_records"].as_u64();
    assert_eq!(after, before.map(|before| before + taken));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hostile-input.md");
    let page = page(&lines);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).expect("the page is there");
    for (line, written) in page.lines().zip(written.lines()) {
        assert_eq!(line, written, "run this test with UPDATE_DOCS=1");
    }
    assert_eq!(
        page.len(),
        written.len(),
        "run this test with UPDATE_DOCS=1"
    );
}
