//! Keys of lists: as bytes they ascend in the order of the list, so that pages of several stores can be put together.

use assertion::RecordId;
use bytes::Bytes;

use crate::convert::WireError;
use crate::cursor::Position;

/// Digits of the id of a claim at the beginning of a vote's key.
const ID_DIGITS: usize = 64;

/// After the voters of a claim: no byte of UTF-8 is so great.
const AFTER_VOTERS: u8 = 0xff;

/// Of an epoch: newest first, then by id.
pub fn epoch_key(place: Position) -> Bytes {
    // A sign bit turned over makes negative numbers the lesser ones as bytes, and all bits turned over the later ones.
    let falling = !(place.at.cast_unsigned() ^ (1 << 63));
    let mut key = falling.to_be_bytes().to_vec();
    key.extend_from_slice(place.id.as_bytes());
    key.into()
}

/// The place of an epoch; `None` for the empty key, which is before all.
///
/// # Errors
/// When it is no key of an epoch.
pub fn epoch_place(key: &[u8]) -> Result<Option<Position>, WireError> {
    if key.is_empty() {
        return Ok(None);
    }
    let place = || {
        let (falling, id) = key.split_first_chunk::<8>()?;
        Some(Position {
            at: (!u64::from_be_bytes(*falling) ^ (1 << 63)).cast_signed(),
            id: RecordId::try_from(id).ok()?,
        })
    };
    place().map(Some).ok_or_else(strange)
}

/// Of a vote: by claim, then by voter.
pub fn vote_key(assertion: &str, voter: &str) -> Bytes {
    [assertion.as_bytes(), voter.as_bytes()].concat().into()
}

/// After all votes on a claim.
pub fn after_votes_on(assertion: &str) -> Bytes {
    [assertion.as_bytes(), &[AFTER_VOTERS]].concat().into()
}

/// Where a list of votes goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VotePlace<'a> {
    /// At the first vote.
    First,
    /// Behind a voter, on this claim.
    Voter(&'a str, &'a str),
    /// Behind all voters on this claim.
    Claim(&'a str),
}

/// Reads the key of a vote.
///
/// # Errors
/// When it is none.
pub fn vote_place(key: &[u8]) -> Result<VotePlace<'_>, WireError> {
    if key.is_empty() {
        return Ok(VotePlace::First);
    }
    let (assertion, voter) = key.split_at_checked(ID_DIGITS).ok_or_else(strange)?;
    let assertion = text(assertion)?;
    match voter {
        [AFTER_VOTERS] => Ok(VotePlace::Claim(assertion)),
        voter => Ok(VotePlace::Voter(assertion, text(voter)?)),
    }
}

/// Fewest digits of an id that records are looked for by: of four billion ids one has the same.
pub const ID_PREFIX_MIN: usize = 8;

/// The first and the last id that begins with these digits.
///
/// # Errors
/// When they are not 8 to 64 lowercase hex digits.
pub fn ids_from(digits: &str) -> Result<[[u8; 32]; 2], WireError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(ID_PREFIX_MIN..=ID_DIGITS).contains(&digits.len()) || !digits.bytes().all(is_digit) {
        let problem = format!("is not {ID_PREFIX_MIN} to {ID_DIGITS} lowercase hex digits");
        return Err(WireError::new("prefix", problem));
    }
    let filled = |fill: &str| -> Result<[u8; 32], WireError> {
        let whole = format!("{digits}{}", fill.repeat(ID_DIGITS - digits.len()));
        let id: RecordId = whole.parse().map_err(|_| strange())?;
        Ok(id.to_bytes())
    };
    Ok([filled("0")?, filled("f")?])
}

/// A key that is a text: a uri or a predicate.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(key: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(key).map_err(|_| strange())
}

fn strange() -> WireError {
    WireError::new(
        "after",
        "is no key of this list; send it as it was returned",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: i64, id: u8) -> Position {
        let id = RecordId::from_bytes([id; 32]);
        Position { at, id }
    }

    #[test]
    fn keys_of_epochs_ascend_from_new_to_old_and_by_id() {
        let mut places = [
            place(7, 1),
            place(-3, 0),
            place(7, 0),
            place(i64::MAX, 9),
            place(i64::MIN, 9),
            place(0, 5),
        ];
        places.sort_unstable();
        let keys = places.map(epoch_key);
        assert!(keys.is_sorted(), "{keys:?}");
        for (key, place) in keys.iter().zip(places) {
            assert_eq!(epoch_place(key), Ok(Some(place)));
        }
        assert_eq!(epoch_place(b""), Ok(None));
        assert!(epoch_place(b"short").is_err());
    }

    #[test]
    fn digits_are_a_range_of_ids() {
        let [first, last] = ids_from("0a1b2c3d4").unwrap();
        assert_eq!(
            (first[..5].to_vec(), last[..5].to_vec()),
            (
                vec![0x0a, 0x1b, 0x2c, 0x3d, 0x40],
                vec![0x0a, 0x1b, 0x2c, 0x3d, 0x4f]
            )
        );
        assert!(first[5..] == [0; 27] && last[5..] == [0xff; 27]);
        let whole = "0b".repeat(32);
        assert_eq!(ids_from(&whole), Ok([[0x0b; 32]; 2]));
        for wrong in [
            "",
            "0a1b2c3",
            "0A1B2C3D",
            "0a1b2c3g",
            &"0".repeat(65),
            "0a1b2c3é",
        ] {
            assert!(ids_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_of_votes_ascend_by_claim_and_voter() {
        let (one, two) = ("0a".repeat(32), "0b".repeat(32));
        let keys = [
            vote_key(&one, "a"),
            vote_key(&one, "\u{10ffff}"),
            after_votes_on(&one),
            vote_key(&two, "a"),
        ];
        assert!(keys.is_sorted());
        assert_eq!(vote_place(&keys[0]), Ok(VotePlace::Voter(&one, "a")));
        assert_eq!(vote_place(&keys[2]), Ok(VotePlace::Claim(&one)));
        assert_eq!(vote_place(b""), Ok(VotePlace::First));
        assert!(vote_place(b"0a").is_err());
        assert!(vote_place(&[one.as_bytes(), b"\xfe"].concat()).is_err());
    }
}
