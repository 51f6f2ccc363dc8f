//! The data: SQLite, Merkle trees, lens queries.
