//! How long a page of an answer may be asked to be.

use proto::PAGE_MAX;
use proto::convert::WireError;

/// Refuses a limit that no page has.
pub(crate) fn check(limit: u32) -> Result<(), WireError> {
    match limit {
        1..=PAGE_MAX => Ok(()),
        _ => Err(WireError::new(
            "limit",
            format!("is {limit}, give 1 to {PAGE_MAX}"),
        )),
    }
}
