//! The gateway through its front door, among stores, a membership and an antientropy that live in this process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod anything;
mod batches;
mod cluster;
mod description;
mod edges;
mod feed;
mod hostile;
mod kinds;
mod lenses;
mod lists;
mod marks;
mod neighbours;
mod reads;
mod scrub;
mod slow;
mod stage;
mod store;
mod writes;
