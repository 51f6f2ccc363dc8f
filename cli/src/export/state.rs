//! How far an export has come, in a file beside it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::feed::Filters;

/// Where a feed begins.
const START: &str = "start";

/// What the file holds up to a moment that is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The feed's position behind the last record.
    pub(crate) token: String,
    /// Bytes of the file that belong to it; what follows was not finished.
    pub(crate) bytes: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// What was asked for.
    pub(crate) filters: Filters,
}

impl State {
    /// Nothing yet.
    pub(crate) fn start(filters: Filters) -> State {
        State {
            token: START.to_owned(),
            bytes: 0,
            records: 0,
            filters,
        }
    }

    /// Where the state of an export lies.
    pub(crate) fn path(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".state");
        PathBuf::from(name)
    }

    /// Reads the state of an export.
    pub(crate) fn read(file: &Path) -> Result<State, Failure> {
        let path = State::path(file);
        let text = std::fs::read(&path).map_err(|error| {
            Failure::Local(format!(
                "cannot read {}: {error}\n→ without it nobody knows where {} ends: export into another file",
                path.display(),
                file.display()
            ))
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Failure::Local(format!(
                "{} is no state of an export: {error}\n→ export into another file",
                path.display()
            ))
        })
    }

    /// Puts the state in the place of the one before, or leaves that one whole.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let path = State::path(file);
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let text = serde_json::to_vec(self).map_err(|error| Failure::Local(error.to_string()))?;
        File::create(&fresh)
            .and_then(|mut out| {
                out.write_all(&text)?;
                out.sync_all()
            })
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(Failure::file("cannot write", path))
    }
}
