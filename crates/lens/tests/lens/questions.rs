//! What a lens can be asked, and how the answer says what it was asked.

use assertion::{Kind, Lifecycle, SourceClass};
use lens::{InvalidParameters, Lens, Options, Parameters, Selection};
use serde_json::json;

use crate::made::answer;

fn refused(lens: Lens, options: Options, selection: Selection) -> InvalidParameters {
    let refused = Parameters::new(lens, options, selection).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(": "), "{text} says what to do");
    let name = refused.parameter();
    assert!(text.contains(name), "{text} names {name}");
    refused
}

fn refused_options(lens: Lens, options: Options) -> InvalidParameters {
    refused(lens, options, Selection::default())
}

fn refused_selection(selection: Selection) -> InvalidParameters {
    refused(Lens::Recency, Options::default(), selection)
}

#[test]
fn numbers_out_of_range_are_refused() {
    for number in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let options = Options {
            tolerance: Some(number),
            ..Options::default()
        };
        let error = refused_options(Lens::Recency, options);
        assert!(matches!(error, InvalidParameters::Tolerance(_)));
        let error = refused_selection(Selection {
            min_confidence: Some(number),
            ..Selection::default()
        });
        assert!(matches!(error, InvalidParameters::MinConfidence(_)));
    }
}

#[test]
fn times_that_no_record_has_are_refused() {
    let edge = 1_i64 << 53;
    let decay = |evaluated_at| Options {
        decay: true,
        evaluated_at: Some(evaluated_at),
        ..Options::default()
    };
    let as_of = |time| Selection {
        as_of: Some(time),
        ..Selection::default()
    };
    for time in [-edge - 1, edge + 1, i64::MIN, i64::MAX] {
        assert_eq!(
            refused_options(Lens::Recency, decay(time)),
            InvalidParameters::Time("evaluated_at", time)
        );
        assert_eq!(
            refused_selection(as_of(time)),
            InvalidParameters::Time("as_of", time)
        );
    }
    for time in [-edge, edge] {
        assert!(Parameters::new(Lens::Recency, decay(time), as_of(time)).is_ok());
    }
}

#[test]
fn what_a_lens_does_not_use_is_refused_by_name() {
    for lens in Lens::ALL {
        let inner = |inner| Options {
            inner: Some(inner),
            ..Options::default()
        };
        for inside in Lens::ALL {
            let asked = Parameters::new(lens, inner(inside), Selection::default());
            assert_eq!(
                asked.is_ok(),
                lens == Lens::Epoch && inside != Lens::Epoch,
                "{inside} in {lens}"
            );
        }
        let unused = Options {
            evaluated_at: Some(0),
            ..Options::default()
        };
        assert_eq!(
            refused_options(lens, unused),
            InvalidParameters::EvaluatedAtUnused
        );
        let undated = Options {
            decay: true,
            ..Options::default()
        };
        assert_eq!(
            refused_options(lens, undated),
            InvalidParameters::EvaluatedAtMissing
        );
    }
    assert_eq!(
        refused_options(
            Lens::Epoch,
            Options {
                inner: Some(Lens::Epoch),
                ..Options::default()
            }
        ),
        InvalidParameters::InnerEpoch
    );
    let error = refused_options(
        Lens::Votes,
        Options {
            inner: Some(Lens::Recency),
            ..Options::default()
        },
    );
    assert_eq!(
        error.to_string(),
        "inner is not used by lens votes: leave it out, or ask lens=epoch"
    );
}

#[test]
fn a_prefix_goes_with_a_predicate_and_without_a_subject() {
    let prefixed = Selection {
        subject_prefix: Some("cas:".into()),
        ..Selection::default()
    };
    assert_eq!(
        refused_selection(prefixed.clone()),
        InvalidParameters::PrefixWithoutPredicate
    );
    let with_predicate = Selection {
        predicate: Some("p".into()),
        ..prefixed
    };
    assert!(Parameters::new(Lens::Recency, Options::default(), with_predicate.clone()).is_ok());
    let with_subject = Selection {
        subject: Some("cas:7732-18-5".into()),
        ..with_predicate
    };
    assert_eq!(
        refused_selection(with_subject),
        InvalidParameters::PrefixUnused
    );
}

#[test]
fn an_epoch_is_named_by_its_id() {
    for text in ["", "ITS-90", &"A".repeat(64), &"a".repeat(63)] {
        let error = refused_selection(Selection {
            epoch: Some(text.into()),
            ..Selection::default()
        });
        assert_eq!(error, InvalidParameters::Epoch);
    }
}

#[test]
fn an_unknown_lens_is_told_the_known_ones() {
    let error = "newest".parse::<Lens>().unwrap_err();
    assert_eq!(error.parameter(), "lens");
    for lens in Lens::ALL {
        assert!(error.to_string().contains(lens.name()), "{lens}");
        assert_eq!(lens.name().parse(), Ok(lens));
    }
}

#[test]
fn a_lens_says_which_kinds_it_looks_at() {
    for lens in Lens::ALL {
        let asked = Parameters::new(lens, Options::default(), Selection::default()).unwrap();
        assert!(asked.considers(Kind::Assertion) && asked.considers(Kind::Source));
        assert_eq!(asked.considers(Kind::Vote), lens == Lens::Votes);
        assert_eq!(asked.considers(Kind::Epoch), lens == Lens::Epoch);
    }
    let options = Options {
        inner: Some(Lens::Votes),
        ..Options::default()
    };
    let asked = Parameters::new(Lens::Epoch, options, Selection::default()).unwrap();
    assert!(asked.considers(Kind::Vote) && asked.considers(Kind::Epoch));
}

#[test]
fn the_answer_says_everything_it_was_asked() {
    let nothing = Parameters::new(Lens::Recency, Options::default(), Selection::default());
    let echo = answer(nothing.unwrap(), &[])["parameters"].clone();
    let names: Vec<&String> = echo.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 13);
    assert!(
        echo.as_object()
            .unwrap()
            .values()
            .all(|value| value.is_null())
    );
    let selection = Selection {
        subject: None,
        subject_prefix: Some("cas:".into()),
        predicate: Some("p".into()),
        source: Some("u\n".into()),
        classes: vec![
            SourceClass::Expert,
            SourceClass::Clinical,
            SourceClass::Expert,
        ],
        lifecycles: vec![Lifecycle::Rejected, Lifecycle::Approved],
        epoch: Some("ab".repeat(32)),
        min_confidence: Some(0.25),
        as_of: Some(-5),
    };
    let options = Options {
        tolerance: Some(0.001),
        decay: true,
        evaluated_at: Some(7),
        inner: Some(Lens::Votes),
    };
    let asked = Parameters::new(Lens::Epoch, options, selection).unwrap();
    let said = answer(asked, &[]);
    assert_eq!(said["lens"], "epoch");
    assert_eq!(
        said["parameters"],
        json!({
            "subject": null, "subject_prefix": "cas:", "predicate": "p", "source": "u\n",
            "class": ["clinical", "expert"], "lifecycle": ["approved", "rejected"],
            "epoch": "ab".repeat(32), "min_confidence": 0.25, "as_of": -5, "tolerance": 0.001,
            "decay": true, "evaluated_at": 7, "inner": "votes",
        })
    );
}
