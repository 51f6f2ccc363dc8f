//! Laws of every lens, on made-up claims with many ties.

use assertion::{Assertion, Lifecycle, Object, Record, Source, SourceClass};
use lens::{
    InvalidParameters, Lens, MAX_DISTINCT_VALUES, Parameters, Resolver, Selection, TooMuch, resolve,
};
use proptest::prelude::*;

fn claim() -> impl Strategy<Value = Record> {
    let object = prop_oneof![
        (0..8_i32).prop_map(|value| Object::Number(f64::from(value) / 4.0)),
        (0..3_u8).prop_map(|value| Object::Text(format!("colour {value}"))),
        any::<bool>().prop_map(Object::Boolean),
        (0..2_u8).prop_map(|value| Object::Reference(format!("cas:{value}"))),
    ];
    let class = prop::sample::select(SourceClass::ALL);
    let lifecycle = prop::sample::select(Lifecycle::ALL);
    (object, class, lifecycle, 0..4_u8, 0..4_u8, 0..3_i64).prop_map(
        |(object, class, lifecycle, uri, confidence, asserted_at)| {
            Record::from_content(Assertion {
                subject: "cas:64-17-5".into(),
                predicate: "melting_point_k".into(),
                object,
                source: Source {
                    uri: format!("urn:source:{uri}"),
                    class,
                    hash: None,
                },
                confidence: f64::from(confidence) / 3.0,
                lifecycle,
                asserted_at,
                epoch: None,
                parent: None,
                note: None,
            })
            .expect("within all limits")
        },
    )
}

fn set() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(claim(), 0..40).prop_map(|mut records| {
        records.sort_unstable_by_key(Record::id);
        records.dedup_by_key(|record| record.id());
        records
    })
}

fn parameters(lens: Lens, tolerance: Option<f64>) -> Parameters {
    Parameters::new(lens, tolerance, Selection::default()).expect("in range")
}

proptest! {
    #[test]
    fn the_order_of_claims_does_not_matter(
        (records, shuffled) in set().prop_flat_map(|set| (Just(set.clone()), Just(set).prop_shuffle())),
        lens in prop::sample::select(&Lens::ALL[..]),
        tolerance in prop::option::of(0.0..=1.0_f64),
    ) {
        let parameters = parameters(lens, tolerance);
        let one = resolve(parameters.clone(), &records).unwrap();
        let other = resolve(parameters, &shuffled).unwrap();
        prop_assert_eq!(one.to_json(), other.to_json());
    }

    #[test]
    fn an_answer_is_json_and_its_shares_sum_to_one(records in set(), tolerance in prop::option::of(0.0..=1.0_f64)) {
        let answer = resolve(parameters(Lens::Skeptic, tolerance), &records).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&answer.to_json()).unwrap();
        let groups = json["groups"].as_array().unwrap();
        let shares: f64 = groups.iter().map(|group| group["share"].as_f64().unwrap()).sum();
        prop_assert!(groups.is_empty() || (shares - 1.0).abs() < 1e-4, "shares sum to {}", shares);
        let claims: u64 = groups.iter().map(|group| group["claims"].as_u64().unwrap()).sum();
        prop_assert_eq!(claims, answer.candidates() as u64);
        prop_assert!((0.0..=1.0).contains(&answer.conflict_score()));
    }

    #[test]
    fn a_wider_tolerance_never_makes_more_groups(records in set(), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        let narrow = resolve(parameters(Lens::Skeptic, Some(a.min(b))), &records).unwrap();
        let wide = resolve(parameters(Lens::Skeptic, Some(a.max(b))), &records).unwrap();
        prop_assert!(wide.groups() <= narrow.groups());
    }

    #[test]
    fn a_hundred_anecdotes_never_outvote_a_regulator(records in set()) {
        let answer = resolve(parameters(Lens::Authority, None), &records).unwrap();
        let strongest = records
            .iter()
            .filter(|r| !matches!(r.assertion().unwrap().lifecycle, Lifecycle::Rejected | Lifecycle::Deprecated))
            .map(|r| r.assertion().unwrap().source.class)
            .min();
        prop_assert_eq!(answer.winner().map(|r| r.assertion().unwrap().source.class), strongest);
    }

    #[test]
    fn what_is_left_out_is_counted_by_reason(records in set(), least in 0..4_u8) {
        let least = f64::from(least) / 3.0;
        let selection = Selection { min_confidence: Some(least), ..Selection::default() };
        let parameters = Parameters::new(Lens::Recency, None, selection).unwrap();
        let answer = resolve(parameters, &records).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&answer.to_json()).unwrap();
        let weak = |r: &&Record| r.assertion().unwrap().confidence < least;
        let withdrawn = |r: &&Record| {
            matches!(r.assertion().unwrap().lifecycle, Lifecycle::Rejected | Lifecycle::Deprecated)
        };
        prop_assert_eq!(&json["left_out"]["filtered"], records.iter().filter(weak).count());
        prop_assert_eq!(
            &json["left_out"]["withdrawn"],
            records.iter().filter(|r| !weak(r) && withdrawn(r)).count()
        );
        prop_assert_eq!(answer.candidates(), records.iter().filter(|r| !weak(r) && !withdrawn(r)).count());
    }
}

#[test]
fn more_values_than_can_be_weighed_are_refused_with_advice() {
    let mut resolver = Resolver::new(parameters(Lens::Consensus, None));
    let mut refused = None;
    for value in 0..=MAX_DISTINCT_VALUES {
        let record = Record::from_client_json(
            format!(
                r#"{{"subject":"s","predicate":"p","object":{{"type":"number","value":{value}}},
                "source":{{"uri":"u","class":"expert"}},"asserted_at":0}}"#
            )
            .as_bytes(),
            0,
        )
        .expect("a record");
        if let Err(error) = resolver.push(&record) {
            refused = Some((value, error));
            break;
        }
    }
    assert_eq!(refused, Some((MAX_DISTINCT_VALUES, TooMuch::Values)));
}

#[test]
fn parameters_out_of_range_are_refused() {
    for tolerance in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            Parameters::new(Lens::Recency, Some(tolerance), Selection::default()),
            Err(InvalidParameters::Tolerance(_))
        ));
        let selection = Selection {
            min_confidence: Some(tolerance),
            ..Selection::default()
        };
        assert!(matches!(
            Parameters::new(Lens::Recency, None, selection),
            Err(InvalidParameters::MinConfidence(_))
        ));
    }
    assert!(
        "newest"
            .parse::<Lens>()
            .unwrap_err()
            .to_string()
            .contains("recency")
    );
}
