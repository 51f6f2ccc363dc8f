//! Keeps the write-ahead log short without holding up the writer.
//!
//! SQLite by itself checkpoints in the commit that fills the log: thousands of pages to random places, and everybody in that
//! commit waits. Here another connection copies pages while the writer goes on. It can never finish under constant writes,
//! and a log that was not copied whole is not begun anew; so once the log is long, the writer copies the few pages that
//! are left, between two groups.

use std::sync::Arc;
use std::time::Duration;

use sidecar::Shutdown;
use sqlx::{Row as _, SqliteConnection};

use crate::database;
use crate::error::{BUSY, Error, FULL, sqlite_code};
use crate::trees::Trees;
use crate::writer::Writer;

/// Between two looks at the log.
const INTERVAL: Duration = Duration::from_millis(500);

/// Pages (4 KiB) not copied yet at which copying is worth its fsync.
const COPY_PAGES: i64 = 4_096;

/// Length of the log, in pages, at which the writer is to finish it.
const LONG_PAGES: i64 = 16_384;

/// Length of a log that is worth giving its space back when nothing is written. Below, the next writes need it anyhow.
const WIDE_PAGES: i64 = 1_024;

/// How the log stands.
#[derive(Debug, Default)]
struct Log {
    pages: i64,
    copied: i64,
}

/// Works until the shutdown.
///
/// # Errors
/// When the log cannot be read, or pages cannot be written: what is in the log is safe, but would only grow.
pub async fn run(
    mut connection: SqliteConnection,
    writer: Writer,
    trees: Arc<Trees>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let mut seen = trees.sequence();
    let mut tidy = false;
    while let Some(()) = tokio::select! {
        () = tokio::time::sleep(INTERVAL) => Some(()),
        () = shutdown.cancelled() => None,
    } {
        let sequence = trees.sequence();
        let quiet = sequence == seen;
        if quiet && tidy {
            continue;
        }
        seen = sequence;
        let mut log = pragma(&mut connection, "PRAGMA wal_checkpoint(NOOP)").await?;
        if quiet && log.pages >= WIDE_PAGES {
            // What ends the log keeps writers out meanwhile, so all is copied before, and the writer does it: the lock of another
            // connection, on a slow disk, would have it refuse what comes next. Whether it succeeded shows at the next look.
            log = pragma(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
            if log.copied == log.pages {
                writer.end_log().await;
            }
        } else if quiet || log.pages - log.copied >= COPY_PAGES {
            pragma(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        }
        if !quiet && log.pages >= LONG_PAGES {
            writer.checkpoint().await;
        }
        tidy = quiet && log.pages < WIDE_PAGES;
    }
    database::close(connection).await;
    Ok(())
}

/// Runs a checkpoint and tells how the log stands. When the file cannot grow, or somebody else is at it, that is for later.
async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> Result<Log, Error> {
    let row = match sqlx::query(sql).fetch_one(connection).await {
        Ok(row) => row,
        Err(error) if matches!(sqlite_code(&error), Some(BUSY | FULL)) => {
            tracing::warn!(%error, "the log could not be copied");
            return Ok(Log::default());
        }
        Err(error) => return Err(Error::Write(error)),
    };
    Ok(Log {
        pages: row.try_get(1).map_err(Error::Write)?,
        copied: row.try_get(2).map_err(Error::Write)?,
    })
}
