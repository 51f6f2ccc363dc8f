//! The cluster's own API, on the internal listener: who belongs to it, whether all hold the same, repair and the
//! search for damage on demand.

pub mod leave;
pub mod members;
pub mod placement;
pub mod repair;
pub mod scrub;
pub mod verify;
