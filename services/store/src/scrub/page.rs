//! Pages of rows, and what is suspected of them.

use assertion::Record;
use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::lines::Wanted;
use crate::intake::shard_of_record;
use crate::writer::{Line, Suspect, id_head};

/// Rows of a page. More would hold a core for longer at a time.
const PAGE: i64 = 500;

const RECORDS: &str = "
    SELECT sequence, ifnull(CAST(id_head AS INTEGER), -1), CAST(canonical AS BLOB)
    FROM record WHERE sequence > ? ORDER BY sequence LIMIT ?";

const PLACES: &str = "
    SELECT p.sequence, CAST(r.canonical AS BLOB), p.shard, CAST(p.id AS BLOB)
    FROM place p LEFT JOIN record r ON r.sequence = p.sequence
    WHERE (p.shard, p.id) > (?, ?) ORDER BY p.shard, p.id LIMIT ?";

const TOPICS: &str = "
    SELECT t.sequence, CAST(r.canonical AS BLOB), t.kind, CAST(t.subject AS BLOB), CAST(t.predicate AS BLOB), t.at_ms
    FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
    WHERE (t.kind, t.subject, t.predicate, t.at_ms, t.sequence) > (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)
    ORDER BY t.kind, t.subject, t.predicate, t.at_ms, t.sequence LIMIT ?";

const MENTIONS: &str = "
    SELECT m.sequence, CAST(r.canonical AS BLOB), m.key, m.minus_at_ms
    FROM mention m LEFT JOIN record r ON r.sequence = m.sequence
    WHERE (m.key, m.minus_at_ms, m.sequence) > (?, ?, ?)
    ORDER BY m.key, m.minus_at_ms, m.sequence LIMIT ?";

const SUPERSESSIONS: &str = "
    SELECT s.sequence, CAST(r.canonical AS BLOB), CAST(s.epoch AS BLOB), s.at_ms
    FROM supersession s LEFT JOIN record r ON r.sequence = s.sequence
    WHERE (s.epoch, s.at_ms, s.sequence) > (?, ?, ?)
    ORDER BY s.epoch, s.at_ms, s.sequence LIMIT ?";

/// A page that was looked at.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Rows of it; none: the table is at its end.
    pub(super) rows: u64,
    /// What the writer has to look at.
    pub(super) suspects: Vec<Suspect>,
    /// The table of which rows came in a wrong order.
    pub(super) unordered: Option<&'static str>,
}

impl Page {
    /// Counts a row. False: it does not come after the one before it.
    fn follows<K: PartialOrd>(&mut self, table: &'static str, before: &mut K, key: K) {
        self.rows += 1;
        if *before >= key {
            self.unordered = Some(table);
        }
        *before = key;
    }
}

/// A table that is read page by page, in the order of its keys.
pub(super) trait Rows {
    /// Looks at the next page.
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error>;
}

/// Rows of `record`, each with the lines that it should have.
#[derive(Debug)]
pub(super) struct Records {
    after: i64,
    num_shards: u32,
}

impl Records {
    /// From the first on.
    pub(super) fn new(num_shards: u32) -> Records {
        Records {
            after: i64::MIN,
            num_shards,
        }
    }
}

impl Rows for Records {
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error> {
        let mut page = Page::default();
        let mut wanted = Wanted::default();
        let mut rows = sqlx::query(RECORDS)
            .bind(self.after)
            .bind(PAGE)
            .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let sequence: i64 = row.try_get(0)?;
            page.follows("record", &mut self.after, sequence);
            let bytes: Option<&[u8]> = row.try_get(2)?;
            let head: i64 = row.try_get(1)?;
            match bytes.map(Record::from_stored) {
                Some(Ok(record)) if id_head(record.id().as_bytes()) == head => {
                    let shard = shard_of_record(&record, self.num_shards);
                    wanted.add(&record, shard, sequence);
                }
                _ => page.suspects.push(Suspect::Row(sequence)),
            }
            tokio::task::consume_budget().await;
        }
        drop(rows);
        let lacking = wanted.lacking(connection).await?;
        page.suspects.extend(lacking.into_iter().map(Suspect::Row));
        Ok(page)
    }
}

/// Lines of `place`, each with its record.
#[derive(Debug)]
pub(super) struct Places {
    after: (i64, Vec<u8>),
    num_shards: u32,
}

impl Places {
    /// From the first on.
    pub(super) fn new(num_shards: u32) -> Places {
        Places {
            after: (i64::MIN, Vec::new()),
            num_shards,
        }
    }
}

impl Rows for Places {
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error> {
        let mut page = Page::default();
        let (shard, id) = self.after.clone();
        let mut rows = sqlx::query(PLACES)
            .bind(shard)
            .bind(id)
            .bind(PAGE)
            .fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let (shard, id): (i64, Vec<u8>) = (row.try_get(2)?, row.try_get(3)?);
            let own = record(&row)?.is_some_and(|record| {
                record.id().as_bytes()[..] == id
                    && i64::from(shard_of_record(&record, self.num_shards)) == shard
            });
            if !own {
                let sequence = row.try_get(0)?;
                page.suspects
                    .push(Suspect::Place(shard, id.clone(), sequence));
            }
            page.follows("place", &mut self.after, (shard, id));
            tokio::task::consume_budget().await;
        }
        Ok(page)
    }
}

/// kind, subject, predicate, at_ms, sequence
type Topic = (i64, Vec<u8>, Vec<u8>, i64, i64);

/// Lines of `topic`, each with its record.
#[derive(Debug)]
pub(super) struct Topics(Topic);

impl Default for Topics {
    fn default() -> Topics {
        Topics((i64::MIN, Vec::new(), Vec::new(), i64::MIN, i64::MIN))
    }
}

impl Rows for Topics {
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error> {
        let mut page = Page::default();
        let (kind, subject, predicate, at_ms, sequence) = self.0.clone();
        let mut rows = sqlx::query(TOPICS)
            .bind(kind)
            .bind(subject)
            .bind(predicate)
            .bind(at_ms)
            .bind(sequence)
            .bind(PAGE)
            .fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let key: Topic = (
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
                row.try_get(5)?,
                row.try_get(0)?,
            );
            let (kind, subject, predicate, at_ms, sequence) = key.clone();
            let line = Line::Topic(kind, subject, predicate, at_ms, sequence);
            check(&mut page, &row, line)?;
            page.follows("topic", &mut self.0, key);
            tokio::task::consume_budget().await;
        }
        Ok(page)
    }
}

/// Lines of `mention`, each with its record: key, minus_at_ms, sequence.
#[derive(Debug)]
pub(super) struct Mentions((i64, i64, i64));

impl Default for Mentions {
    fn default() -> Mentions {
        Mentions((i64::MIN, i64::MIN, i64::MIN))
    }
}

impl Rows for Mentions {
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error> {
        let mut page = Page::default();
        let (key, minus_at_ms, sequence) = self.0;
        let mut rows = sqlx::query(MENTIONS)
            .bind(key)
            .bind(minus_at_ms)
            .bind(sequence)
            .bind(PAGE)
            .fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let (key, at, sequence) = (row.try_get(2)?, row.try_get(3)?, row.try_get(0)?);
            check(&mut page, &row, Line::Mention(key, at, sequence))?;
            page.follows("mention", &mut self.0, (key, at, sequence));
            tokio::task::consume_budget().await;
        }
        Ok(page)
    }
}

/// Lines of `supersession`, each with its record: epoch, at_ms, sequence.
#[derive(Debug)]
pub(super) struct Supersessions((Vec<u8>, i64, i64));

impl Default for Supersessions {
    fn default() -> Supersessions {
        Supersessions((Vec::new(), i64::MIN, i64::MIN))
    }
}

impl Rows for Supersessions {
    async fn next(&mut self, connection: &mut SqliteConnection) -> Result<Page, sqlx::Error> {
        let mut page = Page::default();
        let (epoch, at_ms, sequence) = self.0.clone();
        let mut rows = sqlx::query(SUPERSESSIONS)
            .bind(epoch)
            .bind(at_ms)
            .bind(sequence)
            .bind(PAGE)
            .fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let epoch: Vec<u8> = row.try_get(2)?;
            let (at, sequence) = (row.try_get(3)?, row.try_get(0)?);
            let line = Line::Supersession(epoch.clone(), at, sequence);
            check(&mut page, &row, line)?;
            page.follows("supersession", &mut self.0, (epoch, at, sequence));
            tokio::task::consume_budget().await;
        }
        Ok(page)
    }
}

/// The record of a row of which the second column has the bytes, when they are one.
fn record(row: &SqliteRow) -> Result<Option<Record>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(1)?;
    Ok(bytes.and_then(|bytes| Record::from_stored(bytes).ok()))
}

/// Suspects a line that is not its record's.
fn check(page: &mut Page, row: &SqliteRow, line: Line) -> Result<(), sqlx::Error> {
    let record = record(row)?;
    let own = record.is_some_and(|record| Line::of(&record, line.sequence()).contains(&line));
    if !own {
        page.suspects.push(Suspect::Line(line));
    }
    Ok(())
}
