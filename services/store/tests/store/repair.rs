//! Two stores that differ, brought together with nothing but their calls.

use bytes::Bytes;
use merkle::walk::Walk;
use merkle::{Below, Grain, Path};
use proto::convert;
use proto::v1;
use tempfile::tempdir;

use crate::node::{Node, SHARDS};
use crate::records::{append, claims};
use crate::writes::roots;

const SALT: [u8; 16] = [42; 16];

async fn descend(node: &Node, places: &[(u32, Path)], grains: &[Grain]) -> Vec<(u32, Below)> {
    let request = v1::DescendRequest {
        nodes: places
            .iter()
            .map(|(shard, path)| convert::tree_node(*shard, path))
            .collect(),
        salt: Bytes::copy_from_slice(&SALT),
        ids: convert::grain_bits(grains),
    };
    let reply = node.store().descend(request).await.unwrap().into_inner();
    let below = reply
        .nodes
        .into_iter()
        .map(|node| convert::below(node).unwrap());
    below.map(|(_, shard, below)| (shard, below)).collect()
}

/// What one store has and another may lack.
async fn walk(giver: &Node, receiver: &Node) -> Vec<v1::FetchNode> {
    let mut walk = Walk::new(0..=SHARDS);
    let mut nodes = Vec::new();
    while let Some((places, grains)) = walk.ask() {
        let (given, held) = (
            descend(giver, &places, &grains).await,
            descend(receiver, &places, &grains).await,
        );
        for leaf in walk.answered(given, held).unwrap() {
            nodes.push(v1::FetchNode {
                node: Some(convert::tree_node(leaf.shard, &leaf.path)),
                short_ids: Bytes::from(leaf.short_ids.concat()),
            });
        }
    }
    nodes
}

/// Of these, what a store does not hold.
async fn missing(node: &Node, nodes: Vec<v1::FetchNode>) -> Vec<v1::FetchNode> {
    let mut lacking = Vec::new();
    for nodes in nodes.chunks(proto::TREE_NODES_MAX) {
        let request = v1::MissingRequest {
            nodes: nodes.to_vec(),
            salt: Bytes::copy_from_slice(&SALT),
        };
        let reply = node.store().missing(request).await.unwrap().into_inner();
        let places = |nodes: &[v1::FetchNode]| -> Vec<Option<v1::TreeNode>> {
            nodes.iter().map(|node| node.node.clone()).collect()
        };
        assert_eq!(places(&reply.nodes), places(nodes));
        lacking.extend(reply.nodes);
    }
    lacking
}

/// Carries records from one store to the other, chunk by chunk. Returns how many came.
async fn carry(giver: &Node, receiver: &Node, wanted: &[v1::FetchNode]) -> usize {
    let mut fetched = 0;
    for nodes in wanted.chunks(proto::TREE_NODES_MAX) {
        let request = v1::FetchRequest {
            nodes: nodes.to_vec(),
            salt: Bytes::copy_from_slice(&SALT),
        };
        let mut chunks = giver.store().fetch(request).await.unwrap().into_inner();
        while let Some(chunk) = chunks.message().await.unwrap() {
            assert!(chunk.records.len() <= 1_000);
            fetched += chunk.records.len();
            let records = chunk.records.into_iter().map(|record| v1::AppendRecord {
                canonical: record.canonical,
                ..v1::AppendRecord::default()
            });
            let request = v1::AppendRequest {
                records: records.collect(),
                traces: Vec::new(),
                arrival: v1::Arrival::Repair.into(),
            };
            let reply = receiver.store().append(request).await.unwrap();
            let outcomes = reply.into_inner().outcomes;
            let stored = |outcome: &v1::AppendOutcome| outcome.status() == v1::AppendStatus::Stored;
            assert!(outcomes.iter().all(stored));
        }
    }
    fetched
}

fn count(nodes: &[v1::FetchNode]) -> usize {
    nodes.iter().map(|node| node.short_ids.len() / 8).sum()
}

#[tokio::test]
async fn a_difference_is_found_fetched_and_gone() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (giver, receiver) = (
        Node::start(one.path()).await,
        Node::start(other.path()).await,
    );
    append(&giver, &claims(0..5_000)).await;
    append(&receiver, &claims(1_700..6_000)).await;
    let wanted = missing(&receiver, walk(&giver, &receiver).await).await;
    assert_eq!(count(&wanted), 1_700);
    assert_eq!(count(&missing(&giver, wanted.clone()).await), 0);

    assert_eq!(carry(&giver, &receiver, &wanted).await, 1_700);
    let again = walk(&giver, &receiver).await;
    assert_eq!(count(&missing(&receiver, again).await), 0);

    // The other way, from a store that has no tree in memory.
    receiver.stop().await;
    let receiver = Node::start(other.path()).await;
    let back = missing(&giver, walk(&receiver, &giver).await).await;
    assert_eq!(count(&back), 1_000);
    append(&giver, &claims(5_000..6_000)).await;
    assert_eq!(roots(&giver).await, roots(&receiver).await);
    giver.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn long_records_come_in_chunks_that_fit_a_message() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let long = "x".repeat(60_000);
    let records: Vec<assertion::Record> = (0..60)
        .map(|number| {
            let json = format!(
                r#"{{"subject":"long","predicate":"p","asserted_at":{number},"object":{{"type":"text","value":"{long}"}},
                "source":{{"uri":"u","class":"expert"}}}}"#
            );
            assertion::Record::from_client_json(json.as_bytes(), 1_000).unwrap()
        })
        .collect();
    for batch in records.chunks(20) {
        append(&node, batch).await;
    }
    let shard = shard::shard_of("long", SHARDS);
    let short_ids: Vec<u8> = records
        .iter()
        .flat_map(|record| merkle::short_id(&SALT, record.id().as_bytes()))
        .collect();
    let request = v1::FetchRequest {
        nodes: vec![v1::FetchNode {
            node: Some(convert::tree_node(shard, &Path::ROOT)),
            short_ids: short_ids.into(),
        }],
        salt: Bytes::copy_from_slice(&SALT),
    };
    let mut chunks = node.store().fetch(request).await.unwrap().into_inner();
    let (mut fetched, mut parts) = (0, 0);
    while let Some(chunk) = chunks.message().await.unwrap() {
        let bytes: usize = chunk
            .records
            .iter()
            .map(|record| record.canonical.len())
            .sum();
        assert!(bytes <= 1 << 20, "{bytes}");
        fetched += chunk.records.len();
        parts += 1;
    }
    assert_eq!((fetched, parts), (60, 4));
    node.stop().await;
}
