//! Who may ask, and what is no question.

use bytes::Bytes;
use proto::v1;
use tempfile::tempdir;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use crate::node::{Node, SHARDS};
use crate::records::{append, claim, claims, pushed};

fn from_cluster<T>(id: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(proto::CLUSTER_ID_HEADER, MetadataValue::from_static(id));
    request
}

fn adopt(id: &str, num_shards: u32) -> v1::AdoptClusterRequest {
    v1::AdoptClusterRequest {
        cluster_id: id.into(),
        num_shards,
    }
}

fn wrong_cluster(status: &Status) {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(
        status.metadata().get(proto::CODE_HEADER).unwrap(),
        "wrong_cluster"
    );
}

#[tokio::test]
async fn peers_name_the_cluster_and_the_store_keeps_to_one() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let describe = v1::DescribeRequest {};
    let unborn = node
        .peer()
        .describe(from_cluster("one", describe))
        .await
        .unwrap_err();
    wrong_cluster(&unborn);
    assert!(
        unborn.message().contains("none yet") && unborn.message().contains("one"),
        "{unborn}"
    );
    let reply = node
        .control()
        .adopt_cluster(adopt("one", SHARDS))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.store_id, node.describe().await.store_id);
    node.control()
        .adopt_cluster(adopt("one", SHARDS))
        .await
        .unwrap();
    wrong_cluster(
        &node
            .control()
            .adopt_cluster(adopt("two", SHARDS))
            .await
            .unwrap_err(),
    );
    wrong_cluster(
        &node
            .control()
            .adopt_cluster(adopt("one", 4))
            .await
            .unwrap_err(),
    );
    node.stop().await;

    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.cluster_id, "one");
    node.peer()
        .describe(from_cluster("one", describe))
        .await
        .unwrap();
    wrong_cluster(&node.peer().describe(describe).await.unwrap_err());
    let other = node
        .peer()
        .describe(from_cluster("two", describe))
        .await
        .unwrap_err();
    assert!(
        other.message().contains("one") && other.message().contains("two"),
        "{other}"
    );
    // The own services may leave it out, but not be wrong.
    wrong_cluster(
        &node
            .store()
            .describe(from_cluster("two", describe))
            .await
            .unwrap_err(),
    );
    node.stop().await;
}

#[tokio::test]
async fn a_call_for_another_node_is_refused_at_both_doors() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    node.control()
        .adopt_cluster(adopt("one", SHARDS))
        .await
        .unwrap();
    for (name, mut store) in [("own", node.store()), ("peers", node.peer())] {
        let meant_for = |meant| {
            let mut request = from_cluster("one", v1::DescribeRequest {});
            let meant = MetadataValue::from_static(meant);
            request.metadata_mut().insert(proto::NODE_HEADER, meant);
            request
        };
        store.describe(meant_for("node1")).await.unwrap();
        let refused = store.describe(meant_for("node2")).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{name}");
        assert_eq!(
            refused.metadata().get(proto::CODE_HEADER).unwrap(),
            "wrong_node"
        );
        assert!(refused.message().contains("node1") && refused.message().contains("node2"));
    }
    node.stop().await;
}

#[tokio::test]
async fn what_changes_beliefs_is_not_for_peers() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let channel = sidecar::grpc::local_channel(node.peers).unwrap();
    let mut control = v1::store_control_client::StoreControlClient::new(channel);
    let refused = control
        .adopt_cluster(adopt("one", SHARDS))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(node.describe().await.cluster_id, "");
    let own = sidecar::grpc::local_channel(node.local).unwrap();
    sidecar::health::check(own).await.unwrap();
    node.stop().await;
}

fn invalid<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
async fn messages_that_mean_nothing_are_refused() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..5)).await;
    let mut store = node.store();
    let short = Bytes::from_static(b"short");
    let record = pushed(claim(9).canonical());
    let push = |records| v1::AppendRequest {
        records,
        traces: Vec::new(),
        arrival: v1::Arrival::Push.into(),
    };
    invalid(store.append(push(vec![record.clone(); 1_001])).await);
    let traced = v1::AppendRecord {
        trace: 3,
        ..record.clone()
    };
    invalid(store.append(push(vec![traced])).await);
    invalid(
        store
            .append(v1::AppendRequest {
                arrival: 0,
                ..push(vec![record])
            })
            .await,
    );

    invalid(
        store
            .get(v1::GetRequest {
                ids: vec![short.clone()],
                provenance_only: true,
            })
            .await,
    );
    let many = vec![Bytes::from_static(&[0; 32]); 1_001];
    invalid(
        store
            .get(v1::GetRequest {
                ids: many,
                provenance_only: true,
            })
            .await,
    );

    invalid(
        store
            .compare(v1::CompareRequest {
                shards: Bytes::from_static(&[0xff, 0xff]),
                expected: Bytes::new(),
                ..v1::CompareRequest::default()
            })
            .await,
    );
    invalid(
        store
            .compare(v1::CompareRequest {
                shards: Bytes::from_static(&[1]),
                expected: short.clone(),
                ..v1::CompareRequest::default()
            })
            .await,
    );
    node.stop().await;
}

#[tokio::test]
async fn places_that_do_not_exist_are_refused() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..5)).await;
    let mut store = node.store();
    let short = Bytes::from_static(b"short");
    let salt = Bytes::from_static(&[1; 16]);
    let tree_node = |shard, depth, prefix: &'static [u8]| v1::TreeNode {
        shard,
        depth,
        prefix: Bytes::from_static(prefix),
    };
    let fetch_node = |node, short_ids: Bytes| v1::FetchNode { node, short_ids };

    let descend = |nodes, salt| v1::DescendRequest {
        nodes,
        salt,
        ids: Bytes::new(),
    };
    invalid(
        store
            .descend(descend(vec![tree_node(0, 0, &[])], short.clone()))
            .await,
    );
    invalid(
        store
            .descend(descend(vec![tree_node(SHARDS + 1, 0, &[])], salt.clone()))
            .await,
    );
    invalid(
        store
            .descend(descend(vec![tree_node(0, 3, &[1])], salt.clone()))
            .await,
    );
    invalid(
        store
            .descend(descend(vec![tree_node(0, 0, &[]); 257], salt.clone()))
            .await,
    );

    let odd = vec![fetch_node(
        Some(tree_node(0, 0, &[])),
        Bytes::from_static(&[0; 9]),
    )];
    invalid(
        store
            .fetch(v1::FetchRequest {
                nodes: odd.clone(),
                salt: salt.clone(),
            })
            .await
            .map(drop),
    );
    invalid(
        store
            .missing(v1::MissingRequest {
                nodes: odd,
                salt: salt.clone(),
            })
            .await,
    );
    invalid(
        store
            .missing(v1::MissingRequest {
                nodes: vec![fetch_node(None, Bytes::new())],
                salt: salt.clone(),
            })
            .await,
    );
    let long = vec![fetch_node(
        Some(tree_node(0, 0, &[])),
        Bytes::from(vec![0; 8 * 40_000]),
    )];
    invalid(
        store
            .missing(v1::MissingRequest { nodes: long, salt })
            .await,
    );

    let list = |shard, after: &Bytes, limit| v1::ListIdsRequest {
        shard,
        max_sequence: 0,
        after: after.clone(),
        limit,
    };
    invalid(store.list_ids(list(SHARDS + 1, &Bytes::new(), 1)).await);
    invalid(store.list_ids(list(0, &short, 1)).await);
    invalid(store.list_ids(list(0, &Bytes::new(), 0)).await);
    node.stop().await;
}

#[tokio::test]
async fn questions_that_mean_nothing_are_refused() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let mut store = node.store();
    let asked = v1::QueryRequest {
        selection: Some(v1::Selection {
            subject: Some("s".into()),
            ..v1::Selection::default()
        }),
        limit: 10,
        ..v1::QueryRequest::default()
    };
    store.query(asked.clone()).await.unwrap();
    let subjectless = store
        .query(v1::QueryRequest {
            selection: None,
            ..asked.clone()
        })
        .await
        .unwrap_err();
    assert!(
        subjectless.message().contains("add subject="),
        "{subjectless}"
    );
    invalid::<()>(Err(subjectless));
    invalid(
        store
            .query(v1::QueryRequest {
                limit: 0,
                ..asked.clone()
            })
            .await,
    );
    invalid(
        store
            .query(v1::QueryRequest {
                limit: 1_001,
                ..asked.clone()
            })
            .await,
    );
    invalid(
        store
            .query(v1::QueryRequest {
                cursor: Bytes::from_static(b"x"),
                ..asked.clone()
            })
            .await,
    );
    let include = vec![Bytes::from_static(b"x")];
    invalid(
        store
            .query(v1::QueryRequest {
                include,
                ..asked.clone()
            })
            .await,
    );
    let oracle = v1::LensCall {
        name: "oracle".into(),
        ..v1::LensCall::default()
    };
    invalid(
        store
            .query(v1::QueryRequest {
                lens: Some(oracle),
                ..asked.clone()
            })
            .await,
    );
    let wide = v1::LensCall {
        name: "skeptic".into(),
        tolerance: Some(f64::NAN),
        ..v1::LensCall::default()
    };
    invalid(
        store
            .query(v1::QueryRequest {
                lens: Some(wide),
                ..asked
            })
            .await,
    );
    node.stop().await;
}
