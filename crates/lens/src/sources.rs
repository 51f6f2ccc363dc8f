//! What is known of the sources themselves: whether one was retracted.

use std::collections::BTreeMap;

use assertion::{RecordId, SourceRecord};

use crate::resolver::TooMuch;

/// Most sources of which one answer knows something: about 120 bytes of each are kept.
pub const MAX_SOURCES: usize = 100_000;

/// The latest record of each uri, by the hash of the uri.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    latest: BTreeMap<[u8; 32], Known>,
}

#[derive(Debug)]
struct Known {
    recorded_at: i64,
    id: RecordId,
    retracted: bool,
    /// It said something about a claim of this answer.
    considered: bool,
}

impl Sources {
    /// Takes what a record says, unless a later one is known.
    pub(crate) fn learn(&mut self, source: &SourceRecord, id: RecordId) -> Result<(), TooMuch> {
        let known = Known {
            recorded_at: source.recorded_at,
            id,
            retracted: source.retracted.unwrap_or(false),
            considered: false,
        };
        let uri = key(&source.uri);
        let full = self.latest.len() == MAX_SOURCES;
        match self.latest.get_mut(&uri) {
            Some(latest) if (latest.recorded_at, latest.id) < (known.recorded_at, id) => {
                *latest = known;
            }
            Some(_) => {}
            None if full => return Err(TooMuch::Sources),
            None => {
                self.latest.insert(uri, known);
            }
        }
        Ok(())
    }

    /// Whether claims of this source are left out.
    pub(crate) fn is_retracted(&self, uri: &str) -> bool {
        !self.latest.is_empty()
            && self
                .latest
                .get(&key(uri))
                .is_some_and(|known| known.retracted)
    }

    /// Whether a claim of this source is left out, as it is judged. `else_considered`: nothing else leaves it out.
    pub(crate) fn leaves_out(&mut self, uri: &str, else_considered: bool) -> bool {
        // Most questions meet no record of a source: they pay nothing.
        if self.latest.is_empty() {
            return false;
        }
        let Some(known) = self.latest.get_mut(&key(uri)) else {
            return false;
        };
        known.considered |= known.retracted || else_considered;
        known.retracted
    }

    /// How many uris have records.
    pub(crate) fn len(&self) -> usize {
        self.latest.len()
    }

    /// Records that decided about a claim.
    pub(crate) fn considered(&self) -> impl Iterator<Item = &RecordId> {
        let considered = self.latest.values().filter(|known| known.considered);
        considered.map(|known| &known.id)
    }
}

/// Uris are long; their hashes are not.
fn key(uri: &str) -> [u8; 32] {
    *blake3::hash(uri.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use assertion::SourceClass;

    use super::*;

    fn source(uri: &str, retracted: Option<bool>, recorded_at: i64) -> SourceRecord {
        SourceRecord {
            uri: uri.into(),
            class: SourceClass::Expert,
            title: None,
            retracted,
            recorded_at,
        }
    }

    fn id(byte: u8) -> RecordId {
        RecordId::from_bytes([byte; 32])
    }

    #[test]
    fn the_latest_record_decides_and_of_equal_times_the_greater_id() {
        let retracted = |order: &[(Option<bool>, i64, u8)]| {
            let mut sources = Sources::default();
            for (retracted, at, byte) in order {
                sources
                    .learn(&source("u", *retracted, *at), id(*byte))
                    .unwrap();
            }
            sources.leaves_out("u", true)
        };
        let history = [(Some(true), 1, 9), (Some(false), 2, 1), (Some(true), 2, 0)];
        assert!(!retracted(&history));
        assert!(!retracted(&[history[2], history[1], history[0]]));
        assert!(retracted(&history[..1]));
        assert!(!retracted(&[(None, 1, 0)]), "known is not retracted");
        assert!(!retracted(&[]));
    }

    #[test]
    fn a_record_is_considered_when_it_met_a_claim_that_nothing_else_leaves_out() {
        let mut sources = Sources::default();
        sources.learn(&source("kept", None, 1), id(1)).unwrap();
        sources
            .learn(&source("gone", Some(true), 1), id(2))
            .unwrap();
        sources.learn(&source("other", None, 1), id(3)).unwrap();
        sources.leaves_out("kept", false);
        assert_eq!(sources.considered().count(), 0);
        sources.leaves_out("kept", true);
        sources.leaves_out("gone", false);
        sources.leaves_out("nobody", true);
        let considered: Vec<&RecordId> = sources.considered().collect();
        assert!(considered.len() == 2 && !considered.contains(&&id(3)));
    }

    #[test]
    fn as_many_sources_as_the_bound_and_no_more() {
        let mut sources = Sources::default();
        for number in 0..MAX_SOURCES {
            let source = source(&number.to_string(), None, 0);
            sources.learn(&source, id(0)).unwrap();
        }
        sources.learn(&source("7", Some(true), 1), id(1)).unwrap();
        assert_eq!(
            sources.learn(&source("one more", None, 0), id(2)),
            Err(TooMuch::Sources)
        );
    }
}
