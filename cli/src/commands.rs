//! The client commands: each asks the cluster one thing and shows the answer.

pub(crate) mod answer;
pub(crate) mod assert;
pub(crate) mod cell;
pub(crate) mod config;
pub(crate) mod epoch;
pub(crate) mod ids;
pub(crate) mod keygen;
pub(crate) mod list;
pub(crate) mod members;
pub(crate) mod node;
pub(crate) mod placement;
pub(crate) mod predicates;
pub(crate) mod query;
pub(crate) mod repair;
pub(crate) mod scrub;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod subjects;
pub(crate) mod sync;
pub(crate) mod trace;
pub(crate) mod verify;
pub(crate) mod vote;
pub(crate) mod votes;
pub(crate) mod watch;
pub(crate) mod write;
