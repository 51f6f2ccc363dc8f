//! Properties of the canonical form: one record, one id, however it was written; and nothing hostile gets through.

use assertion::limits::{CANONICAL_MAX, JSON_MAX, TIME_MAX_MS};
use assertion::{Assertion, Lifecycle, Object, Record, Source, SourceClass};
use proptest::prelude::*;

mod spelling;
use spelling::{Json, Spelling};

const NOW_MS: i64 = 1_767_225_600_000;

/// Strings with everything that JSON treats specially in them.
fn text(min: usize, max: usize) -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '"',
        '\\',
        '/',
        '\u{0}',
        '\u{8}',
        '\t',
        '\n',
        '\u{c}',
        '\r',
        '\u{1f}',
        '\u{7f}',
        'é',
        '\u{301}',
        '\u{2028}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '💧',
        '\u{10ffff}',
    ]);
    let character = prop_oneof![3 => prop::char::range(' ', '~'), 1 => special, 1 => any::<char>()];
    prop::collection::vec(character, min..=max)
        .prop_map(|characters| characters.into_iter().collect())
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        any::<i32>().prop_map(f64::from),
        (-100_000..100_000_i32).prop_map(|value| f64::from(value) / 1_000.0),
        Just(-0.0),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        text(0, 40).prop_map(Object::Text),
        number().prop_map(Object::Number),
        any::<bool>().prop_map(Object::Boolean),
        text(1, 20).prop_map(Object::Reference),
    ]
}

fn hash() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[0-9a-f]{64}")
}

fn source() -> impl Strategy<Value = Source> {
    let class = prop::sample::select(SourceClass::ALL);
    (text(1, 30), class, hash()).prop_map(|(uri, class, hash)| Source { uri, class, hash })
}

fn claim() -> impl Strategy<Value = Assertion> {
    let what = (text(1, 30), text(1, 20), object(), source());
    let how = (
        prop_oneof![0.0..=1.0_f64, Just(0.0), Just(-0.0), Just(1.0)],
        prop::sample::select(Lifecycle::ALL),
        prop_oneof![-TIME_MAX_MS..=NOW_MS, Just(-TIME_MAX_MS), Just(0)],
    );
    let links = (hash(), hash(), prop::option::of(text(0, 30)));
    (what, how, links).prop_map(
        |(
            (subject, predicate, object, source),
            (confidence, lifecycle, asserted_at),
            (epoch, parent, note),
        )| {
            Assertion {
                subject,
                predicate,
                object,
                source,
                confidence,
                lifecycle,
                asserted_at,
                epoch,
                parent,
                note,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_record_comes_back_from_its_canonical_bytes(claim in claim()) {
        let record = Record::from_content(claim.clone()).unwrap();
        prop_assert_eq!(record.assertion(), Some(&claim));
        let back = Record::from_canonical(record.canonical()).unwrap();
        prop_assert_eq!(&back, &record);
        prop_assert_eq!(back.id(), record.id());
        let sent_again = Record::from_client_json(&record.public_json(), NOW_MS).unwrap();
        prop_assert_eq!(sent_again, record);
    }

    #[test]
    fn however_a_record_is_written_it_has_one_id(claim in claim(), spelling in any::<Spelling>()) {
        let record = Record::from_content(claim.clone()).unwrap();
        let written = Json::of(&claim).write(&spelling);
        let read = Record::from_client_json(written.as_bytes(), NOW_MS);
        prop_assert_eq!(read, Ok(record), "{}", written);
    }

    #[test]
    fn two_claims_have_one_id_only_when_they_are_equal(one in claim(), other in claim()) {
        let (a, b) = (Record::from_content(one.clone()).unwrap(), Record::from_content(other.clone()).unwrap());
        prop_assert_eq!(a.id() == b.id(), one == other);
    }

    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Record::from_client_json(&bytes, NOW_MS).is_err());
        prop_assert!(Record::from_canonical(&bytes).is_err());
    }

    /// JSON-like noise reaches deeper into the parser than random bytes do.
    #[test]
    fn json_like_noise_never_panics(noise in r#"[\[\]{}",:\\u0-9eE+\-. \ttruefalsn]{0,80}"#) {
        let _ = Record::from_client_json(noise.as_bytes(), NOW_MS);
        let _ = Record::from_canonical(noise.as_bytes());
    }

    #[test]
    fn what_is_taken_from_damaged_json_is_a_record(
        claim in claim(),
        spelling in any::<Spelling>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = Json::of(&claim).write(&spelling).into_bytes();
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

    /// The peer door takes one spelling: whatever differs in a byte is refused or is another record.
    #[test]
    fn no_other_bytes_have_the_same_id(
        claim in claim(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let record = Record::from_content(claim).unwrap();
        let mut bytes = record.canonical().to_vec();
        let at = place.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(other) = Record::from_canonical(&bytes) {
            prop_assert_ne!(other.id(), record.id());
            prop_assert_eq!(other.canonical(), &bytes[..]);
        }
    }

    #[test]
    fn any_clock_stamps_what_peers_read(now_ms in any::<i64>()) {
        let json = br#"{"subject":"s","predicate":"p","object":{"type":"boolean","value":true},
            "source":{"uri":"u","class":"expert"}}"#;
        let record = Record::from_client_json(json, now_ms).unwrap();
        prop_assert!(Record::from_canonical(record.canonical()).is_ok());
    }
}

#[test]
fn parts_that_no_record_has_are_refused() {
    let good = Assertion {
        subject: "s".into(),
        predicate: "p".into(),
        object: Object::Number(1.0),
        source: Source {
            uri: "u".into(),
            class: SourceClass::Expert,
            hash: None,
        },
        confidence: 1.0,
        lifecycle: Lifecycle::Proposed,
        asserted_at: 0,
        epoch: None,
        parent: None,
        note: None,
    };
    assert!(Record::from_content(good.clone()).is_ok());
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let object = Object::Number(value);
        assert!(
            Record::from_content(Assertion {
                object,
                ..good.clone()
            })
            .is_err(),
            "{value}"
        );
        assert!(
            Record::from_content(Assertion {
                confidence: value,
                ..good.clone()
            })
            .is_err(),
            "{value}"
        );
    }
    for asserted_at in [i64::MIN, -TIME_MAX_MS - 1, TIME_MAX_MS + 1, i64::MAX] {
        assert!(
            Record::from_content(Assertion {
                asserted_at,
                ..good.clone()
            })
            .is_err(),
            "{asserted_at}"
        );
    }
    let epoch = Some("ABC".into());
    assert!(Record::from_content(Assertion { epoch, ..good }).is_err());
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
