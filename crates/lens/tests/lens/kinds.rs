//! Votes, epochs and sources: what each does to an answer, and what it does not.

use assertion::{Assertion, Object, Record, Source, SourceClass};
use lens::{Lens, Options, Parameters, Resolver, Selection, TooMuch, resolve};
use serde_json::{Value, json};

use crate::made::{
    Claim, DAY, PLAIN, answer, ask, digest, epoch, number, parameters, record, source, vote,
    vote_under,
};

fn said(value: f64, uri: &'static str) -> Record {
    record(Claim {
        value: Object::Number(value),
        uri,
        ..PLAIN
    })
}

fn inside(inner: Lens) -> Options {
    Options {
        inner: Some(inner),
        ..Options::default()
    }
}

fn as_of(lens: Lens, time: i64, records: &[Record]) -> Value {
    let selection = Selection {
        as_of: Some(time),
        ..Selection::default()
    };
    let asked = Parameters::new(lens, Options::default(), selection).unwrap();
    answer(asked, records)
}

#[test]
fn the_value_with_the_greatest_weight_of_votes_wins() {
    let strong = record(Claim {
        class: SourceClass::Regulatory,
        ..PLAIN
    });
    let (near, far) = (said(2.0, "a"), said(2.0009, "b"));
    let votes = [
        vote(&strong, "ann", 1.0, 0),
        vote(&near, "bob", 0.75, 0),
        vote(&far, "eve", 0.5, 0),
        vote(&far, "bob", 0.25, 0),
    ];
    let all: Vec<Record> = [&strong, &near, &far]
        .into_iter()
        .chain(&votes)
        .cloned()
        .collect();
    let apart = ask(Lens::Votes, None, &all);
    assert_eq!(apart["value"]["value"], 1, "1.0 against 0.75 and 0.75");
    assert_eq!(apart["vote_share"], 0.4);
    let together = ask(Lens::Votes, Some(0.001), &all);
    assert_eq!(together["value"]["value"], {
        let smaller = if near.id() < far.id() { 2.0 } else { 2.0009 };
        json!(smaller)
    });
    assert_eq!(together["votes"], 4);
    assert_eq!(together["vote_share"], 0.6);
    assert_eq!(together["set_digest"], digest(&all));
    assert_eq!(
        ask(Lens::Authority, None, &all)["set_digest"],
        digest(&all[..3])
    );
}

#[test]
fn equal_votes_go_to_the_stronger_claim_and_so_do_none() {
    let weak = record(Claim {
        value: Object::Number(2.0),
        confidence: 0.5,
        ..PLAIN
    });
    let strong = number(1.0);
    let mut all = vec![weak.clone(), strong.clone()];
    let none = ask(Lens::Votes, None, &all);
    assert_eq!(none["winner"]["id"], strong.id().to_string());
    assert_eq!(
        (&none["votes"], &none["vote_share"]),
        (&json!(0), &json!(null))
    );
    all.push(vote(&weak, "ann", 0.5, 0));
    assert_eq!(ask(Lens::Votes, None, &all)["value"]["value"], 2);
    all.push(vote(&strong, "bob", 0.5, 0));
    let tied = ask(Lens::Votes, None, &all);
    assert_eq!(tied["value"]["value"], 1);
    assert_eq!(
        (&tied["votes"], &tied["vote_share"]),
        (&json!(2), &json!(0.5))
    );
}

#[test]
fn a_voter_counts_once_with_the_latest_vote() {
    let (one, two) = (number(1.0), number(2.0));
    let first = vote(&one, "ann", 1.0, 1);
    let second = vote(&one, "ann", 0.25, 2);
    let other = vote(&two, "bob", 0.5, 1);
    let all = [one, two, first.clone(), second.clone(), other.clone()];
    let now = ask(Lens::Votes, None, &all);
    assert_eq!(now["value"]["value"], 2);
    assert_eq!(now["votes"], 2);
    let considered = [&all[0], &all[1], &second, &other];
    assert_eq!(now["set_digest"], digest(considered));
    let then = as_of(Lens::Votes, 1, &all);
    assert_eq!(then["value"]["value"], 1, "the later vote was not cast yet");
    let considered = [&all[0], &all[1], &first, &other];
    assert_eq!(then["set_digest"], digest(considered));
    assert_eq!(as_of(Lens::Votes, 0, &all)["votes"], 0);
}

#[test]
fn votes_of_the_same_moment_are_one_and_the_greater_id_is_it() {
    let claim = number(1.0);
    let votes = [0.25, 0.5, 0.75].map(|weight| vote(&claim, "ann", weight, 1));
    let greatest = votes.iter().max_by_key(|vote| vote.id()).unwrap();
    let all: Vec<Record> = votes.iter().chain([&claim]).cloned().collect();
    let answer = ask(Lens::Votes, None, &all);
    assert_eq!(answer["votes"], 1);
    assert_eq!(answer["set_digest"], digest([&claim, greatest]));
}

#[test]
fn votes_on_what_is_not_considered_do_not_count() {
    let kept = number(1.0);
    let gone = said(2.0, "gone");
    let all = [
        vote(&gone, "ann", 1.0, 0),
        vote_under("t", &kept, "ann", 1.0, 0),
        vote(&number(3.0), "ann", 1.0, 0),
        source("gone", Some(true), 0),
        kept.clone(),
        gone,
    ];
    let answer = ask(Lens::Votes, None, &all);
    assert_eq!(answer["votes"], 0);
    assert_eq!(answer["left_out"]["retracted"], 1);
    assert_eq!(answer["set_digest"], digest([&kept, &all[3]]));
}

#[test]
fn a_retracted_source_is_left_out_of_every_lens_and_comes_back() {
    let claims = [said(1.0, "good"), said(2.0, "bad"), said(3.0, "bad")];
    let history = [
        source("bad", None, 1),
        source("bad", Some(true), 2),
        source("bad", Some(false), 3),
    ];
    let all: Vec<Record> = claims.iter().chain(&history).cloned().collect();
    for lens in Lens::ALL {
        let known = as_of(lens, 1, &all);
        assert_eq!(known["candidates"], 3, "{lens}");
        assert_eq!(
            known["set_digest"],
            digest(claims.iter().chain([&history[0]]))
        );
        let retracted = as_of(lens, 2, &all);
        assert_eq!(retracted["candidates"], 1, "{lens}");
        assert_eq!(retracted["left_out"]["retracted"], 2);
        assert_eq!(retracted["value"]["value"], 1);
        assert_eq!(retracted["set_digest"], digest([&claims[0], &history[1]]));
        let restored = as_of(lens, 3, &all);
        assert_eq!(restored["candidates"], 3, "{lens}");
        assert_eq!(restored["left_out"]["retracted"], 0);
        assert_eq!(
            restored["set_digest"],
            digest(claims.iter().chain([&history[2]]))
        );
    }
}

#[test]
fn each_claim_is_left_out_for_one_reason() {
    let old = epoch("old", &[], 0);
    let new = epoch("new", &[&old], 0);
    let bad = source("bad", Some(true), 0);
    let of_old = |uri, confidence, lifecycle| {
        record(Claim {
            uri,
            confidence,
            lifecycle,
            epoch: Some(old.id().to_string()),
            ..PLAIN
        })
    };
    let (fine, rejected) = (PLAIN.lifecycle, assertion::Lifecycle::Rejected);
    let all = [
        of_old("bad", 0.25, rejected),
        of_old("bad", 1.0, rejected),
        of_old("bad", 1.0, fine),
        of_old("good", 1.0, fine),
        number(5.0),
        source("good", None, 0),
        old.clone(),
        new.clone(),
        bad.clone(),
    ];
    let selection = Selection {
        min_confidence: Some(0.5),
        ..Selection::default()
    };
    let asked = Parameters::new(Lens::Epoch, Options::default(), selection).unwrap();
    let answer = answer(asked, &all);
    assert_eq!(
        answer["left_out"],
        json!({"withdrawn": 1, "superseded": 1, "retracted": 1, "filtered": 1})
    );
    // The record of the good source said nothing about a claim that was considered.
    assert_eq!(answer["set_digest"], digest([&all[4], &old, &new, &bad]));
}

#[test]
fn superseded_epochs_are_left_out_along_chains_and_the_rest_is_asked_inside() {
    let first = epoch("first", &[], 0);
    let second = epoch("second", &[&first], 10);
    let third = epoch("third", &[&second], 20);
    let foreign = epoch("nobody knows it", &[], 0);
    let of = |value: f64, epoch: Option<&Record>| {
        record(Claim {
            value: Object::Number(value),
            epoch: epoch.map(|epoch| epoch.id().to_string()),
            ..PLAIN
        })
    };
    let claims = [
        of(1.0, Some(&first)),
        of(2.0, Some(&second)),
        of(3.0, Some(&third)),
        of(4.0, Some(&foreign)),
        of(5.0, None),
    ];
    let all: Vec<Record> = claims
        .iter()
        .chain([&first, &second, &third])
        .cloned()
        .collect();
    let values = |answer: Value| {
        let groups = answer["groups"].as_array().unwrap().iter();
        let mut values: Vec<f64> = groups
            .map(|g| g["value"]["value"].as_f64().unwrap())
            .collect();
        values.sort_by(f64::total_cmp);
        (values, answer["left_out"]["superseded"].as_u64().unwrap())
    };
    let inner =
        |records: &[Record]| answer(parameters(Lens::Epoch, inside(Lens::Skeptic)), records);
    let skeptic = inner(&all);
    assert_eq!(
        skeptic["set_digest"],
        digest(claims[2..].iter().chain(&all[5..]))
    );
    assert_eq!(skeptic["epoch_cycles"], json!([]));
    assert_eq!(skeptic["epoch_cycles_total"], 0);
    assert_eq!(values(skeptic), (vec![3.0, 4.0, 5.0], 2));
    // The middle of the chain is named by the third, though nobody has its record; the first is not named then.
    let gap: Vec<Record> = claims.iter().chain([&first, &third]).cloned().collect();
    assert_eq!(values(inner(&gap)), (vec![1.0, 3.0, 4.0, 5.0], 1));
    // Nothing supersedes the second before the third began.
    let at = Selection {
        as_of: Some(19),
        ..Selection::default()
    };
    let asked = Parameters::new(Lens::Epoch, inside(Lens::Skeptic), at).unwrap();
    assert_eq!(values(answer(asked, &all)), (vec![2.0, 3.0, 4.0, 5.0], 1));
    // No other lens asks.
    assert_eq!(ask(Lens::Skeptic, None, &all)["groups_total"], 5);
    assert!(ask(Lens::Skeptic, None, &all).get("epoch_cycles").is_none());
}

#[test]
fn the_epoch_lens_answers_as_the_lens_inside() {
    let claims = [said(1.0, "a"), said(2.0, "b"), said(2.0, "c")];
    for inner in Lens::ALL.into_iter().filter(|lens| *lens != Lens::Epoch) {
        let mut plain = ask(inner, None, &claims);
        let mut wrapped = answer(parameters(Lens::Epoch, inside(inner)), &claims);
        let [plain, wrapped] =
            [&mut plain, &mut wrapped].map(|answer| answer.as_object_mut().unwrap());
        assert_eq!(
            wrapped.insert("lens".into(), inner.name().into()),
            Some("epoch".into())
        );
        wrapped["parameters"]["inner"] = Value::Null;
        assert_eq!(wrapped.remove("epoch_cycles"), Some(json!([])));
        assert_eq!(wrapped.remove("epoch_cycles_total"), Some(json!(0)));
        assert_eq!(plain, wrapped, "{inner}");
    }
    let silent = answer(parameters(Lens::Epoch, Options::default()), &claims);
    let recency = ask(Lens::Recency, None, &claims);
    assert_eq!(silent["winner"], recency["winner"]);
}

#[test]
fn claims_of_one_epoch_may_be_asked_for() {
    let its = epoch("ITS-90", &[], 0);
    let inside = record(Claim {
        epoch: Some(its.id().to_string()),
        ..PLAIN
    });
    let selection = Selection {
        epoch: Some(its.id().to_string()),
        ..Selection::default()
    };
    let asked = Parameters::new(Lens::Recency, Options::default(), selection).unwrap();
    let answer = answer(asked, &[inside.clone(), number(2.0), its]);
    assert_eq!(answer["winner"]["id"], inside.id().to_string());
    assert_eq!(answer["left_out"]["filtered"], 1);
    assert_eq!(answer["set_digest"], digest([&inside]));
}

#[test]
fn each_tier_has_its_strongest_claim() {
    let of = |value: f64, class, confidence| {
        record(Claim {
            value: Object::Number(value),
            class,
            confidence,
            ..PLAIN
        })
    };
    let claims = [
        of(1.0, SourceClass::Anecdotal, 1.0),
        of(2.0, SourceClass::Expert, 0.25),
        of(3.0, SourceClass::Expert, 0.75),
    ];
    let answer = ask(Lens::Layered, None, &claims);
    assert_eq!(answer["winner"]["id"], claims[2].id().to_string());
    let json = |record: &Record| serde_json::from_slice::<Value>(&record.public_json()).unwrap();
    assert_eq!(
        answer["layers"],
        json!([
            {"tier": 3, "class": "expert", "winner": json(&claims[2]),
             "value": {"type": "number", "value": 3}, "candidates": 2},
            {"tier": 5, "class": "anecdotal", "winner": json(&claims[0]),
             "value": {"type": "number", "value": 1}, "candidates": 1},
        ])
    );
    assert_eq!(ask(Lens::Layered, None, &[])["layers"], json!([]));
}

#[test]
fn layers_of_the_longest_claims_fit_into_a_message() {
    // Quotes double in length when they are written: 128 KiB a text and 24 KiB a note, each text twice in its layer.
    let records: Vec<Record> = SourceClass::ALL
        .iter()
        .map(|class| {
            Record::from_content(Assertion {
                subject: "s".into(),
                predicate: "p".into(),
                object: Object::Text("\"".repeat(65_536)),
                source: Source {
                    uri: "\"".repeat(2_048),
                    class: *class,
                    hash: None,
                },
                confidence: 1.0,
                lifecycle: PLAIN.lifecycle,
                asserted_at: 0,
                epoch: None,
                parent: None,
                note: Some("\"".repeat(16_384)),
            })
            .unwrap()
        })
        .collect();
    let asked = parameters(Lens::Layered, Options::default());
    let json = resolve(asked, &records).unwrap().to_json();
    assert!(json.len() < 3 * 1024 * 1024, "{} bytes", json.len());
    let answer: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(answer["layers"].as_array().unwrap().len(), 6);
}

#[test]
fn decay_halves_where_confidence_is_used() {
    let of = |value: f64, class, confidence, asserted_at| {
        record(Claim {
            value: Object::Number(value),
            class,
            confidence,
            asserted_at,
            ..PLAIN
        })
    };
    let claims = [
        of(1.0, SourceClass::Expert, 1.0, 0),
        of(2.0, SourceClass::Expert, 0.75, 180 * DAY),
        of(3.0, SourceClass::Anecdotal, 0.875, 150 * DAY),
    ];
    let decayed = |lens| {
        let options = Options {
            decay: true,
            evaluated_at: Some(180 * DAY),
            ..Options::default()
        };
        let selection = Selection {
            min_confidence: Some(0.75),
            ..Selection::default()
        };
        answer(Parameters::new(lens, options, selection).unwrap(), &claims)
    };
    for lens in [
        Lens::Confidence,
        Lens::Authority,
        Lens::Layered,
        Lens::Votes,
    ] {
        assert_eq!(ask(lens, None, &claims)["value"]["value"], 1, "{lens}");
        let answer = decayed(lens);
        assert_eq!(
            answer["value"]["value"], 2,
            "{lens}: 0.5, 0.75 and 0.4375 are left"
        );
        assert_eq!(answer["confidence"], 0.75);
        assert_eq!(
            answer["candidates"], 3,
            "min_confidence looks at what is stated"
        );
    }
    let skeptic = decayed(Lens::Skeptic);
    let shares: Vec<&Value> = (0..3).map(|n| &skeptic["groups"][n]["share"]).collect();
    assert_eq!(
        shares,
        [&json!(0.444444), &json!(0.296296), &json!(0.259259)]
    );
}

#[test]
fn as_many_values_as_the_bound_and_no_more() {
    let mut resolver = Resolver::new(parameters(Lens::Consensus, Options::default()));
    for value in 0..lens::MAX_DISTINCT_VALUES {
        #[allow(clippy::cast_precision_loss, reason = "10,000 values")]
        resolver
            .push(&number(value as f64).claim().unwrap())
            .unwrap();
    }
    resolver
        .push(&said(7.0, "another source").claim().unwrap())
        .unwrap();
    let refused = resolver.push(&number(-1.0).claim().unwrap()).unwrap_err();
    assert_eq!(refused, TooMuch::Values);
    assert!(refused.to_string().contains("; narrow the question: "));
}
