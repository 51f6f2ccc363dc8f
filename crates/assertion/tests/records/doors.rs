//! What a client may leave out, and where which kind is taken.

use assertion::limits::{AHEAD_MAX_MS, TIME_MAX_MS};
use assertion::{Invalid, Kind, Record};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::NOW_MS;
use crate::parts::{full, key_of};

/// What a client must give, and what is filled in besides.
fn least(kind: Kind) -> (Value, Value) {
    let hash = "a".repeat(64);
    match kind {
        Kind::Assertion => (
            json!({"subject": "s", "predicate": "p", "object": {"type": "boolean", "value": true},
                "source": {"uri": "u", "class": "expert"}}),
            json!({"kind": "assertion", "v": 1, "confidence": 1, "lifecycle": "proposed", "asserted_at": NOW_MS}),
        ),
        Kind::Vote => (
            json!({"subject": "s", "assertion": hash, "voter": "me", "weight": 1}),
            json!({"kind": "vote", "v": 1, "voted_at": NOW_MS}),
        ),
        Kind::Epoch => (
            json!({"name": "e"}),
            json!({"kind": "epoch", "v": 1, "started_at": NOW_MS}),
        ),
        Kind::Source => (
            json!({"uri": "u", "class": "expert"}),
            json!({"kind": "source", "v": 1, "recorded_at": NOW_MS}),
        ),
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut both = one.clone();
    let members = other.as_object().unwrap().clone();
    both.as_object_mut().unwrap().extend(members);
    both
}

fn without(value: &Value, member: &str) -> Value {
    let mut rest = value.clone();
    rest.as_object_mut().unwrap().remove(member).unwrap();
    rest
}

fn take_as(kind: Kind, json: &Value) -> Result<Record, Invalid> {
    Record::from_client_json_as(kind, json.to_string().as_bytes(), NOW_MS)
}

fn refusal<T: std::fmt::Debug>(taken: Result<T, Invalid>) -> (&'static str, String) {
    let refused = taken.unwrap_err();
    (refused.code, refused.path)
}

#[test]
fn what_is_stamped_and_what_is_given_are_one_record() {
    for kind in Kind::ALL {
        let (given, stamped) = least(*kind);
        let complete = take_as(*kind, &merged(&given, &stamped)).unwrap();
        assert_eq!(take_as(*kind, &given), Ok(complete.clone()), "{kind}");
        for member in stamped.as_object().unwrap().keys() {
            let partial = merged(&given, &without(&stamped, member));
            assert_eq!(
                take_as(*kind, &partial),
                Ok(complete.clone()),
                "{kind} {member}"
            );
        }
        for member in given.as_object().unwrap().keys() {
            let partial = merged(&without(&given, member), &stamped);
            let missing = ("missing_field", member.clone());
            assert_eq!(refusal(take_as(*kind, &partial)), missing, "{kind}");
        }
    }
}

#[test]
fn nothing_is_added_at_the_peer_door() {
    for kind in Kind::ALL {
        let (given, stamped) = least(*kind);
        for member in stamped.as_object().unwrap().keys() {
            let partial = merged(&given, &without(&stamped, member)).to_string();
            let missing = ("missing_field", member.clone());
            assert_eq!(
                refusal(Record::from_canonical(partial.as_bytes())),
                missing,
                "{kind}"
            );
        }
    }
}

/// Whoever signed, signed a time and a confidence. A stamp would put words into the signer's mouth.
#[test]
fn nothing_is_added_to_a_signed_record() {
    for kind in Kind::ALL {
        let (given, stamped) = least(*kind);
        let mut complete = merged(&given, &stamped);
        if *kind == Kind::Vote {
            complete["voter"] = key_of(1).agent().into();
        }
        let signed = take_as(*kind, &complete).unwrap().sign(&key_of(1)).unwrap();
        let signed: Value = serde_json::from_slice(signed.canonical()).unwrap();
        assert!(take_as(*kind, &signed).is_ok(), "{kind}");
        for member in stamped.as_object().unwrap().keys() {
            let refused = refusal(take_as(*kind, &without(&signed, member)));
            assert_eq!(refused, ("signed_incomplete", member.clone()), "{kind}");
        }
        for member in given.as_object().unwrap().keys() {
            let refused = refusal(take_as(*kind, &without(&signed, member)));
            assert_eq!(refused, ("missing_field", member.clone()), "{kind}");
        }
    }
}

#[test]
fn each_kind_is_taken_at_its_own_door_and_at_the_door_for_all() {
    for kind in Kind::ALL {
        let record = Record::from_content(full(*kind)).unwrap();
        assert_eq!(
            Record::from_client_json(record.canonical(), NOW_MS).as_ref(),
            Ok(&record)
        );
        for door in Kind::ALL {
            let taken = Record::from_client_json_as(*door, record.canonical(), NOW_MS);
            if door == kind {
                assert_eq!(taken.as_ref(), Ok(&record));
            } else {
                assert_eq!(
                    refusal(taken),
                    ("kind_mismatch", "kind".into()),
                    "{kind} at {door}"
                );
            }
        }
    }
    // Whoever does not say the kind means an assertion, unless the door says it.
    let (vote, _) = least(Kind::Vote);
    let unsaid = Record::from_client_json(vote.to_string().as_bytes(), NOW_MS);
    assert_eq!(refusal(unsaid), ("missing_field", "predicate".into()));
}

#[test]
fn records_of_every_kind_are_dated_five_minutes_ahead_at_most() {
    for kind in Kind::ALL {
        let (given, stamped) = least(*kind);
        let field = kind.time_field();
        let dated = |time: i64| {
            let mut json = merged(&given, &stamped);
            json[field] = time.into();
            take_as(*kind, &json)
        };
        assert_eq!(
            dated(NOW_MS + AHEAD_MAX_MS).unwrap().at_ms(),
            NOW_MS + AHEAD_MAX_MS
        );
        let refused = dated(NOW_MS + AHEAD_MAX_MS + 1).unwrap_err();
        let code = match kind {
            Kind::Assertion => "asserted_in_the_future",
            Kind::Vote | Kind::Epoch | Kind::Source => "dated_in_the_future",
        };
        assert_eq!((refused.code, refused.path.as_str()), (code, field));
        assert_eq!(refused.limit, Some(300_000));
        assert!(dated(-TIME_MAX_MS).is_ok());
    }
}

proptest! {
    #[test]
    fn any_clock_stamps_what_peers_read(now_ms in any::<i64>(), kind in prop::sample::select(Kind::ALL)) {
        let (given, _) = least(kind);
        let record = Record::from_client_json_as(kind, given.to_string().as_bytes(), now_ms).unwrap();
        prop_assert_eq!(Record::from_canonical(record.canonical()), Ok(record));
    }
}
