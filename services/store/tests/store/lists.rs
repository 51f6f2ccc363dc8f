//! Lists: epochs, sources, votes, predicates, in pages of any size.

use assertion::{Record, RecordId};
use bytes::Bytes;
use proto::v1;
use tempfile::tempdir;
use tonic::Code;

use crate::node::Node;
use crate::records::{about, append, epoch, id, record, said, source, vote};

/// All pages of a list. Every key is above the one before.
async fn all(node: &Node, mut request: v1::ListRequest) -> Vec<v1::ListedRow> {
    let mut rows: Vec<v1::ListedRow> = Vec::new();
    loop {
        let reply = node.store().list(request.clone()).await.unwrap();
        let reply = reply.into_inner();
        assert!(reply.rows.len() <= request.limit as usize);
        assert!(
            reply.counts_as_absent && !reply.complete,
            "nothing is proved here"
        );
        rows.extend(reply.rows);
        assert!(rows.is_sorted_by(|one, next| one.key < next.key));
        if reply.through.is_empty() {
            return rows;
        }
        assert!(rows.last().is_none_or(|last| last.key <= reply.through));
        request.after = reply.through;
    }
}

fn of(kind: v1::ListKind, limit: u32) -> v1::ListRequest {
    v1::ListRequest {
        kind: kind.into(),
        limit,
        ..v1::ListRequest::default()
    }
}

fn ids(rows: &[v1::ListedRow]) -> Vec<Bytes> {
    let id = |row: &v1::ListedRow| row.record.as_ref().unwrap().id.clone();
    rows.iter().map(id).collect()
}

fn ids_of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Bytes> {
    records.into_iter().map(id).collect()
}

const LIMITS: [u32; 4] = [1, 2, 7, 1_000];

#[tokio::test]
async fn epochs_come_newest_first_with_those_that_supersede_them() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    // Several of one moment, and one before 1970.
    let old: Vec<Record> = (0..20)
        .map(|number| epoch(&format!("e{number}"), &[], number / 8 - 1))
        .collect();
    let new = epoch("new", &[&old[3], &old[4]], 50);
    let newer = epoch("newer", &[&old[4], &new], 51);
    append(&node, &old).await;
    append(&node, &[new.clone(), newer.clone(), source("u", false, 60)]).await;
    let mut expected: Vec<&Record> = old.iter().chain([&new, &newer]).collect();
    expected.sort_by_key(|record| (-record.at_ms(), record.id()));
    for limit in LIMITS {
        let rows = all(&node, of(v1::ListKind::Epochs, limit)).await;
        assert_eq!(
            ids(&rows),
            ids_of(expected.iter().copied()),
            "limit {limit}"
        );
        let by = |superseded: &Record| {
            let found = |row: &&v1::ListedRow| row.record.as_ref().unwrap().id == id(superseded);
            rows.iter().find(found).unwrap().superseded_by.clone()
        };
        let mut both = ids_of([&new, &newer]);
        both.sort();
        assert_eq!(by(&old[4]), both);
        assert_eq!(by(&old[3]), ids_of([&new]));
        assert_eq!(by(&new), ids_of([&newer]));
        assert!(by(&newer).is_empty() && by(&old[0]).is_empty());
    }
    node.stop().await;
}

#[tokio::test]
async fn no_more_than_ten_superseders_are_named() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let old = epoch("old", &[], 0);
    let new: Vec<Record> = (0..30)
        .map(|number| epoch(&format!("n{number}"), &[&old], 1))
        .collect();
    append(&node, &new).await;
    append(&node, std::slice::from_ref(&old)).await;
    let rows = all(&node, of(v1::ListKind::Epochs, 100)).await;
    let named: Vec<RecordId> = rows
        .last()
        .unwrap()
        .superseded_by
        .iter()
        .map(|id| RecordId::try_from(&id[..]).unwrap())
        .collect();
    assert!(named.len() == 10 && named.is_sorted());
    assert!(
        named
            .iter()
            .all(|id| new.iter().any(|epoch| epoch.id() == *id))
    );
    node.stop().await;
}

#[tokio::test]
async fn sources_are_shown_by_their_latest_record() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let uri = |number: i64| format!("urn:{number:03}");
    // Every third one retracted last, every fifth one restored.
    let mut latest = Vec::new();
    for number in 0..60 {
        let history = [
            source(&uri(number), number % 3 == 0, 5),
            source(&uri(number), number % 3 == 0 && number % 5 != 0, 6),
        ];
        append(&node, &history).await;
        latest.push(history[1].clone());
    }
    let mut twice = [source("zzz", true, 7), source("zzz", false, 7)];
    append(&node, &twice).await;
    twice.sort_by_key(Record::id);
    latest.push(twice[1].clone());
    append(&node, &[said("s", "urn:known only by a claim", 1, "")]).await;
    for limit in LIMITS {
        let request = of(v1::ListKind::Sources, limit);
        assert_eq!(ids(&all(&node, request.clone()).await), ids_of(&latest));
        for retracted in [true, false] {
            let says = |record: &&Record| record.source().unwrap().retracted == Some(retracted);
            let asked = v1::ListRequest {
                retracted: Some(retracted),
                ..request.clone()
            };
            let expected = ids_of(latest.iter().filter(says));
            assert_eq!(ids(&all(&node, asked).await), expected, "{retracted}");
        }
        let asked = v1::ListRequest {
            prefix: "urn:01".into(),
            ..request
        };
        assert_eq!(ids(&all(&node, asked).await), ids_of(&latest[10..20]));
    }
    node.stop().await;
}

#[tokio::test]
async fn of_each_voter_the_vote_that_counts_is_shown() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let mut claims = [
        said("s", "a", 1, ""),
        said("s", "b", 2, ""),
        said("s", "c", 3, ""),
    ];
    claims.sort_by_key(Record::id);
    let mut expected = Vec::new();
    for claim in &claims[..2] {
        for number in 0..25 {
            let voter = format!("v{number:02}");
            let votes = [5, 9, 7].map(|at| vote(claim, &voter, 0.5, at));
            append(&node, &votes).await;
            expected.push(votes[1].clone());
        }
    }
    // Of one moment the greater id.
    let mut tie = [0.25, 0.75].map(|weight| vote(&claims[2], "w", weight, 3));
    append(&node, &tie).await;
    tie.sort_by_key(Record::id);
    expected.push(tie[1].clone());
    append(&node, &[vote(&said("other", "a", 1, ""), "v00", 1.0, 1)]).await;
    for limit in LIMITS {
        let request = v1::ListRequest {
            subject: "s".into(),
            ..of(v1::ListKind::Votes, limit)
        };
        assert_eq!(ids(&all(&node, request.clone()).await), ids_of(&expected));
        let asked = v1::ListRequest {
            assertion: claims[1].id().to_string(),
            ..request
        };
        assert_eq!(ids(&all(&node, asked).await), ids_of(&expected[25..50]));
    }
    node.stop().await;
}

#[tokio::test]
async fn predicates_of_a_subject_come_with_their_counts() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let names = ["a", "a b", "ab", "b", "b\\uffff", "b\\ud83d\\ude00"];
    let mut records = Vec::new();
    for (count, name) in (1..).zip(names) {
        records.extend((0..count).map(|number| about("s", name, number, 0)));
        records.push(about("t", &format!("{name} of t"), 1, 0));
    }
    append(&node, &records).await;
    append(&node, &[vote(&records[0], "v", 1.0, 0)]).await;
    for limit in LIMITS {
        let request = v1::ListRequest {
            subject: "s".into(),
            ..of(v1::ListKind::Predicates, limit)
        };
        let rows = all(&node, request).await;
        let shown: Vec<(&[u8], u64)> = rows.iter().map(|row| (&row.key[..], row.claims)).collect();
        let expected = ["a", "a b", "ab", "b", "b\u{ffff}", "b\u{1f600}"];
        let expected: Vec<(&[u8], u64)> = expected
            .iter()
            .map(|name| name.as_bytes())
            .zip(1..)
            .collect();
        assert_eq!(shown, expected);
    }
    node.stop().await;
}

#[tokio::test]
async fn records_are_found_by_the_beginning_of_their_ids() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let [one, two] = alike();
    assert_eq!(
        one.id().to_string()[..9],
        two.id().to_string()[..9].replace("c2fc21dc1", "c2fc21dc5")
    );
    let others: Vec<Record> = (0..300)
        .map(|number| about(&format!("s{number}"), "p", number, 0))
        .collect();
    let of_all_kinds = [
        source("u", false, 1),
        epoch("e", &[], 1),
        vote(&one, "v", 1.0, 1),
    ];
    append(&node, &others).await;
    append(&node, &of_all_kinds).await;
    append(&node, &[one.clone(), two.clone()]).await;
    let asked = |prefix: &str, limit| v1::ListRequest {
        prefix: prefix.to_owned(),
        ..of(v1::ListKind::Records, limit)
    };
    for limit in LIMITS {
        let rows = all(&node, asked("c2fc21dc", limit)).await;
        assert_eq!(ids(&rows), ids_of([&two, &one]), "limit {limit}");
        for record in others.iter().chain(&of_all_kinds) {
            let whole = record.id().to_string();
            for digits in [8, 9, 63, 64] {
                let rows = all(&node, asked(&whole[..digits], limit)).await;
                assert_eq!(ids(&rows), ids_of([record]), "{digits}");
            }
        }
    }
    assert_eq!(
        ids(&all(&node, asked("c2fc21dc5", 10)).await),
        ids_of([&one])
    );
    assert!(all(&node, asked("c2fc21dd", 10)).await.is_empty());
    for prefix in ["", "c2fc21d", "C2FC21DC", "c2fc21dx"] {
        let refused = node.store().list(asked(prefix, 10)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{prefix}");
    }
    node.stop().await;
}

/// Two claims about different subjects whose ids have the first 32 bits in common.
fn alike() -> [Record; 2] {
    [("s38", 7_604), ("s6", 41_134)].map(|(subject, at)| {
        record(&format!(
            r#"{{"subject":"{subject}","predicate":"p","asserted_at":{at},
            "object":{{"type":"number","value":1}},"source":{{"uri":"u","class":"expert"}}}}"#
        ))
    })
}

#[tokio::test]
async fn a_page_of_long_records_ends_early_and_nothing_is_lost() {
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
    let request = of(v1::ListKind::Epochs, 1_000);
    let first = node
        .store()
        .list(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(first.rows.len() < 150 && !first.through.is_empty());
    assert_eq!(ids(&all(&node, request).await), ids_of(epochs.iter().rev()));
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let strange = |kind, after: &'static [u8]| v1::ListRequest {
        after: Bytes::from_static(after),
        ..of(kind, 1)
    };
    for request in [
        of(v1::ListKind::Unspecified, 1),
        of(v1::ListKind::Epochs, 0),
        of(v1::ListKind::Sources, 1_001),
        strange(v1::ListKind::Epochs, b"x"),
        strange(v1::ListKind::Votes, b"x"),
        strange(v1::ListKind::Sources, b"\xff"),
        strange(v1::ListKind::Predicates, b"\xff"),
    ] {
        let refused = node.store().list(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
    }
    node.stop().await;
}
