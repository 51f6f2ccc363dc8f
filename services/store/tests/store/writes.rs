//! What is acknowledged is there, once, and stays.

use assertion::Record;
use bytes::Bytes;
use futures::future::join_all;
use merkle::{Digest, Id, Tree};
use proto::convert::shard_bits;
use proto::v1;
use tempfile::tempdir;

use crate::node::{Node, SHARDS};
use crate::records::{about, append, claim, claims, push, pushed};

/// Roots of all shards, in order, and how many ids they stand for.
pub(crate) async fn roots(node: &Node) -> (Vec<Digest>, u64) {
    let shards: Vec<u32> = (0..=SHARDS).collect();
    let request = v1::CompareRequest {
        shards: shard_bits(&shards),
        expected: Bytes::new(),
        ..v1::CompareRequest::default()
    };
    let reply = node.store().compare(request).await.unwrap().into_inner();
    let (roots, rest) = reply.roots.as_chunks::<32>();
    assert!(rest.is_empty() && !reply.equal);
    (roots.to_vec(), reply.counts.iter().sum())
}

/// The ids of a shard as the rows have them.
pub(crate) async fn ids(node: &Node, shard: u32, limit: u32) -> Vec<Id> {
    let mut store = node.store();
    let mut all: Vec<Id> = Vec::new();
    loop {
        let request = v1::ListIdsRequest {
            shard,
            max_sequence: 0,
            after: all
                .last()
                .map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id)),
            limit,
        };
        let page = store.list_ids(request).await.unwrap().into_inner();
        all.extend(page.ids.as_chunks::<32>().0);
        if !page.more {
            return all;
        }
    }
}

async fn rebuilt(node: &Node) -> Vec<Digest> {
    let mut roots = Vec::new();
    for shard in 0..=SHARDS {
        let tree: Tree = ids(node, shard, 100).await.into_iter().collect();
        roots.push(tree.root());
    }
    roots
}

#[tokio::test]
async fn a_record_is_stored_once_and_told_apart_from_what_is_none() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let record = claim(1);
    let mut request = push(&[record.clone(), claim(2), record.clone()]);
    request.records.push(pushed(b"{\"subject\":1}"));
    let mut loose = record.canonical().to_vec();
    loose.insert(1, b' ');
    request.records.push(pushed(&loose));
    let reply = node.store().append(request).await.unwrap().into_inner();
    let statuses: Vec<v1::AppendStatus> = reply
        .outcomes
        .iter()
        .map(v1::AppendOutcome::status)
        .collect();
    use v1::AppendStatus::{Invalid, Present, Stored};
    assert_eq!(statuses, [Stored, Stored, Present, Invalid, Invalid]);
    assert!(
        reply.outcomes[4].reason.contains("canonical"),
        "{}",
        reply.outcomes[4].reason
    );
    assert_eq!(append(&node, &[record]).await, [Present]);
    let described = node.describe().await;
    assert_eq!((described.records, described.sequence), (2, 2));
    assert!(described.serving && described.counts_as_absent && described.database_bytes > 0);
    node.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_all_and_the_roots_are_those_of_the_rows() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..2_500);
    assert!(
        append(&node, &records)
            .await
            .iter()
            .all(|status| *status == v1::AppendStatus::Stored)
    );
    let before = roots(&node).await;
    assert_eq!(before.1, 2_500);
    assert_eq!(before.0, rebuilt(&node).await);
    let described = node.describe().await;
    node.stop().await;

    let node = Node::start(directory.path()).await;
    assert_eq!(roots(&node).await, before);
    assert_eq!(rebuilt(&node).await, before.0);
    let again = node.describe().await;
    assert_eq!(
        (again.store_id, again.sequence),
        (described.store_id, 2_500)
    );
    assert!(
        append(&node, &records)
            .await
            .iter()
            .all(|status| *status == v1::AppendStatus::Present)
    );
    assert_eq!(
        append(&node, &claims(2_500..2_501)).await,
        [v1::AppendStatus::Stored]
    );
    assert_eq!(roots(&node).await.0, rebuilt(&node).await);
    assert_eq!(node.describe().await.sequence, 2_501);
    node.stop().await;
}

#[tokio::test]
async fn the_same_set_in_any_order_has_the_same_roots() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (one, other) = (
        Node::start(one.path()).await,
        Node::start(other.path()).await,
    );
    let mut records = claims(0..700);
    append(&one, &records).await;
    records.reverse();
    for batch in records.chunks(93) {
        append(&other, batch).await;
    }
    let (roots, count) = roots(&one).await;
    assert_eq!((roots.clone(), count), self::roots(&other).await);
    let shards: Vec<u32> = (0..=SHARDS).collect();
    let request = v1::CompareRequest {
        shards: shard_bits(&shards),
        expected: Bytes::copy_from_slice(&merkle::combined(shards.into_iter().zip(roots))),
        ..v1::CompareRequest::default()
    };
    let reply = other.store().compare(request).await.unwrap().into_inner();
    assert!(reply.equal && reply.roots.is_empty() && reply.counts.is_empty());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn writes_that_come_together_are_all_there() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..400);
    // Every record twice, from two callers at once: one stores it, the other finds it.
    let callers = [node.store(), node.store()];
    let calls = callers.iter().flat_map(|store| {
        records.iter().map(|record| {
            let mut store = store.clone();
            async move {
                store
                    .append(push(std::slice::from_ref(record)))
                    .await
                    .unwrap()
                    .into_inner()
            }
        })
    });
    let replies = join_all(calls).await;
    let stored = replies
        .iter()
        .filter(|reply| reply.outcomes[0].status() == v1::AppendStatus::Stored);
    assert_eq!(stored.count(), 400);
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(roots(&node).await, (rebuilt(&node).await, 400));
    node.stop().await;
}

#[tokio::test]
async fn a_row_tells_how_it_came() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let (first, second) = (claim(1), claim(2));
    let mut request = push(std::slice::from_ref(&first));
    request.traces.push(v1::TraceContext {
        trace_id: Bytes::from_static(&[7; 16]),
        span_id: Bytes::from_static(&[8; 8]),
        sampled: true,
    });
    request.records[0].trace = 1;
    node.store().append(request).await.unwrap();
    let origin = v1::Origin {
        store_id: Bytes::from_static(&[9; 16]),
        sequence: 77,
    };
    let mut request = push(std::slice::from_ref(&second));
    request.arrival = v1::Arrival::Repair.into();
    request.records[0].origin = Some(origin.clone());
    request.records[0].trace_id = Bytes::from_static(&[6; 16]);
    node.store().append(request).await.unwrap();

    let get = |records: &[&Record], provenance_only| v1::GetRequest {
        ids: records
            .iter()
            .map(|record| Bytes::copy_from_slice(record.id().as_bytes()))
            .collect(),
        provenance_only,
    };
    let unknown = claim(3);
    let reply = node
        .store()
        .get(get(&[&second, &unknown, &first], false))
        .await
        .unwrap()
        .into_inner();
    let [repaired, written] = &reply.records[..] else {
        panic!("two of three are held");
    };
    assert_eq!(repaired.canonical, second.canonical());
    assert_eq!(
        (repaired.arrival(), repaired.origin.clone()),
        (v1::Arrival::Repair, Some(origin))
    );
    assert_eq!(repaired.trace_id, &[6; 16][..]);
    assert_eq!(
        (written.arrival(), written.origin.clone()),
        (v1::Arrival::Push, None)
    );
    assert_eq!(
        (written.trace_id.as_ref(), written.sequence),
        (&[7; 16][..], 1)
    );
    assert_eq!(written.shard, shard::shard_of(first.topic().1, SHARDS));
    node.stop().await;

    // After a restart no tree is in memory, and every shard is looked into.
    let node = Node::start(directory.path()).await;
    let reply = node
        .store()
        .get(get(&[&first, &second, &unknown], true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.records.len(), 2);
    assert!(
        reply
            .records
            .iter()
            .all(|record| record.canonical.is_empty())
    );
    assert!(!reply.complete && reply.counts_as_absent);
    node.stop().await;
}

#[tokio::test]
async fn a_write_that_cannot_be_finished_ends_the_store() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..10)).await;
    // Stands for a disk that fails: SQLite meets an error that is neither "full" nor "busy".
    let sql = "CREATE TRIGGER broken BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("store.db"));
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let failed = node
        .store()
        .append(push(&claims(10..20)))
        .await
        .unwrap_err();
    assert_eq!(failed.code(), tonic::Code::Unknown);
    assert_eq!(
        failed.metadata().get(proto::CODE_HEADER).unwrap(),
        "maybe_stored"
    );
    let error = node.ended().await.unwrap_err();
    assert!(error.to_string().contains("disk I/O error"), "{error}");

    sqlx::query("DROP TRIGGER broken")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.records, 10);
    let record = about("cas:1", "melting_point_k", 1, 5);
    assert_eq!(append(&node, &[record]).await, [v1::AppendStatus::Stored]);
    node.stop().await;
}
