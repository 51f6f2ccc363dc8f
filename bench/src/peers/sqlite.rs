//! Raw SQLite: the same rows by one process into one file, through its C interface with prepared statements.

use std::path::Path;
use std::time::{Duration, Instant};

use assertion::Record;
use rusqlite::{Connection, params};

/// Rows in one transaction.
const BATCH: usize = 1_000;

/// The id finds a row, and so do subject and predicate: what any store of these rows needs at least. Of the layouts that were
/// tried (the id as key without row ids, tables instead of indexes) this is the fastest. It is given as much cache as three
/// stores have, and copies its log into the file as rarely as they do: with SQLite's own settings it is half as fast.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -98304;
    PRAGMA wal_autocheckpoint = 65536;
    CREATE TABLE claim (
        sequence  INTEGER PRIMARY KEY,
        id        BLOB NOT NULL UNIQUE,
        subject   TEXT NOT NULL,
        predicate TEXT NOT NULL,
        canonical BLOB NOT NULL
    ) STRICT;
    CREATE INDEX claim_topic ON claim (subject, predicate);";

/// Writes all records, parsed and hashed beforehand, and says how long that took.
///
/// # Errors
/// When SQLite does.
pub fn insert(directory: &Path, records: &[Record]) -> Result<Duration, String> {
    let raw = Raw::open(directory)?;
    let began = Instant::now();
    for batch in records.chunks(BATCH) {
        raw.append(batch)?;
    }
    Ok(began.elapsed())
}

/// An open file.
pub struct Raw(Connection);

impl Raw {
    /// Makes it.
    ///
    /// # Errors
    /// When SQLite does not.
    pub fn open(directory: &Path) -> Result<Raw, String> {
        let open = || {
            let connection = Connection::open(directory.join("raw.db"))?;
            connection.execute_batch(SCHEMA)?;
            Ok(Raw(connection))
        };
        open().map_err(|error: rusqlite::Error| error.to_string())
    }

    /// Writes records in one transaction.
    ///
    /// # Errors
    /// When SQLite does not.
    pub fn append(&self, records: &[Record]) -> Result<(), String> {
        self.write(records).map_err(|error| error.to_string())
    }

    fn write(&self, records: &[Record]) -> Result<(), rusqlite::Error> {
        self.0.execute_batch("BEGIN IMMEDIATE")?;
        let mut statement = self.0.prepare(
            "INSERT OR IGNORE INTO claim (id, subject, predicate, canonical) VALUES (?, ?, ?, ?)",
        )?;
        for record in records {
            let (_, subject, predicate, _) = record.topic();
            statement.execute(params![
                record.id().as_bytes().as_slice(),
                subject,
                predicate,
                record.canonical()
            ])?;
        }
        self.0.execute_batch("COMMIT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;

    #[test]
    fn all_records_are_in_the_file() {
        let claims = Claims::read();
        let records: Vec<Record> = (0..1_500)
            .map(|_| claims.fresh_claim().unwrap().record)
            .collect();
        let directory = tempfile::tempdir().unwrap();
        insert(directory.path(), &records).unwrap();
        let connection = Connection::open(directory.path().join("raw.db")).unwrap();
        let count = connection.query_row("SELECT count(*) FROM claim", [], |row| row.get(0));
        assert_eq!(count, Ok(records.len() as i64));
    }
}
