//! Where a reader of the feed is: a place in the order of arrival of every store that it has read from.

use std::collections::{BTreeMap, BTreeSet};

use assertion::RecordId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::Problem;

/// 16 random bytes, made with a store's database.
pub(super) type StoreId = [u8; 16];

/// Form of the token.
const VERSION: u8 = 2;

/// Stores that a token names. A cluster has fewer; those that are gone for good are forgotten beyond it. The token has to fit
/// into a URL.
const STORES_MAX: usize = 96;

/// A store and two sequences.
const ENTRY: usize = 16 + 8 + 8;

/// Under this id, as if it were a store, a token has when its reader began: gateways of earlier versions carry it along.
const BEGINNING: StoreId = [0xff; 16];

/// How far the clocks of two nodes may be apart, in milliseconds, until records are lost to a reader that began while a store was
/// away: with a shorter time less of a difference; with a longer one the reader is shown more from before its beginning.
const SKEW_MAX_MS: u64 = 30_000;

/// Enough of a hash to tell a slip: a wrong place would hide records.
const CHECK: usize = 4;

/// What of each store was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    places: BTreeMap<StoreId, Place>,
    /// Unix milliseconds when a reader began that wants news only. A store that was away then is met later, and what it had before
    /// is no news.
    began_ms: Option<u64>,
}

/// How far a store was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    /// The last row that was looked at.
    through: u64,
    /// The last one before it that had been given up by then. Whatever repair had copied from there or from before may not have been
    /// seen.
    gone_through: u64,
    /// The last row that the store had when a reader of news met it: up to there, rows may be from before the beginning. Not
    /// written: a store is not in the text until it was read so far, and whoever goes on from there meets it again.
    met_at: u64,
}

impl Token {
    /// Of a reader that wants news only, from this time on.
    pub(super) fn from_now(now_ms: i64) -> Token {
        Token {
            began_ms: u64::try_from(now_ms).ok(),
            ..Token::default()
        }
    }

    /// Reads one as it was sent.
    ///
    /// # Errors
    /// 422 when it is none.
    pub fn read(text: &str) -> Result<Token, Problem> {
        Token::parse(text).ok_or_else(|| {
            Problem::unprocessable(
                "bad_token",
                "`from` is neither now nor start nor a token of this feed",
                "send the last token as it came, or now, or start",
            )
            .at("from")
        })
    }

    fn parse(text: &str) -> Option<Token> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (told, check) = bytes.split_last_chunk::<CHECK>()?;
        let (version, entries) = told.split_first()?;
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if *version != VERSION || !rest.is_empty() || *check != checked(told) {
            return None;
        }
        let entry = |entry: &[u8; ENTRY]| {
            let (store, sequences) = entry.split_first_chunk::<16>()?;
            let (through, gone_through) = sequences.split_first_chunk::<8>()?;
            let place = Place {
                through: u64::from_be_bytes(*through),
                gone_through: u64::from_be_bytes(gone_through.try_into().ok()?),
                met_at: 0,
            };
            Some((*store, place))
        };
        let mut places: BTreeMap<StoreId, Place> = entries.iter().filter_map(entry).collect();
        let each_once = places.len() == entries.len();
        let began_ms = places.remove(&BEGINNING).map(|place| place.through);
        (each_once && places.len() <= STORES_MAX).then_some(Token { places, began_ms })
    }

    /// The text.
    pub fn write(&self) -> String {
        let mut bytes = Vec::with_capacity(1 + (self.places.len() + 1) * ENTRY + CHECK);
        bytes.push(VERSION);
        let read = self
            .places
            .iter()
            .filter(|(_, place)| place.through >= place.met_at)
            .map(|(store, place)| (*store, *place));
        let beginning = self.began_ms.map(|began_ms| {
            let place = Place {
                through: began_ms,
                ..Place::default()
            };
            (BEGINNING, place)
        });
        for (store, place) in read.chain(beginning) {
            bytes.extend_from_slice(&store);
            bytes.extend_from_slice(&place.through.to_be_bytes());
            bytes.extend_from_slice(&place.gone_through.to_be_bytes());
        }
        let check = checked(&bytes);
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The last row of a store that was looked at; 0: none.
    pub(super) fn place(&self, store: &StoreId) -> u64 {
        self.places.get(store).map_or(0, |place| place.through)
    }

    /// Whether the record of a row was seen when the row was looked at: not when it may have been given up before.
    pub(super) fn saw(&self, store: &StoreId, sequence: u64) -> bool {
        let place = self.places.get(store).copied().unwrap_or_default();
        sequence <= place.through && sequence > place.gone_through
    }

    /// A store that is read from now on has so many rows. To a reader of news those of one that it does not know may be old.
    pub(super) fn meet(&mut self, store: StoreId, head: u64) {
        if self.began_ms.is_some() && !self.names(&store) {
            let place = Place {
                met_at: head,
                ..Place::default()
            };
            self.places.insert(store, place);
        }
    }

    /// Whether a row is no news to a reader of news: it came to its store, by that store's clock, before the reader began. One whose
    /// time is lost (0) may be news.
    pub(super) fn is_old(&self, store: &StoreId, sequence: u64, received_at_ms: i64) -> bool {
        let Some(began_ms) = self.began_ms else {
            return false;
        };
        let came_ms = u64::try_from(received_at_ms).unwrap_or_default();
        let met_at = self.places.get(store).map_or(0, |place| place.met_at);
        sequence <= met_at && came_ms > 0 && came_ms < began_ms.saturating_sub(SKEW_MAX_MS)
    }

    /// Rows up to this one were passed that are not there any more.
    pub(super) fn miss(&mut self, store: StoreId, sequence: u64) {
        let place = self.places.entry(store).or_default();
        place.gone_through = sequence.max(place.gone_through);
    }

    /// Whether it names no store: a reader that has seen nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether something of a store was looked at.
    pub(super) fn names(&self, store: &StoreId) -> bool {
        self.places.contains_key(store)
    }

    /// Begins a store anew.
    pub(super) fn forget(&mut self, store: &StoreId) {
        self.places.remove(store);
    }

    /// Whether a row was looked at.
    pub(super) fn covers(&self, store: &StoreId, sequence: u64) -> bool {
        sequence <= self.place(store)
    }

    /// Everything up to this row was looked at.
    pub(super) fn advance(&mut self, store: StoreId, sequence: u64) {
        let place = self.places.entry(store).or_default();
        place.through = sequence.max(place.through);
    }

    /// Forgets stores that are not read from, when there are too many. Should one come back, its rows are shown again.
    pub(super) fn shorten(&mut self, live: &BTreeSet<StoreId>) {
        let mut surplus = self.places.len().saturating_sub(STORES_MAX);
        self.places.retain(|store, _| {
            let goes = surplus > 0 && !live.contains(store);
            surplus -= usize::from(goes);
            !goes
        });
    }
}

fn checked(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&RecordId::of(bytes).as_bytes()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(stores: u8) -> Token {
        let mut token = Token::default();
        for store in 0..stores {
            token.advance([store; 16], u64::from(store) * 1_000);
        }
        token
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        for stores in [0, 1, 3, 96] {
            let token = token(stores);
            let text = token.write();
            assert_eq!(Token::read(&text).unwrap(), token);
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
        }
        assert!(token(96).write().len() < 4_200, "it fits into a URL");
    }

    #[test]
    fn every_slip_is_refused() {
        let text = token(2).write();
        for place in 0..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[place] = if slipped[place] == b'A' { b'B' } else { b'A' };
            let slipped = String::from_utf8(slipped).unwrap();
            let refused = Token::read(&slipped).unwrap_err();
            assert_eq!(refused.code, "bad_token", "{place}");
        }
        for wrong in ["", "now ", &text[1..], &token(97).write()] {
            assert!(Token::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_only_moves_on_and_covers_what_is_behind_it() {
        let mut token = token(2);
        token.advance([1; 16], 5);
        assert_eq!(token.place(&[1; 16]), 1_000);
        assert!(token.covers(&[1; 16], 1_000) && !token.covers(&[1; 16], 1_001));
        assert!(
            !token.covers(&[9; 16], 1),
            "nothing of a store that was never read"
        );
    }

    #[test]
    fn what_a_store_had_before_the_beginning_is_no_news_once_it_is_met() {
        const BEGAN: i64 = 1_700_000_000_000;
        let mut token = Token::from_now(BEGAN);
        token.advance([1; 16], 10);
        token.meet([1; 16], 12);
        token.meet([2; 16], 5);
        assert!(!token.is_old(&[1; 16], 11, 1), "known at the beginning");
        assert!(token.is_old(&[2; 16], 5, BEGAN - 30_001));
        for (sequence, came_ms) in [(5, BEGAN - 30_000), (5, 0), (6, 1)] {
            assert!(!token.is_old(&[2; 16], sequence, came_ms), "{sequence}");
        }
        token.advance([2; 16], 4);
        let half = Token::read(&token.write()).unwrap();
        assert!(half.names(&[1; 16]) && !half.names(&[2; 16]));
        token.advance([2; 16], 5);
        let mut whole = Token::read(&token.write()).unwrap();
        assert_eq!(whole.place(&[2; 16]), 5);
        whole.meet([3; 16], 1);
        assert!(whole.is_old(&[3; 16], 1, 1), "the beginning came along");
        let mut all = Token::read(&half.write()).unwrap();
        assert_eq!(all, half);
        all.began_ms = None;
        all.meet([3; 16], 1);
        assert!(!all.is_old(&[3; 16], 1, 1), "a reader of everything");
    }

    #[test]
    fn a_row_that_was_gone_when_it_was_passed_was_not_seen() {
        let mut token = token(2);
        assert!(token.saw(&[1; 16], 400));
        token.miss([1; 16], 400);
        token.miss([1; 16], 300);
        let token = Token::read(&token.write()).unwrap();
        assert!(token.covers(&[1; 16], 400) && !token.saw(&[1; 16], 400));
        assert!(token.saw(&[1; 16], 401) && token.saw(&[1; 16], 1_000));
        assert!(!token.saw(&[1; 16], 1_001) && !token.saw(&[0; 16], 1));
    }

    #[test]
    fn stores_that_are_gone_are_forgotten_when_there_are_too_many() {
        let mut many = token(98);
        let live = BTreeSet::from([[0; 16], [1; 16]]);
        many.shorten(&live);
        assert_eq!(many.places.len(), 96);
        assert_eq!(many.place(&[1; 16]), 1_000);
        assert_eq!(many.place(&[2; 16]), 0);
        let mut few = token(5);
        few.shorten(&BTreeSet::new());
        assert_eq!(few, token(5));
    }
}
