//! Merkle trees over record ids and two-party reconciliation.
