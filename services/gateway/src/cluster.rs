//! The cluster's own API, on the internal listener: who belongs to it, whether all hold the same, and repair on demand.

pub mod leave;
pub mod members;
pub mod placement;
pub mod repair;
pub mod verify;
