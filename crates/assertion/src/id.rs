//! Content ids.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hex;

/// BLAKE3-256 of a record's canonical bytes. Shown as 64 lowercase hex digits, and read only so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 32]);

/// The text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a record id: give 64 lowercase hex digits")]
pub struct NotAnId;

impl RecordId {
    /// The id of these canonical bytes.
    pub fn of(canonical: &[u8]) -> RecordId {
        RecordId(*blake3::hash(canonical).as_bytes())
    }

    /// An id from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> RecordId {
        RecordId(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its 32 bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<RecordId, NotAnId> {
        if !hex::is(text, 64) {
            return Err(NotAnId);
        }
        let hash = blake3::Hash::from_hex(text).map_err(|_| NotAnId)?;
        Ok(RecordId(*hash.as_bytes()))
    }
}

impl TryFrom<&[u8]> for RecordId {
    type Error = NotAnId;

    fn try_from(bytes: &[u8]) -> Result<RecordId, NotAnId> {
        bytes.try_into().map(RecordId).map_err(|_| NotAnId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown_and_in_no_other_way() {
        let id = RecordId::of(b"{}");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            id.to_string().to_uppercase().parse::<RecordId>(),
            Err(NotAnId)
        );
        assert_eq!(id.to_string()[1..].parse::<RecordId>(), Err(NotAnId));
        assert_eq!(RecordId::try_from(&id.as_bytes()[..]), Ok(id));
    }
}
