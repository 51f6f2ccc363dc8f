//! Where the lines go: a file that can be gone on with, or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::state::State;
use crate::failure::Failure;
use crate::output;

/// Lines that are kept together: packed, written, made durable, and noted in the state. Larger: fewer fsyncs. Smaller: less
/// to fetch again, less memory.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A slow feed's lines do not wait longer than this.
const BATCH_AGE: Duration = Duration::from_secs(5);

/// Takes lines.
pub(crate) struct Target {
    place: Place,
    batch: Vec<u8>,
    kept_at: Instant,
    state: State,
    /// A write that failed may have left anything: nothing is noted after it.
    broken: bool,
}

enum Place {
    StandardOutput,
    File {
        file: File,
        path: PathBuf,
        /// Each batch is a gzip member of its own: a file of them is a gzip file (RFC 1952, 2.2), and ends well after each.
        gzip: bool,
    },
}

impl Target {
    /// Standard output: nothing can be gone on with.
    pub(crate) fn standard_output() -> Target {
        Target::new(Place::StandardOutput, State::start(Default::default()))
    }

    /// A new file.
    ///
    /// # Errors
    /// When it exists: an export may be somebody's only copy.
    pub(crate) fn create(path: &Path, state: &State) -> Result<Target, Failure> {
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Local(format!(
                "{} exists and is not overwritten\n→ go on with it: --resume; or name another file",
                path.display()
            )),
            _ => Failure::file("cannot write", path)(error),
        })?;
        state.write(path)?;
        Ok(Target::new(Place::file(file, path), state.clone()))
    }

    /// A file that was begun: what its state does not know of is cut off.
    pub(crate) fn resume(path: &Path, state: &State) -> Result<Target, Failure> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(Failure::file("cannot write", path))?;
        let length = file
            .metadata()
            .map_err(Failure::file("cannot read", path))?
            .len();
        if length < state.bytes {
            return Err(Failure::Local(format!(
                "{} has {length} bytes, and had {} when it was last written\n→ it is not what was exported: export into another file",
                path.display(),
                state.bytes
            )));
        }
        file.set_len(state.bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(Failure::file("cannot write", path))?;
        Ok(Target::new(Place::file(file, path), state.clone()))
    }

    fn new(place: Place, state: State) -> Target {
        Target {
            place,
            batch: Vec::new(),
            kept_at: Instant::now(),
            state,
            broken: false,
        }
    }

    /// Whether an export into this can be gone on with.
    pub(crate) fn resumes(&self) -> bool {
        matches!(self.place, Place::File { .. })
    }

    /// Takes a line that is the `records`th, with the position behind it. `false`: nobody reads any more.
    pub(crate) fn take(
        &mut self,
        line: &[u8],
        token: String,
        records: u64,
    ) -> Result<bool, Failure> {
        if let Place::StandardOutput = self.place {
            let mut out = io::stdout().lock();
            let written = out.write_all(line).and_then(|()| out.write_all(b"\n"));
            return match written {
                Ok(()) => Ok(true),
                Err(error) if output::has_left(&error) => Ok(false),
                Err(error) => Err(output::lost(error)),
            };
        }
        self.batch.extend_from_slice(line);
        self.batch.push(b'\n');
        self.reached(token);
        if self.batch.len() >= BATCH_BYTES || self.kept_at.elapsed() >= BATCH_AGE {
            self.keep(records)?;
        }
        Ok(true)
    }

    /// Notes the position behind what was taken.
    pub(crate) fn reached(&mut self, token: String) {
        self.state.token = token;
    }

    /// Makes everything that was taken durable, first the lines, then the state.
    pub(crate) fn keep(&mut self, records: u64) -> Result<(), Failure> {
        let Place::File { file, path, gzip } = &mut self.place else {
            return Ok(());
        };
        if std::mem::replace(&mut self.broken, true) {
            return Ok(());
        }
        let bytes = match gzip {
            true if !self.batch.is_empty() => {
                pack(&self.batch).map_err(Failure::file("cannot pack", path.as_path()))?
            }
            _ => std::mem::take(&mut self.batch),
        };
        file.write_all(&bytes)
            .and_then(|()| file.sync_data())
            .map_err(Failure::file("cannot write", path.as_path()))?;
        self.batch.clear();
        self.state.bytes += bytes.len() as u64;
        self.state.records = records;
        self.kept_at = Instant::now();
        self.state.write(path)?;
        self.broken = false;
        Ok(())
    }
}

impl Place {
    fn file(file: File, path: &Path) -> Place {
        Place::File {
            file,
            path: path.to_owned(),
            gzip: path.extension().is_some_and(|extension| extension == "gz"),
        }
    }
}

fn pack(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(lines)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;

    fn read(path: &Path, gzip: bool) -> String {
        let mut text = String::new();
        let file = File::open(path).unwrap();
        match gzip {
            true => MultiGzDecoder::new(file).read_to_string(&mut text).unwrap(),
            false => { file }.read_to_string(&mut text).unwrap(),
        };
        text
    }

    #[test]
    fn a_file_that_broke_off_goes_on_where_its_state_says() {
        for (name, gzip) in [("all.ndjson", false), ("all.ndjson.gz", true)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            let start = State::start(Default::default());
            let mut target = Target::create(&path, &start).unwrap();
            assert!(target.take(b"{\"n\":1}", "t1".to_owned(), 1).unwrap());
            target.keep(1).unwrap();
            // The process dies here, with a line that it took and half of one that the system wrote.
            target.take(b"{\"n\":2}", "t2".to_owned(), 2).unwrap();
            drop(target);
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"\x1f\x8bhalf").unwrap();

            let state = State::read(&path).unwrap();
            assert_eq!((state.token.as_str(), state.records), ("t1", 1));
            let mut target = Target::resume(&path, &state).unwrap();
            target.take(b"{\"n\":2}", "t2".to_owned(), 2).unwrap();
            target.reached("t9".to_owned());
            target.keep(2).unwrap();
            assert_eq!(read(&path, gzip), "{\"n\":1}\n{\"n\":2}\n", "{name}");
            let state = State::read(&path).unwrap();
            assert_eq!((state.token.as_str(), state.records), ("t9", 2));
            assert_eq!(state.bytes, std::fs::metadata(&path).unwrap().len());
        }
    }

    #[test]
    fn an_export_is_never_overwritten_nor_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("all.ndjson");
        let mut state = State::start(Default::default());
        drop(Target::create(&path, &state).unwrap());
        let again = Target::create(&path, &state).err().unwrap().to_string();
        assert!(again.contains("--resume"), "{again}");
        state.bytes = 5;
        let shorter = Target::resume(&path, &state).err().unwrap().to_string();
        assert!(shorter.contains("0 bytes"), "{shorter}");
        std::fs::remove_file(State::path(&path)).unwrap();
        assert!(State::read(&path).is_err());
    }
}
