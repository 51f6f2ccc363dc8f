//! Claims on a page that lenses leave out whatever they say themselves.

use assertion::Record;
use proto::v1;
use tempfile::tempdir;

use crate::node::Node;
use crate::records::{append, epoch, id, said, source};

async fn page(node: &Node, as_of_ms: Option<i64>) -> v1::QueryReply {
    let request = v1::QueryRequest {
        selection: Some(v1::Selection {
            subject: Some("s".into()),
            as_of_ms,
            ..v1::Selection::default()
        }),
        limit: 100,
        ..v1::QueryRequest::default()
    };
    node.store().query(request).await.unwrap().into_inner()
}

/// As antientropy does for a node that is alone: it can prove that it has everything.
async fn prove(node: &Node) {
    let report = v1::ReportProofsRequest {
        known: vec!["node1".into()],
        replication_factor: 1,
        counted_replication_factor: 0,
        owned: vec![v1::ShardRange {
            first: 0,
            last: crate::node::SHARDS,
        }],
        proofs: Vec::new(),
        node: "node1".into(),
        ..v1::ReportProofsRequest::default()
    };
    node.control().report_proofs(report).await.unwrap();
}

fn mark(record: &Record, retracted: bool, superseded_by: &[&Record]) -> v1::Mark {
    v1::Mark {
        id: id(record),
        retracted,
        superseded_by: superseded_by.iter().map(|record| id(record)).collect(),
    }
}

#[tokio::test]
async fn a_complete_page_marks_what_lenses_leave_out() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let old = epoch("old", &[], 1);
    let new = epoch("new", &[&old], 20);
    let of_old = format!("\"epoch\":\"{}\",", old.id());
    let claims = [
        said("s", "good", 9, ""),
        said("s", "gone", 8, ""),
        said("s", "gone", 7, &of_old),
        said("s", "good", 6, &of_old),
        said("s", "back", 5, ""),
    ];
    append(&node, &claims).await;
    prove(&node).await;
    assert!(
        page(&node, None).await.marks.is_empty(),
        "there are no sources and epochs"
    );
    append(&node, &[old, new.clone(), source("gone", true, 10)]).await;
    append(
        &node,
        &[source("back", true, 10), source("back", false, 11)],
    )
    .await;
    prove(&node).await;
    let reply = page(&node, None).await;
    assert!(reply.complete && reply.records.len() == 5);
    let marks = [
        mark(&claims[1], true, &[]),
        mark(&claims[2], true, &[&new]),
        mark(&claims[3], false, &[&new]),
    ];
    assert_eq!(reply.marks, marks);
    let marks = [
        mark(&claims[1], true, &[]),
        mark(&claims[2], true, &[]),
        mark(&claims[4], true, &[]),
    ];
    prove(&node).await;
    assert_eq!(page(&node, Some(10)).await.marks, marks);
    node.stop().await;
}
