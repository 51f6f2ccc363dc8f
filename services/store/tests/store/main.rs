//! Whole stores over real sockets and real files.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod bookkeeping;
mod context;
mod doors;
mod following;
mod homecoming;
mod kinds;
mod lacking;
mod lists;
mod marks;
mod migration;
mod node;
mod opening;
mod pages;
mod questions;
mod records;
mod repair;
mod scans;
mod scrub;
mod writes;
