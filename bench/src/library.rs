//! One store without its process: the writer of the store's own library, on a directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use assertion::Record;
use shard::shard_of;
use sidecar::Shutdown;
use stemedb_store::checkpoint;
use stemedb_store::config::Config;
use stemedb_store::database::{Database, Readers};
use stemedb_store::intake::{Arrival, Incoming};
use stemedb_store::space::Space;
use stemedb_store::trees::Trees;
use stemedb_store::writer::{Writer, WriterTask};
use tokio::task::JoinHandle;

/// The default.
pub const SHARDS: u32 = 256;

/// Records of one commit.
pub type Group = (Vec<Incoming>, usize);

/// An open store: its writer, and what keeps its log short beside it.
pub struct Library {
    writer: Writer,
    task: JoinHandle<Result<(), String>>,
    copier: JoinHandle<Result<(), String>>,
    copies: Shutdown,
    readers: Readers,
}

impl Library {
    /// Opens it.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub async fn open(directory: &Path) -> Result<Library, String> {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config {
            node: "bench".to_owned(),
            data_dir: directory.to_path_buf(),
            min_free_bytes: 0,
            scrub_interval: None,
            readers: 1,
            num_shards: SHARDS,
            peers: nowhere,
            local: nowhere,
            metrics: nowhere,
        };
        let database = Database::open(&config).await;
        let database = database.map_err(|error| error.to_string())?;
        let trees = Trees::open(database.readers.repair.clone(), SHARDS).await;
        let trees = Arc::new(trees.map_err(|error| error.to_string())?);
        let space = Arc::new(Space::new(config.data_dir.clone(), 0));
        let damage = Arc::new(database.damage);
        let (task, writer) = WriterTask::new(database.writer, Arc::clone(&trees), space, damage);
        let run = async move { task.run().await.map_err(|error| error.to_string()) };
        let copies = Shutdown::new();
        let copier = checkpoint::run(database.checkpointer, writer.clone(), trees, copies.clone());
        let copy = async move { copier.await.map_err(|error| error.to_string()) };
        Ok(Library {
            writer,
            task: tokio::spawn(run),
            copier: tokio::spawn(copy),
            copies,
            readers: database.readers,
        })
    }

    /// Makes a group durable in one commit.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn append(&self, (group, bytes): Group) -> Result<(), String> {
        let room = self.writer.room(bytes);
        let room = room.map_err(|refusal| refusal.to_string())?;
        let written = self.writer.append(group, bytes, room).await;
        written.map(drop).map_err(|refusal| refusal.to_string())
    }

    /// Ends it.
    ///
    /// # Errors
    /// When what was written could not be finished.
    pub async fn close(self) -> Result<(), String> {
        self.copies.trigger();
        let copied = self.copier.await.map_err(|error| error.to_string())?;
        drop(self.writer);
        let ended = self.task.await.map_err(|error| error.to_string())?;
        self.readers.close().await;
        copied.and(ended)
    }
}

/// Records as a commit takes them.
pub fn group(records: &[Record]) -> Group {
    let bytes = records.iter().map(|record| record.canonical().len()).sum();
    (records.iter().map(incoming).collect(), bytes)
}

fn incoming(record: &Record) -> Incoming {
    Incoming {
        shard: place(record),
        record: record.clone(),
        arrival: Arrival::Push,
        trace_id: None,
    }
}

/// Where a claim lies.
pub fn place(record: &Record) -> u32 {
    shard_of(record.topic().1, SHARDS)
}
