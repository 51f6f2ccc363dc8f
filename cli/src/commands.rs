//! The client commands: each asks the cluster one thing and shows the answer.

pub(crate) mod answer;
pub(crate) mod assert;
pub(crate) mod config;
pub(crate) mod members;
pub(crate) mod node;
pub(crate) mod query;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod verify;
