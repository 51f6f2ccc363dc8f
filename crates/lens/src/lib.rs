//! Lenses: from a set of contradictory claims to an answer.
//!
//! A lens is a pure function of (records, parameters): the same records give the same bytes on any node and CPU, in whatever
//! order they come. Every answer carries a `set_digest`, the hash of the ids of all records that were considered, so that two
//! answers can be checked against each other. Definitions with formulas are in `docs/lenses.md`.

mod answer;
mod ballot;
mod claims;
mod conflict;
mod decay;
mod epochs;
mod group;
mod mixes;
mod parameters;
mod resolve;
mod resolver;
mod selection;
mod sources;
mod strength;
mod votes;

pub use answer::{Answer, GROUP_LISTED, GROUPS_LISTED, Verdict};
pub use ballot::{Ballot, Kept};
pub use epochs::MAX_EPOCHS;
pub use mixes::MAX_MIXED;
pub use parameters::{InvalidParameters, Lens, Options, Parameters};
pub use resolve::resolve;
pub use resolver::{MAX_CLAIMS, MAX_DISTINCT_VALUES, MAX_VALUE_BYTES, Resolver, TooMuch};
pub use selection::{Match, Selection};
pub use sources::MAX_SOURCES;
pub use votes::MAX_VOTES;
