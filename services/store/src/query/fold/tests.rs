//! The largest subjects: what a lens keeps of them, in numbers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use lens::{Kept, Lens, Options};
use tempfile::tempdir;

use super::*;
use crate::config::Config;
use crate::database::{Database, Readers};
use crate::intake::{Arrival, Incoming, shard_of_record};
use crate::space::Space;
use crate::trees::Trees;
use crate::writer::WriterTask;

const SHARDS: u32 = 4;

/// Of one subject.
const CLAIMS: i64 = 100_000;

/// After so many claims, none brings a value or a source that is new.
const SATURATED: i64 = 10_000;

const VALUES: i64 = 20;

/// Of each source one value.
const SOURCES: i64 = 5_000;

/// Times of equal length.
const FIRST: i64 = 1_000_000;

fn record(json: &str) -> Record {
    Record::from_client_json(json.as_bytes(), FIRST * 10).unwrap()
}

fn epoch(name: &str, supersedes: &str) -> Record {
    record(&format!(
        r#"{{"kind":"epoch","name":"{name}","supersedes":[{supersedes}],"started_at":1}}"#
    ))
}

fn superseding(other: &Record, name: &str) -> Record {
    epoch(name, &format!("\"{}\"", other.id()))
}

fn vote(on: &str, voter: i64) -> Record {
    record(&format!(
        r#"{{"kind":"vote","subject":"s","assertion":"{on}","voter":"v{voter}","weight":0.5,"voted_at":1}}"#
    ))
}

/// A claim in a thousand is of an epoch.
fn claim(number: i64, old: &Record) -> Record {
    let epoch = match number % 1_000 {
        0 => format!(r#""epoch":"{}","#, old.id()),
        _ => String::new(),
    };
    record(&format!(
        r#"{{"subject":"s","predicate":"p","object":{{"type":"number","value":{}}},{epoch}"asserted_at":{},
        "source":{{"uri":"urn:{}","class":"expert"}}}}"#,
        number % VALUES,
        FIRST + number,
        number % SOURCES
    ))
}

/// What lies beside the claims: some of it bears on them, most does not.
fn beside(claims: &[Record], old: &Record) -> Vec<Record> {
    let mut records = vec![old.clone(), superseding(old, "new")];
    records.extend((0..500).map(|number| superseding(old, &format!("{number}"))));
    let foreign = epoch("foreign", "");
    records.extend((0..700).map(|number| superseding(&foreign, &format!("f{number}"))));
    records.push(foreign);
    for number in 0..300 {
        // The first two claims that are not of the epoch, the first of it, and one that nobody has.
        records.push(vote(&claims[1].id().to_string(), number));
        records.push(vote(&claims[2].id().to_string(), number));
        records.push(vote(&claims[0].id().to_string(), number));
        records.push(vote(&old.id().to_string(), number));
    }
    records.extend((0..2 * SOURCES).step_by(50).map(|number| {
        record(&format!(
            r#"{{"kind":"source","uri":"urn:{number}","class":"expert","recorded_at":1}}"#
        ))
    }));
    records
}

async fn filled(directory: &Path, records: &[Record]) -> Readers {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        node: "node1".into(),
        data_dir: directory.to_path_buf(),
        min_free_bytes: 0,
        scrub_interval: None,
        readers: 2,
        num_shards: SHARDS,
        peers: any,
        local: any,
        metrics: any,
    };
    let database = Database::open(&config).await.unwrap();
    let trees = Trees::open(database.readers.repair.clone(), SHARDS).await;
    let space = Arc::new(Space::new(directory.to_path_buf(), 0));
    let (task, writer) = WriterTask::new(
        database.writer,
        Arc::new(trees.unwrap()),
        space,
        Arc::new(database.damage),
    );
    let task = tokio::spawn(task.run());
    for batch in records.chunks(4_000) {
        let incoming = batch.iter().map(|record| Incoming {
            shard: shard_of_record(record, SHARDS),
            record: record.clone(),
            arrival: Arrival::Push,
            trace_id: None,
        });
        let bytes = batch.iter().map(|record| record.canonical().len()).sum();
        let room = writer.room(bytes).unwrap();
        writer
            .append(incoming.collect(), bytes, room)
            .await
            .unwrap();
    }
    drop(writer);
    task.await.unwrap().unwrap();
    database.readers
}

/// The bytes that these claims take: of each value the longest one, and each uri.
fn value_bytes<'a>(claims: impl Iterator<Item = &'a Record>) -> usize {
    let mut longest: BTreeMap<String, usize> = BTreeMap::new();
    let mut voices: BTreeMap<String, usize> = BTreeMap::new();
    for record in claims {
        let claim = record.assertion().unwrap();
        let value = longest.entry(format!("{:?}", claim.object)).or_default();
        *value = record.canonical().len().max(*value);
        let uri = &claim.source.uri;
        voices.insert(format!("{:?} {uri}", claim.object), 128 + uri.len());
    }
    longest.values().chain(voices.values()).sum()
}

fn asked(lens: Lens, inner: Option<Lens>, as_of: Option<i64>) -> Parameters {
    let selection = Selection {
        subject: Some("s".into()),
        predicate: Some("p".into()),
        as_of,
        ..Selection::default()
    };
    let options = Options {
        inner,
        ..Options::default()
    };
    Parameters::new(lens, options, selection).unwrap()
}

/// What the claims alone make a lens keep: all of them, and without those of epochs.
fn of_claims(claims: &[Record]) -> [Kept; 2] {
    let kept = |of: Vec<&Record>| Kept {
        claims: of.len(),
        values: 20,
        value_bytes: value_bytes(of.into_iter()),
        sources: 100,
        epochs: 0,
        votes: 0,
    };
    let of_none = |record: &&Record| record.assertion().unwrap().epoch.is_none();
    [
        kept(claims.iter().collect()),
        kept(claims.iter().filter(of_none).collect()),
    ]
}

/// What a lens keeps of all claims and of the first ones.
async fn looked_at(readers: Readers, lens: Lens, inner: Option<Lens>) -> [Kept; 2] {
    let kept = async |as_of| {
        let parameters = asked(lens, inner, as_of);
        let ballot = fold(&readers.questions, parameters, Some(SHARDS)).await;
        let ballot = ballot.unwrap();
        let kept = ballot.kept();
        assert!(ballot.finish().to_json().len() < 512 * 1024, "{lens}");
        kept
    };
    [kept(None).await, kept(Some(FIRST + SATURATED - 1)).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lens_keeps_does_not_grow_with_claims_that_say_nothing_new() {
    let directory = tempdir().unwrap();
    let old = epoch("old", "");
    let claims: Vec<Record> = (0..CLAIMS).map(|number| claim(number, &old)).collect();
    let mut records = claims.clone();
    records.extend(beside(&claims, &old));
    let readers = filled(directory.path(), &records).await;
    let expected = [of_claims(&claims), of_claims(&claims[..10_000])];
    let lenses = Lens::ALL.map(|lens| (lens, None));
    let lenses = lenses.into_iter().chain([(Lens::Epoch, Some(Lens::Votes))]);
    // Two at a time: so many readers there are.
    for pair in lenses.collect::<Vec<_>>().chunks(2) {
        let looking = |(lens, inner): &(Lens, Option<Lens>)| {
            tokio::spawn(looked_at(readers.clone(), *lens, *inner))
        };
        let looking: Vec<_> = pair.iter().map(looking).collect();
        for ((lens, inner), looked_at) in pair.iter().zip(looking) {
            let epochs = *lens == Lens::Epoch;
            let votes = asked(*lens, *inner, None).considers(Kind::Vote);
            let expected = expected.map(|of| {
                let kept = of[usize::from(epochs)];
                Kept {
                    epochs: if epochs { 502 } else { 0 },
                    votes: match (votes, epochs) {
                        (false, _) => 0,
                        (true, true) => 600,
                        (true, false) => 900,
                    },
                    ..kept
                }
            });
            let kept = looked_at.await.unwrap();
            assert_eq!(kept, expected, "{lens} {inner:?}");
            let [all, early] = kept.map(|kept| Kept { claims: 0, ..kept });
            assert_eq!(all, early, "ten times the claims, and nothing else is more");
        }
    }
    readers.close().await;
}

/// Each supersedes the one before.
fn chain(name: &str, length: usize) -> Vec<Record> {
    let mut chain = vec![epoch(name, "")];
    while let Some(last) = chain.last().filter(|_| chain.len() < length) {
        let next = superseding(last, &format!("{name} {}", chain.len()));
        chain.push(next);
    }
    chain
}

#[tokio::test]
async fn chains_of_epochs_are_followed_to_their_ends() {
    let directory = tempdir().unwrap();
    let (short, long) = (chain("short", 30), chain("long", 2_500));
    let other = superseding(&long[700], "beside the long one");
    let of = |subject: &str, epoch: &Record| {
        record(&format!(
            r#"{{"subject":"{subject}","predicate":"p","object":{{"type":"boolean","value":true}},
            "epoch":"{}","asserted_at":1,"source":{{"uri":"urn:1","class":"expert"}}}}"#,
            epoch.id()
        ))
    };
    let mut records = vec![other];
    records.extend([of("short", &short[0]), of("last", &short[29])]);
    records.extend([of("long", &long[0]), of("late", &long[2_000])]);
    records.extend([of("both", &long[600]), of("both", &short[10])]);
    // Nobody has the record that this one names, and somebody supersedes it.
    let unknown = epoch("unknown", "");
    records.extend([of("unknown", &unknown), superseding(&unknown, "known")]);
    records.extend(short.into_iter().chain(long));
    let readers = filled(directory.path(), &records).await;
    let looked_at = async |subject: &str| {
        let selection = Selection {
            subject: Some(subject.into()),
            ..Selection::default()
        };
        let parameters = Parameters::new(Lens::Epoch, Options::default(), selection).unwrap();
        let ballot = fold(&readers.questions, parameters, Some(SHARDS)).await;
        let kept = ballot.unwrap().kept();
        (kept.epochs, kept.claims)
    };
    assert_eq!(looked_at("short").await, (30, 0));
    assert_eq!(looked_at("last").await, (1, 1));
    assert_eq!(looked_at("long").await, (2_501, 0));
    assert_eq!(looked_at("late").await, (500, 0));
    assert_eq!(looked_at("both").await, (1_901 + 20, 0));
    assert_eq!(looked_at("unknown").await, (2, 0));
    readers.close().await;
}
