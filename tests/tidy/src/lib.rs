//! House rules held by tests: dependency walls, settings, ports, documents.
//!
//! Each rule is a function from text to faults, tried on small bad inputs beside its code; `tests/house.rs` applies
//! them to the tree. A rule that needs an exception names it in its own table, with the reason.

pub mod documents;
pub mod functions;
pub mod house;
pub mod ports;
pub mod source;
pub mod variables;
pub mod walls;
pub mod wire;

pub use house::{Fault, House, SourceFile};
