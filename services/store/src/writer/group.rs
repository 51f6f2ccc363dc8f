//! One group of records: what is new in it, what its shards come to, and the transaction.

use std::collections::BTreeMap;
use std::time::Instant;

use merkle::{Digest, Tree};
use sqlx::{Executor as _, SqliteConnection};

use super::rows::{Row, ShardRow, Statements};
use crate::damage::{Damage, Lost};
use crate::intake::Incoming;
use crate::metrics;
use crate::trees::{Change, Trees};

/// Records of one transaction, and the trees as they will be.
pub(super) struct Group<'a> {
    rows: Vec<Row<'a>>,
    trees: BTreeMap<u32, Tree>,
    new: Vec<bool>,
    last_sequence: i64,
}

impl<'a> Group<'a> {
    /// Finds out what is new. Of a record that is in the group twice, the first is.
    pub(super) async fn new(
        records: impl Iterator<Item = &'a Incoming>,
        connection: &mut SqliteConnection,
        trees: &Trees,
    ) -> Result<Group<'a>, sqlx::Error> {
        let received_at = sidecar::clock::unix_ms();
        let mut sequence = i64::try_from(trees.sequence()).unwrap_or(i64::MAX);
        let mut changed: BTreeMap<u32, Tree> = BTreeMap::new();
        let mut rows = Vec::new();
        let mut new = Vec::new();
        for incoming in records {
            let id = incoming.record.id().to_bytes();
            let tree = match changed.entry(incoming.shard) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(trees.tree_over(connection, incoming.shard).await?)
                }
            };
            let is_new = tree.insert(id);
            new.push(is_new);
            if is_new {
                sequence = sequence.saturating_add(1);
                rows.push(Row {
                    sequence,
                    received_at,
                    incoming,
                });
            }
        }
        Ok(Group {
            rows,
            trees: changed,
            new,
            last_sequence: sequence,
        })
    }

    /// Commits what is new, then shows it. Returns for each record whether it was new.
    pub(super) async fn write(
        self,
        connection: &mut SqliteConnection,
        trees: &Trees,
        statements: &Statements,
        damage: &Damage,
    ) -> Result<Vec<bool>, sqlx::Error> {
        let Group {
            rows,
            trees: mut changed,
            new,
            last_sequence,
        } = self;
        metrics::group(new.len());
        if rows.is_empty() {
            return Ok(new);
        }
        let begun = Instant::now();
        let mut touched: BTreeMap<u32, i64> = BTreeMap::new();
        for row in &rows {
            touched.insert(row.incoming.shard, row.sequence);
        }
        changed.retain(|shard, _| touched.contains_key(shard));
        connection.execute("BEGIN IMMEDIATE").await?;
        // Hashing goes on here while SQLite works on its own thread.
        let (inserted, roots) =
            tokio::join!(statements.insert(connection, &rows), digests(&changed));
        inserted?;
        let shards: Vec<ShardRow> = changed
            .iter()
            .zip(&roots)
            .zip(touched.values())
            .map(|(((shard, tree), root), last_sequence)| ShardRow {
                shard: *shard,
                root: *root,
                ids: tree.len(),
                last_sequence: *last_sequence,
            })
            .collect();
        statements.upsert(connection, &shards).await?;
        let ids = rows.iter().map(|row| row.incoming.record.id().to_bytes());
        let healed = damage.waited_for(ids);
        heal(connection, &healed).await?;
        connection.execute("COMMIT").await?;
        metrics::committed(rows.len(), begun.elapsed());
        let changes = changed
            .into_iter()
            .zip(roots)
            .map(|((shard, tree), root)| Change { shard, tree, root })
            .collect();
        trees.publish(changes, u64::try_from(last_sequence).unwrap_or_default());
        damage.heal(&healed);
        Ok(new)
    }
}

const HEAL: &str = "
    UPDATE quarantine SET healed_at_ms = ?1
    WHERE shard IN (SELECT shard FROM shard UNION ALL SELECT ?2) AND id = ?3 AND healed_at_ms IS NULL";

/// Records that had been damaged have come again, whichever shards their lost lines said: one seek into each.
pub(super) async fn heal(
    connection: &mut SqliteConnection,
    healed: &[Lost],
) -> Result<(), sqlx::Error> {
    for lost in healed {
        sqlx::query(HEAL)
            .bind(sidecar::clock::unix_ms())
            .bind(lost.shard)
            .bind(lost.id.to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn digests(trees: &BTreeMap<u32, Tree>) -> Vec<Digest> {
    trees.values().map(Tree::root).collect()
}
