//! Databases of an earlier schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use assertion::Record;
use bytes::Bytes;
use merkle::Tree;
use proto::v1;
use sidecar::Shutdown;
use sidecar::tasks::Tasks;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, SqliteConnection};
use stemedb_store::Listeners;
use tempfile::tempdir;

use crate::node::{Node, SHARDS, config};
use crate::opening::shell;
use crate::records::{append, claims, epoch, id};
use crate::writes::roots;

static MIGRATIONS: Migrator = sqlx::migrate!();

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

/// A database as version 1 left it.
async fn of_schema_1(directory: &Path, records: &[Record]) {
    let mut connection = shell(directory).await;
    run(&mut connection, "PRAGMA application_id = 0x5374656d").await;
    run(&mut connection, "PRAGMA journal_mode = WAL").await;
    let first: Vec<_> = MIGRATIONS.iter().take(1).cloned().collect();
    let mut migrator = Migrator::DEFAULT;
    migrator.migrations = Cow::Owned(first);
    migrator.run(&mut connection).await.unwrap();
    run(&mut connection, "BEGIN").await;
    run(
        &mut connection,
        "INSERT INTO store VALUES (1, randomblob(16), 8, NULL, 1, 0)",
    )
    .await;
    let mut shards: BTreeMap<u32, (Tree, i64)> = BTreeMap::new();
    for (sequence, record) in (1_i64..).zip(records) {
        let (kind, subject, predicate, at) = record.topic();
        let (kind, shard) = match kind {
            assertion::Kind::Assertion => (0, shard::shard_of(subject, SHARDS)),
            assertion::Kind::Epoch => (2, SHARDS),
            other => panic!("no {other} here"),
        };
        let id = record.id().to_bytes();
        let head = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        sqlx::query(
            "INSERT INTO record (sequence, id_head, canonical, received_at_ms, arrival) VALUES (?, ?, ?, 0, 0);
             INSERT INTO place VALUES (?, ?, ?); INSERT INTO topic VALUES (?, ?, ?, ?, ?)",
        )
        .bind(sequence)
        .bind(head)
        .bind(record.canonical())
        .bind(shard)
        .bind(id.to_vec())
        .bind(sequence)
        .bind(kind)
        .bind(subject)
        .bind(predicate)
        .bind(at)
        .bind(sequence)
        .execute(&mut connection)
        .await
        .unwrap();
        let (tree, last) = shards.entry(shard).or_default();
        tree.insert(id);
        *last = sequence;
    }
    for (shard, (tree, last)) in shards {
        sqlx::query("INSERT INTO shard VALUES (?, ?, ?, ?)")
            .bind(shard)
            .bind(tree.root().to_vec())
            .bind(tree.len() as i64)
            .bind(last)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    run(&mut connection, "COMMIT").await;
    connection.close().await.unwrap();
}

async fn number(directory: &Path, sql: &'static str) -> i64 {
    let mut connection = shell(directory).await;
    let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    number.unwrap()
}

const LINES: &str = "SELECT count(*) FROM mention";
const LINES_OF_RECORDS: &str = "SELECT count(DISTINCT sequence) FROM mention";
const BACKLOG: &str = "SELECT coalesce(max(through), -1) FROM mention_backlog";

/// How many claims with the predicate of [`claims`] the store finds.
async fn found(node: &Node) -> usize {
    let mut request = v1::QueryRequest {
        selection: Some(v1::Selection {
            predicate: Some("boiling_point_k".into()),
            ..v1::Selection::default()
        }),
        limit: 1_000,
        ..v1::QueryRequest::default()
    };
    let mut count = 0;
    loop {
        let reply = node.store().query(request.clone()).await.unwrap();
        let reply = reply.into_inner();
        count += reply.records.len();
        if reply.cursor.is_empty() {
            return count;
        }
        request.cursor = reply.cursor;
    }
}

#[tokio::test]
async fn older_records_are_in_the_index_before_the_store_serves() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    // More than two batches, an epoch among them, and a damaged row, which must not keep the store from starting.
    let mut records = claims(0..9_000);
    records.insert(50, epoch("e", &[], 1));
    of_schema_1(path, &records).await;
    let mut connection = shell(path).await;
    run(
        &mut connection,
        "UPDATE record SET canonical = x'7b7d' WHERE sequence = 100",
    )
    .await;
    connection.close().await.unwrap();

    // A shutdown that comes first leaves it for the next start.
    let shutdown = Shutdown::new();
    shutdown.trigger();
    let config = config(path);
    let listeners = Listeners::bind(&config).await.unwrap();
    let mut tasks = Tasks::new(shutdown.clone());
    let assembled = stemedb_store::assemble(&config, listeners, &mut tasks, shutdown).await;
    stemedb_store::end(tasks, assembled.unwrap()).await.unwrap();
    assert_eq!(number(path, "PRAGMA user_version").await, 8);
    assert_eq!(
        (number(path, BACKLOG).await, number(path, LINES).await),
        (0, 1),
        "the epoch's line needs no more than SQL"
    );

    let node = Node::start(path).await;
    assert_eq!(found(&node).await, 8_999);
    let before = roots(&node).await;
    assert_eq!(before.1, 9_001);
    append(&node, &claims(9_000..9_010)).await;
    assert_eq!(found(&node).await, 9_009);
    node.stop().await;
    assert_eq!(number(path, BACKLOG).await, -1);
    assert_eq!(number(path, LINES).await, 2 * 9_009 + 1);

    // Stopped between two batches: the rest is entered, and nothing twice.
    let mut connection = shell(path).await;
    run(&mut connection, "DELETE FROM mention WHERE sequence > 4000").await;
    run(
        &mut connection,
        "INSERT INTO mention_backlog VALUES (1, 3000)",
    )
    .await;
    connection.close().await.unwrap();
    let node = Node::start(path).await;
    assert_eq!(found(&node).await, 9_009);
    node.stop().await;
    assert_eq!(number(path, LINES).await, 2 * 9_009 + 1);
    assert_eq!(number(path, LINES_OF_RECORDS).await, 9_010);
}

#[tokio::test]
async fn epochs_of_an_earlier_version_are_found_by_what_they_supersede() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    let old = epoch("old", &[], 1);
    let mut records: Vec<Record> = (0..70)
        .map(|number| epoch(&format!("e{number}"), &[&old], number))
        .collect();
    records.push(epoch("two", &[&records[0], &records[1]], 3));
    records.push(old.clone());
    of_schema_1(path, &records).await;
    // Bytes that are no JSON, no epoch, or nothing must not keep the store from starting.
    let mut connection = shell(path).await;
    for damage in [
        "UPDATE record SET canonical = x'7b' WHERE sequence = 1",
        "UPDATE record SET canonical = x'ff00' WHERE sequence = 2",
        "UPDATE record SET canonical = NULL WHERE sequence = 3",
        "UPDATE record SET canonical = CAST('{\"supersedes\":[1,\"zz\",\"00\",{}]}' AS BLOB) WHERE sequence = 4",
    ] {
        run(&mut connection, damage).await;
    }
    connection.close().await.unwrap();
    let node = Node::start(path).await;
    let request = v1::ContextRequest {
        epochs: true,
        epochs_of: vec![id(&old)],
        ..v1::ContextRequest::default()
    };
    let reply = node.store().context(request).await.unwrap().into_inner();
    let mut found: Vec<Bytes> = reply.records.into_iter().map(|found| found.id).collect();
    found.sort();
    let mut expected: Vec<Bytes> = records[4..70].iter().chain([&old]).map(id).collect();
    expected.sort();
    assert_eq!(found, expected);
    append(&node, &[epoch("new", &[&old, &records[70]], 9)]).await;
    node.stop().await;
    let lines = number(path, "SELECT count(*) FROM supersession").await;
    assert_eq!(lines, 66 + 2 + 2);
    let lines = "SELECT count(*) FROM mention WHERE sequence > 4";
    assert_eq!(number(path, lines).await, 73 - 4, "all sound ones, by time");
}

#[tokio::test]
async fn a_new_database_has_nothing_to_enter() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..70)).await;
    node.stop().await;
    let path = directory.path();
    assert_eq!(
        (number(path, BACKLOG).await, number(path, LINES).await),
        (-1, 140)
    );
}
