//! The six published boiling points of water, as bench/data has them, and what each lens makes of them, to the byte.

use assertion::Record;
use lens::{Answer, Lens, Options, Parameters, Selection, Verdict, resolve};
use serde_json::Value;

use crate::made::tolerant;

/// The lines of bench/data/chem-claims.ndjson.gz about this subject and predicate.
const CLAIMS: &str = include_str!("../water.ndjson");

/// Lens, tolerance, and the exact `result` of each.
const RESULTS: &str = include_str!("../../vectors/water.json");

fn water() -> Vec<Record> {
    CLAIMS
        .lines()
        .map(|line| Record::from_client_json(line.as_bytes(), 1_767_225_600_000).unwrap())
        .collect()
}

fn ask(lens: Lens, tolerance: Option<f64>) -> Answer {
    let selection = Selection {
        subject: Some("cas:7732-18-5".into()),
        predicate: Some("boiling_point_k".into()),
        ..Selection::default()
    };
    let parameters = Parameters::new(lens, tolerant(tolerance), selection).unwrap();
    resolve(parameters, &water()).unwrap()
}

fn value(answer: &Answer) -> String {
    let json: Value = serde_json::from_slice(&answer.to_json()).unwrap();
    json["value"]["value"].to_string()
}

#[test]
fn each_lens_has_its_own_answer() {
    assert_eq!(value(&ask(Lens::Authority, None)), "373.17");
    assert_eq!(value(&ask(Lens::Recency, None)), "373.1339");
    assert_eq!(value(&ask(Lens::Confidence, None)), "373.17");
    assert_eq!(value(&ask(Lens::Consensus, None)), "373.15");
    assert_eq!(ask(Lens::Authority, None).candidates(), 6);
    let winner = ask(Lens::Authority, None).winner().unwrap();
    assert!(winner.assertion().unwrap().source.uri.ends_with("WEBBOOK"));
}

#[test]
fn the_skeptic_sees_five_values_and_with_a_tolerance_one() {
    let strict = ask(Lens::Skeptic, None);
    assert_eq!(strict.groups(), 5);
    assert_eq!(strict.verdict(), Some(Verdict::Contested));
    let tolerant = ask(Lens::Skeptic, Some(0.001));
    assert_eq!(tolerant.groups(), 1);
    assert_eq!(tolerant.verdict(), Some(Verdict::Unanimous));
    assert_eq!(value(&tolerant), "373.17");
    assert_eq!(strict.set_digest(), tolerant.set_digest());
}

#[test]
fn results_are_what_they_always_were_to_the_byte() {
    let expected: Value = serde_json::from_str(RESULTS).unwrap();
    for case in expected["results"].as_array().unwrap() {
        let lens = case["lens"].as_str().unwrap().parse().unwrap();
        let answer = ask(lens, case["tolerance"].as_f64()).to_json();
        assert_eq!(
            std::str::from_utf8(&answer).unwrap(),
            case["result"].as_str().unwrap()
        );
    }
}

#[test]
fn no_claims_give_an_answer_with_nulls() {
    for lens in Lens::ALL {
        let parameters = Parameters::new(lens, Options::default(), Selection::default()).unwrap();
        let answer = resolve(parameters, &[]).unwrap();
        let json: Value = serde_json::from_slice(&answer.to_json()).unwrap();
        assert!(
            json["winner"].is_null() && json["value"].is_null(),
            "{lens}"
        );
        assert_eq!(json["candidates"], 0);
        assert_eq!(json["conflict_score"], 0);
    }
}
