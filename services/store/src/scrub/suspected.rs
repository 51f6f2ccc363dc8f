//! Rows that answers met: all lines that lead to them, wherever they are.
//!
//! A line names its row and not the other way round, so each table is read once for all rows; over the connection of a pass, which
//! keeps nobody from writing.

use std::collections::BTreeSet;

use sqlx::{Row as _, SqliteConnection};

use crate::writer::{Line, Suspect};

/// Lines of one table that are looked at: rows have a few each, and damage may have given one row the lines of all. The pass that
/// follows takes the rest.
const LINES_MAX: u32 = 10_000;

const PLACES: &str = "
    SELECT shard, CAST(id AS BLOB), sequence FROM place
    WHERE sequence IN (SELECT value FROM json_each(?)) LIMIT ?";

const TOPICS: &str = "
    SELECT kind, CAST(subject AS BLOB), CAST(predicate AS BLOB), at_ms, sequence FROM topic
    WHERE sequence IN (SELECT value FROM json_each(?)) LIMIT ?";

const MENTIONS: &str = "
    SELECT key, minus_at_ms, sequence FROM mention
    WHERE sequence IN (SELECT value FROM json_each(?)) LIMIT ?";

const SUPERSESSIONS: &str = "
    SELECT CAST(epoch AS BLOB), at_ms, sequence FROM supersession
    WHERE sequence IN (SELECT value FROM json_each(?)) LIMIT ?";

/// Rows of which nothing says what they were: there is no row, no id leads to it, and none was put aside.
const UNKNOWN: &str = "
    SELECT j.value FROM json_each(?) j
    WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.sequence = j.value)
      AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.sequence = j.value)";

/// What leads to some rows.
#[derive(Debug, Default)]
pub(super) struct Leading {
    /// Lines of `place`: what they say to be here counts as lost before anything else is taken away.
    pub(super) places: Vec<Suspect>,
    /// Lines of the indexes.
    pub(super) lines: Vec<Suspect>,
    /// There are lines of a record that has neither a row nor an id: an id is gone, of whatever shard.
    pub(super) ids_are_gone: bool,
}

/// Finds what leads to these rows.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn leading(
    connection: &mut SqliteConnection,
    sequences: &[i64],
) -> Result<Leading, sqlx::Error> {
    let list = format!("{sequences:?}");
    let find = |sql: &'static str| sqlx::query(sql).bind(list.clone()).bind(LINES_MAX);
    let mut leading = Leading::default();
    let mut placed = BTreeSet::new();
    for row in find(PLACES).fetch_all(&mut *connection).await? {
        let (shard, id, sequence) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        placed.insert(sequence);
        leading.places.push(Suspect::Place(shard, id, sequence));
    }
    let mut named = BTreeSet::new();
    for row in find(TOPICS).fetch_all(&mut *connection).await? {
        let (kind, subject, predicate) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (at_ms, sequence) = (row.try_get(3)?, row.try_get(4)?);
        named.insert(sequence);
        let line = Line::Topic(kind, subject, predicate, at_ms, sequence);
        leading.lines.push(Suspect::Line(line));
    }
    for row in find(MENTIONS).fetch_all(&mut *connection).await? {
        let (key, minus_at_ms, sequence) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        named.insert(sequence);
        let line = Line::Mention(key, minus_at_ms, sequence);
        leading.lines.push(Suspect::Line(line));
    }
    for row in find(SUPERSESSIONS).fetch_all(&mut *connection).await? {
        let (epoch, at_ms, sequence) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        named.insert(sequence);
        let line = Line::Supersession(epoch, at_ms, sequence);
        leading.lines.push(Suspect::Line(line));
    }
    let unknown = sqlx::query_scalar::<_, i64>(UNKNOWN).bind(list);
    leading.ids_are_gone = unknown
        .fetch_all(connection)
        .await?
        .iter()
        .any(|sequence| named.contains(sequence) && !placed.contains(sequence));
    Ok(leading)
}
