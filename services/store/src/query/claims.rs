//! Which rows a question goes through, and in which order: the statements.
//!
//! A line whose row is gone comes as well, without bytes: an answer that skipped it would be wrongly complete.

use assertion::{Record, RecordId};
use lens::Selection;
use proto::cursor::Position;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::error::CallError;
use crate::held::canonical_of;
use crate::mentions::{key_of_predicate, key_of_source};
use crate::prefix;

/// Rows that are sorted for a page, of one subject or of all with a prefix: beyond, every page would take long.
const SORTED_ROWS_MAX: i64 = 50_000;

/// By time; the statement's index has no more.
const OF_TOPIC: &str = concat!(
    "SELECT t.at_ms, t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    " FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate = ?2 AND t.at_ms <= ?3
    ORDER BY t.at_ms DESC",
);

/// Sorted before the bytes are read: what is sorted is small. Without the predicate all of them.
const OF_SUBJECTS: &str = concat!(
    "SELECT s.at_ms, s.sequence, ifnull(r.id_head, 0), ",
    canonical_of!("s.sequence"),
    " FROM (SELECT t.at_ms, h.id_head, t.sequence
          FROM topic t LEFT JOIN record h ON h.sequence = t.sequence
          WHERE t.kind = 0 AND t.subject >= ?1 AND t.subject < ?2 AND (?3 IS NULL OR t.predicate = ?3)
            AND (t.at_ms < ?4 OR (t.at_ms = ?4 AND ifnull(h.id_head, ?5) >= ?5))
          ORDER BY t.at_ms DESC, h.id_head LIMIT -1) s
    LEFT JOIN record r ON r.sequence = s.sequence",
);

/// The index has the moments in order; the claims of one moment are sorted when it is reached, before their bytes are read.
const OF_MENTION: &str = concat!(
    "SELECT -s.minus_at_ms, s.sequence, ifnull(r.id_head, 0), ",
    canonical_of!("s.sequence"),
    " FROM (SELECT m.minus_at_ms, h.id_head, m.sequence
          FROM mention m LEFT JOIN record h ON h.sequence = m.sequence
          WHERE m.key = ?1 AND m.minus_at_ms >= ?2 AND (m.minus_at_ms > ?2 OR ifnull(h.id_head, ?3) >= ?3)
          ORDER BY m.minus_at_ms, h.id_head, m.sequence LIMIT -1) s
    LEFT JOIN record r ON r.sequence = s.sequence",
);

const ARE_MANY: &str =
    "SELECT 1 FROM topic WHERE kind = 0 AND subject >= ?1 AND subject < ?2 LIMIT 1 OFFSET ?3";

pub(crate) type Sqlite<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The way to the claims of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// One subject and predicate: rows by time.
    Topic { subject: String, predicate: String },
    /// Subjects from the first to below the second (none: to the last), and of these one predicate: rows by time and the
    /// beginning of the id.
    Subjects {
        from: String,
        below: Option<String>,
        predicate: Option<String>,
    },
    /// All that a source says, or that is said with a predicate: rows by time and the beginning of the id.
    Mention(i64),
}

impl Way {
    /// The shortest one there is.
    ///
    /// # Errors
    /// When every one is too long.
    pub(super) async fn to(
        connection: &mut SqliteConnection,
        selection: &Selection,
    ) -> Result<Way, CallError> {
        let Selection {
            subject,
            subject_prefix,
            predicate,
            source,
            ..
        } = selection;
        let (from, below, too_many) = match (subject, subject_prefix, predicate) {
            (Some(subject), _, Some(predicate)) => {
                return Ok(Way::Topic {
                    subject: subject.clone(),
                    predicate: predicate.clone(),
                });
            }
            (Some(subject), ..) => (
                subject.clone(),
                Some(prefix::next(subject)),
                "the subject has more than 50,000 claims; narrow the question: add predicate= or source=",
            ),
            (None, Some(start), _) => (
                start.clone(),
                prefix::above(start),
                "subjects with this prefix have more than 50,000 claims; narrow the question: give a longer subject_prefix=, or add predicate= or source=",
            ),
            (None, None, _) => {
                return mentioned(selection).ok_or(CallError::TooLarge(
                    "every record would be looked at; add subject=, subject_prefix=, source= or predicate=",
                ));
            }
        };
        if are_many(connection, &from, below.as_deref()).await? {
            let mentioned = source.is_some() || predicate.is_some();
            return mentioned
                .then(|| self::mentioned(selection))
                .flatten()
                .ok_or(CallError::TooLarge(too_many));
        }
        Ok(Way::Subjects {
            from,
            below,
            predicate: predicate.clone(),
        })
    }

    /// The rows after a place, in the order of pages.
    pub(super) fn rows(&self, selection: &Selection, from: Option<Position>) -> Sqlite<'static> {
        let latest = selection.as_of.unwrap_or(i64::MAX);
        let (latest, head) = match from {
            Some(from) if from.at <= latest => (from.at, head(from.id)),
            _ => (latest, 0),
        };
        match self {
            Way::Topic { subject, predicate } => sqlx::query(OF_TOPIC)
                .bind(subject.clone())
                .bind(predicate.clone())
                .bind(latest),
            Way::Subjects {
                from,
                below,
                predicate,
            } => prefix::bind(
                sqlx::query(OF_SUBJECTS).bind(from.clone()),
                below.as_deref(),
            )
            .bind(predicate.clone())
            .bind(latest)
            .bind(head),
            Way::Mention(key) => mention(*key, latest, head),
        }
    }

    /// Whether a record is one that the index may name on this way; of a moment, [`Way::through`] says.
    pub(super) fn fits(&self, record: &Record) -> bool {
        let Some(claim) = record.assertion() else {
            return false;
        };
        match self {
            Way::Topic { subject, predicate } => {
                claim.subject == *subject && claim.predicate == *predicate
            }
            Way::Subjects {
                from,
                below,
                predicate,
            } => {
                claim.subject >= *from
                    && below.as_ref().is_none_or(|below| claim.subject < *below)
                    && predicate
                        .as_ref()
                        .is_none_or(|name| claim.predicate == *name)
            }
            // Keys may collide: then the record is another's, and no damage.
            Way::Mention(_) => true,
        }
    }

    /// Where the stretch of a row ends: see [`super::page`].
    pub(super) fn through(&self, row: &SqliteRow) -> Result<Position, sqlx::Error> {
        match self {
            Way::Topic { .. } => Ok(Position {
                at: row.try_get(0)?,
                id: RecordId::from_bytes([0xff; 32]),
            }),
            Way::Subjects { .. } | Way::Mention(_) => through(row),
        }
    }
}

/// The rows of a line of the index after a place, newest first.
pub(crate) fn mentions(key: i64, from: Option<Position>) -> Sqlite<'static> {
    match from {
        Some(from) => mention(key, from.at, head(from.id)),
        None => mention(key, i64::MAX, 0),
    }
}

fn mention(key: i64, latest: i64, head: i64) -> Sqlite<'static> {
    sqlx::query(OF_MENTION)
        .bind(key)
        // The latest of all has no opposite but is beyond every record's time.
        .bind(latest.saturating_neg())
        .bind(head)
}

/// Where the stretch of a row ends that comes by time and the beginning of the id: columns 0 and 2.
pub(crate) fn through(row: &SqliteRow) -> Result<Position, sqlx::Error> {
    let mut last = [0xff; 32];
    let head: u32 = row.try_get(2)?;
    last[..4].copy_from_slice(&head.to_be_bytes());
    Ok(Position {
        at: row.try_get(0)?,
        id: RecordId::from_bytes(last),
    })
}

fn head(id: RecordId) -> i64 {
    crate::writer::id_head(id.as_bytes())
}

/// Sources are many and predicates few, so a source is the shorter way when both are given.
fn mentioned(selection: &Selection) -> Option<Way> {
    let source = selection.source.as_deref().map(key_of_source);
    let predicate = || selection.predicate.as_deref().map(key_of_predicate);
    source.or_else(predicate).map(Way::Mention)
}

async fn are_many(
    connection: &mut SqliteConnection,
    from: &str,
    below: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let query = prefix::bind(sqlx::query(ARE_MANY).bind(from.to_owned()), below);
    let many = query.bind(SORTED_ROWS_MAX).fetch_optional(connection);
    Ok(many.await?.is_some())
}
