//! Rows that are gone while lines still lead to them, and lines that contradict their records: met by an answer, never left out of
//! one that says complete.

use assertion::Record;
use bytes::Bytes;
use lens::{Lens, Options, Parameters, Selection};
use proto::v1;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tonic::{Code, Status};

use crate::following::{from_the_start, page};
use crate::node::Node;
use crate::opening::shell;
use crate::questions::asked;
use crate::records::{append, claims, epoch, id, push, record, said, source, vote};
use crate::scrub::{ask, edit, filled, look, proved, proved_anew, records, scrub, until};

/// Rows of an answer, and whether it is complete.
type Read = Result<(usize, bool), Status>;

/// A way to read claim 7, which is row 8, or another of these records.
type Way = (&'static str, usize, fn(v1::Selection) -> v1::Selection);

async fn query(node: &Node, selection: v1::Selection) -> Read {
    let request = v1::QueryRequest {
        selection: Some(selection),
        limit: 1_000,
        ..v1::QueryRequest::default()
    };
    let reply = node.store().query(request).await?.into_inner();
    Ok((reply.records.len(), reply.complete))
}

async fn weigh(node: &Node, predicate: Option<&str>) -> Read {
    let selection = Selection {
        subject: Some("cas:7".into()),
        predicate: predicate.map(str::to_owned),
        ..Selection::default()
    };
    let parameters = Parameters::new(Lens::Recency, Options::default(), selection).unwrap();
    let reply = node.store().query(asked(&parameters)).await?.into_inner();
    Ok((1, reply.complete))
}

async fn list(node: &Node, kind: v1::ListKind, number: usize) -> Read {
    let record = &records()[number];
    let request = v1::ListRequest {
        kind: kind.into(),
        limit: 10,
        subject: "cas:0".into(),
        prefix: match kind {
            v1::ListKind::Records => record.id().to_string()[..16].to_owned(),
            _ => String::new(),
        },
        ..v1::ListRequest::default()
    };
    let reply = node.store().list(request).await?.into_inner();
    Ok((reply.rows.len(), reply.complete))
}

async fn get(node: &Node, number: usize) -> Read {
    let request = v1::GetRequest {
        ids: vec![id(&records()[number])],
        ..v1::GetRequest::default()
    };
    let reply = node.store().get(request).await?.into_inner();
    Ok((reply.records.len(), reply.complete))
}

/// By number of the record that is lacking.
async fn read(node: &Node, way: &str, number: usize) -> Read {
    let subject = v1::Selection {
        subject: Some("cas:7".into()),
        ..v1::Selection::default()
    };
    match way {
        "subject" => query(node, subject).await,
        "topic" => {
            let predicate = Some("boiling_point_k".into());
            query(
                node,
                v1::Selection {
                    predicate,
                    ..subject
                },
            )
            .await
        }
        "lens" => weigh(node, Some("boiling_point_k")).await,
        "lens of a subject" => weigh(node, None).await,
        "votes" => list(node, v1::ListKind::Votes, number).await,
        "epochs" => list(node, v1::ListKind::Epochs, number).await,
        "sources" => list(node, v1::ListKind::Sources, number).await,
        "records" => list(node, v1::ListKind::Records, number).await,
        _ => get(node, number).await,
    }
}

/// One store per way, so that each meets it first.
async fn is_noticed(way: &str, number: usize, damage: &str) {
    let (directory, node) = filled().await;
    proved(&node).await;
    let whole = read(&node, way, number).await.unwrap();
    assert!(whole.1, "{way}");
    let sql = format!("{damage} WHERE sequence = {}", number + 1);
    edit(directory.path(), &sql).await;
    let refused = read(&node, way, number).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{way}: {refused}");
    // No scrub was asked for; it is seen by the number of rows that wait, before the pass is through.
    until(&node, "put aside", |said| said.quarantined == 1).await;
    until(&node, "through", |said| said.passes == 1).await;
    let lacking = read(&node, way, number).await.unwrap();
    assert!(!lacking.1, "{way}");
    let statuses = append(&node, &records()[number..=number]).await;
    assert_eq!(statuses, [v1::AppendStatus::Stored], "{way}");
    proved_anew(&node).await;
    assert_eq!(read(&node, way, number).await.unwrap(), whole, "{way}");
    node.stop().await;
}

const GONE: &str = "DELETE FROM record";
const EMPTIED: &str = "UPDATE record SET canonical = NULL";

#[tokio::test]
async fn a_claim_whose_row_or_bytes_are_gone_is_noticed_by_every_way_to_it() {
    for way in [
        "subject",
        "topic",
        "lens",
        "lens of a subject",
        "records",
        "get",
    ] {
        for damage in [GONE, EMPTIED] {
            is_noticed(way, 7, damage).await;
        }
    }
}

#[tokio::test]
async fn a_vote_an_epoch_or_a_source_whose_row_is_gone_is_noticed_by_its_list() {
    is_noticed("epochs", 300, GONE).await;
    is_noticed("votes", 301, GONE).await;
    is_noticed("sources", 302, GONE).await;
}

#[tokio::test]
async fn what_a_way_over_all_subjects_does_not_find_is_refused() {
    let ways: [Way; 2] = [
        ("source", 7, |selection| v1::Selection {
            source: Some("urn:7".into()),
            ..selection
        }),
        ("prefix", 7, |selection| v1::Selection {
            subject_prefix: Some("cas:7".into()),
            ..selection
        }),
    ];
    for (way, number, narrow) in ways {
        let (directory, node) = filled().await;
        let selection = narrow(v1::Selection::default());
        let whole = query(&node, selection.clone()).await.unwrap().0;
        let sql = format!("{GONE} WHERE sequence = {}", number + 1);
        edit(directory.path(), &sql).await;
        let refused = query(&node, selection.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{way}: {refused}");
        until(&node, "put aside", |said| said.quarantined == 1).await;
        until(&node, "through", |said| said.passes == 1).await;
        assert_eq!(query(&node, selection).await.unwrap().0, whole - 1, "{way}");
        node.stop().await;
    }
}

#[tokio::test]
async fn a_feed_names_what_is_gone_and_has_it_looked_at() {
    let (directory, node) = filled().await;
    proved(&node).await;
    edit(directory.path(), &format!("{EMPTIED} WHERE sequence = 8")).await;
    let request = from_the_start(&node, 1_000).await;
    let reply = page(&node, &request).await;
    // Its reader takes the record from another copy, which it would else hold for one that it has seen here.
    assert_eq!((reply.records.len(), reply.gone_through), (303, 8));
    until(&node, "put aside", |said| said.quarantined == 1).await;
    assert!(
        !ask(&node, "cas:7")
            .await
            .is_ok_and(|answer| answer.complete)
    );
    until(&node, "through", |said| said.passes == 1).await;
    append(&node, &claims(7..8)).await;
    proved_anew(&node).await;
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (2, true));
    let reply = page(&node, &request).await;
    assert_eq!((reply.records.len(), reply.gone_through), (304, 8));
    node.stop().await;
}

#[tokio::test]
async fn a_damaged_row_behind_a_gap_is_named_as_gone() {
    let (directory, node) = filled().await;
    edit(directory.path(), &format!("{GONE} WHERE sequence = 7")).await;
    edit(directory.path(), &format!("{EMPTIED} WHERE sequence = 8")).await;
    let request = from_the_start(&node, 1_000).await;
    let reply = page(&node, &request).await;
    assert_eq!((reply.records.len(), reply.gone_through), (302, 8));
    node.stop().await;
}

#[tokio::test]
async fn a_line_that_contradicts_its_record_is_put_right_when_it_is_met() {
    let (directory, node) = filled().await;
    proved(&node).await;
    let sql = "UPDATE topic SET subject = 'cas:9' WHERE sequence = 8";
    edit(directory.path(), sql).await;
    let refused = ask(&node, "cas:9").await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    // The line that should be there, and the one that should not; no row was lost.
    let said = until(&node, "put right", |said| said.mended_lines == 2).await;
    assert_eq!((said.found_rows, said.quarantined), (0, 0));
    proved(&node).await;
    for subject in ["cas:7", "cas:9"] {
        let answer = ask(&node, subject).await.unwrap();
        assert_eq!((answer.records.len(), answer.complete), (2, true));
    }
    until(&node, "through", |said| said.passes == 1).await;
    node.stop().await;
}

#[tokio::test]
async fn lines_of_a_record_that_is_gone_with_its_id_make_its_shard_lacking() {
    let (directory, node) = filled().await;
    proved(&node).await;
    for table in ["place", "record"] {
        let sql = format!("DELETE FROM {table} WHERE sequence = 8");
        edit(directory.path(), &sql).await;
    }
    let refused = ask(&node, "cas:7").await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    let said = until(&node, "noticed", |said| said.mended_lines == 3).await;
    assert_eq!((said.mended_roots, said.quarantined), (1, 0), "{said:?}");
    assert!(!ask(&node, "cas:7").await.unwrap().complete);
    until(&node, "through", |said| said.passes == 1).await;
    append(&node, &claims(7..8)).await;
    proved_anew(&node).await;
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (2, true));
    node.stop().await;
}

#[tokio::test]
async fn two_lost_ids_that_damage_led_to_one_row_are_waited_for_each() {
    let (directory, node) = filled().await;
    proved(&node).await;
    let mut connection = shell(directory.path()).await;
    let sql = "DELETE FROM record WHERE sequence IN (8, 9); UPDATE place SET sequence = 8 WHERE sequence = 9";
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    assert!(ask(&node, "cas:7").await.is_err());
    until(&node, "put aside", |said| said.quarantined == 2).await;
    until(&node, "through", |said| said.passes == 1).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    until(&node, "over a restart", |said| said.quarantined == 2).await;
    let lost: Vec<Record> = claims(7..9);
    append(&node, &lost[..1]).await;
    until(&node, "one of them", |said| said.quarantined == 1).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    until(&node, "one over a restart", |said| said.quarantined == 1).await;
    append(&node, &lost[1..]).await;
    until(&node, "both", |said| said.quarantined == 0).await;
    node.stop().await;
}

/// Beside those of [`filled`], from row 305 on: each is of the kind of another record, and could be taken for it.
fn beside() -> Vec<Record> {
    let all = records();
    let (second, first) = (&all[300], &all[303]);
    let of_first = format!("\"epoch\":\"{}\",", first.id());
    // Longer than those that come many in a row.
    let long = |subject: &str| {
        record(&format!(
            r#"{{"subject":"{subject}","predicate":"p","asserted_at":10,"object":{{"type":"text","value":"{}"}},
            "source":{{"uri":"urn:1","class":"expert"}}}}"#,
            "x".repeat(3_000)
        ))
    };
    vec![
        source("urn:7", true, 50),
        vote(&all[6], "voter", 0.5, 30),
        epoch("third", &[second], 30),
        said("of an epoch", "urn:1", 1, &of_first),
        long("long"),
        long("long too"),
    ]
}

/// What is answered to one of several questions about them.
async fn told(node: &Node, way: &str) -> Result<Vec<Bytes>, Status> {
    let all = records();
    let lens = async |lens: Lens, subject: &str| {
        let selection = Selection {
            subject: Some(subject.into()),
            ..Selection::default()
        };
        let parameters = Parameters::new(lens, Options::default(), selection).unwrap();
        let reply = node.store().query(asked(&parameters)).await?.into_inner();
        Ok(vec![reply.result_json])
    };
    let request = v1::ContextRequest::default();
    let request = match way {
        "recency" => return lens(Lens::Recency, "cas:7").await,
        "long" => return lens(Lens::Recency, "long").await,
        "votes" => return lens(Lens::Votes, "cas:6").await,
        "epoch" => return lens(Lens::Epoch, "of an epoch").await,
        "list of epochs" => {
            let request = v1::ListRequest {
                kind: v1::ListKind::Epochs.into(),
                limit: 10,
                ..v1::ListRequest::default()
            };
            let rows = node.store().list(request).await?.into_inner().rows;
            return Ok(rows.into_iter().flat_map(|row| row.superseded_by).collect());
        }
        "context of sources" => v1::ContextRequest {
            sources: vec!["urn:7".into()],
            ..request
        },
        "context of votes" => v1::ContextRequest {
            votes_of: Some("cas:6".into()),
            ..request
        },
        "context of votes on a claim" => v1::ContextRequest {
            votes_of: Some("cas:6".into()),
            votes_on: vec![id(&all[6])],
            ..request
        },
        "context of epochs" => v1::ContextRequest {
            epochs: true,
            ..request
        },
        _ => v1::ContextRequest {
            epochs: true,
            epochs_of: vec![id(&all[303])],
            ..request
        },
    };
    let reply = node.store().context(request).await?.into_inner();
    Ok(reply.records.into_iter().map(|found| found.id).collect())
}

/// A line is led to the record of another one, or to its own at another time.
async fn is_not_believed(way: &str, damage: &str) {
    let (directory, node) = filled().await;
    append(&node, &beside()).await;
    proved(&node).await;
    let before = told(&node, way).await.unwrap();
    edit(directory.path(), damage).await;
    let refused = told(&node, way).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{way}: {refused}");
    // The wrong line goes when it is met; whose true one is missing, the pass finds out.
    let said = until(&node, "through", |said| said.passes == 1).await;
    assert!(said.mended_lines >= 2, "{way}: {said:?}");
    assert_eq!((said.found_rows, said.quarantined), (0, 0), "{way}");
    proved(&node).await;
    assert_eq!(told(&node, way).await.unwrap(), before, "{way}");
    node.stop().await;
}

#[tokio::test]
async fn a_line_that_leads_to_another_source_or_claim_is_not_believed() {
    for way in ["recency", "context of sources"] {
        is_not_believed(way, "UPDATE topic SET sequence = 303 WHERE sequence = 305").await;
        is_not_believed(way, "UPDATE topic SET at_ms = 51 WHERE sequence = 305").await;
    }
    is_not_believed(
        "long",
        "UPDATE topic SET sequence = 310 WHERE sequence = 309",
    )
    .await;
}

#[tokio::test]
async fn a_line_that_leads_to_another_vote_is_not_believed() {
    for way in ["votes", "context of votes", "context of votes on a claim"] {
        is_not_believed(way, "UPDATE topic SET sequence = 302 WHERE sequence = 306").await;
    }
}

#[tokio::test]
async fn a_line_that_leads_to_another_epoch_is_not_believed() {
    let id = "UPDATE place SET sequence = 301 WHERE sequence = 304";
    let superseding = "UPDATE supersession SET sequence = 307 WHERE sequence = 301";
    for way in ["epoch", "context of an epoch"] {
        is_not_believed(way, id).await;
        is_not_believed(way, superseding).await;
    }
    is_not_believed("list of epochs", superseding).await;
    let topic = "UPDATE topic SET sequence = 301 WHERE sequence = 304";
    is_not_believed("context of epochs", topic).await;
}

#[tokio::test]
async fn a_line_that_is_met_when_its_record_was_looked_at_before_is_put_right_whole() {
    let (directory, node) = filled().await;
    proved(&node).await;
    edit(directory.path(), "DELETE FROM topic WHERE sequence = 5").await;
    let mut connection = shell(directory.path()).await;
    let damage = "BEGIN IMMEDIATE; UPDATE topic SET subject = 'cas:9' WHERE sequence = 8";
    connection.execute(damage).await.unwrap();
    look(&node, true).await;
    // The records are read, and the line that row 5 lacks is waited with until nobody else writes.
    until(&node, "at the ids", |said| said.rows >= 304).await;
    // For longer than a write waits for the lock: the pass tries again.
    for _ in 0..2 {
        let refused = node.store().append(push(&claims(950..951))).await;
        let refused = refused.unwrap_err();
        let code = refused.metadata().get(proto::CODE_HEADER).unwrap();
        assert_eq!(code, "database_locked", "{refused}");
    }
    connection.execute("COMMIT").await.unwrap();
    connection.close().await.unwrap();
    let said = until(&node, "through", |said| said.passes == 1).await;
    assert_eq!((said.found_rows, said.mended_lines), (0, 3), "{said:?}");
    proved(&node).await;
    for subject in ["cas:4", "cas:7", "cas:9"] {
        let answer = ask(&node, subject).await.unwrap();
        assert_eq!((answer.records.len(), answer.complete), (2, true));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_record_whose_id_alone_was_led_astray_is_waited_for_until_its_row_is_found() {
    let (directory, node) = filled().await;
    proved(&node).await;
    edit(
        directory.path(),
        "UPDATE place SET sequence = 999 WHERE sequence = 8",
    )
    .await;
    let refused = get(&node, 7).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    let said = until(&node, "through", |said| said.passes == 1).await;
    assert_eq!((said.found_rows, said.mended_lines), (1, 1), "{said:?}");
    assert_eq!((said.quarantined, said.alarms.len()), (0, 0), "{said:?}");
    proved_anew(&node).await;
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (2, true));
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(look(&node, false).await.quarantined, 0, "over a restart");
    let said = scrub(&node).await;
    assert_eq!((said.found_rows, said.mended_lines), (0, 0), "{said:?}");
    node.stop().await;
}
