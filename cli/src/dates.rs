//! Moments for people, and this machine's clock. What is typed is read as at the API's door, and slips are refused besides.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use assertion::moment::{read_typed as parse, show, write};

/// Now, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// `2018-07-17 10:30:00`, at midnight as well.
pub(crate) fn moment(ms: i64) -> String {
    match show(ms) {
        date if date.len() == "2018-07-17".len() => format!("{date} 00:00:00"),
        shown => shown,
    }
}
