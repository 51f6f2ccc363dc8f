//! Tests that kill, on a cluster that each of them leaves whole.

mod damaged;
mod drained;
mod homecoming;
mod killed;
mod lag;
mod sidecars;
mod survivor;
