//! Feeds under stress: readers that stall, nodes that die below them, a store that falls back to a backup.

mod deaths;
mod reader;
mod restored;
mod stalled;
mod watch;
pub(crate) mod writers;
