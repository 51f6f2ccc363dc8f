//! The lenses once more, straight from the definitions in docs/lenses.md: slow, plain, and held against the real ones. Then
//! the edges: tolerance, ties, weights, bounds.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read an answer has failed"
)]

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use assertion::{Assertion, Lifecycle, Object, Record, Source, SourceClass};
use lens::{GROUP_LISTED, GROUPS_LISTED, Lens, Parameters, Selection, TooMuch, resolve};
use proptest::prelude::*;
use serde_json::Value;

struct Claim {
    value: Object,
    uri: &'static str,
    class: SourceClass,
    confidence: f64,
    asserted_at: i64,
}

const PLAIN: Claim = Claim {
    value: Object::Number(1.0),
    uri: "u",
    class: SourceClass::Expert,
    confidence: 1.0,
    asserted_at: 0,
};

fn record(claim: Claim) -> Record {
    Record::from_content(Assertion {
        subject: "s".into(),
        predicate: "p".into(),
        object: claim.value,
        source: Source {
            uri: claim.uri.into(),
            class: claim.class,
            hash: None,
        },
        confidence: claim.confidence,
        lifecycle: Lifecycle::Approved,
        asserted_at: claim.asserted_at,
        epoch: None,
        parent: None,
        note: None,
    })
    .unwrap()
}

fn number(value: f64) -> Record {
    record(Claim {
        value: Object::Number(value),
        ..PLAIN
    })
}

fn ask(lens: Lens, tolerance: Option<f64>, records: &[Record]) -> Value {
    let parameters = Parameters::new(lens, tolerance, Selection::default()).unwrap();
    serde_json::from_slice(&resolve(parameters, records).unwrap().to_json()).unwrap()
}

fn groups(tolerance: f64, values: &[f64]) -> u64 {
    let records: Vec<Record> = values.iter().map(|value| number(*value)).collect();
    ask(Lens::Skeptic, Some(tolerance), &records)["groups_total"]
        .as_u64()
        .unwrap()
}

/// `Less` is stronger.
fn strength(a: &Record, b: &Record) -> Ordering {
    let (one, other) = (a.assertion().unwrap(), b.assertion().unwrap());
    one.source
        .class
        .tier()
        .cmp(&other.source.class.tier())
        .then(other.confidence.partial_cmp(&one.confidence).unwrap())
        .then(other.asserted_at.cmp(&one.asserted_at))
        .then(a.id().to_string().cmp(&b.id().to_string()))
}

fn strongest<'a>(records: impl IntoIterator<Item = &'a Record>) -> &'a Record {
    records.into_iter().min_by(|a, b| strength(a, b)).unwrap()
}

fn group(records: &[Record], tolerance: f64) -> Vec<Vec<&Record>> {
    let mut numbers: Vec<(f64, &Record)> = Vec::new();
    let mut others: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        match &record.assertion().unwrap().object {
            Object::Number(value) => numbers.push((*value, record)),
            other => others.entry(format!("{other:?}")).or_default().push(record),
        }
    }
    numbers.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
    let mut groups: Vec<(f64, Vec<&Record>)> = Vec::new();
    for (value, record) in numbers {
        match groups.last_mut() {
            Some((first, members))
                if value - *first <= tolerance * value.abs().max(first.abs()) =>
            {
                members.push(record)
            }
            _ => groups.push((value, vec![record])),
        }
    }
    groups
        .into_iter()
        .map(|(_, members)| members)
        .chain(others.into_values())
        .collect()
}

fn sources<'a>(group: &[&'a Record]) -> BTreeMap<&'a str, Vec<&'a Record>> {
    let mut sources: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in group {
        sources
            .entry(&record.assertion().unwrap().source.uri)
            .or_default()
            .push(record);
    }
    sources
}

fn weight(group: &[&Record]) -> f64 {
    sources(group)
        .into_values()
        .map(|claims| strongest(claims).assertion().unwrap().confidence)
        .sum()
}

fn winner<'a>(lens: Lens, records: &'a [Record], groups: &[Vec<&'a Record>]) -> &'a Record {
    let by = |order: fn(&Assertion, &Assertion) -> Ordering| {
        let best = |a: &&Record, b: &&Record| {
            order(a.assertion().unwrap(), b.assertion().unwrap()).then(strength(a, b))
        };
        records.iter().min_by(best).unwrap()
    };
    match lens {
        Lens::Recency => by(|a, b| b.asserted_at.cmp(&a.asserted_at)),
        Lens::Confidence => by(|a, b| b.confidence.partial_cmp(&a.confidence).unwrap()),
        Lens::Authority => by(|_, _| Ordering::Equal),
        Lens::Consensus => {
            let most = groups
                .iter()
                .map(|group| sources(group).len())
                .max()
                .unwrap();
            let widest = groups.iter().filter(|group| sources(group).len() == most);
            strongest(widest.flatten().copied())
        }
        // The value of the heaviest group; weights that are equal on paper may differ in the last bit, so ties are left out.
        Lens::Skeptic => {
            let heaviest = groups
                .iter()
                .max_by(|a, b| weight(a).partial_cmp(&weight(b)).unwrap())
                .unwrap();
            strongest(heaviest.iter().copied())
        }
    }
}

fn conflict(groups: &[Vec<&Record>]) -> f64 {
    if groups.len() < 2 {
        return 0.0;
    }
    let weights: Vec<f64> = groups.iter().map(|group| weight(group)).collect();
    let total: f64 = weights.iter().sum();
    let share = |weight: f64| {
        if total > 0.0 {
            weight / total
        } else {
            1.0 / weights.len() as f64
        }
    };
    let entropy: f64 = weights
        .iter()
        .map(|w| share(*w))
        .filter(|s| *s > 0.0)
        .map(|s| -s * s.ln())
        .sum();
    entropy / (groups.len() as f64).ln()
}

fn claim() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        4 => (-6..6_i32).prop_map(|value| Object::Number(f64::from(value) * 0.5)),
        1 => (0..2_u8).prop_map(|value| Object::Text(format!("colour {value}"))),
        1 => any::<bool>().prop_map(Object::Boolean),
        1 => Just(Object::Reference("colour 0".into())),
    ];
    let class = prop::sample::select(SourceClass::ALL);
    let uri = prop::sample::select(vec!["a", "b", "c"]);
    (value, class, uri, 0..5_u8, 0..3_i64).prop_map(
        |(value, class, uri, confidence, asserted_at)| {
            let confidence = f64::from(confidence) / 4.0;
            record(Claim {
                value,
                uri,
                class,
                confidence,
                asserted_at,
            })
        },
    )
}

proptest! {
    #[test]
    fn the_lenses_follow_their_definitions(
        records in prop::collection::vec(claim(), 1..30),
        lens in prop::sample::select(&Lens::ALL[..]),
        tolerance in prop::sample::select(vec![0.0, 0.1, 0.25, 0.5, 1.0]),
    ) {
        let mut records = records;
        records.sort_by_key(Record::id);
        records.dedup_by_key(|record| record.id());
        let answer = ask(lens, Some(tolerance), &records);
        let groups = group(&records, tolerance);
        let total = if lens == Lens::Skeptic { &answer["groups_total"] } else { &answer["groups"] };
        prop_assert_eq!(total, groups.len());
        let score = answer["conflict_score"].as_f64().unwrap();
        prop_assert!((score - conflict(&groups)).abs() < 1e-6, "{} and {}", score, conflict(&groups));
        let won = winner(lens, &records, &groups);
        if lens == Lens::Skeptic {
            let mut weights: Vec<f64> = groups.iter().map(|group| weight(group)).collect();
            weights.sort_by(|a, b| b.partial_cmp(a).unwrap());
            prop_assume!(weights.len() < 2 || weights[0] - weights[1] > 1e-9);
            prop_assert_eq!(&answer["groups"][0]["strongest"]["id"], &won.id().to_string());
        } else {
            prop_assert_eq!(&answer["winner"]["id"], &won.id().to_string());
        }
        let mut digest = blake3::Hasher::new();
        records.iter().for_each(|record| { digest.update(record.id().as_bytes()); });
        let digest = digest.finalize().to_hex().to_string();
        prop_assert_eq!(answer["set_digest"].as_str(), Some(digest.as_str()));
    }
}

#[test]
fn a_value_exactly_at_the_tolerance_joins_and_one_beyond_does_not() {
    assert_eq!(groups(0.25, &[0.75, 1.0]), 1, "a quarter of the larger");
    assert_eq!(groups(0.25, &[0.749, 1.0]), 2);
    assert_eq!(
        groups(0.25, &[-1.0, -0.75]),
        1,
        "magnitudes, also below zero"
    );
    assert_eq!(groups(0.25, &[-1.0, -0.749]), 2);
    assert_eq!(
        groups(0.0, &[1.0, 1.0 + f64::EPSILON]),
        2,
        "without tolerance the next double is another value"
    );
    assert_eq!(groups(0.0, &[0.0, 5e-324]), 2);
    assert_eq!(
        groups(1.0, &[0.0, 5e-324, 1.0, f64::MAX]),
        1,
        "all that is not negative"
    );
    assert_eq!(groups(1.0, &[-1.0, 0.0]), 1);
    assert_eq!(groups(1.0, &[-1.0, 1e-9]), 2, "signs differ");
    assert_eq!(
        groups(1.0, &[-f64::MAX, f64::MAX]),
        2,
        "a difference beyond f64"
    );
}

/// A chain of small steps is not one value: the distance to the first counts.
#[test]
fn groups_do_not_drift() {
    assert_eq!(groups(0.01, &[100.0, 101.0, 102.0, 103.0]), 2);
}

#[test]
fn numbers_never_group_with_other_types() {
    let texts = ["1", "true"].map(|text| {
        record(Claim {
            value: Object::Text(text.into()),
            ..PLAIN
        })
    });
    let others = [
        record(Claim {
            value: Object::Boolean(true),
            ..PLAIN
        }),
        number(1.0),
        number(0.0),
    ];
    let reference = record(Claim {
        value: Object::Reference("1".into()),
        ..PLAIN
    });
    let all: Vec<Record> = texts.into_iter().chain(others).chain([reference]).collect();
    assert_eq!(ask(Lens::Skeptic, Some(1.0), &all)["groups_total"], 5);
}

#[test]
fn a_source_counts_once_and_by_its_strongest_claim() {
    let said = |value, uri, class, confidence, asserted_at| {
        record(Claim {
            value: Object::Number(value),
            uri,
            class,
            confidence,
            asserted_at,
        })
    };
    // Three times the same source: the claim of the lower tier counts, although another is surer.
    let records = [
        said(1.0, "a", SourceClass::Clinical, 0.25, 0),
        said(1.0, "a", SourceClass::Anecdotal, 1.0, 1),
        said(1.0, "a", SourceClass::Anecdotal, 1.0, 2),
        said(2.0, "b", SourceClass::Anecdotal, 0.75, 0),
    ];
    let answer = ask(Lens::Skeptic, None, &records);
    assert_eq!(answer["groups"][0]["value"]["value"], 2);
    assert_eq!(answer["groups"][0]["share"], 0.75);
    assert_eq!(answer["groups"][1]["share"], 0.25);
    assert_eq!(answer["groups"][1]["claims"], 3);
    assert_eq!(answer["groups"][1]["sources_total"], 1);
}

#[test]
fn ties_end_in_the_order_of_strength() {
    let said = |value, class, confidence, asserted_at| {
        record(Claim {
            value: Object::Number(value),
            uri: "u",
            class,
            confidence,
            asserted_at,
        })
    };
    let value =
        |lens, records: &[Record]| ask(lens, None, records)["value"]["value"].as_f64().unwrap();
    let tiers = [
        said(1.0, SourceClass::Community, 1.0, 5),
        said(2.0, SourceClass::Expert, 0.5, 5),
    ];
    assert_eq!(value(Lens::Recency, &tiers), 2.0, "same time: lower tier");
    let confidences = [
        said(1.0, SourceClass::Expert, 0.5, 5),
        said(2.0, SourceClass::Expert, 0.75, 1),
    ];
    assert_eq!(
        value(Lens::Authority, &confidences),
        2.0,
        "same tier: higher confidence"
    );
    let times = [
        said(1.0, SourceClass::Expert, 0.5, 5),
        said(2.0, SourceClass::Expert, 0.5, 6),
    ];
    assert_eq!(
        value(Lens::Confidence, &times),
        2.0,
        "same confidence and tier: later"
    );
    let ids = [
        said(1.0, SourceClass::Expert, 0.5, 5),
        said(2.0, SourceClass::Expert, 0.5, 5),
    ];
    let smaller = ids.iter().min_by_key(|record| record.id()).unwrap();
    for lens in [
        Lens::Recency,
        Lens::Confidence,
        Lens::Consensus,
        Lens::Authority,
    ] {
        assert_eq!(
            ask(lens, None, &ids)["winner"]["id"],
            smaller.id().to_string(),
            "{lens}"
        );
    }
}

#[test]
fn claims_without_confidence_still_divide_the_weight() {
    let nothing = |value| {
        record(Claim {
            value: Object::Number(value),
            confidence: 0.0,
            ..PLAIN
        })
    };
    let answer = ask(
        Lens::Skeptic,
        None,
        &[nothing(1.0), nothing(2.0), nothing(3.0), nothing(4.0)],
    );
    assert_eq!(answer["groups"][0]["share"], 0.25);
    assert_eq!(answer["conflict_score"], 1);
    assert_eq!(answer["verdict"], "contested");
}

#[test]
fn one_heavy_value_is_agreed_upon() {
    let mut records: Vec<Record> = vec![record(Claim {
        value: Object::Number(2.0),
        confidence: 0.1,
        ..PLAIN
    })];
    for uri in ["a", "b", "c", "d"] {
        records.push(record(Claim { uri, ..PLAIN }));
    }
    let answer = ask(Lens::Skeptic, None, &records);
    assert_eq!(answer["verdict"], "agreed");
    assert_eq!(answer["value"]["value"], 1);
}

#[test]
fn an_answer_lists_the_heaviest_groups_and_counts_the_rest() {
    let records: Vec<Record> = (0..250_u32).map(|n| number(f64::from(n))).collect();
    let answer = ask(Lens::Skeptic, None, &records);
    assert_eq!(answer["groups"].as_array().unwrap().len(), GROUPS_LISTED);
    assert_eq!(answer["groups_total"], 250);
    let all: BTreeSet<String> = (0..250_i64)
        .map(|n| {
            record(Claim {
                asserted_at: n,
                ..PLAIN
            })
            .id()
            .to_string()
        })
        .collect();
    let same: Vec<Record> = (0..250_i64)
        .map(|n| {
            record(Claim {
                asserted_at: n,
                ..PLAIN
            })
        })
        .collect();
    let answer = ask(Lens::Skeptic, None, &same);
    let listed = answer["groups"][0]["ids"].as_array().unwrap();
    assert_eq!(listed.len(), GROUP_LISTED);
    assert_eq!(answer["groups"][0]["ids_total"], 250);
    assert!(
        listed
            .iter()
            .map(|id| id.as_str().unwrap())
            .eq(all.iter().take(GROUP_LISTED).map(String::as_str))
    );
}

#[test]
fn an_answer_of_the_longest_claims_fits_into_a_message() {
    // Quotes double in length when they are written: 128 KiB a text, 64 of them.
    let records: Vec<Record> = (0..64_u32)
        .map(|n| {
            record(Claim {
                value: Object::Text(format!("{n:04}{}", "\"".repeat(65_532))),
                ..PLAIN
            })
        })
        .collect();
    let parameters = Parameters::new(Lens::Skeptic, None, Selection::default()).unwrap();
    let json = resolve(parameters, &records).unwrap().to_json();
    assert!(json.len() < 3 * 1024 * 1024, "{} bytes", json.len());
    let answer: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(answer["groups_total"], 64);
}

#[test]
fn values_longer_than_memory_allows_are_refused_in_any_order() {
    let mut records: Vec<Record> = (0..600_u32)
        .map(|n| {
            record(Claim {
                value: Object::Text(format!("{n:04}{}", "t".repeat(65_532))),
                ..PLAIN
            })
        })
        .collect();
    let parameters = Parameters::new(Lens::Recency, None, Selection::default()).unwrap();
    assert_eq!(
        resolve(parameters.clone(), &records).unwrap_err(),
        TooMuch::Bytes
    );
    records.reverse();
    assert_eq!(resolve(parameters, &records).unwrap_err(), TooMuch::Bytes);
}
