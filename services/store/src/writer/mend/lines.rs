//! Lines of the indexes that claims, votes, epochs and sources are found by.

use assertion::Record;

use super::rows::Row;
use super::{Line, Mending};
use crate::mentions;
use crate::writer::rows::{kind_number, superseded};

impl Line {
    /// The lines that a record has.
    pub(crate) fn of(record: &Record, sequence: i64) -> Vec<Line> {
        let (kind, about, detail, at_ms) = record.topic();
        let (about, detail) = (about.as_bytes().to_vec(), detail.as_bytes().to_vec());
        let mut lines = vec![Line::Topic(
            kind_number(kind),
            about,
            detail,
            at_ms,
            sequence,
        )];
        for mention in mentions::of(record, sequence) {
            if let Some(key) = mention.key {
                lines.push(Line::Mention(key, mention.minus_at_ms, sequence));
            }
        }
        for id in superseded(record) {
            lines.push(Line::Supersession(id.to_bytes().to_vec(), at_ms, sequence));
        }
        lines
    }

    /// The row that it leads to.
    pub(crate) fn sequence(&self) -> i64 {
        match self {
            Line::Topic(.., sequence)
            | Line::Mention(.., sequence)
            | Line::Supersession(.., sequence) => *sequence,
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Line::Topic(..) => "topic",
            Line::Mention(..) => "mention",
            Line::Supersession(..) => "supersession",
        }
    }

    fn insert(&self) -> &'static str {
        match self {
            Line::Topic(..) => {
                "INSERT OR IGNORE INTO topic (kind, subject, predicate, at_ms, sequence)
                 VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)"
            }
            Line::Mention(..) => {
                "INSERT OR IGNORE INTO mention (key, minus_at_ms, sequence) VALUES (?, ?, ?)"
            }
            Line::Supersession(..) => {
                "INSERT OR IGNORE INTO supersession (epoch, at_ms, sequence) VALUES (?, ?, ?)"
            }
        }
    }

    fn delete(&self) -> &'static str {
        match self {
            Line::Topic(..) => {
                "DELETE FROM topic WHERE kind = ? AND subject = CAST(? AS TEXT)
                 AND predicate = CAST(? AS TEXT) AND at_ms = ? AND sequence = ?"
            }
            Line::Mention(..) => {
                "DELETE FROM mention WHERE key = ? AND minus_at_ms = ? AND sequence = ?"
            }
            Line::Supersession(..) => {
                "DELETE FROM supersession WHERE epoch = ? AND at_ms = ? AND sequence = ?"
            }
        }
    }
}

impl Mending<'_> {
    /// A line that may belong to no record.
    pub(super) async fn line(&mut self, line: &Line) -> Result<(), sqlx::Error> {
        let sequence = line.sequence();
        match self.read(sequence).await? {
            Row::Sound(record) if Line::of(&record, sequence).contains(line) => Ok(()),
            Row::Damaged(bad) => {
                match self.quarantine(bad).await? {
                    true => self.take_away(line).await,
                    // As long as the row is here, whoever follows the line to it has to meet it.
                    false => Ok(()),
                }
            }
            Row::None | Row::Redacted => self.take_away(line).await,
            // It may be what became of a line of this record: then that one is lacking.
            Row::Sound(_) => {
                self.take_away(line).await?;
                self.row(sequence).await
            }
        }
    }

    async fn take_away(&mut self, line: &Line) -> Result<(), sqlx::Error> {
        let gone = self.execute(line.delete(), line).await?;
        self.count_lines(line.table(), line.sequence(), gone);
        Ok(())
    }

    /// Writes the lines of a sound record that are not there.
    pub(super) async fn write_lines(
        &mut self,
        record: &Record,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        for line in Line::of(record, sequence) {
            let written = self.execute(line.insert(), &line).await?;
            self.count_lines(line.table(), sequence, written);
        }
        Ok(())
    }

    /// Takes away the lines of a record whose row goes.
    pub(super) async fn delete_lines(
        &mut self,
        record: &Record,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        for line in Line::of(record, sequence) {
            self.execute(line.delete(), &line).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, sql: &'static str, line: &Line) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(sql);
        let query = match line {
            Line::Topic(kind, subject, predicate, at_ms, sequence) => query
                .bind(*kind)
                .bind(subject.clone())
                .bind(predicate.clone())
                .bind(*at_ms)
                .bind(*sequence),
            Line::Mention(key, minus_at_ms, sequence) => {
                query.bind(*key).bind(*minus_at_ms).bind(*sequence)
            }
            Line::Supersession(epoch, at_ms, sequence) => {
                query.bind(epoch.clone()).bind(*at_ms).bind(*sequence)
            }
        };
        let done = query.execute(&mut *self.connection).await?;
        Ok(done.rows_affected())
    }

    /// Counts lines that were wrong.
    pub(super) fn count_lines(&mut self, table: &'static str, sequence: i64, lines: u64) {
        if lines > 0 {
            tracing::error!(
                table,
                sequence,
                "a line did not fit its record, and was put right"
            );
            self.mended.lines += lines;
        }
    }
}
