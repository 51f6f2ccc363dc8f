//! What the store holds, measured now and then for metrics and for Describe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sidecar::Shutdown;

use crate::database::Files;
use crate::metrics;
use crate::trees::Trees;

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(2);

/// The last measure. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Holdings(Arc<Measure>);

#[derive(Debug)]
struct Measure {
    files: Files,
    trees: Arc<Trees>,
    disk_bytes: AtomicU64,
}

impl Holdings {
    /// Measures once.
    pub fn new(files: Files, trees: Arc<Trees>) -> Holdings {
        let disk_bytes = AtomicU64::new(files.bytes());
        Holdings(Arc::new(Measure {
            files,
            trees,
            disk_bytes,
        }))
    }

    /// Bytes of the database files.
    pub fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes.load(Ordering::Relaxed)
    }

    /// Measures until the shutdown.
    pub async fn measure(self, shutdown: Shutdown) {
        let Measure {
            files,
            trees,
            disk_bytes,
        } = &*self.0;
        loop {
            let bytes = files.bytes();
            disk_bytes.store(bytes, Ordering::Relaxed);
            metrics::holdings(trees, bytes);
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}
