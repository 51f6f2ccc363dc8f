//! Where a page of Context ends, and how that is written down for the next one.

use bytes::Bytes;
use proto::convert::WireError;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// The last row of a page in the order of the index. Default: before all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    /// Of a vote the id of its claim, of an epoch the name.
    pub(super) about: String,
    pub(super) at_ms: i64,
    pub(super) sequence: i64,
}

impl Default for Last {
    fn default() -> Last {
        Last {
            about: String::new(),
            at_ms: i64::MIN,
            sequence: 0,
        }
    }
}

impl Last {
    pub(super) fn of(row: &SqliteRow) -> Result<Last, sqlx::Error> {
        Ok(Last {
            about: row.try_get(4)?,
            at_ms: row.try_get(0)?,
            sequence: row.try_get(1)?,
        })
    }
}

/// The last row of a page that goes along a list. Default: before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The member of the list.
    pub(super) number: u32,
    pub(super) at_ms: i64,
    pub(super) sequence: i64,
}

impl Default for Spot {
    fn default() -> Spot {
        Spot {
            number: 0,
            at_ms: i64::MIN,
            sequence: 0,
        }
    }
}

impl Spot {
    /// Of a row whose statement was given the list from this member on.
    pub(super) fn of(row: &SqliteRow, first: u32) -> Result<Spot, sqlx::Error> {
        let number: u32 = row.try_get(0)?;
        Ok(Spot {
            number: first.saturating_add(number),
            at_ms: row.try_get(4)?,
            sequence: row.try_get(1)?,
        })
    }
}

/// Where a page starts. One kind of place after the other, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At this uri of the list.
    Sources(u32),
    /// Votes of a subject.
    Votes(Last),
    /// Votes on a list of claims.
    VotesOn(Spot),
    /// All epochs.
    Epochs(Last),
    /// At this epoch of the list.
    EpochsOf(u32),
    /// Epochs that supersede those of the list.
    Superseding(Spot),
}

impl Place {
    /// Where it goes on when nothing is left of this kind.
    pub(super) fn next(&self) -> Option<Place> {
        match self {
            Place::Sources(_) => Some(Place::Votes(Last::default())),
            Place::Votes(_) => Some(Place::VotesOn(Spot::default())),
            Place::VotesOn(_) => Some(Place::Epochs(Last::default())),
            Place::Epochs(_) => Some(Place::EpochsOf(0)),
            Place::EpochsOf(_) => Some(Place::Superseding(Spot::default())),
            Place::Superseding(_) => None,
        }
    }

    pub(super) fn write(&self) -> Bytes {
        let at_head = |number: u32| Spot {
            number,
            ..Spot::default()
        };
        let (form, at_ms, sequence, rest) = match self {
            Place::Sources(next) => (0, i64::from(*next), 0, Vec::new()),
            Place::Votes(last) => (1, last.at_ms, last.sequence, last.about.clone().into()),
            Place::Epochs(last) => (2, last.at_ms, last.sequence, last.about.clone().into()),
            Place::VotesOn(spot) => (3, spot.at_ms, spot.sequence, number(spot)),
            Place::EpochsOf(next) => (4, i64::MIN, 0, number(&at_head(*next))),
            Place::Superseding(spot) => (5, spot.at_ms, spot.sequence, number(spot)),
        };
        let mut token = vec![form];
        token.extend_from_slice(&at_ms.to_be_bytes());
        token.extend_from_slice(&sequence.to_be_bytes());
        token.extend_from_slice(&rest);
        token.into()
    }

    pub(super) fn read(token: &[u8]) -> Result<Place, WireError> {
        let parsed = || {
            let (form, rest) = token.split_first()?;
            let (at_ms, rest) = rest.split_first_chunk()?;
            let (sequence, rest) = rest.split_first_chunk()?;
            let (at_ms, sequence) = (i64::from_be_bytes(*at_ms), i64::from_be_bytes(*sequence));
            let last = || {
                Some(Last {
                    about: std::str::from_utf8(rest).ok()?.to_owned(),
                    at_ms,
                    sequence,
                })
            };
            let spot = || {
                Some(Spot {
                    number: u32::from_be_bytes(rest.try_into().ok()?),
                    at_ms,
                    sequence,
                })
            };
            match form {
                0 => Some(Place::Sources(u32::try_from(at_ms).ok()?)),
                1 => last().map(Place::Votes),
                2 => last().map(Place::Epochs),
                3 => spot().map(Place::VotesOn),
                4 => spot().map(|spot| Place::EpochsOf(spot.number)),
                5 => spot().map(Place::Superseding),
                _ => None,
            }
        };
        match token {
            [] => Ok(Place::Sources(0)),
            _ => parsed().ok_or_else(|| {
                WireError::new("cursor", "is not one of ours; send it as it was returned")
            }),
        }
    }
}

fn number(spot: &Spot) -> Vec<u8> {
    spot.number.to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_there_and_back_and_nothing_else_is_one() {
        let last = Last {
            about: "é\0".into(),
            at_ms: -5,
            sequence: 7,
        };
        let spot = Spot {
            number: 999,
            at_ms: -5,
            sequence: 7,
        };
        for place in [
            Place::Sources(3),
            Place::Votes(last.clone()),
            Place::VotesOn(spot),
            Place::VotesOn(Spot::default()),
            Place::Epochs(Last::default()),
            Place::Epochs(last),
            Place::EpochsOf(4),
            Place::Superseding(spot),
        ] {
            assert_eq!(Place::read(&place.write()), Ok(place));
        }
        assert_eq!(Place::read(&[]), Ok(Place::Sources(0)));
        let mut strange = Place::Votes(Last::default()).write().to_vec();
        strange[0] = 6;
        assert!(Place::read(&strange).is_err());
        strange[0] = 3;
        assert!(Place::read(&strange).is_err(), "without a number");
        assert!(Place::read(&strange[..9]).is_err());
        assert!(Place::read(b"x").is_err());
    }

    #[test]
    fn every_kind_of_place_comes_once() {
        let mut place = Place::Sources(0);
        let mut kinds = 1;
        while let Some(next) = place.next() {
            place = next;
            kinds += 1;
        }
        assert_eq!((place, kinds), (Place::Superseding(Spot::default()), 6));
    }
}
