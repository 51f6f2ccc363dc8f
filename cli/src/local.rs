//! A cluster of real processes on this machine: `stemedb up` is the parent, `stemedb local …` talks to it.
//!
//! `up` runs its own executable once for each service of each node and stays the parent of all. What runs where is written
//! to `cluster.json` in the data directory; orders come in through a socket named there.

pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod directory;
pub(crate) mod orders;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod ready;
pub(crate) mod up;
pub(crate) mod welcome;

/// Where a local cluster lives unless told otherwise.
pub(crate) const DATA_DIR: &str = "stemedb-data";
