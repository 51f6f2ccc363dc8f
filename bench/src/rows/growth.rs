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

/// Row 10: the real claims again and again, each time with other dates, through one store's library.
pub(super) async fn ten_million(lab: &mut Lab) -> Result<Finding, String> {
    let claims = Arc::clone(&lab.claims);
    let fill = move || {
        let directory = e2e::place::make();
        // The store as a process has it: a thread that does nothing else.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(fill(directory.path(), &claims))
    };
    let filled = tokio::task::spawn_blocking(fill).await;
    let Filled { few, many, bytes } = filled.map_err(|error| error.to_string())??;
    let ratio = many / few;
    Ok(Finding {
        measured: format!("{:.0} %: {} records/s", ratio * 100.0, digits(many)),
        runs: "one run".to_owned(),
        beside: format!("{} records/s at {} stored", digits(few), digits(FEW as f64)),
        ratio: None,
        holds: Some(ratio >= 0.8),
        notes: vec![format!(
            "one store's library, {GROUP} a commit; {} B on disk a record",
            digits(bytes / MANY as f64)
        )],
    })
}

struct Filled {
    few: f64,
    many: f64,
    /// Of the whole directory, at the end.
    bytes: f64,
}

async fn fill(directory: &Path, claims: &Claims) -> Result<Filled, String> {
    let store = Library::open(directory).await?;
    let (mut few, mut window) = (0.0, Duration::ZERO);
    for stored in (0..MANY).step_by(GROUP) {
        if stored == FEW + WINDOW {
            few = WINDOW as f64 / window.as_secs_f64();
        }
        if stored == FEW || stored == MANY - WINDOW {
            window = Duration::ZERO;
        }
        if stored % TOLD == 0 {
            say(&format!("  {} stored", digits(stored as f64)));
        }
        let records = (0..GROUP).map(|_| claims.fresh_claim().map(|claim| claim.record));
        let group = group(&records.collect::<Result<Vec<Record>, String>>()?);
        let began = Instant::now();
        store.append(group).await?;
        window += began.elapsed();
    }
    let many = WINDOW as f64 / window.as_secs_f64();
    let files = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let size = |file: std::io::Result<std::fs::DirEntry>| file?.metadata();
    let sizes = files.map(|file| size(file).map_or(0, |metadata| metadata.len()));
    let bytes = sizes.sum::<u64>() as f64;
    store.close().await?;
    Ok(Filled { few, many, bytes })
}
