//! The writer over a real file, without listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use assertion::Record;
use futures::future::join_all;
use tempfile::tempdir;

use super::*;
use crate::config::Config;
use crate::database::{Database, Readers};
use crate::intake::Arrival;

fn incoming(number: usize) -> Incoming {
    let json = format!(
        r#"{{"subject":"s{number}","predicate":"p","object":{{"type":"number","value":{number}}},"asserted_at":0,
        "source":{{"uri":"u","class":"expert"}}}}"#
    );
    let record = Record::from_client_json(json.as_bytes(), 0).unwrap();
    Incoming {
        shard: crate::intake::shard_of_record(&record, 4),
        record,
        arrival: Arrival::Push,
        trace_id: None,
    }
}

async fn open(directory: &Path) -> (WriterTask, Writer, Arc<Trees>, Readers) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        node: "node1".into(),
        data_dir: directory.to_path_buf(),
        min_free_bytes: 0,
        scrub_interval: None,
        readers: 1,
        num_shards: 4,
        peers: any,
        local: any,
        metrics: any,
    };
    let database = Database::open(&config).await.unwrap();
    let readers = database.readers;
    let trees = Arc::new(Trees::open(readers.repair.clone(), 4).await.unwrap());
    let space = Arc::new(Space::new(directory.to_path_buf(), 0));
    let (task, writer) = WriterTask::new(
        database.writer,
        Arc::clone(&trees),
        space,
        Arc::new(database.damage),
    );
    (task, writer, trees, readers)
}

async fn append(writer: &Writer, records: Vec<Incoming>) -> Written {
    let room = writer.room(1_000)?;
    writer.append(records, 1_000, room).await
}

#[tokio::test]
async fn what_waits_is_committed_as_one_group() {
    let directory = tempdir().unwrap();
    let (task, writer, trees, readers) = open(directory.path()).await;
    let waiting: Vec<_> = (0..300)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move { append(&writer, vec![incoming(number)]).await })
        })
        .collect();
    while writer.jobs.capacity() > JOBS_MAX - 300 {
        tokio::task::yield_now().await;
    }
    drop(writer);
    let task = tokio::spawn(task.run());
    for written in join_all(waiting).await {
        assert_eq!(written.unwrap(), Ok(vec![true]));
    }
    task.await.unwrap().unwrap();
    assert_eq!((trees.records(), trees.sequence()), (300, 300));
    // The rows of one group have one time.
    let groups: i64 = sqlx::query_scalar("SELECT count(DISTINCT received_at_ms) FROM record")
        .fetch_one(&readers.questions)
        .await
        .unwrap();
    assert_eq!(groups, 1);
    readers.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_a_group_whole_and_the_next_one_is_taken() {
    let directory = tempdir().unwrap();
    let (mut task, writer, trees, readers) = open(directory.path()).await;
    // As the file system would: the file may not grow.
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut task.connection)
        .await
        .unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + 2);
    task.connection
        .execute(sqlx::AssertSqlSafe(limit))
        .await
        .unwrap();
    let many: Vec<Incoming> = (0..500).map(incoming).collect();
    let room = writer.room(1).unwrap();
    let (reply, outcome) = oneshot::channel();
    let job = Append {
        records: many.clone(),
        bytes: 1,
        reply,
        _room: room,
    };
    task.commit(vec![job]).await.unwrap();
    assert!(matches!(
        outcome.await.unwrap(),
        Err(Refusal::DiskFull { .. })
    ));
    assert_eq!((trees.records(), trees.sequence()), (0, 0));
    task.connection
        .execute("PRAGMA max_page_count = 1000000")
        .await
        .unwrap();
    let task = tokio::spawn(task.run());
    assert_eq!(append(&writer, many).await, Ok(vec![true; 500]));
    drop(writer);
    task.await.unwrap().unwrap();
    readers.close().await;
}

#[tokio::test]
async fn too_much_that_waits_is_refused_at_once() {
    let directory = tempdir().unwrap();
    let (_task, writer, _, readers) = open(directory.path()).await;
    let taken = writer.room((WAITING_KIB_MAX - 1) * 1024).unwrap();
    assert!(writer.room(1024).is_ok());
    assert_eq!(writer.room(1025).unwrap_err(), Refusal::Overloaded);
    drop(taken);
    assert!(writer.room(1025).is_ok());
    readers.close().await;
}

#[tokio::test]
async fn trees_given_up_for_memory_are_read_again() {
    let directory = tempdir().unwrap();
    let (task, writer, trees, readers) = open(directory.path()).await;
    let task = tokio::spawn(task.run());
    append(&writer, (0..2_000).map(incoming).collect())
        .await
        .unwrap();
    let roots: Vec<_> = (0..4).map(|shard| trees.root(shard)).collect();
    let small = Trees::open(readers.repair.clone(), 4)
        .await
        .unwrap()
        .with_memory(100_000);
    for _ in 0..2 {
        for (shard, root) in (0..4).zip(&roots) {
            let tree = small.tree(shard).await.unwrap();
            assert_eq!((tree.root(), tree.len() as u64), *root);
            assert!(small.memory_bytes() <= 100_000, "{}", small.memory_bytes());
        }
    }
    drop(writer);
    task.await.unwrap().unwrap();
    readers.close().await;
}

#[tokio::test]
async fn a_condition_is_not_noted_when_ids_have_gone_since_it_was_found() {
    let directory = tempdir().unwrap();
    let (task, writer, _, readers) = open(directory.path()).await;
    let task = tokio::spawn(task.run());
    let told = async || {
        let condition =
            sqlx::query_as("SELECT counts_as_absent, wide, replication_factor, losses FROM store");
        let told: (bool, bool, u32, i64) = condition.fetch_one(&readers.repair).await.unwrap();
        told
    };
    let absent = Lasting {
        absent: true,
        wide: false,
        replication_factor: 2,
    };
    let present = Lasting {
        absent: false,
        wide: true,
        replication_factor: 3,
    };
    assert_eq!(writer.note(absent, 0).await, Ok(true));
    assert_eq!(writer.note(present, 1).await, Ok(false));
    assert_eq!(told().await, (true, false, 2, 0));
    assert_eq!(writer.note(present, 0).await, Ok(true));
    assert_eq!(told().await, (false, true, 3, 0));
    drop(writer);
    task.await.unwrap().unwrap();
}
