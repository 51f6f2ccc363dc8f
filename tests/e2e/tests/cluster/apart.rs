//! Tests that need an empty stage: other clusters than the usual one.

mod recorder;
mod single;
mod strangers;
mod up;
