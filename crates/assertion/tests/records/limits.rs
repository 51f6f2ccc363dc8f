//! The limits of every field, to the byte, at both doors.

use assertion::limits::TIME_MAX_MS;
use assertion::{Invalid, Kind, Record};
use serde_json::{Value, json};

use crate::NOW_MS;
use crate::parts::{full, key_of};

/// A complete record of this kind, as JSON that can be bent.
fn base(kind: Kind) -> Value {
    let record = Record::from_content(full(kind)).unwrap();
    serde_json::from_slice(record.canonical()).unwrap()
}

/// The member at a dotted path.
fn member<'a>(json: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(json, |inside, name| &mut inside[name])
}

/// Both doors, which must agree: what the client door takes is taken as canonical bytes, and what it refuses is refused with
/// the same words.
fn judged(json: &Value) -> Result<Record, Invalid> {
    let bytes = json.to_string();
    let client = Record::from_client_json(bytes.as_bytes(), NOW_MS);
    match &client {
        Ok(record) => assert_eq!(
            Record::from_canonical(record.canonical()).as_ref(),
            Ok(record)
        ),
        Err(refused) => assert_eq!(
            Record::from_canonical(bytes.as_bytes()).as_ref(),
            Err(refused)
        ),
    }
    client
}

fn set(kind: Kind, path: &str, value: Value) -> Result<Record, Invalid> {
    let mut json = base(kind);
    *member(&mut json, path) = value;
    judged(&json)
}

fn code(taken: Result<Record, Invalid>) -> Result<(), (&'static str, String)> {
    taken
        .map(|_| ())
        .map_err(|refused| (refused.code, refused.path))
}

fn refused(code: &'static str, path: &str) -> Result<(), (&'static str, String)> {
    Err((code, path.to_owned()))
}

#[test]
fn strings_have_their_lengths_in_bytes() {
    use Kind::{Assertion, Epoch, Source, Vote};
    for (kind, path, min, max) in [
        (Assertion, "subject", 1, 512),
        (Assertion, "predicate", 1, 256),
        (Assertion, "source.uri", 1, 2_048),
        (Assertion, "note", 0, 16_384),
        (Vote, "subject", 1, 512),
        (Vote, "voter", 1, 256),
        (Epoch, "name", 1, 256),
        (Epoch, "reason", 0, 16_384),
        (Source, "uri", 1, 2_048),
        (Source, "title", 0, 1_024),
    ] {
        let given = |text: String| set(kind, path, text.into());
        assert!(given("x".repeat(max)).is_ok(), "{kind} {path}");
        assert!(given("é".repeat(max / 2)).is_ok(), "{kind} {path}");
        for long in ["x".repeat(max + 1), "é".repeat(max / 2 + 1)] {
            let refused = given(long).unwrap_err();
            assert_eq!((refused.code, refused.path.as_str()), ("too_long", path));
            assert_eq!(refused.limit, Some(max as u64));
        }
        let empty = code(given(String::new()));
        assert_eq!(empty.is_ok(), min == 0, "{kind} {path}");
        if min > 0 {
            assert_eq!(empty, refused("empty", path));
        }
        for other in [json!(1), json!(null), json!(true), json!([]), json!({})] {
            assert_eq!(code(set(kind, path, other)), refused("wrong_type", path));
        }
    }
}

#[test]
fn objects_of_a_claim_have_their_types() {
    let object = |kind: &str, value: Value| {
        code(set(
            Kind::Assertion,
            "object",
            json!({"type": kind, "value": value}),
        ))
    };
    assert_eq!(object("text", "x".repeat(65_536).into()), Ok(()));
    assert_eq!(object("text", "".into()), Ok(()));
    assert_eq!(
        object("text", "x".repeat(65_537).into()),
        refused("too_long", "object.value")
    );
    assert_eq!(object("reference", "x".repeat(512).into()), Ok(()));
    assert_eq!(
        object("reference", "x".repeat(513).into()),
        refused("too_long", "object.value")
    );
    assert_eq!(
        object("reference", "".into()),
        refused("empty", "object.value")
    );
    assert_eq!(
        object("number", "1".into()),
        refused("wrong_type", "object.value")
    );
    assert_eq!(
        object("boolean", 1.into()),
        refused("wrong_type", "object.value")
    );
    assert_eq!(
        object("word", "x".into()),
        refused("unknown_name", "object.type")
    );
}

#[test]
fn numbers_have_their_ranges() {
    let confidence = |value: f64| code(set(Kind::Assertion, "confidence", value.into()));
    assert_eq!((confidence(0.0), confidence(1.0)), (Ok(()), Ok(())));
    let weight = |value: f64| code(set(Kind::Vote, "weight", value.into()));
    assert_eq!((weight(5e-324), weight(1.0)), (Ok(()), Ok(())));
    for value in [-5e-324, -1.0, 1.000_000_000_000_000_2, 2.0] {
        assert_eq!(confidence(value), refused("out_of_range", "confidence"));
        assert_eq!(weight(value), refused("out_of_range", "weight"));
    }
    assert_eq!(weight(0.0), refused("out_of_range", "weight"));
    assert_eq!(weight(-0.0), refused("out_of_range", "weight"));
    for kind in Kind::ALL {
        let path = kind.time_field();
        let time = |value: Value| code(set(*kind, path, value));
        assert_eq!(time((-TIME_MAX_MS).into()), Ok(()));
        assert_eq!(time(0.into()), Ok(()));
        for value in [
            json!(0.5),
            json!(9_007_199_254_740_994_i64),
            json!(-9_007_199_254_740_994_i64),
        ] {
            assert_eq!(time(value), refused("out_of_range", path));
        }
        assert_eq!(time("0".into()), refused("wrong_type", path));
        assert_eq!(
            code(set(*kind, "v", 2.into())),
            refused("version_not_supported", "v")
        );
        assert_eq!(
            code(set(*kind, "kind", "rumour".into())),
            refused("unknown_name", "kind")
        );
    }
}

#[test]
fn closed_sets_and_hashes_are_taken_as_they_are_written() {
    use Kind::{Assertion, Source, Vote};
    for (kind, path) in [
        (Assertion, "source.class"),
        (Assertion, "lifecycle"),
        (Source, "class"),
    ] {
        assert_eq!(
            code(set(kind, path, "Expert".into())),
            refused("unknown_name", path)
        );
    }
    for (kind, path) in [
        (Assertion, "epoch"),
        (Assertion, "parent"),
        (Assertion, "source.hash"),
        (Vote, "assertion"),
    ] {
        for (text, code_of) in [
            ("A".repeat(64), "not_a_hash"),
            ("a".repeat(63), "not_a_hash"),
            ("a".repeat(65), "too_long"),
        ] {
            assert_eq!(code(set(kind, path, text.into())), refused(code_of, path));
        }
    }
    for (value, retracted) in [(json!(true), true), (json!(false), false)] {
        let record = set(Source, "retracted", value).unwrap();
        assert_eq!(record.source().unwrap().retracted, Some(retracted));
    }
    let word = code(set(Source, "retracted", "yes".into()));
    assert_eq!(word, refused("wrong_type", "retracted"));
}

#[test]
fn fields_of_one_kind_are_unknown_to_the_others() {
    for kind in Kind::ALL {
        let own = base(*kind);
        for other in Kind::ALL {
            for (name, value) in base(*other).as_object().unwrap() {
                if own.get(name).is_none() {
                    let taken = code(set(*kind, name, value.clone()));
                    assert_eq!(taken, refused("unknown_field", name), "{kind}");
                }
            }
        }
    }
}

#[test]
fn superseded_epochs_are_sixty_four_at_most() {
    let ids = |count: usize| -> Value { (0..count).map(|n| format!("{n:064x}")).collect() };
    let given = |value: Value| set(Kind::Epoch, "supersedes", value);
    let most = given(ids(64)).unwrap();
    assert_eq!(most.epoch().unwrap().supersedes.len(), 64);
    for count in [65, 66, 1_000] {
        let refused = given(ids(count)).unwrap_err();
        assert_eq!(
            (refused.code, refused.path.as_str()),
            ("too_many_items", "supersedes")
        );
        assert_eq!(refused.limit, Some(64));
    }
    let id = "0".repeat(64);
    for (value, code_of, path) in [
        (json!(id), "wrong_type", "supersedes"),
        (json!(null), "wrong_type", "supersedes"),
        (json!([id, 1]), "wrong_type", "supersedes[1]"),
        (json!([[id]]), "wrong_type", "supersedes[0]"),
        (json!([id, "x"]), "not_a_hash", "supersedes[1]"),
        (json!([id, id]), "repeated", "supersedes[1]"),
    ] {
        assert_eq!(code(given(value)), refused(code_of, path));
    }
}

#[test]
fn signatures_have_their_form() {
    let agent = key_of(1).agent();
    let given = |value: Value| code(set(Kind::Epoch, "signatures", value));
    let one = |agent: &str, signature: &str| json!({"agent": agent, "signature": signature});
    let digits = "0".repeat(128);
    let many = |count: usize| -> Value {
        (0..count)
            .map(|n| one(&format!("{n:064x}"), &digits))
            .collect()
    };
    // The form of sixteen is right; that they are no signatures is found afterwards.
    assert_eq!(
        given(many(16)),
        refused("bad_signature", "signatures[0].signature")
    );
    assert_eq!(given(many(17)), refused("too_many_items", "signatures"));
    for (value, code_of, path) in [
        (json!(null), "wrong_type", "signatures"),
        (json!({}), "wrong_type", "signatures"),
        (json!([agent]), "wrong_type", "signatures[0]"),
        (json!([{}]), "missing_field", "signatures[0].agent"),
        (
            json!([{"agent": agent}]),
            "missing_field",
            "signatures[0].signature",
        ),
        (
            json!([{"agent": agent, "signature": digits, "key": 1}]),
            "unknown_field",
            "signatures[0].key",
        ),
        (json!([one(&agent, "")]), "empty", "signatures[0].signature"),
        (
            json!([one(&agent, &digits[1..])]),
            "not_hex",
            "signatures[0].signature",
        ),
        (
            json!([one(&agent, &"0".repeat(129))]),
            "too_long",
            "signatures[0].signature",
        ),
        (
            json!([one(&agent.to_uppercase(), &digits)]),
            "not_hex",
            "signatures[0].agent",
        ),
        (
            json!([one(&agent, &digits), one(&agent, &digits)]),
            "repeated",
            "signatures[1].agent",
        ),
    ] {
        assert_eq!(given(value), refused(code_of, path));
    }
}
