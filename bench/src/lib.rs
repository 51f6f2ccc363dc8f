//! The bench: one command that prints the table of docs/benchmarks.md and writes it there.
//!
//! A cluster of the real binaries runs on this machine, its data on the disk; the peers that it is held against run in the
//! same command. What a row measures and how is said in its function in [`rows`].

pub mod claims;
pub mod connection;
pub mod cpu;
pub mod figures;
pub mod lab;
pub mod library;
pub mod load;
pub mod machine;
pub mod opinions;
pub mod page;
pub mod peers;
pub mod rows;
pub mod stores;
pub mod wire;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::cpu::Busy;
use crate::lab::Lab;
use crate::page::{Line, Page};
use crate::rows::{Finding, Row};

/// A machine on which others use more than this share is not quiet: the row says so.
const OTHERS_MAX: f64 = 0.05;

/// Measures the rows of docs/benchmarks.md and writes its table.
#[derive(Debug, clap::Parser)]
#[command(name = "bench")]
pub struct Options {
    /// Names of rows, see --list; all but those on request when none is given
    rows: Vec<String>,
    /// Runs of each row; the table has the median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    runs: u8,
    /// Seconds of load in a run
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Measure the programs in this directory (`target/release`, say) instead of building this tree; the page is left as it is
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// List the rows and end
    #[arg(long)]
    list: bool,
}

/// Runs the bench.
///
/// # Errors
/// When a row could not be measured, or the page cannot be written.
pub async fn run(options: Options) -> Result<(), String> {
    if options.list {
        for row in rows::ALL {
            let word = row.on_request.map(|word| format!(" (on request: {word})"));
            let word = word.unwrap_or_default();
            say(&format!("{:<3}  {}{word}", row.name, row.title));
        }
        return Ok(());
    }
    if let Some(unknown) = options.rows.iter().find(|word| {
        let word = std::slice::from_ref(*word);
        !rows::ALL.iter().any(|row| row.is_asked(word))
    }) {
        return Err(format!("there is no row {unknown}: see --list"));
    }
    match &options.programs {
        Some(directory) => e2e::binaries::given(directory),
        None => drop(e2e::binaries::path("stemedb")),
    }
    let directory = e2e::place::make();
    machine::on_disk(directory.path())?;
    let commit = machine::commit();
    say(&machine::describe(directory.path()));
    let mut lab = Lab::new(options.runs.into(), Duration::from_secs(options.seconds));
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for row in rows::ALL {
        if !row.is_asked(&options.rows) {
            continue;
        }
        match measure(row, &mut lab).await {
            Ok(finding) => {
                let line = Line::new(row, &finding, &commit);
                say(&line.to_string());
                lines.push(line);
            }
            Err(why) => {
                say(&format!("row {}: {why}", row.name));
                failed.push(row.name);
                // Nobody knows what it left behind.
                lab.clear();
                lab.end_etcd();
            }
        }
    }
    lab.clear();
    if options.programs.is_none() {
        let mut page = Page::read()?;
        page.put(&machine::describe(directory.path()), options.runs, &lines);
        page.write()?;
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not measured: rows {}", failed.join(", ")))
    }
}

async fn measure(row: &Row, lab: &mut Lab) -> Result<Finding, String> {
    say(&format!("row {}: {}", row.name, row.title));
    let began = Instant::now();
    let busy = Busy::now();
    // The harness panics when a cluster does not do what it should: that ends the row, not the others.
    let finding = AssertUnwindSafe((row.measure)(lab)).catch_unwind().await;
    let mut finding = finding.unwrap_or_else(|panic| Err(message(&*panic)))?;
    let others = Busy::now()
        .zip(busy)
        .map_or(0.0, |(now, then)| now.others_since(then));
    if others > OTHERS_MAX {
        finding.note(format!(
            "not quiet: others used {:.0} % of the machine",
            others * 100.0
        ));
    }
    say(&format!(
        "row {}: {:.0} s",
        row.name,
        began.elapsed().as_secs_f64()
    ));
    Ok(finding)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
        .to_owned()
}

/// Tells the user.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub fn say(text: &str) {
    println!("{text}");
}
