//! The claims that are considered: their ids, for the digest and for votes.

use std::collections::BTreeMap;

use assertion::{Claim, RecordId};

use crate::parameters::{Lens, Parameters};
use crate::resolver::{MAX_CLAIMS, MAX_DISTINCT_VALUES};

/// What a subject takes besides its name: the map around it.
const SUBJECT_BYTES: usize = 64;

/// Claims from which on room for all that one answer considers is taken at once. Its pages are not in memory before they are
/// written to, it is never moved, and an allocator gives back the whole of what is so large: a million claims leave no trace.
const MANY: usize = 8_192;

// The number of a value has two bytes.
const _: () = assert!(MAX_DISTINCT_VALUES <= u16::MAX as usize);

/// A claim and the number of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: RecordId,
    value: u16,
}

/// The claims that are considered: 34 bytes of each.
#[derive(Debug)]
pub(crate) struct Claims {
    /// By id when all are known.
    list: Vec<Entry>,
    subjects: Subjects,
}

/// What the claims are about. Kept when there are votes to count: a vote names the subject of its claim.
#[derive(Debug)]
enum Subjects {
    /// No votes are counted.
    Unasked,
    /// The one that the question names.
    One(String),
    /// Numbered as they came, and which claims are about which: 36 bytes more of each claim.
    Many {
        numbers: BTreeMap<String, u32>,
        about: Vec<(u32, RecordId)>,
    },
}

impl Claims {
    pub(crate) fn of(parameters: &Parameters) -> Claims {
        let subjects = match (parameters.judge(), &parameters.selection.subject) {
            (Lens::Votes, Some(subject)) => Subjects::One(subject.clone()),
            (Lens::Votes, None) => Subjects::Many {
                numbers: BTreeMap::new(),
                about: Vec::new(),
            },
            _ => Subjects::Unasked,
        };
        Claims {
            list: Vec::new(),
            subjects,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds a claim. Returns how many bytes its subject takes, when it is kept and new.
    pub(crate) fn add(&mut self, claim: &Claim<'_>, value: u16) -> usize {
        if self.list.len() == MANY {
            self.list.reserve_exact(MAX_CLAIMS - MANY);
        }
        let id = claim.id;
        self.list.push(Entry { id, value });
        let Subjects::Many { numbers, about } = &mut self.subjects else {
            return 0;
        };
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let (number, bytes) = match numbers.get(&*claim.subject) {
            Some(number) => (*number, 0),
            None => {
                numbers.insert(claim.subject.to_string(), next);
                (next, claim.subject.len() + SUBJECT_BYTES)
            }
        };
        about.push((number, claim.id));
        bytes
    }

    /// All are known: from here on they have places, by id.
    pub(crate) fn sort(&mut self) {
        self.list.sort_unstable_by_key(|entry| entry.id);
        if let Subjects::Many { about, .. } = &mut self.subjects {
            about.sort_unstable();
        }
    }

    /// Each id with the number of its value, in ascending order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (RecordId, u16)> {
        self.list.iter().map(|entry| (entry.id, entry.value))
    }

    /// The number of the value of the claim at a place.
    pub(crate) fn value_at(&self, place: usize) -> Option<u16> {
        self.list.get(place).map(|entry| entry.value)
    }

    /// The place of an id, or where it would be.
    fn rank(&self, id: RecordId) -> Result<usize, usize> {
        self.list.binary_search_by_key(&id, |entry| entry.id)
    }

    /// The place of the claim that a vote names by id and subject: one that names another subject lies in another shard, and
    /// never counts.
    pub(crate) fn place(&self, subject: &str, id: RecordId) -> Option<usize> {
        let is_about = match &self.subjects {
            Subjects::Unasked => false,
            Subjects::One(only) => only == subject,
            Subjects::Many { numbers, about } => numbers
                .get(subject)
                .is_some_and(|number| about.binary_search(&(*number, id)).is_ok()),
        };
        self.rank(id).ok().filter(|_| is_about)
    }

    /// Claims of one subject whose votes count, in ascending order: see [`crate::Ballot::claims`].
    pub(crate) fn votable(&self, from: usize, most: usize) -> Option<(&str, Vec<RecordId>)> {
        match &self.subjects {
            Subjects::Unasked => None,
            Subjects::One(subject) => {
                let rest = self.list.get(from..).filter(|rest| !rest.is_empty())?;
                let ids = rest.iter().take(most).map(|entry| entry.id);
                Some((subject, ids.collect()))
            }
            Subjects::Many { numbers, about } => {
                let (first, _) = about.get(from)?;
                let (subject, _) = numbers.iter().find(|(_, number)| *number == first)?;
                let same = about[from..].iter().take(most);
                let same = same.take_while(|(number, _)| number == first);
                Some((subject, same.map(|(_, id)| *id).collect()))
            }
        }
    }

    /// Of a question that names one subject and counts votes: which of these ids, which ascend, are those of claims; and how
    /// many claims there are up to the last of them.
    pub(crate) fn among(&self, ids: &[RecordId]) -> (Vec<RecordId>, usize) {
        let is_claim = |id: &&RecordId| self.rank(**id).is_ok();
        let through = ids.last().map_or(0, |last| match self.rank(*last) {
            Ok(place) => place + 1,
            Err(smaller) => smaller,
        });
        (ids.iter().filter(is_claim).copied().collect(), through)
    }
}

#[cfg(test)]
mod tests {
    use assertion::{Lifecycle, SourceClass, Value};

    use super::*;
    use crate::parameters::Options;
    use crate::selection::Selection;

    fn id(number: u32) -> RecordId {
        RecordId::of(&number.to_be_bytes())
    }

    fn claim(number: u32) -> Claim<'static> {
        Claim {
            id: id(number),
            canonical: b"",
            subject: if number.is_multiple_of(3) { "a" } else { "b" }.into(),
            predicate: "p".into(),
            value: Value::Boolean(true),
            uri: "u".into(),
            class: SourceClass::Expert,
            confidence: 1.0,
            lifecycle: Lifecycle::Approved,
            asserted_at: 0,
            epoch: None,
        }
    }

    /// So many claims, and their ids with their values in order.
    fn filled(lens: Lens, subject: Option<&str>, count: u32) -> (Claims, Vec<(RecordId, u16)>) {
        let selection = Selection {
            subject: subject.map(str::to_owned),
            predicate: Some("p".into()),
            ..Selection::default()
        };
        let parameters = Parameters::new(lens, Options::default(), selection).unwrap();
        let mut claims = Claims::of(&parameters);
        let mut model = Vec::new();
        for number in 0..count {
            let value = (number % 700) as u16;
            claims.add(&claim(number), value);
            model.push((id(number), value));
        }
        claims.sort();
        model.sort_unstable();
        assert_eq!(claims.len(), model.len());
        (claims, model)
    }

    #[test]
    fn claims_are_in_the_order_of_ids() {
        for count in [0, 1, 5, 40_000] {
            let (claims, model) = filled(Lens::Recency, Some("s"), count);
            assert!(claims.ids().eq(model.iter().copied()));
            for place in (0..count as usize + 2).step_by(997) {
                let value = model.get(place).map(|(_, value)| *value);
                assert_eq!(claims.value_at(place), value);
            }
        }
    }

    #[test]
    fn a_claim_is_found_by_its_id_and_its_subject() {
        let (claims, model) = filled(Lens::Votes, Some("s"), 5_000);
        let (_, other) = filled(Lens::Votes, Some("s"), 5_100);
        for (id, _) in &other {
            let place = model.iter().position(|(known, _)| known == id);
            assert_eq!(claims.place("s", *id), place);
            assert_eq!(claims.place("t", *id), None);
        }
        let ids: Vec<RecordId> = other.iter().take(600).map(|(id, _)| *id).collect();
        let (hit, through) = claims.among(&ids);
        let known = |id: &&RecordId| model.iter().any(|(known, _)| known == *id);
        assert!(hit.iter().eq(ids.iter().filter(known)));
        assert_eq!(through, hit.len(), "all claims up to the last id are hit");
        assert_eq!(claims.among(&[]), (Vec::new(), 0));
        assert_eq!(claims.among(&[RecordId::from_bytes([0xff; 32])]).1, 5_000);
    }

    #[test]
    fn votable_claims_come_subject_by_subject() {
        let (claims, model) = filled(Lens::Votes, None, 500);
        let (mut place, mut seen) = (0, BTreeMap::<String, Vec<RecordId>>::new());
        while let Some((subject, ids)) = claims.votable(place, 7) {
            place += ids.len();
            assert!((1..=7).contains(&ids.len()));
            assert!(ids.iter().all(|id| claims.place(subject, *id).is_some()));
            seen.entry(subject.to_owned()).or_default().extend(ids);
        }
        assert_eq!(seen["a"].len(), 167);
        assert_eq!(seen["b"].len(), 333);
        assert!(seen.values().all(|ids| ids.is_sorted()));
        assert_eq!(claims.place("a", id(1)), None, "it is about b");
        assert_eq!(
            claims.place("b", id(1)),
            model.iter().position(|(known, _)| *known == id(1))
        );
        let (claims, _) = filled(Lens::Recency, None, 5);
        assert_eq!(claims.votable(0, 7), None, "no votes are counted");
    }
}
