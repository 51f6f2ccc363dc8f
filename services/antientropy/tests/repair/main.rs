//! Whole antientropy services between stores that live in this process: real gRPC, real sessions, and stores that can be
//! told to refuse, to lie, to be replaced or to be slow.

#![allow(
    clippy::unwrap_used,
    reason = "what a test did not expect ends the test"
)]

mod bytes;
mod cluster;
mod faults;
mod homecoming;
mod moving;
mod proofs;
mod settle;
mod store;
mod wire;
