//! Lenses: pure functions from a set of records to an answer.
