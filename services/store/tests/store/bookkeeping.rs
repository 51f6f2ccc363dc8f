//! Damage to what the database says of itself beside the records: seen at the start, and it never ends the store at a write.

use std::path::Path;

use proto::v1;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::node::Node;
use crate::opening::shell;
use crate::records::{append, claims};
use crate::scrub::{ask, filled, look, proved, proved_anew, scrub, until};

/// Against the checks of the schema, as damage is.
async fn force(directory: &Path, sql: &str) {
    let mut connection = shell(directory).await;
    let sql = format!("PRAGMA ignore_check_constraints = ON; {sql}");
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

/// All is here and counts, new records are taken, and they are there after a restart.
async fn goes_on(directory: &Path, what: &str, lost: bool) {
    let node = Node::start(directory).await;
    let described = node.describe().await;
    assert!(described.sequence < 1 << 53, "{what}: {described:?}");
    assert_eq!(
        (described.records, described.counts_as_absent),
        (304, lost),
        "{what}"
    );
    let due = look(&node, false).await.ended_at_ms == 0;
    assert_eq!(due, lost, "{what}: a pass is due");
    proved(&node).await;
    if lost {
        proved_anew(&node).await;
    }
    let new = claims(900..902);
    let statuses = append(&node, &new).await;
    assert_eq!(statuses, [v1::AppendStatus::Stored; 2], "{what}");
    proved(&node).await;
    assert!(ask(&node, "cas:7").await.unwrap().complete, "{what}");
    let said = scrub(&node).await;
    assert_eq!((said.error.as_str(), said.quarantined), ("", 0), "{what}");
    node.stop().await;
    let node = Node::start(directory).await;
    let statuses = append(&node, &new).await;
    assert_eq!(statuses, [v1::AppendStatus::Present; 2], "{what}");
    append(&node, &claims(902..903)).await;
    node.stop().await;
}

#[tokio::test]
async fn a_last_sequence_that_was_never_given_is_that_of_the_last_row() {
    for last in [i64::MAX, 1 << 45, 0, -1] {
        let (directory, node) = filled().await;
        proved(&node).await;
        scrub(&node).await;
        node.stop().await;
        let one = "WHERE shard = (SELECT shard FROM shard ORDER BY last_sequence DESC LIMIT 1)";
        for which in [one, ""] {
            let sql = format!("UPDATE shard SET last_sequence = {last} {which}");
            force(directory.path(), &sql).await;
            let what = format!("{last} {which}");
            if which.is_empty() {
                let node = Node::start(directory.path()).await;
                let statuses = append(&node, &claims(910..911)).await;
                assert_eq!(statuses, [v1::AppendStatus::Stored], "{what}");
                node.stop().await;
            } else {
                goes_on(directory.path(), &what, false).await;
            }
        }
    }
}

#[tokio::test]
async fn a_shard_that_hides_its_ids_is_derived_anew_and_the_store_counts_as_absent() {
    for damage in [
        "DELETE FROM shard WHERE shard = 3",
        "UPDATE shard SET ids = 0 WHERE shard = 3",
        "UPDATE shard SET ids = -1 WHERE shard = 3",
        "UPDATE shard SET ids = 9223372036854775807",
        "UPDATE shard SET root = x'00' WHERE shard = 3",
        "UPDATE shard SET shard = 1000000 WHERE shard = 3",
        "UPDATE shard SET shard = -9223372036854775808 WHERE shard = 3",
    ] {
        let (directory, node) = filled().await;
        proved(&node).await;
        scrub(&node).await;
        node.stop().await;
        force(directory.path(), damage).await;
        goes_on(directory.path(), damage, true).await;
    }
}

#[tokio::test]
async fn a_row_at_a_place_that_was_never_given_is_put_aside_and_comes_again() {
    for place in [i64::MAX, (1 << 53) - 1, 0, i64::MIN] {
        let (directory, node) = filled().await;
        node.stop().await;
        let sql = format!("UPDATE record SET sequence = {place} WHERE sequence = 8");
        force(directory.path(), &sql).await;
        let node = Node::start(directory.path()).await;
        proved(&node).await;
        assert_eq!(node.describe().await.sequence, 304);
        assert!(ask(&node, "cas:7").await.is_err());
        until(&node, "put aside", |said| said.quarantined == 1).await;
        scrub(&node).await;
        assert!(!ask(&node, "cas:7").await.unwrap().complete);
        append(&node, &claims(7..8)).await;
        proved_anew(&node).await;
        let answer = ask(&node, "cas:7").await.unwrap();
        assert_eq!((answer.records.len(), answer.complete), (2, true));
        assert_eq!(node.describe().await.sequence, 305, "{place}");
        node.stop().await;
    }
}

#[tokio::test]
async fn a_row_that_all_tables_have_at_a_place_that_was_never_given_does_not_end_the_store() {
    let (directory, node) = filled().await;
    proved(&node).await;
    node.stop().await;
    for table in ["record", "place", "topic", "mention"] {
        let sql = format!(
            "UPDATE {table} SET sequence = {} WHERE sequence = 8",
            (1_i64 << 53) - 1
        );
        force(directory.path(), &sql).await;
    }
    for number in 900..903 {
        let node = Node::start(directory.path()).await;
        let statuses = append(&node, &claims(number..number + 1)).await;
        assert_eq!(statuses, [v1::AppendStatus::Stored], "{number}");
        assert!(node.describe().await.sequence < 400);
        scrub(&node).await;
        node.stop().await;
    }
    let node = Node::start(directory.path()).await;
    assert_eq!(look(&node, false).await.quarantined, 0, "in this process");
    append(&node, &claims(7..8)).await;
    proved_anew(&node).await;
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (2, true));
    node.stop().await;
}

#[tokio::test]
async fn a_count_of_losses_that_cannot_be_is_one_that_nobody_remembers() {
    for losses in [i64::MAX, -1] {
        let (directory, node) = filled().await;
        proved(&node).await;
        scrub(&node).await;
        node.stop().await;
        force(
            directory.path(),
            &format!("UPDATE store SET losses = {losses}"),
        )
        .await;
        goes_on(directory.path(), &format!("losses {losses}"), false).await;
    }
}

#[tokio::test]
async fn ids_that_went_from_a_store_that_is_absent_already_are_told_to_repair() {
    let (directory, node) = filled().await;
    proved(&node).await;
    scrub(&node).await;
    node.stop().await;
    let damage = "UPDATE store SET counts_as_absent = 1; DELETE FROM shard WHERE shard = 3";
    force(directory.path(), damage).await;
    let node = Node::start(directory.path()).await;
    let compare = v1::CompareRequest {
        shards: proto::convert::shard_bits(&[3]),
        ..v1::CompareRequest::default()
    };
    let reply = node.store().compare(compare).await.unwrap().into_inner();
    assert_eq!((reply.counts_as_absent, reply.losses), (true, 1));
    assert_eq!(look(&node, false).await.ended_at_ms, 0);
    node.stop().await;
}
