//! Directories for clusters, beside the programs that are tested.

use std::fs;
use std::path::Path;
use std::sync::Once;

use tempfile::TempDir;

use crate::{binaries, process};

/// Begins the names of ours; the id of the process that made them follows.
const PREFIX: &str = "e2e-";

/// A new directory, deleted when dropped.
///
/// The last shared cluster of a run is never dropped, and a killed run drops nothing: what processes that are gone have left is
/// swept here first.
///
/// # Panics
/// When it cannot be made.
pub fn make() -> TempDir {
    static SWEPT: Once = Once::new();
    let program = binaries::path("stemedb");
    let target = program.parent().and_then(Path::parent);
    let place = target
        .expect("programs lie in <target>/<profile>")
        .join("tmp");
    fs::create_dir_all(&place).expect("a directory can be made");
    SWEPT.call_once(|| sweep(&place));
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(place)
        .expect("a directory can be made")
}

fn sweep(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse().ok());
        if maker.is_some_and(|pid| !process::exists(pid)) {
            // Another run may sweep the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
