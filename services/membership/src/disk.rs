//! What this node remembers of its cluster across restarts: one JSON file, replaced whole and durably.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::book::{BOOK_BYTES_MAX, Book};
use crate::metadata::ClusterId;

/// The form written here.
const VERSION: u32 = 1;

/// Most bytes that are read back: a book and a little around it.
const FILE_BYTES_MAX: u64 = BOOK_BYTES_MAX as u64 + 4096;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// Incarnation of the last process.
    pub incarnation: u64,
    /// The cluster this node has chosen. Written before its store is bound to it, so that a crash in between cannot lead
    /// to a second choice.
    pub cluster_id: Option<ClusterId>,
    /// This node was asked to leave, and the others do not know yet that it has.
    pub leaving: bool,
    /// Since which incarnation this node's copies count.
    pub admitted: Option<u64>,
    /// The members.
    pub book: Book,
}

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Reading failed.
    #[error("cannot read {path}: {source}; check the permissions of STEMEDB_DATA_DIR")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {path}: {source}; check space and permissions of STEMEDB_DATA_DIR")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error(
        "{path} is not a member list ({detail}): restore it, or move it away; the node then learns the members from its seeds"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The directory belongs to another node.
    #[error(
        "{path} belongs to node {theirs:?}, this node is {ours:?}: set STEMEDB_NODE_ID={theirs}, or give this node its own STEMEDB_DATA_DIR"
    )]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        theirs: String,
        /// The name in the settings.
        ours: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Form<'a> {
    v: u32,
    node: String,
    incarnation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    admitted: Option<u64>,
    #[serde(borrow)]
    book: &'a RawValue,
}

/// The file of one node.
#[derive(Debug, Clone)]
pub struct Disk {
    directory: Arc<Path>,
    node: String,
}

impl Disk {
    /// The file of `node` in `directory`, which is made when it is first written to.
    pub fn new(directory: impl Into<Arc<Path>>, node: impl Into<String>) -> Disk {
        Disk {
            directory: directory.into(),
            node: node.into(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("members.json")
    }

    /// What the last process left; nothing at the first start.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, of a newer form, or another node's.
    pub fn load(&self) -> Result<Saved, DiskError> {
        let path = self.path();
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
            Err(source) => return Err(DiskError::Read { path, source }),
        };
        let content = |detail: &dyn std::fmt::Display| DiskError::Content {
            path: path.clone(),
            detail: detail.to_string(),
        };
        let form: Form<'_> = serde_json::from_slice(&bytes).map_err(|fault| content(&fault))?;
        if form.v != VERSION {
            return Err(content(&format_args!(
                "form {}, this version reads form {VERSION}",
                form.v
            )));
        }
        if form.node != self.node {
            return Err(DiskError::OtherNode {
                theirs: form.node,
                ours: self.node.clone(),
                path,
            });
        }
        let cluster_id = match form.cluster_id {
            None => None,
            Some(text) => Some(text.parse().map_err(|fault| content(&fault))?),
        };
        Ok(Saved {
            incarnation: form.incarnation,
            cluster_id,
            leaving: form.leaving,
            admitted: form.admitted,
            book: Book::from_json(form.book.get().as_bytes()).map_err(|fault| content(&fault))?,
        })
    }

    /// Replaces the file. When this returns, a power cut cannot bring the old content back.
    ///
    /// # Errors
    /// When the disk refuses; the old file is then still there.
    pub fn save(&self, saved: &Saved) -> Result<(), DiskError> {
        self.replace(saved).map_err(|source| self.unwritten(source))
    }

    /// The fault of a write that did not come to its end.
    pub(crate) fn unwritten(&self, source: impl Into<io::Error>) -> DiskError {
        DiskError::Write {
            path: self.path(),
            source: source.into(),
        }
    }

    fn replace(&self, saved: &Saved) -> io::Result<()> {
        let book = String::from_utf8(saved.book.to_json()).map_err(io::Error::other)?;
        let form = Form {
            v: VERSION,
            node: self.node.clone(),
            incarnation: saved.incarnation,
            cluster_id: saved.cluster_id.map(|id| id.to_string()),
            leaving: saved.leaving,
            admitted: saved.admitted,
            book: serde_json::from_str(&book)?,
        };
        let mut bytes = serde_json::to_vec(&form)?;
        bytes.push(b'\n');
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join("members.json.new");
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        // The rename itself lives in the directory.
        File::open(&self.directory)?.sync_all()
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{size} bytes; at most {FILE_BYTES_MAX} are expected"
        )));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{CLUSTER, at, peer, roster};

    fn saved() -> Saved {
        let mut roster = roster("node1", 9, Book::default());
        roster.observe(&[peer("node2", 2, true), peer("node3", 3, false)], at(1));
        Saved {
            incarnation: 9,
            cluster_id: Some(CLUSTER),
            leaving: true,
            admitted: Some(8),
            book: roster.book(at(1)),
        }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path().join("membership"), "node1");
        assert_eq!(disk.load().unwrap(), Saved::default());
        disk.save(&saved()).unwrap();
        assert_eq!(disk.load().unwrap(), saved());
        let newer = Saved {
            incarnation: 10,
            ..saved()
        };
        disk.save(&newer).unwrap();
        assert_eq!(disk.load().unwrap(), newer);
    }

    #[test]
    fn damaged_foreign_and_newer_files_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path(), "node1");
        disk.save(&saved()).unwrap();
        let other = Disk::new(directory.path(), "node9");
        let text = other.load().unwrap_err().to_string();
        assert!(text.contains("node1") && text.contains("node9"), "{text}");

        let good = fs::read_to_string(disk.path()).unwrap();
        for bad in [
            good[..good.len() / 2].to_owned(),
            good.replacen("\"v\":1", "\"v\":7", 1),
            good.replace(&CLUSTER.to_string(), "none"),
            String::new(),
        ] {
            fs::write(disk.path(), bad).unwrap();
            let text = disk.load().unwrap_err().to_string();
            assert!(text.contains("members.json"), "{text}");
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(directory.path(), "node1");
        disk.save(&saved()).unwrap();
        fs::create_dir(directory.path().join("members.json.new")).unwrap();
        assert!(matches!(
            disk.save(&Saved::default()),
            Err(DiskError::Write { .. })
        ));
        assert_eq!(disk.load().unwrap(), saved());
    }
}
