//! Tests that need an empty stage: other clusters than the usual one.

mod contradictions;
mod overload;
mod recorder;
mod single;
mod strangers;
pub(crate) mod up;
