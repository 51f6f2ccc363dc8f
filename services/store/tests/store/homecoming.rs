//! Confirmations, and rows that are given up.

use std::path::Path;
use std::time::{Duration, Instant};

use assertion::Record;
use bytes::Bytes;
use proto::convert::shard_ranges;
use proto::v1;
use shard::homecoming::SETTLED_MS;
use sidecar::clock::boot_ms;
use sqlx::Connection as _;
use tempfile::tempdir;
use tonic::{Code, Status};

use crate::node::{Node, SHARDS};
use crate::opening::shell;
use crate::records::{append, claims, epoch, id, vote};
use crate::writes::{ids, roots};

const VERSION: u64 = 7;

/// The store is told what it owns; with a proof of every shard from the one peer.
pub(crate) async fn tell(node: &Node, owned: &[u32]) {
    let request = v1::ReportProofsRequest {
        known: ["node1", "node2", "node3"].map(String::from).to_vec(),
        replication_factor: 2,
        counted_replication_factor: 0,
        owned: shard_ranges(owned),
        proofs: ["node2", "node3"].map(proof).to_vec(),
        node: "node1".into(),
        view_shown_at_boot_ms: boot_ms(),
        view_incarnation: 1,
        view_version: VERSION,
        leaving: false,
    };
    node.control().report_proofs(request).await.unwrap();
}

fn proof(peer: &str) -> v1::PeerProof {
    let all: Vec<u32> = (0..=SHARDS).collect();
    v1::PeerProof {
        peer: peer.into(),
        shards: shard_ranges(&all),
        proved_at_boot_ms: boot_ms(),
        peer_counts_as_absent: false,
    }
}

fn bytes<'a>(records: impl IntoIterator<Item = &'a Record>) -> Bytes {
    let ids = records.into_iter().map(|record| record.id().to_bytes());
    Bytes::from(ids.collect::<Vec<_>>().concat())
}

async fn confirm(node: &Node, shard: u32, ids: Bytes) -> v1::ConfirmReply {
    let request = v1::ConfirmRequest { shard, ids };
    node.store().confirm(request).await.unwrap().into_inner()
}

fn order(shard: u32, ids: Bytes) -> v1::ReleaseRequest {
    v1::ReleaseRequest {
        shard,
        ids,
        asked_at_boot_ms: boot_ms(),
        hold_ms: 0,
        view_incarnation: 1,
        view_version: VERSION,
    }
}

async fn release(node: &Node, order: v1::ReleaseRequest) -> Result<v1::ReleaseReply, Status> {
    let reply = node.control().release(order).await?;
    Ok(reply.into_inner())
}

async fn refused(node: &Node, order: v1::ReleaseRequest) -> String {
    let status = release(node, order).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.metadata().get(proto::CODE_HEADER).unwrap(),
        "not_released"
    );
    status.message().to_owned()
}

async fn lines(directory: &Path) -> Vec<i64> {
    let mut connection = shell(directory).await;
    let mut counts = Vec::new();
    for table in [
        "SELECT count(*) FROM record",
        "SELECT count(*) FROM place",
        "SELECT count(*) FROM topic",
        "SELECT count(*) FROM mention",
    ] {
        let count = sqlx::query_scalar(table).fetch_one(&mut connection).await;
        counts.push(count.unwrap());
    }
    connection.close().await.unwrap();
    counts
}

async fn pages(directory: &Path) -> i64 {
    let mut connection = shell(directory).await;
    let count = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut connection)
        .await;
    connection.close().await.unwrap();
    count.unwrap()
}

/// All of a kind of shard of these records.
fn of_shard(records: &[Record], shard: u32) -> Vec<Record> {
    let lies = |record: &&Record| {
        let (_, subject, ..) = record.topic();
        shard::shard_of(subject, SHARDS) == shard
    };
    records.iter().filter(lies).cloned().collect()
}

#[tokio::test]
async fn an_owner_confirms_settled_rows_that_it_holds_and_nothing_else() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..400);
    let stored = Instant::now();
    append(&node, &records[..300]).await;
    let mine = of_shard(&records, 3);
    let held = of_shard(&records[..300], 3);
    assert!(held.len() > 10 && mine.len() > held.len());
    let nobody = confirm(&node, 3, bytes(&mine)).await;
    assert!(!nobody.owner && nobody.ids.is_empty(), "told nothing yet");
    tell(&node, &[3, SHARDS]).await;
    let young = confirm(&node, 3, bytes(&mine)).await;
    assert!(
        young.owner && young.ids.is_empty(),
        "proofs are on their way"
    );
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let settled = loop {
        tell(&node, &[3, SHARDS]).await;
        let reply = confirm(&node, 3, bytes(&mine)).await;
        if !reply.ids.is_empty() {
            break reply;
        }
        assert!(stored.elapsed() < Duration::from_secs(60));
        look.tick().await;
    };
    assert!(stored.elapsed() >= Duration::from_millis(SETTLED_MS));
    assert_eq!(settled.ids, bytes(&held));
    append(&node, &records[300..]).await;
    // What was told counts for some seconds, which a slow disk may need for the above.
    tell(&node, &[3, SHARDS]).await;
    let again = confirm(&node, 3, bytes(&mine)).await;
    assert_eq!(again.ids, bytes(&held), "the others have just come");
    // Of another shard, damaged, or too many: nothing.
    assert!(!confirm(&node, 2, bytes(&records)).await.owner);
    let mut connection = shell(directory.path()).await;
    sqlx::query("UPDATE record SET canonical = CAST(canonical || ' ' AS BLOB) WHERE sequence IN (SELECT sequence FROM place WHERE id = ?)")
        .bind(held[0].id().as_bytes().to_vec())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    tell(&node, &[3, SHARDS]).await;
    let rest = confirm(&node, 3, bytes(&held)).await;
    assert_eq!(rest.ids, bytes(&held[1..]));
    let many = v1::ConfirmRequest {
        shard: 3,
        ids: Bytes::from(vec![0; (proto::CONFIRM_IDS_MAX + 1) * 32]),
    };
    let status = node.store().confirm(many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    node.stop().await;
}

#[tokio::test]
async fn rows_go_only_when_the_last_word_allows_it() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..200);
    append(&node, &records).await;
    let ids = || bytes(&of_shard(&records, 3));
    assert!(refused(&node, order(3, ids())).await.contains("absent"));
    tell(&node, &[3, SHARDS]).await;
    assert!(refused(&node, order(3, ids())).await.contains("owns"));
    tell(&node, &[3, SHARDS]).await;
    let global = refused(&node, order(SHARDS, ids())).await;
    assert!(global.contains("global"));
    tell(&node, &[2, SHARDS]).await;
    let held = v1::ReleaseRequest {
        hold_ms: 60_000,
        ..order(3, ids())
    };
    assert!(refused(&node, held).await.contains("hold time"));
    tell(&node, &[2, SHARDS]).await;
    let other_view = v1::ReleaseRequest {
        view_version: VERSION + 1,
        ..order(3, ids())
    };
    assert!(refused(&node, other_view).await.contains("view"));
    tell(&node, &[2, SHARDS]).await;
    let old = v1::ReleaseRequest {
        asked_at_boot_ms: boot_ms() - 10_500,
        ..order(3, ids())
    };
    assert!(refused(&node, old).await.contains("confirmations"));
    assert_eq!(node.describe().await.records, 200, "nothing went");
    let many = order(3, Bytes::from(vec![0; (proto::RELEASE_IDS_MAX + 1) * 32]));
    let status = release(&node, many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    node.stop().await;
}

#[tokio::test]
async fn what_is_given_up_leaves_every_table_and_nothing_else_does() {
    let (directory, other) = (tempdir().unwrap(), tempdir().unwrap());
    let node = Node::start(directory.path()).await;
    let mut records = claims(0..600);
    records.push(vote(&records[0], "v", 1.0, 5));
    records.push(epoch("e", &[], 6));
    append(&node, &records).await;
    let (_, subject, ..) = records[0].topic();
    let shard = shard::shard_of(subject, SHARDS);
    let mine = of_shard(&records[..601], shard);
    assert!(mine.len() > 40);
    let gone = [&mine[..20], &mine[mine.len() - 1..]].concat();
    let left: Vec<Record> = records
        .iter()
        .filter(|record| !gone.contains(record))
        .cloned()
        .collect();
    let others: Vec<u32> = (0..=SHARDS).filter(|other| *other != shard).collect();
    tell(&node, &others).await;

    // An answer that has begun to count on the shard before, and the feed of a slow reader.
    let question = v1::QueryRequest {
        selection: Some(v1::Selection {
            subject: Some(subject.to_owned()),
            ..v1::Selection::default()
        }),
        limit: 1_000,
        ..v1::QueryRequest::default()
    };
    let before = node
        .store()
        .query(question.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(before.complete);
    let stranger = claims(900..901);
    let asked = bytes(gone.iter().chain(&stranger));
    tell(&node, &others).await;
    let reply = release(&node, order(shard, asked.clone())).await.unwrap();
    let length = gone.iter().map(|record| record.canonical().len() as u64);
    assert_eq!((reply.released, reply.record_bytes), (21, length.sum()));
    let after = node.store().query(question).await.unwrap().into_inner();
    assert!(!after.complete, "its proofs went with the rows");
    assert!(after.records.len() < before.records.len());
    tell(&node, &others).await;
    let again = release(&node, order(shard, asked)).await.unwrap();
    assert_eq!(again.released, 0);

    let reference = Node::start(other.path()).await;
    append(&reference, &left).await;
    assert_eq!(roots(&node).await, roots(&reference).await);
    assert_eq!(ids(&node, shard, 7).await, ids(&reference, shard, 7).await);
    reference.stop().await;
    let follow = v1::FollowRequest {
        store_id: node.describe().await.store_id,
        limit: 1_000,
        ..v1::FollowRequest::default()
    };
    let page = node
        .store()
        .follow(follow.clone())
        .await
        .unwrap()
        .into_inner();
    let rows: Vec<&Bytes> = page.records.iter().map(|row| &row.id).collect();
    assert_eq!(rows.len(), left.len());
    assert_eq!((page.through, page.head), (602, 602));
    let last = records
        .iter()
        .position(|record| *record == gone[20])
        .unwrap();
    assert_eq!(page.gone_through, last as u64 + 1);

    // Over a restart nothing comes back, and no sequence is given twice.
    node.stop().await;
    let n = left.len() as i64;
    assert_eq!(
        lines(directory.path()).await,
        [
            n,
            n,
            n,
            // Two of each claim, none of the vote if it is still there, one of the epoch.
            2 * (n - 2) + 1 + if gone.contains(&records[600]) { 2 } else { 0 }
        ]
    );
    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.records, left.len() as u64);
    append(&node, &gone[20..]).await;
    let tail = v1::FollowRequest {
        after: 602,
        ..follow
    };
    let page = node.store().follow(tail).await.unwrap().into_inner();
    assert_eq!((page.records[0].sequence, page.gone_through), (603, 0));
    assert_eq!(page.records[0].id, id(&gone[20]));
    node.stop().await;
}

#[tokio::test]
async fn the_space_of_what_went_is_used_again() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = claims(0..4_000);
    append(&node, &records).await;
    for shard in 0..SHARDS {
        for part in of_shard(&records, shard).chunks(proto::RELEASE_IDS_MAX) {
            tell(&node, &[SHARDS]).await;
            let reply = release(&node, order(shard, bytes(part))).await.unwrap();
            assert_eq!(reply.released, part.len() as u64);
        }
    }
    let described = node.describe().await;
    assert_eq!((described.records, described.sequence), (0, 4_000));
    node.stop().await;
    let emptied = pages(directory.path()).await;
    let node = Node::start(directory.path()).await;
    append(&node, &claims(10_000..13_500)).await;
    node.stop().await;
    assert!(pages(directory.path()).await <= emptied + emptied / 20);
}

#[tokio::test]
async fn a_node_that_leaves_takes_no_clients_writes_and_repairs_all_the_same() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let report = v1::ReportProofsRequest {
        known: vec!["node1".into(), "node2".into()],
        replication_factor: 2,
        counted_replication_factor: 0,
        node: "node1".into(),
        leaving: true,
        ..v1::ReportProofsRequest::default()
    };
    node.control().report_proofs(report).await.unwrap();
    let pushed = crate::records::push(&claims(0..1));
    let status = node.store().append(pushed.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.metadata().get(proto::CODE_HEADER).unwrap(),
        "leaving"
    );
    let repaired = v1::AppendRequest {
        arrival: v1::Arrival::Repair.into(),
        ..pushed
    };
    node.store().append(repaired).await.unwrap();
    assert_eq!(node.describe().await.records, 1);
    node.stop().await;
}
