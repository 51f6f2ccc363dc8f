//! Seeded simulation of the pure crates.
