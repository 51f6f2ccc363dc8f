//! Values, and groups of values that count as one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use assertion::{RecordId, Value};

use crate::strength::{Candidate, Ranked, Strength};
use crate::votes::Counted;

/// A finite number with a total order (-0 does not occur).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub(crate) f64);

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

/// The distinct values of an answer. What is looked up is borrowed: most claims say what is known already.
#[derive(Debug, Default)]
pub(crate) struct Values {
    booleans: BTreeMap<bool, Group>,
    numbers: BTreeMap<Number, Group>,
    references: BTreeMap<String, Group>,
    texts: BTreeMap<String, Group>,
}

impl Values {
    pub(crate) fn len(&self) -> usize {
        self.booleans.len() + self.numbers.len() + self.references.len() + self.texts.len()
    }

    pub(crate) fn get_mut(&mut self, value: &Value<'_>) -> Option<&mut Group> {
        match value {
            Value::Boolean(value) => self.booleans.get_mut(value),
            Value::Number(value) => self.numbers.get_mut(&Number(*value)),
            Value::Reference(subject) => self.references.get_mut(&**subject),
            Value::Text(text) => self.texts.get_mut(&**text),
        }
    }

    pub(crate) fn insert(&mut self, value: &Value<'_>, group: Group) {
        match value {
            Value::Boolean(value) => self.booleans.insert(*value, group),
            Value::Number(value) => self.numbers.insert(Number(*value), group),
            Value::Reference(subject) => self.references.insert(subject.to_string(), group),
            Value::Text(text) => self.texts.insert(text.to_string(), group),
        };
    }

    /// Groups them: numbers, in ascending order, join the group whose first (smallest) value is within `tolerance` × the larger
    /// magnitude; all else groups by equality.
    pub(crate) fn group(self, tolerance: f64) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::with_capacity(self.len());
        let mut first_of_group: Option<f64> = None;
        for (Number(number), value) in self.numbers {
            match (first_of_group, groups.last_mut()) {
                (Some(first), Some(open))
                    if number - first <= tolerance * number.abs().max(first.abs()) =>
                {
                    open.merge(value);
                }
                _ => {
                    first_of_group = Some(number);
                    groups.push(value);
                }
            }
        }
        groups.extend(self.booleans.into_values());
        groups.extend(self.references.into_values());
        groups.extend(self.texts.into_values());
        groups
    }
}

/// What a source of a value takes besides its uri: its strength and the map around it.
const VOICE_BYTES: usize = 128;

/// The claims of one value, or of several that count as one.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) strongest: Ranked,
    /// Bytes of the longest claim: what may be kept as the strongest, in whatever order the claims come.
    longest: usize,
    /// The number of its value; each new value has the next.
    pub(crate) number: u16,
    /// Numbers of the values that joined it.
    pub(crate) joined: Vec<u16>,
    pub(crate) claims: usize,
    /// The first of its claims by id, as many as an answer lists; filled in when all are known, for the lens that lists them.
    pub(crate) ids: Vec<RecordId>,
    /// The strongest claim of each source uri: a source counts once, however often it repeats itself.
    pub(crate) voices: BTreeMap<String, Strength>,
    /// The votes on its claims, when they are asked for; filled in when all are known.
    pub(crate) votes: Vec<Counted>,
}

impl Group {
    pub(crate) fn new(candidate: Candidate<'_>, number: u16) -> Group {
        let uri = candidate.claim.uri.to_string();
        Group {
            strongest: candidate.keep(),
            longest: candidate.claim.canonical.len(),
            number,
            joined: Vec::new(),
            claims: 1,
            ids: Vec::new(),
            voices: BTreeMap::from([(uri, candidate.strength)]),
            votes: Vec::new(),
        }
    }

    /// What a new group takes.
    pub(crate) fn bytes(&self) -> usize {
        self.longest
            + self
                .voices
                .keys()
                .map(|uri| voice_bytes(uri))
                .sum::<usize>()
    }

    /// Adds a claim of the same value. Returns how many bytes more the group takes.
    pub(crate) fn add(&mut self, candidate: Candidate<'_>) -> usize {
        let strength = candidate.strength;
        if strength.is_stronger_than(&self.strongest.strength) {
            candidate.replace(&mut self.strongest);
        }
        let length = candidate.claim.canonical.len();
        let mut more = length.saturating_sub(self.longest);
        self.longest += more;
        self.claims += 1;
        let uri = &candidate.claim.uri;
        if hear(&mut self.voices, uri, strength) {
            more += voice_bytes(uri);
        }
        more
    }

    pub(crate) fn merge(&mut self, other: Group) {
        if other
            .strongest
            .strength
            .is_stronger_than(&self.strongest.strength)
        {
            self.strongest = other.strongest;
        }
        self.joined.push(other.number);
        self.joined.extend(other.joined);
        self.claims += other.claims;
        for (uri, strength) in other.voices {
            hear(&mut self.voices, &uri, strength);
        }
    }

    /// Sum of the confidences of its voices, in id order so that every machine rounds alike.
    pub(crate) fn weight(&self) -> f64 {
        let mut voices: Vec<&Strength> = self.voices.values().collect();
        voices.sort_unstable_by_key(|voice| voice.id);
        voices.into_iter().map(|voice| voice.confidence).sum()
    }
}

fn voice_bytes(uri: &str) -> usize {
    VOICE_BYTES + uri.len()
}

/// Keeps the strongest claim of a source. Returns whether the source is new.
fn hear(voices: &mut BTreeMap<String, Strength>, uri: &str, strength: Strength) -> bool {
    match voices.get_mut(uri) {
        None => {
            voices.insert(uri.to_owned(), strength);
            return true;
        }
        Some(known) if strength.is_stronger_than(known) => *known = strength,
        Some(_) => {}
    }
    false
}
