//! Lines that records should have: which of them are not there.

use std::collections::BTreeSet;
use std::sync::Arc;

use assertion::Record;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use crate::writer::Line;

/// Lines of one statement: a statement costs a round trip to SQLite's thread whatever it does.
const CHUNK: usize = 100;

/// A value of a column.
#[derive(Debug, Clone)]
enum Value {
    Number(i64),
    Bytes(Vec<u8>),
}

/// Lines of one table.
#[derive(Debug)]
struct Table {
    /// Whether a line `w` is there; its first column is the sequence.
    there: &'static str,
    columns: usize,
    lines: Vec<Vec<Value>>,
}

/// What the records of a page should have.
#[derive(Debug)]
pub(super) struct Wanted {
    places: Table,
    topics: Table,
    mentions: Table,
    supersessions: Table,
}

impl Default for Wanted {
    fn default() -> Wanted {
        let table = |columns, there| Table {
            there,
            columns,
            lines: Vec::new(),
        };
        Wanted {
            places: table(
                3,
                "place t WHERE t.sequence = w.a AND t.shard = w.b AND t.id = w.c",
            ),
            topics: table(
                5,
                "topic t WHERE t.sequence = w.a AND t.kind = w.b AND t.subject = CAST(w.c AS TEXT)
                 AND t.predicate = CAST(w.d AS TEXT) AND t.at_ms = w.e",
            ),
            mentions: table(
                3,
                "mention t WHERE t.sequence = w.a AND t.key = w.b AND t.minus_at_ms = w.c",
            ),
            supersessions: table(
                3,
                "supersession t WHERE t.sequence = w.a AND t.epoch = w.b AND t.at_ms = w.c",
            ),
        }
    }
}

impl Wanted {
    /// The lines of a record.
    pub(super) fn add(&mut self, record: &Record, shard: u32, sequence: i64) {
        use Value::{Bytes, Number};
        let id = record.id().as_bytes().to_vec();
        self.places
            .lines
            .push(vec![Number(sequence), Number(i64::from(shard)), Bytes(id)]);
        for line in Line::of(record, sequence) {
            match line {
                Line::Topic(kind, subject, predicate, at_ms, _) => self.topics.lines.push(vec![
                    Number(sequence),
                    Number(kind),
                    Bytes(subject),
                    Bytes(predicate),
                    Number(at_ms),
                ]),
                Line::Mention(key, minus_at_ms, _) => self.mentions.lines.push(vec![
                    Number(sequence),
                    Number(key),
                    Number(minus_at_ms),
                ]),
                Line::Supersession(epoch, at_ms, _) => self.supersessions.lines.push(vec![
                    Number(sequence),
                    Bytes(epoch),
                    Number(at_ms),
                ]),
            }
        }
    }

    /// Rows of which a line is not there.
    pub(super) async fn lacking(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<BTreeSet<i64>, sqlx::Error> {
        let mut lacking = BTreeSet::new();
        for table in [
            &self.places,
            &self.topics,
            &self.mentions,
            &self.supersessions,
        ] {
            table.lacking(connection, &mut lacking).await?;
        }
        Ok(lacking)
    }
}

impl Table {
    async fn lacking(
        &self,
        connection: &mut SqliteConnection,
        lacking: &mut BTreeSet<i64>,
    ) -> Result<(), sqlx::Error> {
        for chunk in self.lines.chunks(CHUNK) {
            let text: Arc<str> = self.statement(chunk.len()).into();
            // Shorter ones come in many lengths.
            let query = sqlx::query(AssertSqlSafe(text)).persistent(chunk.len() == CHUNK);
            let query = chunk
                .iter()
                .flatten()
                .fold(query, |query, value| match value {
                    Value::Number(number) => query.bind(*number),
                    Value::Bytes(bytes) => query.bind(bytes.clone()),
                });
            for row in query.fetch_all(&mut *connection).await? {
                lacking.insert(row.try_get(0)?);
            }
        }
        Ok(())
    }

    fn statement(&self, lines: usize) -> String {
        let columns = ["a", "b", "c", "d", "e"][..self.columns].join(", ");
        let line = format!("({})", vec!["?"; self.columns].join(", "));
        let lines = vec![line; lines].join(", ");
        let there = self.there;
        format!(
            "WITH w ({columns}) AS (VALUES {lines}) SELECT w.a FROM w WHERE NOT EXISTS (SELECT 1 FROM {there})"
        )
    }
}
