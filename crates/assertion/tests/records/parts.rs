//! Records of every kind to play with, by chance and by hand.
//!
//! Strategies are boxed: by value, a pair of records of every kind takes the 2 MiB of stack that a test has.

use assertion::limits::TIME_MAX_MS;
use assertion::{
    Assertion, Content, Epoch, Kind, Lifecycle, Object, Record, SigningKey, Source, SourceClass,
    SourceRecord, Vote,
};
use proptest::prelude::*;

use crate::NOW_MS;

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

fn object() -> BoxedStrategy<Object> {
    prop_oneof![
        text(0, 40).prop_map(Object::Text),
        number().prop_map(Object::Number),
        any::<bool>().prop_map(Object::Boolean),
        text(1, 20).prop_map(Object::Reference),
    ]
    .boxed()
}

fn hash() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[0-9a-f]{64}")
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![-TIME_MAX_MS..=NOW_MS, Just(-TIME_MAX_MS), Just(0)]
}

fn class() -> impl Strategy<Value = SourceClass> {
    prop::sample::select(SourceClass::ALL)
}

fn source() -> BoxedStrategy<Source> {
    (text(1, 30), class(), hash())
        .prop_map(|(uri, class, hash)| Source { uri, class, hash })
        .boxed()
}

fn claim() -> BoxedStrategy<Content> {
    let what = (text(1, 30), text(1, 20), object(), source());
    let how = (
        prop_oneof![0.0..=1.0_f64, Just(0.0), Just(-0.0), Just(1.0)],
        prop::sample::select(Lifecycle::ALL),
        time(),
    );
    let links = (hash(), hash(), prop::option::of(text(0, 30)));
    (what, how, links)
        .prop_map(
            |(
                (subject, predicate, object, source),
                (confidence, lifecycle, asserted_at),
                (epoch, parent, note),
            )| {
                Content::Assertion(Assertion {
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
                })
            },
        )
        .boxed()
}

fn vote() -> BoxedStrategy<Content> {
    let weight = prop_oneof![
        f64::MIN_POSITIVE..=1.0_f64,
        Just(5e-324),
        Just(1.0),
        Just(0.5)
    ];
    (text(1, 30), "[0-9a-f]{64}", text(1, 30), weight, time())
        .prop_map(|(subject, assertion, voter, weight, voted_at)| {
            Content::Vote(Vote {
                subject,
                assertion,
                voter,
                weight,
                voted_at,
            })
        })
        .boxed()
}

fn epoch() -> BoxedStrategy<Content> {
    let supersedes = prop::collection::btree_set("[0-9a-f]{64}", 0..5);
    (
        text(1, 30),
        supersedes,
        prop::option::of(text(0, 30)),
        time(),
    )
        .prop_map(|(name, supersedes, reason, started_at)| {
            Content::Epoch(Epoch {
                name,
                supersedes: supersedes.into_iter().collect(),
                reason,
                started_at,
            })
        })
        .boxed()
}

fn source_record() -> BoxedStrategy<Content> {
    let title = prop::option::of(text(0, 30));
    (text(1, 30), class(), title, any::<Option<bool>>(), time())
        .prop_map(|(uri, class, title, retracted, recorded_at)| {
            Content::Source(SourceRecord {
                uri,
                class,
                title,
                retracted,
                recorded_at,
            })
        })
        .boxed()
}

/// What a record of any kind may say.
pub(crate) fn content() -> BoxedStrategy<Content> {
    prop_oneof![claim(), vote(), epoch(), source_record()].boxed()
}

/// Content with the signatures of up to three keys; a vote is its first signer's.
pub(crate) fn signed() -> BoxedStrategy<Record> {
    (content(), prop::collection::vec(key(), 1..=3))
        .prop_map(|(content, keys)| {
            let content = match content {
                Content::Vote(vote) => Content::Vote(Vote {
                    voter: keys[0].agent(),
                    ..vote
                }),
                other => other,
            };
            keys.iter()
                .fold(Record::from_content(content).unwrap(), |record, key| {
                    record.sign(key).unwrap()
                })
        })
        .boxed()
}

/// Records with and without signatures.
pub(crate) fn record() -> BoxedStrategy<Record> {
    let unsigned = content().prop_map(|content| Record::from_content(content).unwrap());
    prop_oneof![2 => unsigned, 1 => signed()].boxed()
}

/// Any signing key.
pub(crate) fn key() -> impl Strategy<Value = SigningKey> {
    any::<[u8; 32]>().prop_map(|seed| SigningKey::from_seed(&seed))
}

/// The key whose seed is this byte 32 times.
pub(crate) fn key_of(byte: u8) -> SigningKey {
    SigningKey::from_seed(&[byte; 32])
}

/// A record of each kind with every field that it can have, voted by [`key_of`]`(1)`.
pub(crate) fn full(kind: Kind) -> Content {
    let (low, high) = ("0".repeat(64), "f".repeat(64));
    match kind {
        Kind::Assertion => Content::Assertion(Assertion {
            subject: "cas:7732-18-5".into(),
            predicate: "boiling_point_k".into(),
            object: Object::Number(373.17),
            source: Source {
                uri: "https://example.org/steam".into(),
                class: SourceClass::Clinical,
                hash: Some(low.clone()),
            },
            confidence: 0.5,
            lifecycle: Lifecycle::Approved,
            asserted_at: 1_600_000_000_000,
            epoch: Some(low),
            parent: Some(high),
            note: Some("at 101325 Pa".into()),
        }),
        Kind::Vote => Content::Vote(Vote {
            subject: "cas:7732-18-5".into(),
            assertion: high,
            voter: key_of(1).agent(),
            weight: 0.5,
            voted_at: 1_600_000_000_001,
        }),
        Kind::Epoch => Content::Epoch(Epoch {
            name: "ITS-90".into(),
            supersedes: vec![low, high],
            reason: Some("a new scale".into()),
            started_at: 1_600_000_000_002,
        }),
        Kind::Source => Content::Source(SourceRecord {
            uri: "https://example.org/steam".into(),
            class: SourceClass::Clinical,
            title: Some("Steam tables".into()),
            retracted: Some(false),
            recorded_at: 1_600_000_000_003,
        }),
    }
}

/// A small claim that can be bent into shape.
pub(crate) fn small_claim() -> Assertion {
    Assertion {
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
    }
}
