//! Where a page of records ended, as a token that goes only with the question it came from.
//!
//! Records are paged newest first, ties by id ascending. Any node can go on where another one stopped: the token holds
//! the place in that order, not a place in a database.

use std::cmp::Ordering;

use assertion::RecordId;
use bytes::Bytes;
use lens::Selection;

use crate::convert::WireError;

/// Form of the token.
const VERSION: u8 = 1;

/// Version, digest of the question, time, id.
const LENGTH: usize = 1 + DIGEST + 8 + 32;

/// Enough of the digest to tell a mistake; nobody gains by forging one.
const DIGEST: usize = 8;

/// A place in the order: everything up to it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Unix milliseconds.
    pub at: i64,
    /// The record, or what comes after all ids of that moment.
    pub id: RecordId,
}

impl Ord for Position {
    /// Earlier on the pages is less: newest first, ties by id.
    fn cmp(&self, other: &Position) -> Ordering {
        other.at.cmp(&self.at).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Position) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The token of a place in the pages of a normalised question.
pub fn write(selection: &Selection, position: Position) -> Bytes {
    let mut token = Vec::with_capacity(LENGTH);
    token.push(VERSION);
    token.extend_from_slice(&digest(selection));
    token.extend_from_slice(&position.at.to_be_bytes());
    token.extend_from_slice(position.id.as_bytes());
    token.into()
}

/// The place that a token names; `None` for the empty one, which is the start.
///
/// # Errors
/// When it is no token, or one of another question.
pub fn read(selection: &Selection, token: &[u8]) -> Result<Option<Position>, WireError> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = |problem| WireError::new("cursor", problem);
    let strange = || wrong("is not one of ours; send it as it was returned");
    let token: &[u8; LENGTH] = token.try_into().map_err(|_| strange())?;
    let (head, rest) = token
        .split_first_chunk::<{ 1 + DIGEST }>()
        .ok_or_else(strange)?;
    let (at, id) = rest.split_first_chunk::<8>().ok_or_else(strange)?;
    if head[0] != VERSION {
        return Err(wrong("is of another version; start again without a cursor"));
    }
    if head[1..] != digest(selection) {
        return Err(wrong(
            "belongs to another question; send the parameters it came from",
        ));
    }
    Ok(Some(Position {
        at: i64::from_be_bytes(*at),
        id: RecordId::try_from(id).map_err(|_| strange())?,
    }))
}

/// Tells questions apart. Every part is there or not, and as long as it says: two questions never give the same bytes.
fn digest(selection: &Selection) -> [u8; DIGEST] {
    let mut text = Vec::new();
    let mut part = |bytes: Option<&[u8]>| {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        text.extend_from_slice(&length.to_be_bytes());
        text.extend_from_slice(bytes.unwrap_or_default());
    };
    part(selection.subject.as_deref().map(str::as_bytes));
    part(selection.subject_prefix.as_deref().map(str::as_bytes));
    part(selection.predicate.as_deref().map(str::as_bytes));
    part(selection.source.as_deref().map(str::as_bytes));
    let classes: Vec<&str> = selection.classes.iter().map(|class| class.name()).collect();
    part(Some(classes.join(",").as_bytes()));
    let states: Vec<&str> = selection
        .lifecycles
        .iter()
        .map(|state| state.name())
        .collect();
    part(Some(states.join(",").as_bytes()));
    part(
        selection
            .min_confidence
            .map(f64::to_be_bytes)
            .as_ref()
            .map(<[u8; 8]>::as_slice),
    );
    part(
        selection
            .as_of
            .map(i64::to_be_bytes)
            .as_ref()
            .map(<[u8; 8]>::as_slice),
    );
    part(selection.epoch.as_deref().map(str::as_bytes));
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&RecordId::of(&text).as_bytes()[..DIGEST]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(predicate: &str, as_of: Option<i64>) -> Selection {
        Selection {
            subject: Some("s".into()),
            predicate: Some(predicate.into()),
            as_of,
            ..Selection::default()
        }
    }

    fn position(at: i64, id: u8) -> Position {
        let id = RecordId::from_bytes([id; 32]);
        Position { at, id }
    }

    #[test]
    fn a_cursor_goes_with_its_question_only() {
        let place = position(-5, 7);
        let token = write(&question("p", None), place);
        assert_eq!(read(&question("p", None), &token), Ok(Some(place)));
        assert!(read(&question("q", None), &token).is_err());
        assert!(read(&question("p", Some(0)), &token).is_err());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let asked = question("p", None);
        assert_eq!(read(&asked, &[]), Ok(None));
        let mut token = write(&asked, position(1, 0)).to_vec();
        token[0] = 2;
        assert!(read(&asked, &token).is_err());
        token.pop();
        assert!(read(&asked, &token).is_err());
    }

    #[test]
    fn pages_go_from_new_to_old_and_by_id_within_a_moment() {
        let mut places = vec![
            position(1, 0),
            position(2, 9),
            position(2, 3),
            position(-7, 1),
        ];
        places.sort_unstable();
        let expected = [
            position(2, 3),
            position(2, 9),
            position(1, 0),
            position(-7, 1),
        ];
        assert_eq!(places, expected);
    }
}
