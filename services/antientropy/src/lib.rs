//! Merkle repair between stores.
