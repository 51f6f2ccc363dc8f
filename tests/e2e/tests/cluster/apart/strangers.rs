//! Nodes of another cluster, or of another number of shards, stay outside and are told why.

use std::time::Duration;

use e2e::cluster::{Cluster, FORMATION, statuses};
use e2e::eventually;
use e2e::http::Http;
use e2e::node::Node;
use proto::v1;
use proto::v1::store_client::StoreClient;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::nodes::reply;
use crate::stage;

/// Joins are tried every second.
const REFUSED: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_node_of_another_cluster_or_number_of_shards_is_refused() {
    let _turn = stage::empty().await;
    let http = Http::new();
    let mut cluster = Cluster::plan(3, &[("STEMEDB_BOOTSTRAP_EXPECT", "1")]);
    for node in &mut cluster.nodes {
        let own = node.swim();
        node.set("STEMEDB_SEED_NODES", &own);
    }
    let first = cluster.node(1).swim();
    cluster.nodes[2].set("STEMEDB_NUM_SHARDS", "128");
    cluster.nodes[2].set("STEMEDB_SEED_NODES", &first);
    cluster.nodes[2].set("STEMEDB_BOOTSTRAP_EXPECT", "2");
    for number in [1, 2] {
        cluster.node(number).start();
        cluster.ready(&http, cluster.node(number)).await;
    }
    let ours = cluster_id(&http, cluster.node(1)).await;
    let theirs = cluster_id(&http, cluster.node(2)).await;
    assert_ne!(ours, theirs);

    // A cluster of its own that is pointed at ours.
    cluster.node(2).kill();
    cluster.nodes[1].set("STEMEDB_SEED_NODES", &first);
    cluster.node(2).start();
    refusal(&http, cluster.node(2), [&ours, &theirs]).await;
    // A new node that counts shards differently.
    cluster.node(3).start();
    refusal(&http, cluster.node(3), ["128", "256"]).await;

    let alone = statuses(&http, cluster.node(1))
        .await
        .expect("the gateway answers");
    assert_eq!(alone, [("node1".to_owned(), "UP".to_owned())]);
    foreign_calls(cluster.node(1), &ours, &theirs).await;
}

async fn cluster_id(http: &Http, node: &Node) -> String {
    let said = http
        .get(&node.admin("/cluster/members"))
        .await
        .expect("the gateway answers")
        .json();
    let id = said["cluster_id"]
        .as_str()
        .unwrap_or_else(|| panic!("no cluster id: {said}"));
    id.to_owned()
}

/// The refused node names both values where its operator looks.
async fn refusal(http: &Http, node: &Node, values: [&str; 2]) {
    let url = node.admin("/cluster/members");
    reply("both values", FORMATION, http, &url, |reply| {
        values
            .iter()
            .all(|value| reply.json()["refused"].to_string().contains(value))
    })
    .await;
}

/// The store of one cluster takes no calls of another.
async fn foreign_calls(node: &Node, ours: &str, theirs: &str) {
    let mut client = StoreClient::connect(format!("http://{}", node.rpc()))
        .await
        .expect("the store listens");
    let asked = |cluster: &str| {
        let mut request = Request::new(v1::AppendRequest::default());
        let value: MetadataValue<_> = cluster.parse().expect("an id is ASCII");
        request
            .metadata_mut()
            .insert(proto::CLUSTER_ID_HEADER, value);
        request
    };
    let refused = client
        .append(asked(theirs))
        .await
        .expect_err("a foreign call");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    for id in [ours, theirs] {
        assert!(refused.message().contains(id), "{refused:?}");
    }
    let nameless = client
        .append(v1::AppendRequest::default())
        .await
        .expect_err("a nameless call");
    assert_eq!(nameless.code(), Code::FailedPrecondition, "{nameless:?}");
    eventually("a call of its own cluster is not foreign", REFUSED, || {
        let call = asked(ours);
        let mut client = client.clone();
        async move {
            match client.append(call).await {
                Err(status) if status.code() == Code::FailedPrecondition => {
                    Err(format!("{status:?}"))
                }
                _ => Ok(()),
            }
        }
    })
    .await;
}
