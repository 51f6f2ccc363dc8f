//! What can go wrong, named for the act that failed.

use std::path::{Path, PathBuf};

use lens::TooMuch;
use proto::convert::WireError;
use shard::homecoming::Kept;
use sidecar::boot::{StartAgain, UnreadableData};
use sqlx::migrate::MigrateError;
use thiserror::Error;

/// Why the service cannot start or go on.
#[derive(Debug, Error)]
pub enum Error {
    /// The data directory cannot be used.
    #[error(
        "cannot use the data directory {path}: {source}; see storage.data_dir / STEMEDB_DATA_DIR"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The mark beside the database cannot be used.
    #[error(
        "cannot keep the mark beside the database: {source}; see that this process may write all files of storage.data_dir / STEMEDB_DATA_DIR"
    )]
    Mark {
        /// Why.
        source: std::io::Error,
    },
    /// A peer has seen more of this store than it began with.
    #[error(
        "this database is an older state of the store that the other nodes know, brought back together with its mark; start the store again: it will be a store of its own, and count as absent until it holds what all others have"
    )]
    FellBack(#[source] StartAgain),
    /// Another process has it.
    #[error(
        "another store is running on {path}; stop it, or give this node a data directory of its own"
    )]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// The file is somebody else's.
    #[error(
        "{path} is not a StemeDB database ({found}); it was left as it is: move it away, or give another data directory"
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file is no database at all, or begins like none any more.
    #[error(
        "{path} is no SQLite database, or its beginning is damaged; it was left as it is: move it and the files beside it (store.*) away \
         and start the store again, it fills itself from the other nodes; or give another data directory"
    )]
    NoDatabase {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        source: UnreadableData,
    },
    /// The file was written by a later version.
    #[error(
        "{path} has schema {found}, this version knows up to {known}; it was left as it is: run the version that wrote it, or a later one"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The number of shards is fixed with the database.
    #[error(
        "{path} was made with {database} shards, cluster.num_shards / STEMEDB_NUM_SHARDS says {configured}; the number is fixed for a cluster's life: set it to {database}"
    )]
    NumShards {
        /// Which.
        path: PathBuf,
        /// What it was made with.
        database: u32,
        /// What was set.
        configured: u32,
    },
    /// The database does not open.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The file is damaged.
    #[error(
        "the database {path} is malformed: {source}; move it and the files beside it (store.*) away and start the store again: it fills itself from the other nodes"
    )]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: UnreadableData,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot bring the schema of {path} up to date: {source}")]
    Migrate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// The index of sources and predicates cannot be filled from the rows of an earlier version.
    #[error(
        "cannot enter the older records of {path} into the index of sources and predicates: {source}; free space or mend the disk, then start the store again: it goes on where it stopped"
    )]
    Index {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A write failed in a way that leaves open what is on the disk.
    #[error(
        "a write to the database failed, so what it held may or may not be stored: {0}; check the disk, then start the store again"
    )]
    Write(sqlx::Error),
    /// A listener's address is taken or not ours.
    #[error(transparent)]
    Listen(#[from] sidecar::grpc::ServeError),
    /// The metrics of the process.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// A part of the service ended.
    #[error(transparent)]
    Task(#[from] sidecar::tasks::TaskError),
}

impl Error {
    /// That the schema of a database cannot be brought up to date.
    pub(crate) fn of_migration(path: &Path, source: MigrateError) -> Error {
        match source {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)
                if is_malformed(&source) =>
            {
                Error::of_opening(path, source)
            }
            source => Error::Migrate {
                path: path.to_path_buf(),
                source,
            },
        }
    }

    /// That a database does not open.
    pub(crate) fn of_opening(path: &Path, source: sqlx::Error) -> Error {
        let path = path.to_path_buf();
        if is_malformed(&source) || is_unread(&source) {
            let source = UnreadableData(source.into());
            Error::Malformed { path, source }
        } else {
            Error::Open { path, source }
        }
    }
}

/// Why a write was not done. Only [`Refusal::MaybeStored`] leaves anything open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing was stored: the disk is, or is about to be, full.
    #[error(
        "disk full: {free_bytes} bytes are free, writes need {least_bytes}; free space, or lower storage.min_free_mib"
    )]
    DiskFull {
        /// What is left.
        free_bytes: u64,
        /// What must be left.
        least_bytes: u64,
    },
    /// Nothing was stored: too much waits already.
    #[error("overloaded: too many bytes wait to be written; back off and send again")]
    Overloaded,
    /// Nothing was stored: somebody else holds a lock on the file.
    #[error("another program has the database locked; end its transaction")]
    Busy,
    /// Nothing was stored: the database cannot be relied on.
    #[error("the database of this node is malformed: {0}")]
    Malformed(String),
    /// Nothing was stored: this node is leaving the cluster.
    #[error("this node is leaving the cluster; write to another one")]
    Leaving,
    /// Nothing was stored: the store is ending.
    #[error("the store is stopping")]
    Stopping,
    /// The write was tried and its end is not known. The store is ending.
    #[error("may or may not be stored: {0}")]
    MaybeStored(String),
}

/// Why a call was not answered.
#[derive(Debug, Error)]
pub enum CallError {
    /// The message means nothing.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The caller belongs to another cluster.
    #[error("{0}")]
    WrongCluster(String),
    /// The caller looks for another node.
    #[error("this is the store of {node}, the call is meant for {meant}; addresses have moved")]
    WrongNode {
        /// Whom the caller looks for.
        meant: String,
        /// Whose store this is.
        node: String,
    },
    /// The caller counts in the rows of another database.
    #[error(
        "this store is {store}, the position is one in {named}; describe the store and start anew"
    )]
    OtherStore {
        /// Whose rows the caller counts.
        named: String,
        /// Ours.
        store: String,
    },
    /// The caller has seen more of this store than it began with.
    #[error(
        "this store had {seen} rows once and began with {began}: it fell back to an older state, and ends"
    )]
    FellBack {
        /// The last row that the caller has seen.
        seen: u64,
        /// The last row when it was opened.
        began: u64,
    },
    /// The write was not done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// More than one answer can weigh.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// More than one answer can carry or look through.
    #[error("{0}")]
    TooLarge(&'static str),
    /// The answer took too long.
    #[error("the answer took more than {0} s; narrow the question")]
    TooSlow(u64),
    /// No connection or place was free in time.
    #[error("overloaded: too many reads wait; back off and ask again")]
    Overloaded,
    /// A row's bytes are not those of its id.
    #[error(
        "record {sequence} is damaged: its bytes are not those of its id; the other copies are good"
    )]
    Damaged {
        /// The row.
        sequence: i64,
    },
    /// Rows stay that were to be given up.
    #[error("nothing was given up: {0}")]
    NotReleased(#[from] Kept),
    /// The database did not answer.
    #[error("the database cannot be read: {0}")]
    Read(sqlx::Error),
}

impl From<sqlx::Error> for CallError {
    fn from(error: sqlx::Error) -> CallError {
        match error {
            sqlx::Error::PoolTimedOut => CallError::Overloaded,
            error => CallError::Read(error),
        }
    }
}

/// SQLite's primary result code of an error, when it is SQLite's.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether an error says that the database is malformed.
pub(crate) fn is_malformed(error: &sqlx::Error) -> bool {
    matches!(sqlite_code(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// Whether what was read cannot be what was written.
fn is_unread(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound
    )
}

/// `SQLITE_BUSY`
pub(crate) const BUSY: i32 = 5;
/// `SQLITE_CORRUPT`
const CORRUPT: i32 = 11;
/// `SQLITE_FULL`
pub(crate) const FULL: i32 = 13;
/// `SQLITE_NOTADB`
pub(crate) const NOT_A_DATABASE: i32 = 26;
