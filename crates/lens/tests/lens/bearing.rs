//! Votes, epochs and sources that bear on no claim: they change no answer, and fill no bound.

use assertion::{Object, Record};
use lens::{Lens, MAX_EPOCHS, MAX_SOURCES, MAX_VOTES, Options, Parameters, TooMuch, resolve};
use serde_json::Value;

use crate::made::{Claim, PLAIN, answer, digest, epoch, number, parameters, record, source, vote};

/// Whether the answer to these records is that to them without the rest; its refusal otherwise.
fn with(rest: &[Record], records: &[Record], asked: &Parameters) -> Result<(), TooMuch> {
    let plain = resolve(asked.clone(), records).unwrap();
    let all = rest.iter().chain(records).chain(rest);
    let answer = resolve(asked.clone(), all)?;
    assert_eq!(answer.to_json(), plain.to_json());
    Ok(())
}

#[test]
fn votes_on_claims_that_are_not_considered_do_not_fill_an_answer() {
    let asked = parameters(Lens::Votes, Options::default());
    let (claim, target) = (
        number(1.0),
        record(Claim {
            value: Object::Number(2.0),
            uri: "a",
            ..PLAIN
        }),
    );
    let votes: Vec<Record> = (0..=MAX_VOTES)
        .map(|number| vote(&target, &number.to_string(), 1.0, 0))
        .collect();
    let retracted = source("a", Some(true), 0);
    let own = vote(&claim, "ann", 0.5, 0);
    let mut records = vec![claim, own];
    assert_eq!(with(&votes, &records, &asked), Ok(()), "no such claim");
    records.extend([target, retracted]);
    assert_eq!(with(&votes, &records, &asked), Ok(()), "retracted");
    records.pop();
    assert_eq!(with(&votes, &records, &asked), Err(TooMuch::Votes));
    assert_eq!(with(&votes[2..], &records[..1], &asked), Ok(()));
    records.remove(1);
    let all = votes[1..].iter().chain(&records);
    let answer = resolve(asked, all).unwrap().to_json();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["votes"], MAX_VOTES);
}

#[test]
fn epochs_that_no_claim_leads_to_do_not_fill_an_answer() {
    let asked = parameters(Lens::Epoch, Options::default());
    let old = epoch("old", &[], 0);
    let rest: Vec<Record> = (0..MAX_EPOCHS)
        .map(|number| epoch(&number.to_string(), &[&old], 0))
        .collect();
    let of_old = |uri| {
        record(Claim {
            uri,
            epoch: Some(old.id().to_string()),
            ..PLAIN
        })
    };
    let new = epoch("new", &[], 0);
    let of_new = record(Claim {
        epoch: Some(new.id().to_string()),
        ..PLAIN
    });
    let bad = source("bad", Some(true), 0);
    let mut records = vec![of_new, new, of_old("bad"), bad, old.clone()];
    assert_eq!(with(&rest, &records, &asked), Ok(()), "none named");
    let recency = parameters(Lens::Recency, Options::default());
    records.push(of_old("good"));
    assert_eq!(with(&rest, &records, &recency), Ok(()), "another lens");
    assert_eq!(
        resolve(asked.clone(), rest.iter().chain(&records)).unwrap_err(),
        TooMuch::Epochs
    );
    let fewer = rest[2..].iter().chain(&records);
    let answer = resolve(asked, fewer).unwrap().to_json();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["left_out"]["superseded"], 1);
}

#[test]
fn records_of_sources_that_nobody_quotes_do_not_fill_an_answer() {
    let asked = parameters(Lens::Recency, Options::default());
    let rest: Vec<Record> = (0..=MAX_SOURCES)
        .map(|number| source(&number.to_string(), Some(true), 0))
        .collect();
    let records = [number(1.0), source(PLAIN.uri, None, 0)];
    assert_eq!(with(&rest, &records, &asked), Ok(()));
}

#[test]
fn only_epochs_that_lead_to_one_that_a_claim_names_are_considered() {
    let old = epoch("old", &[], 0);
    let new = epoch("new", &[&old], 0);
    let newest = epoch("newest", &[&new], 0);
    let foreign = epoch("foreign", &[], 0);
    let of_foreign = epoch("of foreign", &[&foreign], 0);
    let of = |value: f64, epoch: &Record| {
        record(Claim {
            value: Object::Number(value),
            epoch: Some(epoch.id().to_string()),
            ..PLAIN
        })
    };
    let epochs = [&old, &new, &newest, &foreign, &of_foreign];
    let considered = |claim: &Record| {
        let all: Vec<Record> = epochs.into_iter().chain([claim]).cloned().collect();
        answer(parameters(Lens::Epoch, Options::default()), &all)["set_digest"].clone()
    };
    let claim = of(1.0, &newest);
    assert_eq!(considered(&claim), digest([&claim, &newest]));
    let claim = of(1.0, &new);
    assert_eq!(considered(&claim), digest([&new, &newest]));
    let claim = of(1.0, &old);
    assert_eq!(considered(&claim), digest([&old, &new, &newest]));
    let plain = number(1.0);
    assert_eq!(considered(&plain), digest([&plain]));
}
