//! Laws of every lens, on made-up records with many ties.

use assertion::{Kind, Lifecycle, Record, SourceClass};
use lens::{Lens, Options, Parameters, Resolver, Selection, resolve};
use proptest::prelude::*;
use serde_json::Value;

use crate::made::{
    Claim, DAY, PLAIN, answer, by_pages, epoch, number, parameters, question, record, source,
    tolerant, vote, world,
};

fn shuffled() -> impl Strategy<Value = (Vec<Record>, Vec<Record>)> {
    world().prop_flat_map(|world| (Just(world.clone()), Just(world).prop_shuffle()))
}

fn is_left_out(record: &Record) -> bool {
    let state = record.assertion().unwrap().lifecycle;
    matches!(state, Lifecycle::Rejected | Lifecycle::Deprecated)
}

fn claims(world: &[Record]) -> Vec<Record> {
    let claims = world.iter().filter(|r| r.kind() == Kind::Assertion);
    claims.cloned().collect()
}

/// What differs from the question's answer to the same records when other parameters mean the same.
fn without_echo(parameters: Parameters, records: &[Record]) -> Value {
    let mut answer = answer(parameters, records);
    answer.as_object_mut().unwrap().remove("parameters");
    answer
}

proptest! {
    #[test]
    fn the_order_of_records_does_not_matter_nor_how_often_they_are_given(
        (records, shuffled) in shuffled(),
        question in question(),
    ) {
        let one = resolve(question.clone(), &records).unwrap().to_json();
        let twice = shuffled.iter().chain(&records);
        prop_assert_eq!(&one, &resolve(question.clone(), twice).unwrap().to_json());
        // As stores do, a page at a time; and with everything told again that was known, whether it bears or not.
        for page in [1, 4] {
            let paged = by_pages(question.clone(), &shuffled, page).unwrap();
            prop_assert_eq!(&one, &paged.to_json(), "{} claims a page", page);
        }
        let mut resolver = Resolver::new(question);
        let tell = |resolver: &mut Resolver| shuffled.iter().for_each(|r| resolver.learn(r).unwrap());
        tell(&mut resolver);
        let claims = claims(&shuffled);
        claims.iter().for_each(|claim| resolver.expect(&claim.claim().unwrap()).unwrap());
        while !resolver.unasked_epochs().is_empty() {
            tell(&mut resolver);
        }
        claims.iter().for_each(|claim| resolver.push(&claim.claim().unwrap()).unwrap());
        let mut ballot = resolver.ballot();
        shuffled.iter().chain(&shuffled).for_each(|r| ballot.learn(r).unwrap());
        prop_assert_eq!(one, ballot.finish().to_json());
    }

    #[test]
    fn what_does_not_concern_the_question_changes_nothing(records in world(), question in question()) {
        let selection = Selection { subject: Some("s".into()), as_of: Some(60 * DAY), ..question.selection().clone() };
        let question = Parameters::new(question.lens(), *question.options(), selection).unwrap();
        let later = 60 * DAY + 1;
        let other = record(Claim { subject: "other", ..PLAIN });
        let claims = claims(&records);
        let on = claims.first().unwrap_or(&other);
        let first_epoch = records.iter().find(|r| r.kind() == Kind::Epoch);
        let mut more = records.clone();
        more.extend([
            vote(&other, "ann", 1.0, 0),
            vote(on, "ann", 1.0, later),
            vote(&number(99.0), "ann", 1.0, 0),
            epoch("later", first_epoch.as_slice(), later),
            epoch("nobody names it", &[], 0),
            epoch("nor what it supersedes", &[&epoch("nobody names it", &[], 0)], 0),
            source("a", Some(true), later),
            source("nobody quotes it", Some(true), 0),
            record(Claim { asserted_at: later, ..PLAIN }),
            other.clone(),
        ]);
        if !question.considers(Kind::Vote) {
            more.push(vote(on, "ann", 1.0, 0));
        }
        if !question.considers(Kind::Epoch) {
            more.push(epoch("unasked", first_epoch.as_slice(), 0));
        }
        let one = resolve(question.clone(), &records).unwrap();
        prop_assert_eq!(one.to_json(), resolve(question, &more).unwrap().to_json());
    }

    #[test]
    fn as_of_is_what_was_said_by_then(records in world(), question in question(), months in 0..4_i64) {
        let as_of = months * 30 * DAY;
        let at = |as_of| {
            let selection = Selection { as_of, ..question.selection().clone() };
            Parameters::new(question.lens(), *question.options(), selection).unwrap()
        };
        let by_then: Vec<Record> = records.iter().filter(|r| r.at_ms() <= as_of).cloned().collect();
        prop_assert_eq!(without_echo(at(Some(as_of)), &records), without_echo(at(None), &by_then));
    }

    #[test]
    fn an_answer_is_json_and_its_shares_sum_to_one(records in world(), tolerance in prop::option::of(0.0..=1.0_f64)) {
        let answer = answer(parameters(Lens::Skeptic, tolerant(tolerance)), &records);
        let groups = answer["groups"].as_array().unwrap();
        let shares: f64 = groups.iter().map(|group| group["share"].as_f64().unwrap()).sum();
        prop_assert!(groups.is_empty() || (shares - 1.0).abs() < 1e-4, "shares sum to {}", shares);
        let claims: u64 = groups.iter().map(|group| group["claims"].as_u64().unwrap()).sum();
        prop_assert_eq!(&answer["candidates"], claims);
        prop_assert!((0.0..=1.0).contains(&answer["conflict_score"].as_f64().unwrap()));
    }

    #[test]
    fn a_wider_tolerance_never_makes_more_groups(records in world(), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        let groups = |tolerance| {
            let question = parameters(Lens::Skeptic, tolerant(Some(tolerance)));
            resolve(question, &records).unwrap().groups()
        };
        prop_assert!(groups(a.max(b)) <= groups(a.min(b)));
    }

    #[test]
    fn a_hundred_anecdotes_never_outvote_a_regulator(records in world(), evaluated_at in prop::option::of(0..9_i64)) {
        let records = claims(&records);
        let options = Options {
            decay: evaluated_at.is_some(),
            evaluated_at: evaluated_at.map(|months| months * 30 * DAY),
            ..Options::default()
        };
        let answer = resolve(parameters(Lens::Authority, options), &records).unwrap();
        let strongest = records.iter().filter(|r| !is_left_out(r)).map(|r| r.assertion().unwrap().source.class);
        prop_assert_eq!(answer.winner().map(|r| r.assertion().unwrap().source.class), strongest.min());
    }

    #[test]
    fn what_is_left_out_is_counted_by_reason(records in world(), least in 0..5_u8) {
        let records = claims(&records);
        let least = f64::from(least) / 4.0;
        let selection = Selection { min_confidence: Some(least), ..Selection::default() };
        let parameters = Parameters::new(Lens::Recency, Options::default(), selection).unwrap();
        let answer = answer(parameters, &records);
        let weak = |r: &&Record| r.assertion().unwrap().confidence < least;
        let count = |wanted: &dyn Fn(&&Record) -> bool| records.iter().filter(|r| wanted(r)).count();
        prop_assert_eq!(&answer["left_out"]["filtered"], count(&weak));
        prop_assert_eq!(&answer["left_out"]["withdrawn"], count(&|r| !weak(r) && is_left_out(r)));
        prop_assert_eq!(&answer["candidates"], count(&|r| !weak(r) && !is_left_out(r)));
    }

    #[test]
    fn the_later_the_less_confidence_is_left(
        records in world(),
        (earlier, later) in (-400..400_i64, 0..400_i64).prop_map(|(days, more)| (days, days + more)),
        milliseconds in 0..2_i64,
    ) {
        let records = claims(&records);
        let at = |evaluated_at| {
            let options = Options { decay: true, evaluated_at: Some(evaluated_at), ..Options::default() };
            answer(parameters(Lens::Confidence, options), &records)["confidence"].as_f64()
        };
        let (one, other) = (at(earlier * DAY), at(later * DAY + milliseconds));
        prop_assert!(one >= other, "{one:?} and later {other:?}");
        let stated = answer(parameters(Lens::Confidence, Options::default()), &records);
        prop_assert!(stated["confidence"].as_f64() >= one);
    }

    #[test]
    fn nothing_has_decayed_before_it_was_said(records in world(), lens in prop::sample::select(&Lens::ALL[..])) {
        let options = Options { decay: true, evaluated_at: Some(0), ..Options::default() };
        let fresh = without_echo(parameters(lens, options), &records);
        prop_assert_eq!(fresh, without_echo(parameters(lens, Options::default()), &records));
    }

    #[test]
    fn a_retraction_taken_back_leaves_what_was_there(records in world(), question in question()) {
        let known: Vec<Record> = records.into_iter().filter(|r| r.kind() != Kind::Source).collect();
        let retracted = source("a", Some(true), -2);
        let restored = source("a", Some(false), -1);
        let with = |more: &[&Record]| {
            let records: Vec<Record> = known.iter().chain(more.iter().copied()).cloned().collect();
            let mut answer = answer(question.clone(), &records);
            answer.as_object_mut().unwrap().remove("set_digest");
            answer
        };
        prop_assert_eq!(with(&[]), with(&[&restored, &retracted]));
        let gone = with(&[&retracted]);
        let listed = gone.to_string();
        prop_assert!(!listed.contains("\"uri\":\"a\""), "{}", listed);
        let considered = |answer: &Value| answer["candidates"].as_u64().unwrap();
        let left = gone["left_out"]["retracted"].as_u64().unwrap();
        let superseded = |answer: &Value| answer["left_out"]["superseded"].as_u64().unwrap();
        let before = with(&[]);
        prop_assert_eq!(
            considered(&before) + superseded(&before),
            considered(&gone) + superseded(&gone) + left
        );
    }

    #[test]
    fn layers_hold_all_candidates_and_the_first_holds_the_winner(records in world()) {
        let answer = answer(parameters(Lens::Layered, Options::default()), &records);
        let layers = answer["layers"].as_array().unwrap();
        let candidates: u64 = layers.iter().map(|layer| layer["candidates"].as_u64().unwrap()).sum();
        prop_assert_eq!(&answer["candidates"], candidates);
        let first = layers.first().map_or(&Value::Null, |layer| &layer["winner"]);
        prop_assert_eq!(&answer["winner"], first);
        let tiers: Vec<u64> = layers.iter().map(|layer| layer["tier"].as_u64().unwrap()).collect();
        prop_assert!(tiers.is_sorted_by(|a, b| a < b));
        prop_assert!(tiers.len() <= SourceClass::ALL.len());
    }
}
