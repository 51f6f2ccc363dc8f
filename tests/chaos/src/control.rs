//! What `preload.c` does to a node, ordered through a file that its programs have mapped.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sweep::system;

/// The library that stands before the C library.
const SOURCE: &str = include_str!("preload.c");

/// Length of the file, and where its fields are: `struct control`.
const LENGTH: usize = 16;
const CLOCK_OFFSET_AT: u64 = 0;
const SYNCS_TO_FAIL_AT: u64 = 8;
const SYNCS_FAILED_AT: u64 = 12;

/// Compiles the library into a directory; where it is.
///
/// # Errors
/// When there is no C compiler.
pub fn compile(directory: &Path) -> Result<PathBuf, String> {
    let (source, library) = (directory.join("preload.c"), directory.join("preload.so"));
    fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
    let (from, to) = (source.to_string_lossy(), library.to_string_lossy());
    system(&[
        "cc",
        "-O2",
        "-shared",
        "-fPIC",
        "-o",
        &to,
        &from,
        "-ldl",
        "-lpthread",
    ])?;
    Ok(library)
}

/// The orders to one node.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Orders nothing.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn make(path: &Path) -> Result<Control, String> {
        fs::write(path, [0; LENGTH]).map_err(|error| error.to_string())?;
        Ok(Control {
            path: path.to_owned(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the clock back by so much.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn clock_back(&self, by: Duration) -> Result<(), String> {
        let offset = -i64::try_from(by.as_nanos()).map_err(|error| error.to_string())?;
        self.put(CLOCK_OFFSET_AT, &offset.to_ne_bytes())
    }

    /// The next so many syncs of a write-ahead log fail, and what they should have brought to disk is gone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn fail_syncs(&self, count: i32) -> Result<(), String> {
        self.put(SYNCS_TO_FAIL_AT, &count.to_ne_bytes())
    }

    /// How many have failed so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn syncs_failed(&self) -> Result<i32, String> {
        let mut bytes = [0; 4];
        let file = fs::File::open(&self.path).map_err(|error| error.to_string())?;
        file.read_exact_at(&mut bytes, SYNCS_FAILED_AT)
            .map_err(|error| error.to_string())?;
        Ok(i32::from_ne_bytes(bytes))
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(|error| error.to_string())?;
        file.write_all_at(bytes, at)
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }
}
