//! Both doors of records.

use assertion::limits::{AHEAD_MAX_MS, CANONICAL_MAX, SIGNATURES_MAX, SUBJECT_MAX, TIME_MAX_MS};
use assertion::{Invalid, Kind, Place, Record, RecordId};
use serde_json::Value;

use crate::Target;

/// The clock of the client door: that of the golden vectors.
pub const NOW_MS: i64 = 1_767_225_600_000;

/// Longest refusal: it is shown to people, and a hostile sender must not choose its length.
const REFUSAL_BYTES_MAX: usize = 4_096;

const ACCEPTED: &str = include_str!("../../../crates/assertion/vectors/accepted.json");
const REFUSED: &str = include_str!("../../../crates/assertion/vectors/refused.json");
const SIGNED: &str = include_str!("../../../crates/assertion/vectors/signed.json");

/// The doors.
pub fn targets() -> Vec<Target> {
    let target = |name, seeds, check| Target {
        name,
        seeds,
        check,
        mutations: 20_000,
    };
    vec![
        target("record_of_client", clients, client),
        target("record_of_peer", canonical, peer),
    ]
}

/// A member of each golden vector that is short and has it.
fn vectors(text: &str, member: &str) -> Vec<Vec<u8>> {
    let file: Value = serde_json::from_str(text).expect("the vectors are JSON");
    let vectors = file["vectors"].as_array().into_iter().flatten();
    let texts = vectors.filter_map(|vector| vector[member].as_str());
    // Vectors with a filling are about lengths; mutations find those by repeating.
    let short = texts.filter(|text| !text.contains("<fill>"));
    short.map(|text| text.as_bytes().to_vec()).collect()
}

/// Inputs of the client door.
pub fn clients() -> Vec<Vec<u8>> {
    [vectors(ACCEPTED, "input"), vectors(REFUSED, "input")].concat()
}

/// Canonical records of every kind, some of them signed.
pub fn canonical() -> Vec<Vec<u8>> {
    [vectors(ACCEPTED, "canonical"), vectors(SIGNED, "canonical")].concat()
}

fn client(json: &[u8]) {
    let any = Record::from_client_json(json, NOW_MS);
    for kind in Kind::ALL {
        match Record::from_client_json_as(*kind, json, NOW_MS) {
            Ok(record) => assert_eq!(record.kind(), *kind),
            Err(invalid) => is_explained(&invalid),
        }
    }
    let record = match any {
        Ok(record) => record,
        Err(invalid) => return is_explained(&invalid),
    };
    holds(&record);
    assert!(record.at_ms() <= NOW_MS + AHEAD_MAX_MS);
    let as_kind = Record::from_client_json_as(record.kind(), json, NOW_MS);
    assert_eq!(as_kind.as_ref(), Ok(&record), "the door of its kind agrees");
    let again = Record::from_client_json(&record.public_json(), NOW_MS);
    assert_eq!(again, Ok(record), "what the API returns can be sent again");
}

fn peer(bytes: &[u8]) {
    let record = match Record::from_canonical(bytes) {
        Ok(record) => record,
        Err(invalid) => return is_explained(&invalid),
    };
    assert_eq!(record.canonical(), bytes, "one form");
    holds(&record);
    if record.at_ms() <= NOW_MS {
        let client = Record::from_client_json(bytes, NOW_MS);
        assert_eq!(client, Ok(record), "a client may send it too");
    }
}

/// What is true of every record, whichever way it came.
fn holds(record: &Record) {
    let canonical = record.canonical();
    assert!(canonical.len() <= CANONICAL_MAX);
    assert_eq!(record.id(), RecordId::of(canonical));
    assert_eq!(Record::from_canonical(canonical).as_ref(), Ok(record));
    assert_eq!(Record::from_stored(canonical).as_ref(), Ok(record));
    assert!(record.at_ms().abs() <= TIME_MAX_MS);
    assert!(record.signatures().len() <= SIGNATURES_MAX);
    assert!(
        record
            .signatures()
            .is_sorted_by(|one, next| one.agent < next.agent)
    );
    if let Place::Subject(subject) = record.place() {
        assert!((1..=SUBJECT_MAX).contains(&subject.len()));
    }
    // Another reader of JSON finds an object with the members in order and nothing between them.
    let read: Value = serde_json::from_slice(canonical).expect("canonical bytes are JSON");
    let members: Vec<&String> = read.as_object().expect("an object").keys().collect();
    assert!(members.is_sorted());
    assert!(!canonical.contains(&b'\n'));
}

fn is_explained(invalid: &Invalid) {
    assert!(!invalid.code.is_empty() && !invalid.path.is_empty());
    let told = invalid.to_string().len() + invalid.path.len();
    assert!(told <= REFUSAL_BYTES_MAX, "a refusal of {told} bytes");
}
