//! Whether a store of ten million records takes more as one of a hundred thousand does: row 10.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::Record;
use tokio::runtime::Builder;

use crate::claims::Claims;
use crate::figures::digits;
use crate::lab::Lab;
use crate::library::{Library, group};
use crate::peers::sqlite::Raw;
use crate::rows::Finding;
use crate::say;

/// Records of a commit, as in an import.
const GROUP: usize = 2_000;

/// Records over which a rate is taken, and what is stored when the first begins and the last ends.
const WINDOW: usize = 200_000;
const FEW: usize = 100_000;
const MANY: usize = 10_000_000;

/// Between two lines of progress.
const TOLD: usize = 1_000_000;

/// Row 10: the real claims again and again, each time with other dates, through one store's library; and into raw SQLite.
pub(super) async fn ten_million(lab: &mut Lab) -> Result<Finding, String> {
    let claims = Arc::clone(&lab.claims);
    let fill = move || {
        // The store as a process has it: a thread that does nothing else.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let ours = runtime.block_on(fill(&claims))?;
        Ok::<_, String>((ours, fill_raw(&claims)?))
    };
    let filled = tokio::task::spawn_blocking(fill).await;
    let (ours, raw) = filled.map_err(|error| error.to_string())??;
    let share = |filled: &Filled| filled.many / filled.few;
    Ok(Finding {
        measured: format!(
            "{:.0} %: {} of {} records/s",
            share(&ours) * 100.0,
            digits(ours.many),
            digits(ours.few)
        ),
        runs: "one run".to_owned(),
        beside: format!(
            "raw SQLite {:.0} %: {} of {} records/s",
            share(&raw) * 100.0,
            digits(raw.many),
            digits(raw.few)
        ),
        ratio: None,
        holds: Some(share(&ours) >= 0.8),
        notes: vec![format!(
            "one store's library, {GROUP} a commit; {} B on disk a record, raw {}",
            digits(ours.bytes / MANY as f64),
            digits(raw.bytes / MANY as f64)
        )],
    })
}

/// What it came to: records a second, and bytes of the whole directory at the end.
struct Filled {
    few: f64,
    many: f64,
    bytes: f64,
}

async fn fill(claims: &Claims) -> Result<Filled, String> {
    let directory = e2e::place::make();
    let store = Library::open(directory.path()).await?;
    let mut pace = Pace::default();
    for records in groups(claims) {
        let group = group(&records?);
        let began = Instant::now();
        store.append(group).await?;
        pace.add(began.elapsed(), "a store");
    }
    let filled = pace.filled(directory.path())?;
    store.close().await?;
    Ok(filled)
}

fn fill_raw(claims: &Claims) -> Result<Filled, String> {
    let directory = e2e::place::make();
    let raw = Raw::open(directory.path())?;
    let mut pace = Pace::default();
    for records in groups(claims) {
        let records = records?;
        let began = Instant::now();
        raw.append(&records)?;
        pace.add(began.elapsed(), "raw SQLite");
    }
    pace.filled(directory.path())
}

/// All groups, one after the other: all records at once would not fit into memory.
fn groups(claims: &Claims) -> impl Iterator<Item = Result<Vec<Record>, String>> {
    let record = || claims.fresh_claim().map(|claim| claim.record);
    (0..MANY / GROUP).map(move |_| (0..GROUP).map(|_| record()).collect())
}

/// How long groups take while what is stored grows.
#[derive(Debug, Default)]
struct Pace {
    stored: usize,
    few: f64,
    window: Duration,
    told: Duration,
}

impl Pace {
    fn add(&mut self, took: Duration, who: &str) {
        self.stored += GROUP;
        self.window += took;
        self.told += took;
        if self.stored == FEW || self.stored == MANY - WINDOW {
            self.window = Duration::ZERO;
        }
        if self.stored == FEW + WINDOW {
            self.few = rate(WINDOW, self.window);
        }
        if self.stored.is_multiple_of(TOLD) {
            say(&format!(
                "  {who}: {} stored, the last million at {}/s",
                digits(self.stored as f64),
                digits(rate(TOLD, std::mem::take(&mut self.told)))
            ));
        }
    }

    fn filled(&self, directory: &Path) -> Result<Filled, String> {
        let files = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
        let size = |file: std::io::Result<std::fs::DirEntry>| file?.metadata();
        let sizes = files.map(|file| size(file).map_or(0, |metadata| metadata.len()));
        Ok(Filled {
            few: self.few,
            many: rate(WINDOW, self.window),
            bytes: sizes.sum::<u64>() as f64,
        })
    }
}

fn rate(records: usize, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}
