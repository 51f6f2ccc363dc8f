//! Records through both doors.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its input has failed"
)]

mod doors;
mod form;
mod limits;
mod parts;
mod signed;
mod spelling;
mod vectors;

/// The clock of every test: the first millisecond of 2026.
const NOW_MS: i64 = 1_767_225_600_000;
