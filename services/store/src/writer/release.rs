//! Rows that are given up: out of every table and out of their shard's tree, in one transaction.

use std::sync::Arc;

use assertion::Kind;
use futures::TryStreamExt as _;
use merkle::{Id, Tree};
use shard::homecoming::Kept;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqliteConnection};
use tokio::sync::oneshot;

use super::rows::kind_number;
use crate::completeness::{Completeness, Order};
use crate::error::Refusal;
use crate::held;
use crate::mentions::{self, Mention};
use crate::metrics;
use crate::trees::{self, Change, Trees};

/// Rows of one statement text. Larger saves round trips to SQLite's thread and keeps more statements prepared.
const SIZES: [usize; 3] = [16, 4, 1];

const ROWS: &str = "
    SELECT p.id, r.sequence, r.id_head, r.canonical
    FROM json_each(?1) j
    CROSS JOIN place p ON p.shard = ?2 AND p.id = unhex(j.value)
    CROSS JOIN record r ON r.sequence = p.sequence";

/// What a release came to: done, or why everything stayed.
pub type Outcome = Result<Released, Kept>;

/// Rows that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    /// How many.
    pub records: u64,
    /// Their canonical bytes.
    pub bytes: u64,
}

/// A release on its way to the writer.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) order: Order,
    pub(super) ids: Vec<Id>,
    pub(super) completeness: Arc<Completeness>,
    pub(super) reply: oneshot::Sender<Result<Outcome, Refusal>>,
}

/// What the tables have of one record beside its bytes.
#[derive(Debug)]
struct Gone {
    id: Id,
    sequence: i64,
    kind: Kind,
    about: String,
    detail: String,
    at_ms: i64,
    mentions: [Mention; mentions::OF_A_RECORD],
}

/// Deletes the rows, unless the store was told meanwhile that they belong here.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    trees: &Trees,
    release: &Release,
) -> Result<Outcome, sqlx::Error> {
    let Release {
        order,
        ids,
        completeness,
        ..
    } = release;
    let (gone, bytes) = rows(connection, order.shard, ids).await?;
    let mut tree = trees.tree_over(connection, order.shard).await?;
    for row in &gone {
        tree.remove(&row.id);
    }
    let root = tree.root();
    // From here on no answer counts on these rows. It is looked at last: nothing of the above waits for anybody.
    if let Err(kept) = completeness.begin_release(order) {
        return Ok(Err(kept));
    }
    if gone.is_empty() {
        return Ok(Ok(Released::default()));
    }
    connection.execute("BEGIN IMMEDIATE").await?;
    delete(connection, order.shard, &gone).await?;
    shrink(connection, order.shard, &tree).await?;
    connection.execute("COMMIT").await?;
    completeness.end_release(order);
    let released = Released {
        records: gone.len() as u64,
        bytes,
    };
    metrics::released(released.records);
    let change = Change {
        shard: order.shard,
        tree,
        root,
    };
    trees.publish(vec![change], trees.sequence());
    Ok(Ok(released))
}

/// The rows of these ids. One that is damaged is not among them: what the other tables have of it is not known, and it is to be
/// noticed.
async fn rows(
    connection: &mut SqliteConnection,
    shard: u32,
    ids: &[Id],
) -> Result<(Vec<Gone>, u64), sqlx::Error> {
    let (mut gone, mut bytes) = (Vec::new(), 0);
    let mut rows = sqlx::query(ROWS)
        .bind(held::json(ids))
        .bind(shard)
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let id = trees::id(row.try_get(0)?)?;
        let record = match held::record(&row) {
            Ok(Some(record)) if *record.id().as_bytes() == id => record,
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(%error, "a row is not given up");
                continue;
            }
        };
        let sequence = row.try_get(1)?;
        let (kind, about, detail, at_ms) = record.topic();
        bytes += record.canonical().len() as u64;
        gone.push(Gone {
            id,
            sequence,
            kind,
            about: about.to_owned(),
            detail: detail.to_owned(),
            at_ms,
            mentions: mentions::of(&record, sequence),
        });
        tokio::task::consume_budget().await;
    }
    Ok((gone, bytes))
}

async fn delete(
    connection: &mut SqliteConnection,
    shard: u32,
    gone: &[Gone],
) -> Result<(), sqlx::Error> {
    let mut rest = gone;
    while let Some(size) = SIZES.iter().find(|size| **size <= rest.len()) {
        let (chunk, others) = rest.split_at(*size);
        rest = others;
        let text: Arc<str> = statement(*size).into();
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in chunk {
            query = query.bind(row.sequence);
        }
        query = query.bind(shard);
        for row in chunk {
            query = query.bind(row.id.to_vec());
        }
        for row in chunk {
            query = query
                .bind(kind_number(row.kind))
                .bind(&row.about)
                .bind(&row.detail)
                .bind(row.at_ms)
                .bind(row.sequence);
            for mention in &row.mentions {
                query = query
                    .bind(mention.key)
                    .bind(mention.minus_at_ms)
                    .bind(mention.sequence);
            }
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Row values in a list would read the whole table; so the keys of the index tables go one statement each, many to a text.
fn statement(rows: usize) -> String {
    let marks = vec!["?"; rows].join(",");
    let mention = "; DELETE FROM mention WHERE key = ? AND minus_at_ms = ? AND sequence = ?";
    let of_row = [
        "; DELETE FROM topic WHERE kind = ? AND subject = ? AND predicate = ? AND at_ms = ? AND sequence = ?",
        &mention.repeat(mentions::OF_A_RECORD),
    ]
    .concat();
    [
        &format!("DELETE FROM record WHERE sequence IN ({marks})"),
        &format!("; DELETE FROM place WHERE shard = ? AND id IN ({marks})"),
        &of_row.repeat(rows)[..],
    ]
    .concat()
}

/// `last_sequence` stays: no sequence is given twice.
async fn shrink(
    connection: &mut SqliteConnection,
    shard: u32,
    tree: &Tree,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE shard SET root = ?, ids = ? WHERE shard = ?")
        .bind(tree.root().to_vec())
        .bind(i64::try_from(tree.len()).unwrap_or(i64::MAX))
        .bind(shard)
        .execute(connection)
        .await?;
    Ok(())
}
