//! The public API, a file for each endpoint.

pub mod assert;
pub mod batch;
pub mod body;
pub mod find;
pub mod health;
pub mod lines;
pub mod lists;
pub mod query;
pub mod records;
pub mod stream;
pub mod subjects;
pub mod trace;
pub mod warnings;
