//! Made-up records, small enough to tie often.

use std::collections::BTreeSet;

use assertion::{
    Assertion, Epoch, Kind, Lifecycle, Object, Record, RecordId, Source, SourceClass, SourceRecord,
    Vote,
};
use lens::{Answer, Lens, Options, Parameters, Resolver, Selection, TooMuch, resolve};
use proptest::prelude::*;
use serde_json::Value;

pub(crate) const DAY: i64 = 86_400_000;

#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) subject: &'static str,
    pub(crate) value: Object,
    pub(crate) uri: &'static str,
    pub(crate) class: SourceClass,
    pub(crate) confidence: f64,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) asserted_at: i64,
    pub(crate) epoch: Option<String>,
}

pub(crate) const PLAIN: Claim = Claim {
    subject: "s",
    value: Object::Number(1.0),
    uri: "u",
    class: SourceClass::Expert,
    confidence: 1.0,
    lifecycle: Lifecycle::Approved,
    asserted_at: 0,
    epoch: None,
};

pub(crate) fn record(claim: Claim) -> Record {
    Record::from_content(Assertion {
        subject: claim.subject.into(),
        predicate: "p".into(),
        object: claim.value,
        source: Source {
            uri: claim.uri.into(),
            class: claim.class,
            hash: None,
        },
        confidence: claim.confidence,
        lifecycle: claim.lifecycle,
        asserted_at: claim.asserted_at,
        epoch: claim.epoch,
        parent: None,
        note: None,
    })
    .unwrap()
}

pub(crate) fn number(value: f64) -> Record {
    record(Claim {
        value: Object::Number(value),
        ..PLAIN
    })
}

/// A vote on a claim.
pub(crate) fn vote(on: &Record, voter: &str, weight: f64, voted_at: i64) -> Record {
    let claim = on.assertion().unwrap();
    vote_under(&claim.subject, on, voter, weight, voted_at)
}

/// A vote that says what the claim is about, rightly or wrongly.
pub(crate) fn vote_under(
    subject: &str,
    on: &Record,
    voter: &str,
    weight: f64,
    voted_at: i64,
) -> Record {
    Record::from_content(Vote {
        subject: subject.into(),
        assertion: on.id().to_string(),
        voter: voter.into(),
        weight,
        voted_at,
    })
    .unwrap()
}

pub(crate) fn epoch(name: &str, supersedes: &[&Record], started_at: i64) -> Record {
    let mut supersedes: Vec<String> = supersedes.iter().map(|e| e.id().to_string()).collect();
    supersedes.sort();
    supersedes.dedup();
    Record::from_content(Epoch {
        name: name.into(),
        supersedes,
        reason: None,
        started_at,
    })
    .unwrap()
}

pub(crate) fn source(uri: &str, retracted: Option<bool>, recorded_at: i64) -> Record {
    Record::from_content(SourceRecord {
        uri: uri.into(),
        class: SourceClass::Expert,
        title: None,
        retracted,
        recorded_at,
    })
    .unwrap()
}

pub(crate) fn parameters(lens: Lens, options: Options) -> Parameters {
    Parameters::new(lens, options, Selection::default()).unwrap()
}

pub(crate) fn tolerant(tolerance: Option<f64>) -> Options {
    Options {
        tolerance,
        ..Options::default()
    }
}

pub(crate) fn answer(parameters: Parameters, records: &[Record]) -> Value {
    serde_json::from_slice(&resolve(parameters, records).unwrap().to_json()).unwrap()
}

pub(crate) fn ask(lens: Lens, tolerance: Option<f64>, records: &[Record]) -> Value {
    answer(parameters(lens, tolerant(tolerance)), records)
}

/// Answers as a store does: what bears on the claims is looked up for so many of them at a time.
pub(crate) fn by_pages(
    parameters: Parameters,
    records: &[Record],
    page: usize,
) -> Result<Answer, TooMuch> {
    let mut known: BTreeSet<RecordId> = BTreeSet::new();
    let claims = records.iter().filter(|r| r.kind() == Kind::Assertion);
    let claims: Vec<&Record> = claims.filter(|r| known.insert(r.id())).collect();
    let mut resolver = Resolver::new(parameters);
    for page in claims.chunks(page) {
        let uris = page
            .iter()
            .map(|claim| &claim.assertion().unwrap().source.uri);
        let uris: BTreeSet<&String> = uris.collect();
        let said = |r: &&Record| r.source().is_some_and(|source| uris.contains(&source.uri));
        for source in records.iter().filter(said) {
            resolver.learn(source)?;
        }
        for claim in page {
            resolver.expect(&claim.claim().unwrap())?;
        }
        loop {
            let unasked = resolver.unasked_epochs();
            if unasked.is_empty() {
                break;
            }
            let concerns = |r: &&Record| {
                let names = |id: &RecordId| r.epoch().unwrap().supersedes.contains(&id.to_string());
                r.epoch().is_some() && unasked.iter().any(|id| *id == r.id() || names(id))
            };
            for epoch in records.iter().filter(concerns) {
                resolver.learn(epoch)?;
            }
        }
        for claim in page {
            resolver.push(&claim.claim().unwrap())?;
        }
    }
    let mut ballot = resolver.ballot();
    let mut place = 0;
    while let Some((subject, ids)) = ballot.claims(place, page) {
        place += ids.len();
        let subject = subject.to_owned();
        let on = |vote: &Vote| {
            vote.subject == subject && ids.iter().any(|id| id.to_string() == vote.assertion)
        };
        for vote in records.iter().filter(|r| r.vote().is_some_and(on)) {
            ballot.learn(vote)?;
        }
    }
    Ok(ballot.finish())
}

/// BLAKE3 of the ids, in ascending order.
pub(crate) fn digest<'a>(considered: impl IntoIterator<Item = &'a Record>) -> String {
    let mut ids: Vec<_> = considered.into_iter().map(Record::id).collect();
    ids.sort();
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(id.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        4 => (-6..6_i32).prop_map(|value| Object::Number(f64::from(value) * 0.5)),
        1 => (0..2_u8).prop_map(|value| Object::Text(format!("colour {value}"))),
        1 => any::<bool>().prop_map(Object::Boolean),
        1 => Just(Object::Reference("colour 0".into())),
    ]
}

pub(crate) const URIS: [&str; 4] = ["a", "b", "c", "d"];

/// Times of everything: few, and far enough apart to decay.
fn time() -> impl Strategy<Value = i64> {
    (0..4_i64).prop_map(|months| months * 30 * DAY)
}

/// Four epochs, each of which names some of those before it, and one that nobody has a record of.
fn epochs() -> impl Strategy<Value = (Vec<Record>, Record)> {
    let each = prop::collection::vec((prop::collection::vec(any::<bool>(), 5), time()), 4);
    each.prop_map(|each| {
        let unknown = epoch("unknown", &[], 0);
        let mut epochs: Vec<Record> = Vec::new();
        for (named, started_at) in each {
            let before = epochs.iter().chain([&unknown]).zip(named);
            let named: Vec<&Record> = before.filter(|(_, is)| *is).map(|(e, _)| e).collect();
            let next = epoch(&format!("epoch {}", epochs.len()), &named, started_at);
            epochs.push(next);
        }
        (epochs, unknown)
    })
}

fn claim(epochs: Vec<String>) -> impl Strategy<Value = Record> {
    let who = (
        prop::sample::select(&URIS[..]),
        prop::sample::select(SourceClass::ALL),
        0..5_u8,
    );
    let what = (
        prop::sample::select(vec!["s", "s", "s", "t"]),
        object(),
        prop::sample::select(Lifecycle::ALL),
        prop::option::of(prop::sample::select(epochs)),
    );
    (who, what, time()).prop_map(
        |((uri, class, confidence), (subject, value, lifecycle, epoch), asserted_at)| {
            record(Claim {
                subject,
                value,
                uri,
                class,
                confidence: f64::from(confidence) / 4.0,
                lifecycle,
                asserted_at,
                epoch,
            })
        },
    )
}

/// Records of every kind that have to do with each other, each once, in the order of their ids.
pub(crate) fn world() -> impl Strategy<Value = Vec<Record>> {
    let claims = epochs().prop_flat_map(|(epochs, unknown)| {
        let ids = epochs.iter().chain([&unknown]).map(|e| e.id().to_string());
        let claims = prop::collection::vec(claim(ids.collect()), 0..25);
        let known = prop::sample::subsequence(epochs, 0..=4);
        (known, claims)
    });
    claims.prop_flat_map(|(epochs, claims)| {
        // Votes on what nobody has are there, too.
        let on: Vec<Record> = claims.iter().cloned().chain([number(99.0)]).collect();
        let vote = (
            prop::sample::select(on),
            prop::sample::select(vec!["s", "s", "t"]),
            prop::sample::select(vec!["ann", "bob", "eve"]),
            prop::sample::select(vec![0.25, 0.5, 1.0]),
            time(),
        );
        let votes = prop::collection::vec(
            vote.prop_map(|(on, subject, voter, weight, at)| {
                vote_under(subject, &on, voter, weight, at)
            }),
            0..15,
        );
        let source = (
            prop::sample::select(&URIS[..]),
            prop::option::of(any::<bool>()),
            time(),
        );
        let sources = prop::collection::vec(
            source.prop_map(|(uri, retracted, at)| self::source(uri, retracted, at)),
            0..5,
        );
        (votes, sources).prop_map(move |(votes, sources)| {
            let all = [epochs.clone(), claims.clone(), votes, sources];
            let mut all: Vec<Record> = all.into_iter().flatten().collect();
            all.sort_by_key(Record::id);
            all.dedup_by_key(|record| record.id());
            all
        })
    })
}

/// Questions with every option.
pub(crate) fn question() -> impl Strategy<Value = Parameters> {
    let lens = prop::sample::select(&Lens::ALL[..]);
    let inner = prop::option::of(prop::sample::select(
        Lens::ALL
            .into_iter()
            .filter(|lens| *lens != Lens::Epoch)
            .collect::<Vec<Lens>>(),
    ));
    let tolerance = prop::sample::select(vec![None, Some(0.0), Some(0.25), Some(1.0)]);
    let evaluated_at = prop::option::of((-1..13_i64).prop_map(|months| months * 30 * DAY + 1));
    let subject = prop::option::weighted(0.8, Just("s".to_owned()));
    let filters = (
        prop::option::of(time()),
        prop::option::weighted(0.2, Just(0.5)),
        prop::option::weighted(0.2, prop::sample::select(&URIS[..])),
        any::<bool>(),
    );
    (lens, inner, tolerance, evaluated_at, subject, filters).prop_map(
        |(lens, inner, tolerance, evaluated_at, subject, filters)| {
            let (as_of, min_confidence, source, all_lifecycles) = filters;
            let options = Options {
                tolerance,
                decay: evaluated_at.is_some(),
                evaluated_at,
                inner: inner.filter(|_| lens == Lens::Epoch),
            };
            let selection = Selection {
                subject,
                as_of,
                min_confidence,
                source: source.map(str::to_owned),
                lifecycles: match all_lifecycles {
                    true => Lifecycle::ALL.to_vec(),
                    false => Vec::new(),
                },
                ..Selection::default()
            };
            Parameters::new(lens, options, selection).unwrap()
        },
    )
}
