//! House rules held by tests: dependency walls, settings, ports, documents, deployment.
//!
//! Each rule is a function from text to faults, tried beside its code on small bad inputs, or on the tree with one place
//! broken; `tests/house.rs` applies them to the tree as it is. A rule that needs an exception names it in its own table,
//! with the reason.

pub mod compose;
pub mod documents;
pub mod drains;
pub mod functions;
pub mod house;
pub mod k8s;
pub mod operations;
pub mod panels;
pub mod ports;
pub mod promises;
pub mod scrapes;
pub mod source;
pub mod toolchain;
pub mod variables;
pub mod walls;
pub mod wire;
mod yaml;

pub use house::{Fault, House, SourceFile};
