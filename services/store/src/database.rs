//! The database file: opened by one process at a time, and only when it is ours and of a schema that we know.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shard::proof::Lasting;
use sidecar::boot::UnreadableData;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection,
};

use crate::bookkeeping;
use crate::config::Config;
use crate::damage::Damage;
use crate::error::{Error, NOT_A_DATABASE, sqlite_code};
use crate::mark::{self, Mark};

/// "Stem", in the header of every file of ours.
const APPLICATION_ID: i64 = 0x5374_656d;

/// The schema that the migrations lead to; in the header as `user_version`.
const SCHEMA: i64 = 8;

const FILE: &str = "store.db";
const LOCK_FILE: &str = "store.lock";

/// Connections of repair, beside those of questions: a store under load still proves that it is complete.
const REPAIR_READERS: u32 = 2;

/// How long a statement waits for the file's lock. Nobody but a person with a shell takes it from us.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a read waits for a connection before the caller is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// Tries to open the connections of readers, each of which gets [`ACQUIRE_TIMEOUT`]: a machine that has no time for it now is no
/// reason to end.
const OPEN_TRIES: u32 = 30;

/// Pages that the writer keeps: inserts go to random places of `place`, and re-reading them costs a call each.
const WRITER_CACHE_KIB: u32 = 32 * 1024;

/// A commit of a large store changes more pages than the writer keeps. Up to so many stay in memory until it ends, instead of going
/// into the log half way and again at the end: 4,000 records of a group, with their lines, are some 64 MiB of pages.
const WRITER_SPILL_KIB: u32 = 96 * 1024;

/// Pages that each reader keeps. The system's cache is behind it.
const READER_CACHE_KIB: u32 = 4 * 1024;

/// Rows that wait between SQLite's thread and the task that reads them.
const ROW_BUFFER: usize = 64;

/// Pages in the log at which SQLite itself checkpoints in a commit. The checkpointer works long before that; this bounds the
/// log when it cannot keep up.
const AUTO_CHECKPOINT_PAGES: u32 = 65_536;

/// Who the store is, as the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 16 random bytes, made with the database.
    pub store_id: [u8; 16],
    /// The adopted cluster.
    pub cluster_id: Option<String>,
    /// Shards; also the number of the global shard.
    pub num_shards: u32,
    /// What it knew of its completeness.
    pub lasting: Lasting,
    /// When a whole scrub ended last, Unix milliseconds; 0: never.
    pub scrubbed_at_ms: i64,
}

/// The open database.
#[derive(Debug)]
pub struct Database {
    /// The one connection that writes.
    pub writer: SqliteConnection,
    /// Copies the log into the file beside the writer.
    pub checkpointer: SqliteConnection,
    /// Connections that only read.
    pub readers: Readers,
    /// Who it is.
    pub identity: Identity,
    /// Where it is.
    pub files: Files,
    /// How far it came.
    pub mark: Mark,
    /// What is known to be damaged.
    pub damage: Damage,
    /// How a scrub opens a connection of its own: one that has kept no pages reads what is on the disk.
    pub scrubs: SqliteConnectOptions,
}

/// Connections that only read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readers {
    /// For questions.
    pub questions: SqlitePool,
    /// For repair, and for the trees that both need.
    pub repair: SqlitePool,
}

impl Readers {
    async fn open(options: &SqliteConnectOptions, questions: u32) -> Result<Readers, sqlx::Error> {
        let options = reading(options);
        Ok(Readers {
            questions: pool(&options, questions).await?,
            repair: pool(&options, REPAIR_READERS).await?,
        })
    }

    /// Waits for the statements in hand, then closes all.
    pub async fn close(self) {
        self.questions.close().await;
        self.repair.close().await;
    }
}

/// So many connections, all open.
async fn pool(options: &SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    let settings = SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    for _ in 1..OPEN_TRIES {
        match settings.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::PoolTimedOut) => {
                tracing::warn!("opening the connections of readers takes long: trying again")
            }
            done => return done,
        }
    }
    settings.connect_with(options.clone()).await
}

/// How a connection that only reads is opened.
fn reading(options: &SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .clone()
        .read_only(true)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
}

/// The files of the database, locked for this process while the value lives.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    _lock: File,
}

impl Files {
    /// The directory.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Bytes of the database, its log and the log's index.
    pub fn bytes(&self) -> u64 {
        ["", "-wal", "-shm"]
            .iter()
            .filter_map(|ending| {
                let mut name = self.path.clone().into_os_string();
                name.push(ending);
                std::fs::metadata(name).ok()
            })
            .map(|file| file.len())
            .sum()
    }
}

impl Database {
    /// Opens the database of a directory, and makes it when there is none.
    ///
    /// # Errors
    /// When it is locked, not ours, newer, of another number of shards, or cannot be read or written.
    pub async fn open(config: &Config) -> Result<Database, Error> {
        let files = lock(&config.data_dir)?;
        let path = files.path.clone();
        let opened = |source| Error::of_opening(&path, source);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROW_BUFFER)
            .thread_name(|id| format!("sqlite-{id}"))
            .disable_statement_logging();
        let mut writer = options
            .clone()
            .create_if_missing(true)
            .connect()
            .await
            .map_err(opened)?;
        let new = examine(&mut writer, &path).await?;
        prepare(&mut writer, new).await.map_err(opened)?;
        sqlx::migrate!()
            .run(&mut writer)
            .await
            .map_err(|source| Error::of_migration(&path, source))?;
        let mut identity = identity(&mut writer, config.num_shards)
            .await
            .map_err(opened)?;
        if identity.num_shards != config.num_shards {
            return Err(Error::NumShards {
                path,
                database: identity.num_shards,
                configured: config.num_shards,
            });
        }
        let marked = mark::last(files.directory());
        let malformed = bookkeeping::put_right(&mut writer, &mut identity, marked)
            .await
            .map_err(opened)?;
        let mark = tell_copy_apart(&mut writer, &mut identity, new, &files).await?;
        let damage = Damage::open(&mut writer, files.directory())
            .await
            .map_err(opened)?;
        if let Some(why) = malformed {
            damage.unreadable(&why);
        }
        let checkpointer = options
            .clone()
            .busy_timeout(Duration::ZERO)
            .connect()
            .await
            .map_err(opened)?;
        let readers = Readers::open(&options, config.readers)
            .await
            .map_err(opened)?;
        Ok(Database {
            writer,
            checkpointer,
            readers,
            identity,
            files,
            mark,
            damage,
            scrubs: reading(&options),
        })
    }
}

/// Sees to it that an older copy of a database is not taken for the store it was: readers of feeds have seen rows that it will
/// fill anew, and members rely on records that it lacks. It gets an id of its own, and counts as absent.
async fn tell_copy_apart(
    writer: &mut SqliteConnection,
    identity: &mut Identity,
    new: bool,
    files: &Files,
) -> Result<Mark, Error> {
    let opened = |source| Error::of_opening(&files.path, source);
    let last = "SELECT coalesce(max(last_sequence), 0) FROM shard";
    let sequence = number(writer, last).await.map_err(opened)?;
    let sequence = u64::try_from(sequence).unwrap_or_default();
    let directory = files.directory();
    let why = if new {
        None
    } else {
        mark::why_other(directory, &identity.store_id, sequence)
            .map_err(|source| Error::Mark { source })?
    };
    if let Some(why) = why {
        tracing::error!(
            why,
            "this database is a copy, perhaps an older one: it is a store of its own from now on, and counts as absent until \
             it holds what all other members have"
        );
        identity.store_id = rand::random();
        identity.lasting.absent = true;
        sqlx::query("UPDATE store SET store_id = ?, counts_as_absent = 1")
            .bind(&identity.store_id[..])
            .execute(&mut *writer)
            .await
            .map_err(opened)?;
    }
    Mark::set(directory, identity.store_id, sequence).map_err(|source| Error::Mark { source })
}

fn lock(directory: &Path) -> Result<Files, Error> {
    let failed = |source| Error::Directory {
        path: directory.to_path_buf(),
        source,
    };
    make(directory).map_err(failed)?;
    let lock = File::create(directory.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Files {
            path: directory.join(FILE),
            _lock: lock,
        }),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            path: directory.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes a directory that is still there after a power cut.
fn make(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(directory)?;
    let above = directory.canonicalize()?;
    above
        .parent()
        .map_or(Ok(()), |above| File::open(above)?.sync_all())
}

/// Looks at a file before anything is written to it. True: it is new.
async fn examine(connection: &mut SqliteConnection, path: &Path) -> Result<bool, Error> {
    let seen = async {
        let application: i64 = number(connection, "PRAGMA application_id").await?;
        let schema: i64 = number(connection, "PRAGMA user_version").await?;
        let tables: i64 = number(connection, "SELECT count(*) FROM sqlite_schema").await?;
        Ok((application, schema, tables))
    };
    let path = path.to_path_buf();
    match seen.await {
        Ok((0, _, 0)) => Ok(true),
        Ok((APPLICATION_ID, schema, _)) if schema <= SCHEMA => Ok(false),
        Ok((APPLICATION_ID, found, _)) => Err(Error::Newer {
            path,
            found,
            known: SCHEMA,
        }),
        Ok((application, ..)) => {
            let found = format!("an SQLite database with application id {application:#x}");
            Err(Error::Foreign { path, found })
        }
        Err(error) if sqlite_code(&error) == Some(NOT_A_DATABASE) => Err(Error::NoDatabase {
            path,
            source: UnreadableData(error.into()),
        }),
        Err(source) => Err(Error::of_opening(&path, source)),
    }
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}

async fn prepare(writer: &mut SqliteConnection, new: bool) -> Result<(), sqlx::Error> {
    if new {
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}");
        writer.execute(AssertSqlSafe(mark)).await?;
    }
    let settings = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA cache_spill = -{WRITER_SPILL_KIB};
         PRAGMA wal_autocheckpoint = {AUTO_CHECKPOINT_PAGES}"
    );
    writer.execute(AssertSqlSafe(settings)).await?;
    Ok(())
}

/// Reads who the store is; a new one is given an id. New or not, an interrupted first start ends here too.
async fn identity(writer: &mut SqliteConnection, num_shards: u32) -> Result<Identity, sqlx::Error> {
    let store_id: [u8; 16] = rand::random();
    sqlx::query(
        "INSERT OR IGNORE INTO store (only_row, store_id, num_shards, cluster_id, counts_as_absent, created_at_ms)
         VALUES (1, ?, ?, NULL, 1, ?)",
    )
    .bind(&store_id[..])
    .bind(num_shards)
    .bind(sidecar::clock::unix_ms())
    .execute(&mut *writer)
    .await?;
    let row = sqlx::query(
        "SELECT store_id, num_shards, cluster_id, counts_as_absent, wide, scrubbed_at_ms, replication_factor FROM store",
    )
    .fetch_one(writer)
    .await?;
    let store_id: Vec<u8> = row.try_get(0)?;
    Ok(Identity {
        store_id: store_id
            .try_into()
            .map_err(|_| sqlx::Error::Decode("store.store_id is not 16 bytes".into()))?,
        num_shards: row.try_get(1)?,
        cluster_id: row.try_get(2)?,
        lasting: Lasting {
            absent: row.try_get(3)?,
            wide: row.try_get(4)?,
            replication_factor: row.try_get(6)?,
        },
        scrubbed_at_ms: row.try_get(5)?,
    })
}

/// Ends a connection in good order; at the end of the process a failure changes nothing any more.
pub(crate) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a database connection did not close");
    }
}
