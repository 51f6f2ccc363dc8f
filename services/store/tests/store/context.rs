//! What a gateway asks beside claims, and the list of subjects.

use std::collections::BTreeSet;

use assertion::Record;
use bytes::Bytes;
use proto::v1;
use tempfile::tempdir;
use tonic::Code;

use crate::node::Node;
use crate::records::{about, append, epoch, id, record, said, source, vote};

/// All pages of a request, each record once.
async fn all(node: &Node, request: v1::ContextRequest) -> BTreeSet<Bytes> {
    let told = told(node, request).await;
    let found: BTreeSet<Bytes> = told.iter().cloned().collect();
    assert_eq!(found.len(), told.len(), "twice");
    found
}

/// All pages of a request.
async fn told(node: &Node, mut request: v1::ContextRequest) -> Vec<Bytes> {
    let mut found = Vec::new();
    loop {
        let reply = node.store().context(request.clone()).await.unwrap();
        let reply = reply.into_inner();
        assert!(reply.records.len() <= 1_000 && reply.counts_as_absent);
        for record in reply.records {
            let whole = Record::from_canonical(&record.canonical).unwrap();
            assert_eq!(id(&whole), record.id);
            found.push(record.id);
        }
        if reply.cursor.is_empty() {
            return found;
        }
        request.cursor = reply.cursor;
    }
}

fn ids<'a>(records: impl IntoIterator<Item = &'a Record>) -> BTreeSet<Bytes> {
    records.into_iter().map(id).collect()
}

#[tokio::test]
async fn context_is_told_whole_page_by_page() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let claims = [said("s", "a", 1, ""), said("t", "a", 1, "")];
    let cast = |on: &Record, count: u32| -> Vec<Record> {
        let voted = |number| vote(on, &format!("v{number}"), 0.5, i64::from(number / 10));
        (0..count).map(voted).collect()
    };
    let (votes, others) = (cast(&claims[0], 1_300), cast(&claims[1], 5));
    let epochs: Vec<Record> = (0..1_100)
        .map(|number| epoch(&format!("e{}", number % 600), &[], number))
        .collect();
    let uri = |number: usize| format!("urn:{number}");
    let earlier: Vec<Record> = (0..900).map(|n| source(&uri(n), true, 5)).collect();
    let later: Vec<Record> = (0..900).map(|n| source(&uri(n), false, 6)).collect();
    for records in [&claims[..], &votes, &others, &epochs, &earlier, &later] {
        append(&node, records).await;
    }
    // Unknown uris in between; of each known one the latest record only.
    let asked = v1::ContextRequest {
        sources: (0..1_000).map(uri).collect(),
        votes_of: Some("s".into()),
        epochs: true,
        ..v1::ContextRequest::default()
    };
    let expected = ids(later.iter().chain(&votes).chain(&epochs));
    assert_eq!(all(&node, asked.clone()).await, expected);
    let none = v1::ContextRequest::default();
    assert!(all(&node, none).await.is_empty());
    let cut = v1::ContextRequest {
        as_of_ms: Some(5),
        ..asked
    };
    let by_five = |records: &[Record]| ids(records.iter().filter(|record| record.at_ms() <= 5));
    let mut expected = by_five(&votes);
    expected.extend(by_five(&epochs));
    expected.extend(ids(&earlier));
    assert_eq!(all(&node, cut).await, expected);
    node.stop().await;
}

#[tokio::test]
async fn votes_on_a_list_of_claims_and_no_others_are_told() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let claims: Vec<Record> = (0..5).map(|number| said("s", "a", number, "")).collect();
    let cast = |on: &Record, count: u32| -> Vec<Record> {
        let voted = |number| vote(on, &format!("v{number}"), 0.5, i64::from(number / 700));
        (0..count).map(voted).collect()
    };
    // The page ends within the votes of one moment on one claim, and between those on two.
    let votes: Vec<Vec<Record>> = [1_300, 700, 0, 999, 3]
        .iter()
        .zip(&claims)
        .map(|(count, claim)| cast(claim, *count))
        .collect();
    for records in [&claims, &votes.concat()] {
        append(&node, records).await;
    }
    let asked = |places: &[usize]| v1::ContextRequest {
        votes_of: Some("s".into()),
        votes_on: places.iter().map(|place| id(&claims[*place])).collect(),
        ..v1::ContextRequest::default()
    };
    let told = |places: &[usize]| ids(places.iter().flat_map(|place| &votes[*place]));
    for places in [
        &[0, 1, 2, 4][..],
        &[3, 4],
        &[4, 2, 0],
        &[2],
        &[0, 1, 2, 3, 4],
    ] {
        assert_eq!(all(&node, asked(places)).await, told(places), "{places:?}");
    }
    let cut = v1::ContextRequest {
        as_of_ms: Some(0),
        ..asked(&[0, 4])
    };
    let by_then = votes[0][..700].iter().chain(&votes[4]);
    assert_eq!(all(&node, cut).await, ids(by_then));
    // Of another subject there are none.
    let other = v1::ContextRequest {
        votes_of: Some("t".into()),
        ..asked(&[0])
    };
    assert!(all(&node, other).await.is_empty());
    for votes_on in [
        vec![id(&claims[0]); 1_001],
        vec![Bytes::from_static(b"short")],
    ] {
        let request = v1::ContextRequest {
            votes_on,
            ..asked(&[])
        };
        let refused = node.store().context(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    node.stop().await;
}

#[tokio::test]
async fn epochs_that_lead_to_a_list_and_no_others_are_told() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let unknown = epoch("unknown", &[], 0);
    let old: Vec<Record> = (0..600).map(|n| epoch(&format!("o{n}"), &[], 1)).collect();
    let new: Vec<Record> = (0..1_500)
        .map(|n| epoch(&format!("n{n}"), &[&old[n % 2], &unknown], n as i64 / 700))
        .collect();
    let newest = epoch("newest", &[&new[0], &new[1]], 9);
    let word = source("u", true, 1);
    append(&node, &old).await;
    append(&node, &new).await;
    append(&node, &[newest.clone(), word.clone()]).await;
    let asked = |records: &[&Record]| v1::ContextRequest {
        epochs: true,
        epochs_of: records.iter().map(|record| id(record)).collect(),
        ..v1::ContextRequest::default()
    };
    let leading = new.iter().step_by(2).chain([&old[5], &old[0]]);
    let found = all(&node, asked(&[&old[5], &old[0]])).await;
    assert_eq!(found, ids(leading), "one step only");
    assert_eq!(all(&node, asked(&[&unknown])).await, ids(&new));
    let every: Vec<&Record> = old[2..].iter().collect();
    assert_eq!(all(&node, asked(&every)).await, ids(&old[2..]));
    // Told under its own id, and as one that supersedes another of the list.
    let mut twice = told(&node, asked(&[&newest, &new[0], &word])).await;
    twice.sort();
    let mut expected = [&newest, &newest, &new[0]].map(id);
    expected.sort();
    assert_eq!(twice, expected);
    let cut = v1::ContextRequest {
        as_of_ms: Some(0),
        ..asked(&[&unknown, &old[0]])
    };
    let by_then: BTreeSet<Bytes> = told(&node, cut).await.into_iter().collect();
    assert_eq!(by_then, ids(&new[..700]));
    let not_epochs = v1::ContextRequest {
        epochs: false,
        ..asked(&[&old[0]])
    };
    assert!(all(&node, not_epochs).await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn of_two_words_of_one_moment_the_greater_id_is_told() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let mut words = [source("u", true, 5), source("u", false, 5)];
    append(&node, &words).await;
    append(&node, &[source("u", true, 4)]).await;
    words.sort_by_key(Record::id);
    let asked = v1::ContextRequest {
        sources: vec!["x".into(), "u".into()],
        ..v1::ContextRequest::default()
    };
    assert_eq!(all(&node, asked.clone()).await, ids(&words[1..]));
    for request in [
        v1::ContextRequest {
            cursor: Bytes::from_static(b"strange"),
            ..asked.clone()
        },
        v1::ContextRequest {
            sources: vec!["u".into(); 1_001],
            ..asked
        },
    ] {
        let refused = node.store().context(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    node.stop().await;
}

#[tokio::test]
async fn long_context_comes_in_pages_that_fit_a_message() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let reason = "x".repeat(15_000);
    let epochs: Vec<Record> = (0..300)
        .map(|number| {
            record(&format!(
                r#"{{"kind":"epoch","name":"e","reason":"{reason}","started_at":{number}}}"#
            ))
        })
        .collect();
    for batch in epochs.chunks(100) {
        append(&node, batch).await;
    }
    let asked = v1::ContextRequest {
        epochs: true,
        ..v1::ContextRequest::default()
    };
    let first = node.store().context(asked.clone()).await.unwrap();
    let first = first.into_inner();
    assert!(first.records.len() < 150 && !first.cursor.is_empty());
    assert_eq!(all(&node, asked).await, ids(&epochs));
    node.stop().await;
}

async fn subjects(node: &Node, prefix: &str, limit: u32) -> Vec<(String, u64)> {
    let mut request = v1::ListSubjectsRequest {
        prefix: prefix.into(),
        after: String::new(),
        limit,
    };
    let mut all = Vec::new();
    loop {
        let reply = node.store().list_subjects(request.clone()).await.unwrap();
        let reply = reply.into_inner();
        assert!(reply.subjects.len() <= limit as usize && reply.counts_as_absent);
        let found = reply.subjects.into_iter();
        all.extend(found.map(|found| (found.subject, found.records)));
        if !reply.more {
            return all;
        }
        request.after = all.last().unwrap().0.clone();
    }
}

#[tokio::test]
async fn subjects_are_listed_once_ascending_with_their_counts() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let names = [
        "a",
        "a\\u0000",
        "ab",
        "b",
        "b\\uffff",
        "b\\ud83d\\ude00",
        "ba",
        "c",
    ];
    let mut records = Vec::new();
    for (count, name) in (1..).zip(names) {
        records
            .extend((0..count).map(|number| about(name, &format!("p{}", number % 2), number, 0)));
    }
    // Neither a vote nor a source makes a subject.
    records.push(vote(&about("only voted on", "p", 1, 0), "v", 1.0, 0));
    records.push(source("bb", false, 0));
    append(&node, &records).await;
    let mut expected: Vec<(String, u64)> = (1..)
        .zip(["a", "a\0", "ab", "b", "b\u{ffff}", "b\u{1f600}", "ba", "c"])
        .map(|(count, name)| (name.to_owned(), count))
        .collect();
    expected.sort();
    for limit in [1, 3, 8, 1_000] {
        assert_eq!(subjects(&node, "", limit).await, expected, "limit {limit}");
        for prefix in ["a", "b", "ba", "c", "d", "a\0"] {
            let within: Vec<(String, u64)> = expected
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
                .cloned()
                .collect();
            assert_eq!(subjects(&node, prefix, limit).await, within, "{prefix:?}");
        }
    }
    for limit in [0, 1_001] {
        let request = v1::ListSubjectsRequest {
            limit,
            ..v1::ListSubjectsRequest::default()
        };
        let refused = node.store().list_subjects(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    node.stop().await;
}
