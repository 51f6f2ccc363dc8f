//! The data directory of a local cluster: whose it is, who uses it, and `cluster.json`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::failure::Failure;

/// What makes a directory ours.
const CLUSTER_FILE: &str = "cluster.json";

/// Held by the running `up`.
const LOCK_FILE: &str = "up.lock";

/// What it says to those who wonder.
const LOCK_TEXT: &[u8] = b"A running `stemedb up` holds a lock (flock) on this file, so that no other one takes the directory.\n\
The file stays when it ends, and is in nobody's way then.\n";

/// Where it takes orders.
const CONTROL_FILE: &str = "control.sock";

/// Socket paths have at most 107 bytes on Linux.
const SOCKET_PATH_MAX: usize = 107;

/// What runs where: `cluster.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ClusterFile {
    /// Process id of `up`.
    pub(crate) parent: u32,
    /// Where `up` takes orders.
    pub(crate) control: PathBuf,
    /// First port of node 1.
    pub(crate) base_port: u16,
    /// Whether the demo set was loaded, or declined, once and for all.
    pub(crate) demo_done: bool,
    /// By name.
    pub(crate) nodes: BTreeMap<String, NodeEntry>,
}

/// A node in `cluster.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NodeEntry {
    /// host:port of the public API.
    pub(crate) api: String,
    /// host:port of the cluster and admin API.
    pub(crate) admin: String,
    /// host:port of the store for peers.
    pub(crate) rpc: String,
    /// host:port of SWIM.
    pub(crate) swim: String,
    /// By service.
    pub(crate) processes: BTreeMap<String, ProcessEntry>,
}

/// A process in `cluster.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ProcessEntry {
    /// None while it does not run.
    pub(crate) pid: Option<i32>,
    /// running, paused, ended.
    pub(crate) state: String,
    /// Its output.
    pub(crate) log: PathBuf,
    /// Its command line.
    pub(crate) command: String,
}

/// A data directory that this process may use: nobody else does while this value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes a directory: a new one, an empty one, or one that a local cluster left. With `fresh` what the cluster left is
    /// deleted first, and nothing else.
    pub(crate) fn take(path: &Path, fresh: bool) -> Result<Directory, Failure> {
        fs::create_dir_all(path).map_err(Failure::file("cannot create", path))?;
        let path = path
            .canonicalize()
            .map_err(Failure::file("cannot open", path))?;
        refuse_strangers(&path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(Failure::file("cannot write", &lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::Local(format!(
                "{} is in use by a running `stemedb up`\n→ stop that one first, or use another --data-dir",
                path.display()
            )));
        }
        // It stays when `up` ends: whoever deletes a file that is locked lets two in. Who finds it may read why.
        let told = lock.set_len(0).and_then(|()| (&lock).write_all(LOCK_TEXT));
        told.map_err(Failure::file("cannot write", &lock_path))?;
        let directory = Directory { path, _lock: lock };
        if fresh {
            directory.wipe()?;
        }
        Ok(directory)
    }

    /// The directory, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where `up` takes orders: in the directory, or beside it when the path is too long for a socket.
    pub(crate) fn control(&self) -> PathBuf {
        let inside = self.path.join(CONTROL_FILE);
        if inside.as_os_str().len() <= SOCKET_PATH_MAX {
            return inside;
        }
        std::env::temp_dir().join(format!("stemedb-up-{}.sock", std::process::id()))
    }

    /// Writes `cluster.json`: whole or not at all.
    pub(crate) fn write(&self, file: &ClusterFile) -> Result<(), Failure> {
        let path = self.path.join(CLUSTER_FILE);
        let part = self.path.join(format!("{CLUSTER_FILE}.part"));
        let write = || -> io::Result<()> {
            let mut out = File::create(&part)?;
            out.write_all(serde_json::to_string_pretty(file)?.as_bytes())?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(Failure::file("cannot write", &path))
    }

    fn wipe(&self) -> Result<(), Failure> {
        let Some(file) = read_file(&self.path)? else {
            return Ok(());
        };
        for name in file.nodes.keys().filter(|name| is_node_name(name)) {
            remove(&self.path.join(name), |path| fs::remove_dir_all(path))?;
        }
        // Last: while it is there the directory is recognised as ours.
        remove(&self.path.join(CLUSTER_FILE), |path| fs::remove_file(path))
    }
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::file("cannot delete", path)(error))
        }
        _ => Ok(()),
    }
}

/// `cluster.json` is a file that people can edit: only names that `up` gives lead to a deletion.
fn is_node_name(name: &str) -> bool {
    name.strip_prefix("node").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn refuse_strangers(path: &Path) -> Result<(), Failure> {
    if path.join(CLUSTER_FILE).exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(Failure::file("cannot read", path))?;
    let strange = entries.find_map(|entry| {
        let name = entry.ok()?.file_name();
        // An `up` that was killed early leaves these.
        (name != LOCK_FILE && name != CONTROL_FILE).then_some(name)
    });
    match strange {
        None => Ok(()),
        Some(name) => Err(Failure::Local(format!(
            "{} holds {:?} and no {CLUSTER_FILE}: it is not a directory of a local cluster\n→ name a new one: --data-dir DIR",
            path.display(),
            name.to_string_lossy()
        ))),
    }
}

/// Reads `cluster.json` of a directory; None when there is none.
pub(crate) fn read_file(path: &Path) -> Result<Option<ClusterFile>, Failure> {
    let path = path.join(CLUSTER_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("cannot read", path)(error)),
    };
    let file = serde_json::from_str(&text).map_err(|error| {
        Failure::Local(format!(
            "{} cannot be read: {error}\n→ delete its directory",
            path.display()
        ))
    })?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterFile {
        let nodes =
            ["node1", "node2", "../precious"].map(|name| (name.to_owned(), NodeEntry::default()));
        ClusterFile {
            base_port: 18_180,
            nodes: BTreeMap::from(nodes),
            ..ClusterFile::default()
        }
    }

    #[test]
    fn a_directory_is_used_by_one_and_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let directory = Directory::take(&path, false).unwrap();
        directory.write(&cluster()).unwrap();
        let error = Directory::take(&path, true).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        let told = fs::read_to_string(path.join(LOCK_FILE)).unwrap();
        assert!(told.contains("The file stays"), "{told}");
        drop(directory);
        let again = Directory::take(&path, false).unwrap();
        assert_eq!(read_file(again.path()).unwrap().unwrap().base_port, 18_180);
    }

    #[test]
    fn fresh_deletes_what_the_cluster_left_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        for name in ["data/node1/store", "data/notes", "precious"] {
            fs::create_dir_all(home.path().join(name)).unwrap();
        }
        // Not ours yet: refused, with and without --fresh.
        assert!(Directory::take(&path, false).is_err());
        assert!(Directory::take(&path, true).is_err());
        fs::write(
            path.join(CLUSTER_FILE),
            serde_json::to_string(&cluster()).unwrap(),
        )
        .unwrap();
        drop(Directory::take(&path, true).unwrap());
        assert!(!path.join("node1").exists() && !path.join(CLUSTER_FILE).exists());
        assert!(path.join("notes").exists() && home.path().join("precious").exists());
    }

    #[test]
    fn a_socket_path_is_never_too_long() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("d".repeat(120));
        let directory = Directory::take(&path, false).unwrap();
        assert!(directory.control().as_os_str().len() <= SOCKET_PATH_MAX);
    }
}
