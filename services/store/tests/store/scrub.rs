//! Damage to real files: found, put right or aside, and never answered with.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use assertion::Record;
use lens::{Lens, Options, Parameters, Selection};
use proto::v1;
use shard::shard_of;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::{TempDir, tempdir};
use tonic::{Code, Status};

use crate::homecoming::tell;
use crate::node::{Node, SHARDS};
use crate::opening::shell;
use crate::questions::asked;
use crate::records::{about, append, claims, epoch, id, push, source, vote};
use crate::writes::roots;

/// A pass over a few hundred rows takes less than a second, on a machine that others use as well.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn look(node: &Node, start: bool) -> v1::ScrubReply {
    let request = v1::ScrubRequest { start };
    node.store().scrub(request).await.unwrap().into_inner()
}

pub(crate) async fn until(
    node: &Node,
    what: &str,
    so: impl Fn(&v1::ScrubReply) -> bool,
) -> v1::ScrubReply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = look(node, false).await;
        if so(&said) {
            return said;
        }
        assert!(Instant::now() < deadline, "not {what}: {said:?}");
    }
}

/// A whole pass.
pub(crate) async fn scrub(node: &Node) -> v1::ScrubReply {
    look(node, true).await;
    until(node, "idle", |said| said.state == "idle").await
}

/// Records of every kind, with lines in every table.
pub(crate) fn records() -> Vec<Record> {
    let mut records = claims(0..300);
    let first = epoch("first", &[], 10);
    records.push(epoch("second", &[&first], 20));
    records.push(vote(&records[0], "voter", 0.5, 30));
    records.push(source("urn:1", false, 40));
    records.push(first);
    records
}

/// Everything that the tables say of the records.
async fn tables(directory: &Path) -> Vec<String> {
    let mut connection = shell(directory).await;
    let mut lines = Vec::new();
    for sql in [
        "SELECT 'record ' || sequence || ' ' || id_head || ' ' || hex(canonical) FROM record ORDER BY sequence",
        "SELECT 'place ' || shard || ' ' || hex(id) || ' ' || sequence FROM place ORDER BY shard, id",
        "SELECT 'topic ' || kind || ' ' || subject || ' ' || predicate || ' ' || at_ms || ' ' || sequence FROM topic ORDER BY 1",
        "SELECT 'mention ' || key || ' ' || minus_at_ms || ' ' || sequence FROM mention ORDER BY 1",
        "SELECT 'supersession ' || hex(epoch) || ' ' || at_ms || ' ' || sequence FROM supersession ORDER BY 1",
        "SELECT 'shard ' || shard || ' ' || hex(root) || ' ' || ids || ' ' || last_sequence FROM shard ORDER BY shard",
    ] {
        for row in connection.fetch_all(sql).await.unwrap() {
            lines.push(row.try_get(0).unwrap());
        }
    }
    connection.close().await.unwrap();
    lines
}

pub(crate) async fn edit(directory: &Path, sql: &str) {
    let mut connection = shell(directory).await;
    let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
    connection.close().await.unwrap();
}

/// Turns a bit of the file, in the last of these bytes, which others come after. A page that was split keeps a copy that is not used.
fn flip(directory: &Path, before: &str, after: &str) {
    let wanted = [before, after].concat();
    let path = directory.join("store.db");
    let bytes = std::fs::read(&path).unwrap();
    let places = bytes.windows(wanted.len());
    let found: Vec<usize> = (0..)
        .zip(places)
        .filter(|(_, window)| *window == wanted.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "{wanted} is in the file");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for at in found {
        let at = at + before.len() - 1;
        file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    }
}

pub(crate) async fn ask(node: &Node, subject: &str) -> Result<v1::QueryReply, Status> {
    let selection = v1::Selection {
        subject: Some(subject.into()),
        ..v1::Selection::default()
    };
    let request = v1::QueryRequest {
        selection: Some(selection),
        limit: 100,
        ..v1::QueryRequest::default()
    };
    Ok(node.store().query(request).await?.into_inner())
}

pub(crate) async fn filled() -> (TempDir, Node) {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &records()).await;
    (directory, node)
}

/// All that this node's peers have is here.
pub(crate) async fn proved(node: &Node) {
    let all: Vec<u32> = (0..=SHARDS).collect();
    tell(node, &all).await;
}

/// The same by sessions that began after the loss: one of the same millisecond says nothing of what is here now.
pub(crate) async fn proved_anew(node: &Node) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        proved(node).await;
        let described = node.describe().await;
        if !described.counts_as_absent {
            return;
        }
        assert!(Instant::now() < deadline, "absent: {described:?}");
    }
}

#[tokio::test]
async fn a_sound_store_is_left_as_it_is() {
    let (directory, node) = filled().await;
    proved(&node).await;
    let before = tables(directory.path()).await;
    let said = scrub(&node).await;
    assert_eq!((said.passes, said.error.as_str()), (1, ""));
    assert_eq!(
        (said.found_rows, said.mended_lines, said.mended_roots),
        (0, 0, 0)
    );
    // A row, an id, a topic of each; two mentions of each claim, one of each epoch; one epoch supersedes another.
    assert_eq!(said.rows, 3 * 304 + 2 * 300 + 2 + 1);
    assert!(said.ended_at_ms > 0 && said.alarms.is_empty());
    // The next one begins at its beginning, in the answer to whoever began it already.
    let begun = look(&node, true).await;
    assert!(begun.rows < said.rows && begun.rows_to_do > 0, "{begun:?}");
    assert!(begun.begun_at_ms >= said.ended_at_ms, "{begun:?}");
    let said = until(&node, "idle again", |said| said.passes == 2).await;
    assert_eq!(tables(directory.path()).await, before);
    proved(&node).await;
    assert!(ask(&node, "cas:7").await.unwrap().complete);
    node.stop().await;
    let node = Node::start(directory.path()).await;
    let again = look(&node, false).await;
    assert_eq!(again.ended_at_ms, said.ended_at_ms, "kept over a restart");
    node.stop().await;
}

/// Claim 7, of two about its subject.
async fn damaged_row(node: Node, damage: impl AsyncFn(&Path, Node) -> Node, directory: &Path) {
    let lost = &claims(0..300)[7];
    let node = damage(directory, node).await;
    proved(&node).await;
    let said = scrub(&node).await;
    assert_eq!((said.found_rows, said.quarantined), (1, 1), "{said:?}");
    assert_eq!(said.waited_for[0].id, id(lost));
    assert_eq!(said.alarms[0].code, "quarantined_rows");
    let described = node.describe().await;
    assert!(described.counts_as_absent && described.serving);
    assert_eq!((described.records, described.alarms.len()), (303, 1));
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (1, false));
    // What the set comes to is what it would without the record.
    let rest: Vec<Record> = records().into_iter().filter(|it| it != lost).collect();
    let other = tempdir().unwrap();
    let without = Node::start(other.path()).await;
    append(&without, &rest).await;
    assert_eq!(roots(&node).await, roots(&without).await);
    without.stop().await;
    // Proofs end the absence; the shard of a record that nobody has stays open.
    proved_anew(&node).await;
    let answer = ask(&node, "cas:7").await.unwrap();
    assert!(
        !answer.complete && answer.counts_as_absent,
        "also in a union"
    );
    node.stop().await;

    let node = Node::start(directory).await;
    proved_anew(&node).await;
    assert_eq!(look(&node, false).await.quarantined, 1, "over a restart");
    assert!(!ask(&node, "cas:7").await.unwrap().complete);
    let statuses = append(&node, std::slice::from_ref(lost)).await;
    assert_eq!(statuses, [v1::AppendStatus::Stored]);
    let said = look(&node, false).await;
    assert_eq!((said.quarantined, said.alarms.len()), (0, 0));
    let answer = ask(&node, "cas:7").await.unwrap();
    assert_eq!((answer.records.len(), answer.complete), (2, true));
    let said = scrub(&node).await;
    assert_eq!((said.found_rows, said.mended_lines), (0, 0), "{said:?}");
    node.stop().await;
    let mut connection = shell(directory).await;
    let kept: (i64, bool) =
        sqlx::query_as("SELECT count(*), healed_at_ms IS NOT NULL FROM quarantine")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(kept, (1, true));
}

#[tokio::test]
async fn a_byte_flipped_in_a_record_row_of_a_stopped_store_is_found_and_healed() {
    let (directory, node) = filled().await;
    let damage = async |directory: &Path, node: Node| {
        node.stop().await;
        flip(directory, "\"uri\":\"urn:7", "\"");
        Node::start(directory).await
    };
    damaged_row(node, damage, directory.path()).await;
}

/// A byte of claim 7.
const FLIP: &str = "UPDATE record SET canonical = CAST(replace(CAST(canonical AS TEXT), 'urn:7\"', 'urn:7''') AS BLOB)
                    WHERE CAST(canonical AS TEXT) LIKE '%\"urn:7\"%'";

#[tokio::test]
async fn a_byte_flipped_in_a_record_row_of_a_running_store_is_found_and_healed() {
    let (directory, node) = filled().await;
    let damage = async |directory: &Path, node: Node| {
        edit(directory, FLIP).await;
        node
    };
    damaged_row(node, damage, directory.path()).await;
}

#[tokio::test]
async fn a_record_row_that_is_gone_is_waited_for() {
    let (directory, node) = filled().await;
    let damage = async |directory: &Path, node: Node| {
        edit(directory, "DELETE FROM record WHERE sequence = 8").await;
        node
    };
    damaged_row(node, damage, directory.path()).await;
}

/// A byte in a line of each table that is not a record, and what is counted.
const EDITS: [(&str, bool); 13] = [
    (
        "UPDATE topic SET subject = subject || 'x' WHERE sequence = 5",
        true,
    ),
    (
        "UPDATE topic SET predicate = 'boiling_point_j' WHERE sequence = 6",
        true,
    ),
    (
        "UPDATE topic SET at_ms = at_ms + 64 WHERE sequence = 7",
        true,
    ),
    ("UPDATE topic SET kind = 3 WHERE sequence = 8", true),
    ("UPDATE topic SET sequence = 8192 WHERE sequence = 9", true),
    (
        "UPDATE place SET id = CAST(x'00' || substr(id, 2) AS BLOB) WHERE sequence = 10",
        true,
    ),
    (
        "UPDATE place SET id = CAST(substr(id, 1, 31) || x'00' AS BLOB) WHERE sequence = 11",
        true,
    ),
    ("UPDATE place SET sequence = 8193 WHERE sequence = 12", true),
    (
        "UPDATE place SET shard = (shard + 1) % 8 WHERE sequence = 13",
        true,
    ),
    ("UPDATE mention SET key = key + 1 WHERE rowid_of(14)", true),
    (
        "UPDATE supersession SET epoch = CAST(substr(epoch, 1, 31) || x'00' AS BLOB)",
        true,
    ),
    (
        "UPDATE record SET id_head = id_head + 1 WHERE sequence = 15",
        true,
    ),
    (
        "UPDATE shard SET root = CAST(x'00' || substr(root, 2) AS BLOB) WHERE shard = 3",
        false,
    ),
];

fn sql_of(edit: &str) -> String {
    // A claim has two lines there; the one with the smaller key.
    edit.replace(
        "rowid_of(14)",
        "sequence = 14 AND key = (SELECT min(key) FROM mention WHERE sequence = 14)",
    )
}

async fn mended(node: &Node, directory: &Path, before: &[String], sql: &str, line: bool) {
    let was = look(node, false).await;
    let said = scrub(node).await;
    let now = tables(directory).await;
    let differ: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    assert_eq!(now, before, "{sql}: {differ:?}");
    let (lines, roots) = (
        said.mended_lines - was.mended_lines,
        said.mended_roots - was.mended_roots,
    );
    assert_eq!((lines > 0, roots > 0), (line, !line), "{sql}: {said:?}");
    assert_eq!((said.found_rows, said.quarantined), (0, 0), "{sql}");
    proved_anew(node).await;
    for number in 0..20 {
        let answer = ask(node, &format!("cas:{number}")).await.unwrap();
        assert_eq!((answer.records.len(), answer.complete), (2, true), "{sql}");
    }
    let again = scrub(node).await;
    assert_eq!(again.mended_lines, said.mended_lines, "{sql}");
}

#[tokio::test]
async fn ids_that_are_gone_with_all_their_lines_make_the_store_lacking() {
    let (directory, node) = filled().await;
    proved(&node).await;
    for table in ["place", "topic", "mention", "record"] {
        let mut connection = shell(directory.path()).await;
        let sql = format!("DELETE FROM {table} WHERE sequence = 14");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }
    let said = scrub(&node).await;
    assert_eq!((said.found_rows, said.mended_roots), (0, 1), "{said:?}");
    assert!(node.describe().await.counts_as_absent);
    let lost = &claims(0..300)[13];
    let shard = shard_of(lost.topic().1, SHARDS);
    let compare = v1::CompareRequest {
        shards: proto::convert::shard_bits(&[shard]),
        ..v1::CompareRequest::default()
    };
    let reply = node.store().compare(compare).await.unwrap().into_inner();
    assert_eq!((reply.lacking, reply.losses), (vec![shard], 1));
    // Nothing in the database says any more which shard it was.
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert!(node.describe().await.counts_as_absent);
    append(&node, std::slice::from_ref(lost)).await;
    proved_anew(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn a_line_of_any_index_and_a_root_of_a_running_store_are_put_right() {
    let (directory, node) = filled().await;
    let before = tables(directory.path()).await;
    for (sql, line) in EDITS {
        let sql = sql_of(sql);
        edit(directory.path(), &sql).await;
        mended(&node, directory.path(), &before, &sql, line).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_line_of_any_index_and_a_root_of_a_stopped_store_are_put_right() {
    let (directory, node) = filled().await;
    node.stop().await;
    let before = tables(directory.path()).await;
    let lower = "UPDATE shard SET last_sequence = 1 WHERE shard = 2";
    for (sql, line) in EDITS.into_iter().chain([(lower, false)]) {
        let sql = sql_of(sql);
        edit(directory.path(), &sql).await;
        let node = Node::start(directory.path()).await;
        mended(&node, directory.path(), &before, &sql, line).await;
        node.stop().await;
    }
}

#[tokio::test]
async fn a_byte_flipped_in_the_file_of_a_stopped_store_is_put_right_in_an_index() {
    let (directory, node) = filled().await;
    let two = [crate::records::about("zz:only", "q", 5, 1_000)];
    append(&node, &two).await;
    node.stop().await;
    let before = tables(directory.path()).await;
    // The last subject, so that the line stays where it is: the subject and predicate of the index, without what JSON has between.
    flip(directory.path(), "zz:onlyq", "");
    let node = Node::start(directory.path()).await;
    proved(&node).await;
    let said = scrub(&node).await;
    assert_eq!((said.found_rows, said.mended_lines), (0, 2), "{said:?}");
    assert_eq!(tables(directory.path()).await, before);
    node.stop().await;
}

#[tokio::test]
async fn a_damaged_row_that_an_answer_meets_is_looked_at_unasked() {
    let (directory, node) = filled().await;
    node.stop().await;
    flip(directory.path(), "\"uri\":\"urn:7", "\"");
    let node = Node::start(directory.path()).await;
    let status = ask(&node, "cas:7").await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    // Waited for before it is written that the row is gone; counted after.
    let said = until(&node, "looked at", |said| said.found_rows == 1).await;
    assert_eq!(said.quarantined, 1);
    assert_eq!(said.waited_for[0].id, id(&claims(7..8)[0]));
    assert_eq!(ask(&node, "cas:7").await.unwrap().records.len(), 1);
    until(&node, "through", |said| said.passes == 1).await;
    node.stop().await;
}

/// Makes the head of claim 7 NULL, as a turned bit of the row's header does; the schema does not allow it.
async fn behead(directory: &Path) {
    let mut connection = shell(directory).await;
    let allow = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'id_head         INTEGER NOT NULL', 'id_head         INTEGER')
         WHERE name = 'record';
         PRAGMA writable_schema = RESET;
         UPDATE record SET id_head = NULL WHERE sequence = 8;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'id_head         INTEGER', 'id_head         INTEGER NOT NULL')
         WHERE name = 'record';
         PRAGMA writable_schema = RESET;";
    connection.execute(allow).await.unwrap();
    let gone = "SELECT count(*) FROM record WHERE typeof(id_head) = 'null'";
    let gone: i64 = sqlx::query_scalar(gone)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(gone, 1);
    connection.close().await.unwrap();
}

/// A lens says so instead of leaving the claim out, and has it looked at.
async fn met_by_a_lens(damage: impl AsyncFn(&Path), seen: impl Fn(&v1::ScrubReply) -> bool) {
    for predicate in [Some("boiling_point_k".to_owned()), None] {
        let (directory, node) = filled().await;
        node.stop().await;
        damage(directory.path()).await;
        let node = Node::start(directory.path()).await;
        let selection = Selection {
            subject: Some("cas:7".into()),
            predicate,
            ..Selection::default()
        };
        let parameters = Parameters::new(Lens::Recency, Options::default(), selection).unwrap();
        let refused = node.store().query(asked(&parameters)).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        until(&node, "looked at", &seen).await;
        // What leads to the row is taken away after it, in any case before the pass.
        until(&node, "through", |said| said.passes == 1).await;
        node.store().query(asked(&parameters)).await.unwrap();
        node.stop().await;
    }
}

#[tokio::test]
async fn a_lens_does_not_answer_from_a_damaged_row() {
    let flip = async |directory: &Path| edit(directory, FLIP).await;
    met_by_a_lens(flip, |said| (said.found_rows, said.quarantined) == (1, 1)).await;
}

#[tokio::test]
async fn a_lens_does_not_leave_out_a_row_without_the_head_of_its_id() {
    let mended = |said: &v1::ScrubReply| (said.found_rows, said.mended_lines) == (0, 1);
    met_by_a_lens(async |directory: &Path| behead(directory).await, mended).await;
}

/// Overwrites the page of the file that holds these bytes.
fn tear(directory: &Path, wanted: &str) {
    let path = directory.join("store.db");
    let bytes = std::fs::read(&path).unwrap();
    let mut places = bytes.windows(wanted.len());
    let at = places
        .position(|window| window == wanted.as_bytes())
        .unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4096], at as u64 / 4096 * 4096)
        .unwrap();
}

/// It says that it cannot be read and what to do, takes nothing, and has no complete answer.
async fn unfit(node: &Node) -> v1::DescribeReply {
    let described = node.describe().await;
    assert!(!described.serving && described.counts_as_absent);
    assert!(described.reason.contains("away"), "{}", described.reason);
    assert_eq!(described.alarms[0].code, "database_malformed");
    proved(node).await;
    let proved = node.describe().await;
    assert!(!proved.serving && proved.counts_as_absent);
    let refused = node.store().append(push(&claims(900..901))).await;
    let code = refused.unwrap_err();
    assert_eq!(
        code.metadata().get(proto::CODE_HEADER).unwrap(),
        "database_malformed"
    );
    assert!(!ask(node, "cas:1").await.is_ok_and(|answer| answer.complete));
    described
}

#[tokio::test]
async fn a_start_that_meets_a_page_that_cannot_be_read_says_so() {
    let (directory, node) = filled().await;
    node.stop().await;
    // Of the last rows.
    tear(directory.path(), "\"uri\":\"urn:299\"");
    let node = Node::start(directory.path()).await;
    unfit(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn a_write_that_meets_a_database_that_cannot_be_read_is_refused_and_ends_nothing() {
    let (directory, node) = filled().await;
    node.stop().await;
    // A page of the index of topics: no start reads it.
    tear(directory.path(), "cas:150boiling_point_k");
    let node = Node::start(directory.path()).await;
    proved(&node).await;
    assert!(node.describe().await.serving);
    for _ in 0..2 {
        let again: Vec<Record> = (100..200)
            .map(|number| about(&format!("cas:{number}"), "boiling_point_k", 9, 7))
            .collect();
        let refused = node.store().append(push(&again)).await.unwrap_err();
        let code = refused.metadata().get(proto::CODE_HEADER).unwrap();
        assert_eq!(code, "database_malformed", "{refused}");
        let described = unfit(&node).await;
        assert_eq!(described.records, 304, "nothing of it was stored");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_read_says_so_until_it_is_moved_away() {
    let (directory, node) = filled().await;
    node.stop().await;
    tear(directory.path(), "cas:7boiling_point_k");
    let node = Node::start(directory.path()).await;
    proved(&node).await;
    assert!(node.describe().await.serving);
    // What leads to its claims is on the page: met by an answer, no scrub was asked for.
    let refused = ask(&node, "cas:7").await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused}");
    unfit(&node).await;
    until(&node, "found unreadable", |said| !said.error.is_empty()).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    unfit(&node).await;
    node.stop().await;
    // What the operator is told to do.
    for file in std::fs::read_dir(directory.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let node = Node::start(directory.path()).await;
    let described = node.describe().await;
    assert!(described.serving && described.alarms.is_empty());
    assert_eq!(described.records, 0);
    node.stop().await;
}
