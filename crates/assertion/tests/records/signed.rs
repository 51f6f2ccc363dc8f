//! Signatures: what they bind, who they bind, and that no byte can be changed below them.

use assertion::limits::SIGNATURES_MAX;
use assertion::{Content, Kind, Object, Record, Signature, SigningKey, Vote, is_agent};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::NOW_MS;
use crate::parts::{content, full, key, key_of, signed, small_claim};

fn signed_by(kind: Kind, keys: &[u8]) -> Record {
    keys.iter()
        .fold(Record::from_content(full(kind)).unwrap(), |record, byte| {
            record.sign(&key_of(*byte)).unwrap()
        })
}

proptest! {
    #[test]
    fn a_signed_record_is_taken_at_both_doors_and_says_the_same(record in signed()) {
        let unsigned = Record::from_content(record.content().clone()).unwrap();
        prop_assert_ne!(record.id(), unsigned.id());
        prop_assert_eq!(record.content(), unsigned.content());
        prop_assert_eq!(record.topic(), unsigned.topic());
        prop_assert_eq!(record.signing_bytes(), [b"stemedb.sign.v1\n", unsigned.canonical()].concat());
        prop_assert!(record.signatures().is_sorted_by(|one, next| one.agent < next.agent));
        let back = Record::from_canonical(record.canonical()).unwrap();
        prop_assert_eq!(back.signatures(), record.signatures());
        prop_assert_eq!(Record::from_client_json(record.canonical(), NOW_MS), Ok(back));
    }

    #[test]
    fn keys_sign_in_any_order_and_again(content in content(), keys in prop::collection::vec(key(), 2..4)) {
        prop_assume!(content.kind() != Kind::Vote);
        let sign = |keys: &mut dyn Iterator<Item = &SigningKey>| {
            keys.fold(Record::from_content(content.clone()).unwrap(), |record, key| record.sign(key).unwrap())
        };
        let once = sign(&mut keys.iter());
        prop_assert_eq!(&sign(&mut keys.iter().rev()), &once);
        prop_assert_eq!(&sign(&mut keys.iter().chain(&keys)), &once);
        let mut agents: Vec<String> = keys.iter().map(SigningKey::agent).collect();
        agents.sort();
        let signers: Vec<&str> = once.signatures().iter().map(|one| one.agent.as_str()).collect();
        prop_assert_eq!(signers, agents);
    }

    #[test]
    fn other_bytes_than_were_signed_are_refused(
        record in signed(), place in any::<prop::sample::Index>(), byte in any::<u8>(), damage in 0..3_u8,
    ) {
        let mut bytes = record.canonical().to_vec();
        let at = place.index(bytes.len());
        match damage {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        prop_assume!(bytes != record.canonical());
        prop_assert!(Record::from_canonical(&bytes).is_err());
    }

    /// At the client door a change may be a matter of spelling; then it is the same record.
    #[test]
    fn whoever_changes_what_was_signed_is_refused_at_the_client_door(
        record in signed(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = record.canonical().to_vec();
        let at = place.index(bytes.len());
        bytes[at] = byte;
        if let Ok(taken) = Record::from_client_json(&bytes, NOW_MS) {
            prop_assert_eq!(taken, record);
        }
    }

    #[test]
    fn a_signature_is_good_for_one_record_and_one_key(one in content(), other in content(), key in key()) {
        prop_assume!(one.kind() != Kind::Vote && other.kind() != Kind::Vote && one != other);
        let signed = Record::from_content(one).unwrap().sign(&key).unwrap();
        let other = Record::from_content(other).unwrap().sign(&key).unwrap();
        let swapped = with_signatures(&other, signed.signatures());
        prop_assert_eq!(code(Record::from_client_json(&swapped, NOW_MS)), "bad_signature");
    }

    #[test]
    fn seeds_come_back_from_their_text(seed in any::<[u8; 32]>()) {
        let key = SigningKey::from_seed(&seed);
        let again: SigningKey = key.seed_hex().parse().unwrap();
        prop_assert_eq!(again.agent(), key.agent());
        prop_assert!(is_agent(&key.agent()) && !is_agent(&key.agent()[1..]) && !is_agent("somebody"));
        let shown = format!("{key:?}");
        prop_assert!(!shown.contains(&key.seed_hex()), "{}", shown);
    }
}

fn code(taken: Result<Record, assertion::Invalid>) -> &'static str {
    taken.unwrap_err().code
}

/// The JSON of a record with these signatures in place of its own.
fn with_signatures(record: &Record, signatures: &[Signature]) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(record.canonical()).unwrap();
    json["signatures"] = signatures
        .iter()
        .map(|one| json!({"agent": one.agent, "signature": one.signature}))
        .collect();
    json.to_string().into_bytes()
}

/// Every byte of a record of each kind, changed in its lowest bit, in its case, and into a digit.
#[test]
fn no_byte_of_a_signed_record_can_be_changed() {
    for kind in Kind::ALL {
        let record = signed_by(*kind, &[1, 2]);
        for at in 0..record.canonical().len() {
            let was = record.canonical()[at];
            for byte in [was ^ 1, was ^ 0x20, b'0'] {
                let mut bytes = record.canonical().to_vec();
                bytes[at] = byte;
                let taken = Record::from_canonical(&bytes);
                assert_eq!(taken.is_ok(), byte == was, "{kind}, byte {at}: {byte}");
            }
        }
    }
}

#[test]
fn signatures_may_be_sent_in_any_order_and_a_bad_one_is_named_where_it_was_sent() {
    let record = signed_by(Kind::Vote, &[1, 2, 3]);
    let mut signatures = record.signatures().to_vec();
    signatures.reverse();
    let sent = with_signatures(&record, &signatures);
    assert_eq!(Record::from_client_json(&sent, NOW_MS), Ok(record.clone()));
    assert_eq!(code(Record::from_canonical(&sent)), "not_canonical");

    signatures[1].signature = signatures[0].signature.clone();
    let refused =
        Record::from_client_json(&with_signatures(&record, &signatures), NOW_MS).unwrap_err();
    assert_eq!(
        (refused.code, refused.path.as_str()),
        ("bad_signature", "signatures[1].signature")
    );
}

#[test]
fn an_empty_list_of_signatures_is_none() {
    let record = Record::from_content(full(Kind::Epoch)).unwrap();
    let sent = with_signatures(&record, &[]);
    assert_eq!(Record::from_client_json(&sent, NOW_MS), Ok(record));
    assert_eq!(code(Record::from_canonical(&sent)), "not_canonical");
}

#[test]
fn a_signed_vote_is_one_of_its_signers() {
    let vote = Record::from_content(full(Kind::Vote)).unwrap();
    let refused = vote.clone().sign(&key_of(2)).unwrap_err();
    assert_eq!(
        (refused.code, refused.path.as_str()),
        ("voter_not_signer", "voter")
    );
    let both = vote.sign(&key_of(1)).unwrap().sign(&key_of(2)).unwrap();
    let other: Vec<Signature> = both
        .signatures()
        .iter()
        .filter(|one| one.agent == key_of(2).agent())
        .cloned()
        .collect();
    let alone = with_signatures(&both, &other);
    assert_eq!(
        code(Record::from_client_json(&alone, NOW_MS)),
        "voter_not_signer"
    );
    assert_eq!(code(Record::from_canonical(&alone)), "voter_not_signer");
    let Content::Vote(vote) = full(Kind::Vote) else {
        unreachable!();
    };
    let anybody = Vote {
        voter: "anybody".into(),
        ..vote
    };
    assert!(Record::from_content(anybody).is_ok());
}

#[test]
fn sixteen_sign_and_no_more() {
    let keys: Vec<u8> = (1..=16).collect();
    let most = signed_by(Kind::Source, &keys);
    assert_eq!(most.signatures().len(), SIGNATURES_MAX);
    assert_eq!(
        Record::from_client_json(most.canonical(), NOW_MS),
        Ok(most.clone())
    );
    assert_eq!(most.clone().sign(&key_of(16)), Ok(most.clone()));
    let refused = most.sign(&key_of(17)).unwrap_err();
    assert_eq!(
        (refused.code, refused.path.as_str()),
        ("too_many_items", "signatures")
    );
}

/// The signatures count: a record that just fits has no room for one.
#[test]
fn a_record_must_fit_with_its_signatures() {
    let claim = |controls: usize| {
        let mut claim = small_claim();
        claim.object = Object::Text("\u{1}".repeat(controls));
        Record::from_content(claim).unwrap()
    };
    let frame = claim(0).canonical().len();
    let fullest = claim((assertion::limits::CANONICAL_MAX - frame) / 6);
    assert_eq!(code(fullest.sign(&key_of(1))), "record_too_large");
}

#[test]
fn only_sixty_four_lowercase_digits_are_a_seed() {
    let seed = "ab".repeat(32);
    assert!(seed.parse::<SigningKey>().is_ok());
    for text in [
        &seed.to_uppercase(),
        &seed[1..],
        &format!("{seed}\n"),
        "",
        &"é".repeat(32),
    ] {
        assert!(text.parse::<SigningKey>().is_err(), "{text}");
    }
}

/// RFC 8032, section 7.1, test 1: our keys are the world's keys.
#[test]
fn a_seed_gives_the_public_key_of_the_rfc() {
    let key: SigningKey = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        .parse()
        .unwrap();
    assert_eq!(
        key.agent(),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
}
