//! A mark beside the database: whose it is, and how far it came. An older copy that is put in the database's place stays behind
//! its mark, or has none: it lacks records that this store has acknowledged, so it must not count as the store that it was.
//!
//! The mark follows the commits by half a second and is not forced to disk: a power cut sets it back, never ahead. What it
//! cannot see is a copy of both files together, as a snapshot of the whole volume is; peers do ([`crate::beginning`]).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assertion::RecordId;
use sidecar::Shutdown;
use sidecar::boot::StartAgain;

use crate::beginning::Beginning;
use crate::error::Error;
use crate::trees::Trees;

const FILE: &str = "store.mark";

/// Between two moves. Rows that were lost within one are not noticed.
const INTERVAL: Duration = Duration::from_millis(500);

/// The store, its last row, and enough of their hash to tell what was half written.
const LENGTH: usize = 16 + 8 + 8;

/// The open mark.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    file: Arc<File>,
    store_id: [u8; 16],
    sequence: u64,
}

/// Moves the mark on until the shutdown.
///
/// # Errors
/// When it cannot be written, and when a peer has seen more of the store than it began with.
pub async fn run(
    mut mark: Mark,
    trees: Arc<Trees>,
    beginning: Arc<Beginning>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    while tokio::select! {
        () = tokio::time::sleep(INTERVAL) => true,
        () = beginning.fell_back() => return Err(mark.discard()),
        () = shutdown.cancelled() => false,
    } {
        mark.follow(trees.sequence()).await?;
    }
    mark.follow(trees.sequence()).await
}

/// Why a database is not the one that was here last; `None`: it is.
///
/// # Errors
/// When the mark cannot be read, though it is there.
pub fn why_other(
    directory: &Path,
    store_id: &[u8; 16],
    sequence: u64,
) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    match File::open(directory.join(FILE)) {
        Ok(file) => file.take(LENGTH as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some("it has no mark beside it".to_owned()));
        }
        Err(error) => return Err(error),
    };
    Ok(match parse(&bytes) {
        None => Some("the mark beside it is damaged".to_owned()),
        Some((marked, _)) if marked != *store_id => {
            Some("the mark beside it is another store's".to_owned())
        }
        Some((_, last)) if last > sequence => Some(format!(
            "its last row is {sequence}, and {last} was written"
        )),
        Some(_) => None,
    })
}

/// How far the mark of a directory came; 0 when it says nothing.
pub(crate) fn last(directory: &Path) -> u64 {
    let bytes = std::fs::read(directory.join(FILE));
    let parsed = bytes.ok().and_then(|bytes| parse(&bytes));
    parsed.map_or(0, |(_, sequence)| sequence)
}

impl Mark {
    /// Marks a database from now on.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn set(directory: &Path, store_id: [u8; 16], sequence: u64) -> io::Result<Mark> {
        let path = directory.join(FILE);
        // In place: a disk without room must not leave an empty mark, which would make this store another one.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let bytes = written(&store_id, sequence);
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        Ok(Mark {
            path,
            file: Arc::new(file),
            store_id,
            sequence,
        })
    }

    /// Takes it away, so that the next start finds a copy. Why this one ends, in any case.
    fn discard(self) -> Error {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Error::FellBack(StartAgain),
            Err(source) => Error::Mark { source },
        }
    }

    /// Moves it on to the last row that is durable.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn follow(&mut self, sequence: u64) -> Result<(), Error> {
        if sequence <= self.sequence {
            return Ok(());
        }
        let (file, bytes) = (Arc::clone(&self.file), written(&self.store_id, sequence));
        // In place, and less than a sector: it is there as a whole or not at all.
        let write = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, 0));
        let done = write.await.map_err(io::Error::other).flatten();
        done.map_err(|source| Error::Mark { source })?;
        self.sequence = sequence;
        Ok(())
    }
}

fn written(store_id: &[u8; 16], sequence: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..16].copy_from_slice(store_id);
    bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
    let check = RecordId::of(&bytes[..24]);
    bytes[24..].copy_from_slice(&check.as_bytes()[..8]);
    bytes
}

fn parse(bytes: &[u8]) -> Option<([u8; 16], u64)> {
    let (store_id, rest) = bytes.split_first_chunk::<16>()?;
    let sequence = u64::from_be_bytes(*rest.first_chunk()?);
    (bytes == written(store_id, sequence)).then_some((*store_id, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mark_knows_its_store_and_how_far_it_came() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let why = |store: [u8; 16], sequence| why_other(place, &store, sequence).unwrap();
        assert_eq!(why([1; 16], 5).unwrap(), "it has no mark beside it");
        let mut mark = Mark::set(place, [1; 16], 5).unwrap();
        assert_eq!(why([1; 16], 5), None);
        assert_eq!(
            why([1; 16], 6),
            None,
            "the mark is allowed to be a little behind"
        );
        assert!(why([2; 16], 5).is_some());
        mark.follow(9).await.unwrap();
        mark.follow(7).await.unwrap();
        assert_eq!(
            why([1; 16], 8).unwrap(),
            "its last row is 8, and 9 was written"
        );
        assert_eq!(why([1; 16], 9), None);
        for torn in [&b""[..], &[7; LENGTH], &[7; LENGTH + 1]] {
            std::fs::write(place.join(FILE), torn).unwrap();
            assert_eq!(why([1; 16], 9).unwrap(), "the mark beside it is damaged");
        }
    }
}
