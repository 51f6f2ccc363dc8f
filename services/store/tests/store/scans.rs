//! Claims by prefix, source and predicate, without a subject.

use std::collections::BTreeSet;

use assertion::{Record, RecordId};
use bytes::Bytes;
use lens::{Match, Selection};
use proto::convert::selection_to_wire;
use proto::v1;
use tempfile::tempdir;
use tonic::Code;

use crate::node::{Node, SHARDS};
use crate::opening::shell;
use crate::questions::report;
use crate::records::{append, id, record, source};

/// Claims with many of one moment: what an import gives.
fn tied() -> Vec<Record> {
    (0..1_200_u32)
        .map(|number| {
            let at = if number % 3 == 0 { number / 200 } else { 7 };
            let lifecycle = if number % 10 == 0 { "rejected" } else { "approved" };
            record(&format!(
                r#"{{"subject":"s:{}","predicate":"p{}","asserted_at":{at},"lifecycle":"{lifecycle}",
                "object":{{"type":"number","value":{number}}},"source":{{"uri":"urn:{}","class":"expert"}}}}"#,
                number % 37,
                number % 2,
                number % 5
            ))
        })
        .collect()
}

/// All pages of a question, in their order.
async fn pages(node: &Node, selection: &Selection, limit: u32) -> Vec<RecordId> {
    let mut request = v1::QueryRequest {
        selection: Some(selection_to_wire(selection)),
        limit,
        ..v1::QueryRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let reply = node.store().query(request.clone()).await.unwrap();
        let reply = reply.into_inner();
        assert!(reply.records.len() <= limit as usize);
        let ids = reply
            .records
            .iter()
            .map(|found| RecordId::try_from(&found.id[..]).unwrap());
        found.extend(ids);
        if reply.cursor.is_empty() {
            return found;
        }
        request.cursor = reply.cursor;
    }
}

fn expected(selection: &Selection, records: &[Record]) -> Vec<RecordId> {
    let mut matching: Vec<(i64, RecordId)> = records
        .iter()
        .filter(|record| selection.matches(&record.claim().unwrap()) == Match::Yes)
        .map(|record| (-record.at_ms(), record.id()))
        .collect();
    matching.sort_unstable();
    matching.into_iter().map(|(_, id)| id).collect()
}

fn questions() -> Vec<Selection> {
    let text = |text: &str| Some(text.to_owned());
    let all = Selection::default;
    vec![
        Selection {
            predicate: text("p1"),
            ..all()
        },
        Selection {
            source: text("urn:3"),
            ..all()
        },
        Selection {
            source: text("urn:3"),
            predicate: text("p0"),
            ..all()
        },
        Selection {
            source: text("urn:3"),
            as_of: Some(4),
            ..all()
        },
        Selection {
            subject_prefix: text("s:1"),
            ..all()
        },
        Selection {
            subject_prefix: text("s:"),
            predicate: text("p1"),
            ..all()
        },
        Selection {
            subject_prefix: text("s:2"),
            source: text("urn:1"),
            as_of: Some(7),
            ..all()
        },
        Selection {
            subject_prefix: text(""),
            ..all()
        },
        Selection {
            subject: text("s:5"),
            source: text("urn:1"),
            ..all()
        },
        Selection {
            subject_prefix: text("t"),
            ..all()
        },
        Selection {
            predicate: text("urn:3"),
            ..all()
        },
        Selection {
            predicate: text("p0"),
            lifecycles: vec!["rejected".parse().unwrap()],
            ..all()
        },
    ]
}

#[tokio::test]
async fn pages_without_a_subject_hold_every_record_once_in_order() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records).await;
    append(&node, &[source("urn:3", false, 7)]).await;
    let mut not_empty = 0;
    for selection in questions() {
        let expected = expected(&selection, &records);
        not_empty += usize::from(!expected.is_empty());
        for limit in [23, 200, 1_000] {
            let found = pages(&node, &selection, limit).await;
            assert_eq!(found, expected, "{selection:?} by {limit}");
        }
    }
    assert_eq!(not_empty, 10);
    node.stop().await;
}

#[tokio::test]
async fn what_comes_between_two_pages_shifts_nothing() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records[..900]).await;
    for selection in questions().into_iter().take(7) {
        let held: BTreeSet<RecordId> = expected(&selection, &records[..900]).into_iter().collect();
        let mut request = v1::QueryRequest {
            selection: Some(selection_to_wire(&selection)),
            limit: 40,
            ..v1::QueryRequest::default()
        };
        let mut found = Vec::new();
        for more in records[900..].chunks(10).cycle() {
            let reply = node.store().query(request.clone()).await.unwrap();
            let reply = reply.into_inner();
            found.extend(
                reply
                    .records
                    .iter()
                    .map(|found| RecordId::try_from(&found.id[..]).unwrap()),
            );
            if reply.cursor.is_empty() {
                break;
            }
            request.cursor = reply.cursor;
            append(&node, more).await;
        }
        let once: BTreeSet<RecordId> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len(), "{selection:?}");
        assert!(once.is_superset(&held), "{selection:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn one_store_is_never_complete_about_many_subjects() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records[..20]).await;
    let alone = report(&["node1"], Vec::new());
    node.control().report_proofs(alone).await.unwrap();
    let asked = v1::QueryRequest {
        selection: Some(v1::Selection {
            source: Some("urn:1".into()),
            ..v1::Selection::default()
        }),
        limit: 5,
        include: vec![id(&records[7]), id(&records[30])],
        ..v1::QueryRequest::default()
    };
    let reply = node
        .store()
        .query(asked.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((reply.complete, reply.proved_through_ms), (false, 0));
    assert!(!reply.counts_as_absent);
    assert_eq!(reply.missing, [id(&records[30])], "wherever it would lie");
    // A lens needs all claims, which one store does not have.
    let lens = v1::LensCall {
        name: "recency".into(),
        ..v1::LensCall::default()
    };
    let asked = v1::QueryRequest {
        lens: Some(lens),
        ..asked
    };
    let refused = node.store().query(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    node.stop().await;
}

#[tokio::test]
async fn a_collision_of_keys_shows_nothing_that_was_not_asked_for() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records).await;
    let mut connection = shell(directory.path()).await;
    // As if both predicates had the key of the source, and the lines of a record were one.
    let collide = "INSERT OR IGNORE INTO mention SELECT s.key, m.minus_at_ms, m.sequence
        FROM mention m JOIN (SELECT key FROM mention WHERE sequence = 4) s";
    sqlx::query(collide).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    for selection in questions() {
        let found = pages(&node, &selection, 100).await;
        assert_eq!(found, expected(&selection, &records), "{selection:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_prefix_of_too_many_rows_is_told_what_to_add() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records).await;
    let mut connection = shell(directory.path()).await;
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n <= 50000)
        INSERT INTO topic SELECT 0, 's:many' || (n % 100), 'p9', n, -n FROM n";
    sqlx::query(many).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let asked = |prefix: &str, source: Option<&str>| Selection {
        subject_prefix: Some(prefix.into()),
        source: source.map(str::to_owned),
        ..Selection::default()
    };
    let request = v1::QueryRequest {
        selection: Some(selection_to_wire(&asked("s:", None))),
        limit: 10,
        ..v1::QueryRequest::default()
    };
    let refused = node.store().query(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.metadata().get(proto::CODE_HEADER).unwrap(),
        "too_much"
    );
    assert!(
        refused.message().contains("add predicate= or source="),
        "{refused}"
    );
    for selection in [asked("s:", Some("urn:2")), asked("s:1", None)] {
        let found = pages(&node, &selection, 90).await;
        assert_eq!(found, expected(&selection, &records), "{selection:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn every_shard_is_looked_into_for_an_id_after_a_restart() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = tied();
    append(&node, &records[..300]).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    let shards: BTreeSet<u32> = records[..37]
        .iter()
        .map(|record| shard::shard_of(record.topic().1, SHARDS))
        .collect();
    assert!(shards.len() > 1);
    let asked = v1::QueryRequest {
        selection: Some(v1::Selection {
            predicate: Some("p1".into()),
            ..v1::Selection::default()
        }),
        limit: 1,
        include: records[..37]
            .iter()
            .chain([&records[301]])
            .map(id)
            .collect(),
        ..v1::QueryRequest::default()
    };
    let reply = node.store().query(asked).await.unwrap().into_inner();
    let missing: Vec<Bytes> = reply.missing;
    assert_eq!(missing, [id(&records[301])]);
    node.stop().await;
}
