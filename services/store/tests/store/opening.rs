//! Databases that are not to be opened, and disks that are full.

use std::path::Path;
use std::time::{Duration, Instant};

use proto::v1;
use sidecar::boot::{StartAgain, UnreadableData};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use stemedb_store::{Config, Error};
use tempfile::tempdir;

use crate::node::{Node, config};
use crate::records::{append, claim, claims, push};

pub(crate) async fn shell(directory: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(directory.join("store.db"));
    options.create_if_missing(true).connect().await.unwrap()
}

async fn refused(config: Config) -> Error {
    match Node::try_start(config).await {
        Err(error) => error,
        Ok(_) => panic!("a store started that should not"),
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_as_it_is() {
    let directory = tempdir().unwrap();
    let mut connection = shell(directory.path()).await;
    sqlx::query("CREATE TABLE theirs (x)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(directory.path().join("store.db")).unwrap();
    let error = refused(config(directory.path())).await;
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(
        std::fs::read(directory.path().join("store.db")).unwrap(),
        before
    );

    std::fs::write(
        directory.path().join("store.db"),
        "a letter, not a database",
    )
    .unwrap();
    let error = refused(config(directory.path())).await;
    assert!(matches!(error, Error::NoDatabase { .. }), "{error}");
    // Whoever runs the store learns by its exit code that starting it again does not help.
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<UnreadableData>(), "{source}");
}

#[tokio::test]
async fn an_older_copy_is_a_store_of_its_own_and_counts_as_absent() {
    let directory = tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..3)).await;
    let first = node.describe().await.store_id;
    node.stop().await;
    std::fs::copy(file("store.db"), file("backup")).unwrap();
    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.store_id, first, "the same as before");
    append(&node, &claims(3..6)).await;
    node.stop().await;
    std::fs::copy(file("backup"), file("store.db")).unwrap();
    let node = Node::start(directory.path()).await;
    let restored = node.describe().await;
    assert_ne!(restored.store_id, first);
    assert!(restored.counts_as_absent);
    assert_eq!(restored.records, 3);
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.store_id, restored.store_id);
    node.stop().await;
    // The database alone, on another disk.
    std::fs::remove_file(file("store.mark")).unwrap();
    let node = Node::start(directory.path()).await;
    assert_ne!(node.describe().await.store_id, restored.store_id);
}

#[tokio::test]
async fn a_store_that_peers_have_seen_further_on_ends_and_is_another_one_next() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..3)).await;
    let first = node.describe().await;
    let ask = v1::CompareRequest::default();
    let seen = node.store().compare(ask).await.unwrap().into_inner();
    assert_eq!((seen.sequence, &seen.store_id), (3, &first.store_id));
    node.stop().await;
    let node = Node::start(directory.path()).await;
    append(&node, &claims(3..9)).await;
    let told = |sequence| v1::CompareRequest {
        seen_store_id: seen.store_id.clone(),
        seen_run: seen.run,
        seen_sequence: sequence,
        ..v1::CompareRequest::default()
    };
    assert!(node.store().compare(told(3)).await.is_ok());
    // It has nine rows by now, but began with three.
    let refused = node.store().compare(told(4)).await.unwrap_err();
    let code = refused.metadata().get(proto::CODE_HEADER).unwrap();
    assert_eq!(code, "fell_back");
    let error = node.ended().await.unwrap_err();
    let why = Error::FellBack(StartAgain).to_string();
    assert!(error.to_string().contains(&why), "{error}");
    let node = Node::start(directory.path()).await;
    let next = node.describe().await;
    assert_ne!(next.store_id, first.store_id);
    assert!(next.counts_as_absent);
    assert_eq!(next.records, 9);
}

#[tokio::test]
async fn a_later_schema_and_another_number_of_shards_are_refused() {
    let directory = tempdir().unwrap();
    Node::start(directory.path()).await.stop().await;
    let other = Config {
        num_shards: 4,
        ..config(directory.path())
    };
    let error = refused(other).await;
    assert!(
        matches!(
            error,
            Error::NumShards {
                database: 8,
                configured: 4,
                ..
            }
        ),
        "{error}"
    );

    let mut connection = shell(directory.path()).await;
    sqlx::query("PRAGMA user_version = 9")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = refused(config(directory.path())).await;
    assert!(matches!(error, Error::Newer { found: 9, .. }), "{error}");
}

#[tokio::test]
async fn two_stores_do_not_share_a_directory() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let error = refused(config(directory.path())).await;
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    node.stop().await;
    Node::start(directory.path()).await.stop().await;
}

#[tokio::test]
async fn a_full_disk_takes_no_writes_and_goes_on_reading() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..10)).await;
    node.stop().await;
    let full = Config {
        min_free_bytes: u64::MAX,
        ..config(directory.path())
    };
    let node = Node::try_start(full).await.unwrap();
    let failed = node.store().append(push(&[claim(11)])).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::ResourceExhausted);
    assert_eq!(
        failed.metadata().get(proto::CODE_HEADER).unwrap(),
        "disk_full"
    );
    let described = node.describe().await;
    assert!(
        !described.serving && described.reason.contains("disk full"),
        "{}",
        described.reason
    );
    assert_eq!(described.records, 10);
    let selection = v1::Selection {
        subject: Some("cas:1".into()),
        ..v1::Selection::default()
    };
    let request = v1::QueryRequest {
        selection: Some(selection),
        limit: 10,
        ..v1::QueryRequest::default()
    };
    assert_eq!(
        node.store()
            .query(request)
            .await
            .unwrap()
            .into_inner()
            .records
            .len(),
        1
    );
    node.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_log_of_an_earlier_process_cannot_be_copied() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..10)).await;
    let mut connection = shell(directory.path()).await;
    // Reads the database as it is now, and keeps it so: what comes later has to stay in the log.
    for sql in ["BEGIN", "SELECT count(*) FROM record"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    append(&node, &claims(10..50)).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(node.describe().await.records, 50);
    let failed = node.store().append(push(&claims(0..1))).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::Unavailable);
    let code = failed.metadata().get(proto::CODE_HEADER).unwrap();
    assert_eq!(code, "database_locked");
    connection.close().await.unwrap();
    let statuses = append(&node, &claims(49..51)).await;
    assert_eq!(
        statuses,
        [v1::AppendStatus::Present, v1::AppendStatus::Stored]
    );
    node.stop().await;
}

#[tokio::test]
async fn the_file_is_readable_with_a_shell_while_the_store_runs() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..10)).await;
    let mut connection = shell(directory.path()).await;
    let subject: String =
        sqlx::query_scalar("SELECT canonical ->> 'subject' FROM readable WHERE sequence = 4")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(subject, "cas:3");
    connection.close().await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn the_space_of_the_log_is_given_back_once_nobody_writes_or_reads() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let mut connection = shell(directory.path()).await;
    for sql in ["BEGIN", "SELECT count(*) FROM record"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    append(&node, &claims(0..4_000)).await;
    append(&node, &claims(4_000..8_000)).await;
    let log = directory.path().join("store.db-wal");
    let bytes = || std::fs::metadata(&log).unwrap().len();
    assert!(bytes() > 4 << 20, "{} bytes", bytes());
    connection.close().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut look = tokio::time::interval(Duration::from_millis(50));
    while bytes() > 0 {
        assert!(Instant::now() < deadline, "{} bytes", bytes());
        look.tick().await;
    }
    let statuses = append(&node, &claims(7_999..8_001)).await;
    assert_eq!(
        statuses,
        [v1::AppendStatus::Present, v1::AppendStatus::Stored]
    );
    node.stop().await;
}
