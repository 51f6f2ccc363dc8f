//! Rows in their order of arrival.

use std::pin::pin;

use assertion::Record;
use bytes::Bytes;
use proto::v1;
use tempfile::tempdir;
use tonic::Code;

use crate::node::{Node, SHARDS};
use crate::opening::shell;
use crate::records::{append, claim, claims, epoch, id, said, source, vote};

pub(crate) async fn from_the_start(node: &Node, limit: u32) -> v1::FollowRequest {
    v1::FollowRequest {
        store_id: node.describe().await.store_id,
        limit,
        ..v1::FollowRequest::default()
    }
}

pub(crate) async fn page(node: &Node, request: &v1::FollowRequest) -> v1::FollowReply {
    node.store()
        .follow(request.clone())
        .await
        .unwrap()
        .into_inner()
}

fn ids(records: &[v1::HeldRecord]) -> Vec<Bytes> {
    records.iter().map(|record| record.id.clone()).collect()
}

#[tokio::test]
async fn every_row_comes_once_in_order_however_it_is_waited_for() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..1_500);
    let mut request = from_the_start(&node, 64).await;
    request.wait_ms = 10_000;
    let mut store = node.store();
    let follower = tokio::spawn(async move {
        let mut rows: Vec<v1::HeldRecord> = Vec::new();
        while rows.len() < 1_500 {
            let reply = store.follow(request.clone()).await.unwrap().into_inner();
            assert!(reply.records.len() <= 64 && reply.through <= reply.head);
            assert_eq!(
                reply.through,
                reply
                    .records
                    .last()
                    .map_or(request.after, |row| row.sequence)
            );
            request.after = reply.through;
            rows.extend(reply.records);
        }
        rows
    });
    for batch in records.chunks(100) {
        append(&node, batch).await;
    }
    let rows = follower.await.unwrap();
    assert_eq!(ids(&rows), records.iter().map(id).collect::<Vec<_>>());
    let sequences: Vec<u64> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, (1..=1_500).collect::<Vec<_>>());
    let get = v1::GetRequest {
        ids: ids(&rows[700..900]),
        provenance_only: false,
    };
    let held = node.store().get(get).await.unwrap().into_inner().records;
    assert_eq!(rows[700..900], held, "told as Get tells it");
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_finds_all_that_came_meanwhile() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..10)).await;
    let mut request = from_the_start(&node, 4).await;
    let first = page(&node, &request).await;
    assert_eq!((first.records.len(), first.through, first.head), (4, 4, 10));
    request.after = first.through;
    // Many commits and a restart later.
    for batch in claims(10..900).chunks(31) {
        append(&node, batch).await;
    }
    node.stop().await;
    let node = Node::start(directory.path()).await;
    let mut rows = first.records;
    request.limit = 1_000;
    loop {
        let reply = page(&node, &request).await;
        request.after = reply.through;
        rows.extend(reply.records);
        if reply.through == reply.head {
            break;
        }
    }
    assert_eq!(
        ids(&rows),
        claims(0..900).iter().map(id).collect::<Vec<_>>()
    );
    // At the end an empty page, where it was.
    let reply = page(&node, &request).await;
    assert_eq!(
        (reply.records.len(), reply.through, reply.head),
        (0, 900, 900)
    );
    node.stop().await;
}

#[tokio::test]
async fn filters_pass_rows_over_and_a_wait_goes_on_behind_them() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let on = said("s", "u", 1, r#""lifecycle":"rejected","#);
    let records = [
        on.clone(),
        vote(&on, "v", 1.0, 1),
        epoch("e", &[], 1),
        source("u", true, 1),
        claim(1),
    ];
    append(&node, &records).await;
    let all = from_the_start(&node, 10).await;
    let taken = async |kinds: &[&str], selection: v1::Selection| -> Vec<Bytes> {
        let request = v1::FollowRequest {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            selection: Some(selection),
            ..all.clone()
        };
        let reply = page(&node, &request).await;
        assert_eq!((reply.through, reply.head), (5, 5));
        ids(&reply.records)
    };
    let of =
        |numbers: &[usize]| -> Vec<Bytes> { numbers.iter().map(|n| id(&records[*n])).collect() };
    let none = v1::Selection::default;
    assert_eq!(taken(&[], none()).await, of(&[0, 1, 2, 3, 4]));
    assert_eq!(taken(&["vote", "epoch"], none()).await, of(&[1, 2]));
    let subject = v1::Selection {
        subject: Some("s".into()),
        ..none()
    };
    assert_eq!(taken(&[], subject).await, of(&[0, 1]));
    let source = v1::Selection {
        source: Some("u".into()),
        ..none()
    };
    assert_eq!(taken(&[], source).await, of(&[0, 3]));

    // Rows that do not match end no wait; one that does ends it, and none is looked at again.
    let mut waiting = v1::FollowRequest {
        after: 5,
        wait_ms: 10_000,
        kinds: vec!["epoch".into()],
        ..all
    };
    let mut store = node.store();
    let request = waiting.clone();
    let follower = tokio::spawn(async move { store.follow(request).await });
    append(&node, &claims(10..40)).await;
    let last = epoch("f", &[], 1);
    append(&node, std::slice::from_ref(&last)).await;
    let reply = follower.await.unwrap().unwrap().into_inner();
    assert_eq!(ids(&reply.records), [id(&last)]);
    assert_eq!((reply.through, reply.head), (36, 36));
    waiting.after = 36;
    waiting.wait_ms = 50;
    append(&node, &claims(50..60)).await;
    let reply = page(&node, &waiting).await;
    assert_eq!(
        (reply.records.len(), reply.through, reply.head),
        (0, 46, 46)
    );
    node.stop().await;
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_in_rows_that_it_passes_over() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let long = "x".repeat(60_000);
    let records: Vec<Record> = (0..40)
        .map(|number| said("long", "u", number, &format!(r#""note":"{}","#, &long[..16_000])))
        .chain((0..20).map(|number| {
            crate::records::record(&format!(
                r#"{{"subject":"long","predicate":"p","asserted_at":{number},"object":{{"type":"text","value":"{long}"}},
                "source":{{"uri":"u","class":"expert"}}}}"#
            ))
        }))
        .collect();
    append(&node, &records).await;
    let mut request = from_the_start(&node, 1_000).await;
    let (mut rows, mut parts) = (Vec::new(), 0);
    while rows.len() < 60 {
        let reply = page(&node, &request).await;
        let bytes: usize = reply.records.iter().map(|row| row.canonical.len()).sum();
        assert!(bytes <= 1 << 20, "{bytes}");
        request.after = reply.through;
        rows.extend(reply.records);
        parts += 1;
    }
    assert_eq!(ids(&rows), records.iter().map(id).collect::<Vec<_>>());
    assert_eq!(parts, 2);
    node.stop().await;

    // Redacted rows, and a gap at the end.
    let mut connection = shell(directory.path()).await;
    let redacted = "WITH RECURSIVE n (n) AS (SELECT 61 UNION ALL SELECT n + 1 FROM n WHERE n < 25000)
        INSERT INTO record (sequence, id_head, canonical, received_at_ms, arrival) SELECT n, 0, NULL, 0, 0 FROM n";
    for sql in [redacted, "UPDATE shard SET last_sequence = 26000"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    sqlx::Connection::close(connection).await.unwrap();
    let node = Node::start(directory.path()).await;
    request.after = 60;
    // However long it would wait, it comes back.
    request.wait_ms = 10_000;
    let reply = page(&node, &request).await;
    assert_eq!(
        (reply.records.len(), reply.through, reply.head),
        (0, 20_060, 26_000)
    );
    request.after = reply.through;
    request.wait_ms = 0;
    let reply = page(&node, &request).await;
    assert_eq!(
        (reply.records.len(), reply.through, reply.head),
        (0, 26_000, 26_000)
    );
    node.stop().await;
}

#[tokio::test]
async fn a_damaged_row_holds_up_no_reader() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..5)).await;
    let mut connection = shell(directory.path()).await;
    sqlx::query("UPDATE record SET canonical = x'7b7d' WHERE sequence = 3")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let reply = page(&node, &from_the_start(&node, 10).await).await;
    let sequences: Vec<u64> = reply.records.iter().map(|row| row.sequence).collect();
    assert_eq!((sequences, reply.through), (vec![1, 2, 4, 5], 5));
    node.stop().await;
}

#[tokio::test]
async fn a_position_in_another_store_is_refused() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..5)).await;
    let sound = from_the_start(&node, 10).await;
    let strange = v1::FollowRequest {
        store_id: Bytes::from_static(&[1; 16]),
        ..sound.clone()
    };
    let refused = node.store().follow(strange).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(
        refused.metadata().get(proto::CODE_HEADER).unwrap(),
        "other_store"
    );
    let wrong: [fn(&mut v1::FollowRequest); 6] = [
        |request| request.store_id = Bytes::new(),
        |request| request.limit = 0,
        |request| request.limit = 1_001,
        |request| request.wait_ms = 10_001,
        |request| request.after = 6,
        |request| request.kinds = vec!["rumour".into()],
    ];
    for spoil in wrong {
        let mut request = sound.clone();
        spoil(&mut request);
        let refused = node.store().follow(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_store_that_stops_keeps_nobody_waiting() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..SHARDS)).await;
    let request = v1::FollowRequest {
        after: SHARDS.into(),
        wait_ms: 10_000,
        ..from_the_start(&node, 10).await
    };
    let mut store = node.store();
    let mut behind = store.clone();
    let mut waiting = pin!(store.follow(request));
    // On one connection: when the second call is answered, the first has been taken.
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("nothing came: {answer:?}"),
        described = behind.describe(v1::DescribeRequest {}) => drop(described.unwrap()),
    }
    let (answer, ()) = tokio::join!(waiting, node.stop());
    assert!(answer.unwrap().into_inner().records.is_empty());
}
