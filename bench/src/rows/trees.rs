//! What the trees cost the writer: row 11.
//!
//! A store cannot leave its trees out, so the whole and the part are measured: the same records in the same groups through the
//! store's own writer, and their trees alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::Record;
use merkle::{Digest, Tree};
use rusqlite::{Connection, params};
use tokio::runtime::Builder;

use crate::figures::{digits, each, median};
use crate::lab::Lab;
use crate::library::{Group, Library, group, place};
use crate::rows::Finding;
use crate::say;

/// Records of a commit: those of an import, and those of busy clients with single writes.
const LARGE: usize = 2_000;
const SMALL: usize = 64;

/// Records that are written in large groups, and in small ones, whose commits take their time whatever is in them.
const LARGE_RECORDS: usize = 150_000;
const SMALL_RECORDS: usize = 30_000;

/// The table in which a store keeps its roots. No sync: that of the commit is paid with the trees and without, and the whole has
/// it. The records are in another file.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE shard (
        shard         INTEGER PRIMARY KEY,
        root          BLOB NOT NULL,
        ids           INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL
    ) STRICT;";

const UPSERT: &str = "
    INSERT INTO shard (shard, root, ids, last_sequence) VALUES (?, ?, ?, ?)
    ON CONFLICT (shard) DO UPDATE SET root = excluded.root, ids = excluded.ids, last_sequence = excluded.last_sequence";

/// Row 11: the real claims through the store's library, parsed beforehand, one call after the other, each a commit; and their
/// trees alone, in the same groups. The store hashes while SQLite's thread inserts; here one comes after the other, so the
/// trees' share is the most that they can cost.
pub(super) async fn share(lab: &mut Lab) -> Result<Finding, String> {
    let records = Arc::new(lab.claims.records()?);
    let (mut large, mut small, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.runs {
        let (whole, trees) = pair(&records, LARGE_RECORDS, LARGE).await?;
        rates.push(LARGE_RECORDS as f64 / whole.as_secs_f64());
        large.push(without(whole, trees));
        let (whole, trees) = pair(&records, SMALL_RECORDS, SMALL).await?;
        small.push(without(whole, trees));
    }
    let ratio = median(large.iter().copied());
    let few = median(small.iter().copied());
    Ok(Finding {
        measured: format!(
            "{:.0} % with {LARGE} records a commit, {:.0} % with {SMALL}",
            ratio * 100.0,
            few * 100.0
        ),
        runs: format!(
            "{}; {} %",
            each(large.iter().map(|share| share * 100.0)),
            each(small.iter().map(|share| share * 100.0))
        ),
        beside: format!(
            "one store's library with its trees: {} claims/s",
            each(rates)
        ),
        ratio: None,
        holds: Some(ratio >= 0.85 && few >= 0.85),
        notes: vec!["(whole − trees) / whole: no store can leave them out".to_owned()],
    })
}

/// Rate with the trees over rate without.
fn without(whole: Duration, trees: Duration) -> f64 {
    whole.saturating_sub(trees).as_secs_f64() / whole.as_secs_f64().max(f64::EPSILON)
}

async fn pair(
    records: &Arc<Vec<Record>>,
    count: usize,
    group: usize,
) -> Result<(Duration, Duration), String> {
    let records = Arc::clone(records);
    let both = move || {
        let directory = e2e::place::make();
        let records = &records[..count];
        // The store as a process has it: a thread that does nothing else.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let whole = runtime.block_on(insert(directory.path(), records, group))?;
        let trees = trees(directory.path(), records, group);
        Ok::<_, String>((whole, trees.map_err(|error| error.to_string())?))
    };
    let took = tokio::task::spawn_blocking(both).await;
    let (whole, trees) = took.map_err(|error| error.to_string())??;
    say(&format!(
        "  {group} a commit: {} s, its trees {} s",
        digits(whole.as_secs_f64()),
        digits(trees.as_secs_f64())
    ));
    Ok((whole, trees))
}

/// The whole, through the store's own writer.
async fn insert(directory: &Path, records: &[Record], size: usize) -> Result<Duration, String> {
    let store = Library::open(&directory.join("whole")).await?;
    let groups: Vec<Group> = records.chunks(size).map(group).collect();
    let began = Instant::now();
    for group in groups {
        store.append(group).await?;
    }
    let took = began.elapsed();
    store.close().await?;
    Ok(took)
}

/// The part: what a commit does for the trees and would not do without them.
fn trees(directory: &Path, records: &[Record], group: usize) -> Result<Duration, rusqlite::Error> {
    let connection = Connection::open(directory.join("trees.db"))?;
    connection.execute_batch(SCHEMA)?;
    let mut upsert = connection.prepare(UPSERT)?;
    let mut known: BTreeMap<u32, Tree> = BTreeMap::new();
    let mut sequence = 0_i64;
    let began = Instant::now();
    for records in records.chunks(group) {
        let mut changed: BTreeMap<u32, (Tree, i64)> = BTreeMap::new();
        for record in records {
            let shard = place(record);
            // The writer changes clones, and shows them after the commit.
            let (tree, last) = changed
                .entry(shard)
                .or_insert_with(|| (known.get(&shard).cloned().unwrap_or_default(), 0));
            if tree.insert(record.id().to_bytes()) {
                sequence += 1;
                *last = sequence;
            }
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for (shard, (tree, last)) in &changed {
            let root: Digest = tree.root();
            let ids = i64::try_from(tree.len()).unwrap_or(i64::MAX);
            upsert.execute(params![shard, root.as_slice(), ids, last])?;
        }
        connection.execute_batch("COMMIT")?;
        known.extend(changed.into_iter().map(|(shard, (tree, _))| (shard, tree)));
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;

    #[tokio::test]
    async fn the_part_comes_to_the_same_roots_as_the_whole() {
        let claims = Claims::read();
        let records: Vec<Record> = (0..500)
            .map(|_| claims.fresh_claim().unwrap().record)
            .collect();
        let directory = tempfile::tempdir().unwrap();
        insert(directory.path(), &records, 64).await.unwrap();
        trees(directory.path(), &records, 64).unwrap();
        let roots = |file: &str| {
            let connection = Connection::open(directory.path().join(file)).unwrap();
            let mut statement = connection
                .prepare("SELECT shard, root, ids, last_sequence FROM shard ORDER BY shard")
                .unwrap();
            let row = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get::<_, u32>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            };
            let rows = statement.query_map([], row).unwrap();
            rows.collect::<Result<Vec<_>, _>>().unwrap()
        };
        assert_eq!(roots("whole/store.db"), roots("trees.db"));
        assert_eq!(
            without(Duration::from_secs(10), Duration::from_secs(1)),
            0.9
        );
    }
}
