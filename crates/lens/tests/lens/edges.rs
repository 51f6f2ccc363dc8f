//! The edges: tolerance, ties, weights, bounds.

use std::collections::BTreeSet;

use assertion::{Object, Record, SourceClass};
use lens::{GROUP_LISTED, GROUPS_LISTED, Lens, Options, TooMuch, resolve};
use serde_json::Value;

use crate::made::{Claim, PLAIN, ask, number, parameters, record};

fn groups(tolerance: f64, values: &[f64]) -> u64 {
    let records: Vec<Record> = values.iter().map(|value| number(*value)).collect();
    ask(Lens::Skeptic, Some(tolerance), &records)["groups_total"]
        .as_u64()
        .unwrap()
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
            ..PLAIN
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
            ..PLAIN
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
        Lens::Votes,
        Lens::Layered,
        Lens::Epoch,
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
    let parameters = parameters(Lens::Skeptic, Options::default());
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
    let parameters = parameters(Lens::Recency, Options::default());
    assert_eq!(
        resolve(parameters.clone(), &records).unwrap_err(),
        TooMuch::Bytes
    );
    records.reverse();
    assert_eq!(resolve(parameters, &records).unwrap_err(), TooMuch::Bytes);
}
