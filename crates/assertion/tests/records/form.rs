//! Properties of the canonical form: one record, one id, however it was written; and nothing hostile gets through.

use assertion::limits::{CANONICAL_MAX, JSON_MAX, TIME_MAX_MS};
use assertion::{
    Assertion, Claim, Content, Epoch, Kind, Object, Record, SourceClass, SourceRecord, Vote,
};
use proptest::prelude::*;

use crate::NOW_MS;
use crate::parts::{content, full, record, small_claim};
use crate::spelling::{Json, Spelling};

proptest! {
    #[test]
    fn a_record_comes_back_from_its_canonical_bytes(content in content()) {
        let record = Record::from_content(content.clone()).unwrap();
        prop_assert_eq!(record.content(), &content);
        prop_assert_eq!(record.kind(), content.kind());
        prop_assert!(record.signatures().is_empty());
    }

    #[test]
    fn a_record_is_taken_again_at_both_doors(record in record()) {
        let back = Record::from_canonical(record.canonical()).unwrap();
        prop_assert_eq!(&back, &record);
        prop_assert_eq!(back.id(), record.id());
        let sent_again = Record::from_client_json(&record.public_json(), NOW_MS).unwrap();
        prop_assert_eq!(&sent_again, &record);
        let by_kind = Record::from_client_json_as(record.kind(), &record.public_json(), NOW_MS).unwrap();
        prop_assert_eq!(by_kind, record);
    }

    #[test]
    fn however_a_record_is_written_it_has_one_id(record in record(), spelling in any::<Spelling>()) {
        let written = Json::of(&record).write(&spelling);
        let read = Record::from_client_json(written.as_bytes(), NOW_MS);
        prop_assert_eq!(read, Ok(record), "{}", written);
    }

    #[test]
    fn two_records_have_one_id_only_when_they_are_equal(one in record(), other in record()) {
        prop_assert_eq!(one.id() == other.id(), one == other);
        prop_assert_eq!(one.id() == other.id(), one.canonical() == other.canonical());
    }

    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Record::from_client_json(&bytes, NOW_MS).is_err());
        prop_assert!(Record::from_canonical(&bytes).is_err());
    }

    #[test]
    fn lenses_see_in_canonical_bytes_what_the_record_says(record in record()) {
        let seen = Claim::from_stored(record.canonical());
        prop_assert_eq!(&seen, &record.claim());
        prop_assert_eq!(seen.is_some(), record.kind() == Kind::Assertion);
        if let Some(seen) = seen {
            let mut object = b",\"object\":".to_vec();
            seen.value.write(&mut object);
            prop_assert!(record.canonical().windows(object.len()).any(|part| part == object));
        }
    }

    /// What lenses take from damaged bytes has another id: the caller compares it.
    #[test]
    fn lenses_take_damaged_bytes_for_no_claim_with_the_same_id(
        record in record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = record.canonical().to_vec();
        for (place, byte, kind) in damage {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Some(seen) = Claim::from_stored(&bytes) {
            prop_assert_eq!(seen.id == record.id(), bytes == record.canonical());
        }
    }

    /// JSON-like noise reaches deeper into the parser than random bytes do.
    #[test]
    fn json_like_noise_never_panics(noise in r#"[\[\]{}",:\\u0-9eE+\-. \ttruefalsn]{0,80}"#) {
        let _ = Record::from_client_json(noise.as_bytes(), NOW_MS);
        let _ = Record::from_canonical(noise.as_bytes());
    }

    #[test]
    fn what_is_taken_from_damaged_json_is_a_record(
        record in record(),
        spelling in any::<Spelling>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = Json::of(&record).write(&spelling).into_bytes();
        for (place, byte, kind) in damage {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(record) = Record::from_client_json(&bytes, NOW_MS) {
            let back = Record::from_canonical(record.canonical());
            prop_assert_eq!(back, Ok(record));
        }
    }

    /// The peer door takes one spelling: whatever differs in a byte is refused or is another record. What it takes the client
    /// door takes too, as the same bytes; what the client door takes as the same bytes, it takes.
    #[test]
    fn no_other_bytes_have_the_same_id_and_both_doors_judge_alike(
        record in record(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = record.canonical().to_vec();
        let at = place.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let peer = Record::from_canonical(&bytes);
        // A later clock, because a changed digit may date the record ahead.
        let client = Record::from_client_json(&bytes, TIME_MAX_MS);
        prop_assert_eq!(peer.is_ok(), client.as_ref().is_ok_and(|taken| taken.canonical() == bytes));
        if let Ok(other) = peer {
            prop_assert_ne!(other.id(), record.id());
            prop_assert_eq!(other.canonical(), &bytes[..]);
        }
    }
}

#[test]
fn parts_that_no_record_has_are_refused() {
    let taken = |content: Content| Record::from_content(content).is_ok();
    let claim = small_claim();
    assert!(taken(claim.clone().into()));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let object = Object::Number(value);
        let bent = Assertion {
            object,
            ..claim.clone()
        };
        assert!(!taken(bent.into()), "{value}");
        let bent = Assertion {
            confidence: value,
            ..claim.clone()
        };
        assert!(!taken(bent.into()), "{value}");
        let Content::Vote(vote) = full(Kind::Vote) else {
            unreachable!();
        };
        let bent = Vote {
            weight: value,
            ..vote
        };
        assert!(!taken(bent.into()), "{value}");
    }
    for time in [i64::MIN, -TIME_MAX_MS - 1, TIME_MAX_MS + 1, i64::MAX] {
        for kind in Kind::ALL {
            assert!(!taken(dated(full(*kind), time)), "{kind} {time}");
            assert!(taken(dated(full(*kind), TIME_MAX_MS)), "{kind}");
        }
    }
    let epoch = Some("ABC".into());
    assert!(!taken(Assertion { epoch, ..claim }.into()));
}

/// The same at another time.
fn dated(content: Content, time: i64) -> Content {
    match content {
        Content::Assertion(claim) => Content::Assertion(Assertion {
            asserted_at: time,
            ..claim
        }),
        Content::Vote(vote) => Content::Vote(Vote {
            voted_at: time,
            ..vote
        }),
        Content::Epoch(epoch) => Content::Epoch(Epoch {
            started_at: time,
            ..epoch
        }),
        Content::Source(source) => Content::Source(SourceRecord {
            recorded_at: time,
            ..source
        }),
    }
}

/// A set has one form: parts in another order, or with a repeat, are not what any record holds.
#[test]
fn superseded_epochs_are_ascending_and_each_is_there_once() {
    let epoch = |supersedes: Vec<String>| {
        let epoch = Epoch {
            name: "e".into(),
            supersedes,
            reason: None,
            started_at: 0,
        };
        Record::from_content(epoch).map_err(|refused| (refused.code, refused.path))
    };
    let (low, high) = ("1".repeat(64), "2".repeat(64));
    assert!(epoch(vec![low.clone(), high.clone()]).is_ok());
    assert_eq!(
        epoch(vec![high.clone(), low.clone()]),
        Err(("not_canonical", "$".into()))
    );
    assert_eq!(
        epoch(vec![low.clone(), high, low]),
        Err(("repeated", "supersedes[2]".into()))
    );
}

#[test]
fn every_kind_has_its_place_and_topic() {
    use assertion::Place;
    let source = SourceRecord {
        uri: "u".into(),
        class: SourceClass::Expert,
        title: None,
        retracted: None,
        recorded_at: 4,
    };
    let (subject, global) = (Place::Subject("cas:7732-18-5"), Place::Global);
    let voted_on = "f".repeat(64);
    for (content, place, topic) in [
        (
            full(Kind::Assertion),
            subject,
            (
                Kind::Assertion,
                "cas:7732-18-5",
                "boiling_point_k",
                1_600_000_000_000,
            ),
        ),
        (
            full(Kind::Vote),
            subject,
            (
                Kind::Vote,
                "cas:7732-18-5",
                voted_on.as_str(),
                1_600_000_000_001,
            ),
        ),
        (
            full(Kind::Epoch),
            global,
            (Kind::Epoch, "ITS-90", "", 1_600_000_000_002),
        ),
        (source.into(), global, (Kind::Source, "u", "", 4)),
    ] {
        let record = Record::from_content(content).unwrap();
        assert_eq!(record.place(), place);
        assert_eq!(record.topic(), topic);
        assert_eq!(record.at_ms(), topic.3);
        let kind = record.kind();
        assert_eq!(record.assertion().is_some(), kind == Kind::Assertion);
        assert_eq!(record.vote().is_some(), kind == Kind::Vote);
        assert_eq!(record.epoch().is_some(), kind == Kind::Epoch);
        assert_eq!(record.source().is_some(), kind == Kind::Source);
    }
}

#[test]
fn sizes_are_taken_up_to_the_limit_and_no_further() {
    let claim = |controls: usize, letters: usize| {
        let text = "\u{1}".repeat(controls) + &"t".repeat(letters);
        format!(
            r#"{{"subject":"s","predicate":"p","object":{{"type":"text","value":"{}"}},
            "source":{{"uri":"u","class":"expert"}},"asserted_at":0}}"#,
            text.replace('\u{1}', "\\u0001")
        )
    };
    let size = |controls, letters| {
        let record = Record::from_client_json(claim(controls, letters).as_bytes(), NOW_MS);
        record.map(|record| record.canonical().len())
    };
    // A control character is six bytes in canonical form.
    let frame = size(0, 0).expect("a small record");
    let controls = (CANONICAL_MAX - frame) / 6;
    let letters = (CANONICAL_MAX - frame) % 6;
    assert_eq!(size(controls, letters), Ok(CANONICAL_MAX));
    let refused = size(controls, letters + 1).expect_err("one byte too long");
    assert_eq!(refused.code, "record_too_large");

    let padded = |length: usize| {
        let mut json = claim(0, 1).into_bytes();
        json.resize(length, b' ');
        json
    };
    assert!(Record::from_client_json(&padded(JSON_MAX), NOW_MS).is_ok());
    let refused = Record::from_client_json(&padded(JSON_MAX + 1), NOW_MS).expect_err("too long");
    assert_eq!(
        (refused.code, refused.limit),
        ("record_too_large", Some(JSON_MAX as u64))
    );
}
