//! The lenses, held to their definitions, to their laws, and to results that must not change.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read an answer has failed"
)]

mod bearing;
mod edges;
mod kinds;
mod laws;
mod made;
mod model;
mod questions;
mod scales;

mod water;
