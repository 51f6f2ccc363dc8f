//! How much disk is left.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Refusal;

/// How long one look at the file system counts. A writer at full speed fills tens of megabytes in it, far less than what is
/// kept free.
const FRESH: Duration = Duration::from_millis(200);

/// Watches the file system of the database.
#[derive(Debug)]
pub struct Space {
    directory: PathBuf,
    least_bytes: u64,
    seen: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    /// Of the file system that this directory is on.
    pub fn new(directory: PathBuf, least_bytes: u64) -> Space {
        Space {
            directory,
            least_bytes,
            seen: Mutex::new(None),
        }
    }

    /// Whether there is room for writes.
    ///
    /// # Errors
    /// [`Refusal::DiskFull`] when less is free than must be.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.free_bytes() {
            free_bytes if free_bytes < self.least_bytes => Err(self.full(free_bytes)),
            _ => Ok(()),
        }
    }

    /// The refusal for a disk that turned out to be full, whatever the file system says.
    pub fn found_full(&self) -> Refusal {
        self.full(self.free_bytes())
    }

    fn full(&self, free_bytes: u64) -> Refusal {
        Refusal::DiskFull {
            free_bytes,
            least_bytes: self.least_bytes,
        }
    }

    fn free_bytes(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free_bytes)) = *seen
            && at.elapsed() < FRESH
        {
            return free_bytes;
        }
        let free_bytes = match rustix::fs::statvfs(&self.directory) {
            Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
            Err(error) => {
                // SQLite will say when it is really full.
                tracing::warn!(%error, "cannot ask how much disk is free");
                u64::MAX
            }
        };
        *seen = Some((Instant::now(), free_bytes));
        free_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_need_what_is_to_be_kept_free() {
        let directory = tempfile::tempdir().unwrap();
        let space = |least| Space::new(directory.path().to_path_buf(), least);
        assert_eq!(space(0).check(), Ok(()));
        let refusal = space(u64::MAX).check().unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::DiskFull {
                least_bytes: u64::MAX,
                ..
            }
        ));
    }
}
