//! Claims as SQLite hands them over for a lens: many in one row. A row of their own each costs more than all that a lens does
//! with it: it goes from SQLite's thread to the lens's, and each column of it is copied with room of its own.

use assertion::{Claim, Kind, Record};
use futures::TryStreamExt as _;
use lens::Selection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::error::CallError;
use crate::held::{self, canonical_of};
use crate::query::claims::Sqlite;

/// Claims of a page.
const PAGE_CLAIMS: i64 = 1_000;

/// Longest claim that comes with others, so that a page of them takes no more than 2 MiB. Longer ones are rare, and come in rows
/// of their own.
const SHORT_MAX: i64 = 2_048;

/// Canonical bytes of longer claims that are kept at a time.
const LONG_BYTES: i64 = 2 * 1024 * 1024;

/// In place of the length of bytes that were redacted; one less when they are gone though they should be here.
const REDACTED: i64 = -1;

/// The latest first, in the order of the index: the first claim of a value is its strongest, unless another one states more.
/// What is aggregated together is in one order, whichever that is. A list leaves out what is NULL, and the others would not fit it:
/// so a column that damage made NULL is a number that no sound row has, and so is each of a row that is gone.
const OF_TOPIC: &str = "
    SELECT ?2, group_concat(s.at_ms), group_concat(s.sequence), group_concat(s.id_head), group_concat(s.bytes),
           CAST(group_concat(s.short, '') AS BLOB)
    FROM (SELECT t.at_ms, t.sequence, ifnull(CAST(r.id_head AS INTEGER), -1) AS id_head,
                 ifnull(length(r.canonical), (SELECT ifnull(max(-1), -2) FROM redaction d WHERE d.sequence = t.sequence)) AS bytes,
                 iif(length(r.canonical) <= ?6, CAST(r.canonical AS TEXT), '') AS short
          FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
          WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate = ?2 AND (t.at_ms, t.sequence) < (?3, ?4)
          ORDER BY t.at_ms DESC, t.sequence DESC LIMIT ?5) s";

/// The same for all predicates, one row for each of a page.
const OF_SUBJECT: &str = "
    SELECT s.predicate, group_concat(s.at_ms), group_concat(s.sequence), group_concat(s.id_head), group_concat(s.bytes),
           CAST(group_concat(s.short, '') AS BLOB)
    FROM (SELECT t.predicate, t.at_ms, t.sequence, ifnull(CAST(r.id_head AS INTEGER), -1) AS id_head,
                 ifnull(length(r.canonical), (SELECT ifnull(max(-1), -2) FROM redaction d WHERE d.sequence = t.sequence)) AS bytes,
                 iif(length(r.canonical) <= ?6, CAST(r.canonical AS TEXT), '') AS short
          FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
          WHERE t.kind = 0 AND t.subject = ?1 AND (t.predicate, t.at_ms, t.sequence) < (?2, ?3, ?4) AND t.at_ms <= ?7
          ORDER BY t.predicate DESC, t.at_ms DESC, t.sequence DESC LIMIT ?5) s
    GROUP BY s.predicate";

const LONG: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), j.value, r.id_head, ",
    canonical_of!("j.value"),
    " FROM json_each(?1) j LEFT JOIN record r ON r.sequence = j.value",
);

/// Where a page starts: before the claims behind this one.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// None: behind all predicates.
    predicate: Option<String>,
    at_ms: i64,
    sequence: i64,
}

impl Place {
    /// Before all claims of a question.
    pub(super) fn first(selection: &Selection) -> Place {
        Place {
            predicate: selection.predicate.clone(),
            at_ms: selection.as_of.unwrap_or(i64::MAX),
            sequence: i64::MAX,
        }
    }
}

/// A page of claims.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// What all its claims are about.
    subject: String,
    rows: Vec<SqliteRow>,
    heads: Vec<Head>,
    /// Where the next one starts, when there may be more.
    pub(super) next: Option<Place>,
}

/// What is known of a claim beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The row that has its bytes, when they are short.
    row: usize,
    at_ms: i64,
    sequence: i64,
    id_head: i64,
    /// [`REDACTED`]: there are none.
    bytes: i64,
}

impl Page {
    /// Reads the page at a place.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        selection: &Selection,
        place: Place,
    ) -> Result<Page, CallError> {
        let rows = statement(selection, place).fetch_all(connection).await?;
        let mut page = Page {
            subject: selection.subject.clone().unwrap_or_default(),
            rows,
            ..Page::default()
        };
        let mut last: Option<(&str, i64, i64)> = None;
        for (number, row) in page.rows.iter().enumerate() {
            let predicate: &str = row.try_get(0)?;
            for ((at_ms, sequence), (id_head, bytes)) in numbers(row, 1)?
                .zip(numbers(row, 2)?)
                .zip(numbers(row, 3)?.zip(numbers(row, 4)?))
            {
                let place = (predicate, at_ms?, sequence?);
                last = Some(last.map_or(place, |last| last.min(place)));
                let bytes = bytes?;
                if bytes < REDACTED {
                    return Err(held::damaged(place.2));
                }
                page.heads.push(Head {
                    row: number,
                    at_ms: place.1,
                    sequence: place.2,
                    id_head: id_head?,
                    bytes,
                });
            }
        }
        let full = i64::try_from(page.heads.len()).is_ok_and(|read| read >= PAGE_CLAIMS);
        page.next = last
            .filter(|_| full)
            .map(|(predicate, at_ms, sequence)| Place {
                predicate: Some(predicate.to_owned()),
                at_ms,
                sequence,
            });
        Ok(page)
    }

    /// Whether all claims of the question came together.
    pub(super) fn is_whole(&self) -> bool {
        self.next.is_none() && self.heads.iter().all(|head| head.bytes <= SHORT_MAX)
    }

    /// The claims that came together.
    pub(super) fn short(&self) -> Result<Vec<Claim<'_>>, CallError> {
        let mut claims = Vec::with_capacity(self.heads.len());
        let mut row = usize::MAX;
        let mut predicate = "";
        let mut rest: &[u8] = &[];
        for head in self.heads.iter().filter(|head| head.is_short()) {
            if head.row != row {
                row = head.row;
                predicate = self.rows[row].try_get(0)?;
                rest = self.rows[row].try_get(5)?;
            }
            let length = usize::try_from(head.bytes).unwrap_or(usize::MAX);
            let (canonical, behind) = rest
                .split_at_checked(length)
                .ok_or_else(|| held::damaged(head.sequence))?;
            rest = behind;
            claims.push(head.claim(canonical, &self.subject, predicate)?);
        }
        Ok(claims)
    }

    /// The claims that did not, in lists that are read at a time.
    pub(super) fn long(&self) -> Vec<Vec<Head>> {
        let mut lists: Vec<Vec<Head>> = Vec::new();
        let mut bytes = LONG_BYTES;
        for head in self.heads.iter().filter(|head| head.bytes > SHORT_MAX) {
            bytes += head.bytes;
            match lists.last_mut() {
                Some(list) if bytes <= LONG_BYTES => list.push(*head),
                _ => {
                    bytes = head.bytes;
                    lists.push(vec![*head]);
                }
            }
        }
        lists
    }

    /// Reads long claims.
    pub(super) async fn read_long(
        &self,
        connection: &mut SqliteConnection,
        heads: &[Head],
    ) -> Result<Vec<Record>, CallError> {
        let sequences: Vec<i64> = heads.iter().map(|head| head.sequence).collect();
        let mut rows = sqlx::query(LONG)
            .bind(format!("{sequences:?}"))
            .fetch(connection);
        let mut claims = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let head = heads.get(row.try_get::<u32, _>(0)? as usize);
            let fits = |record: &Record| head.is_some_and(|head| self.led_to(*head, record));
            claims.extend(held::record_of_line(&row, fits)?);
            tokio::task::consume_budget().await;
        }
        Ok(claims)
    }

    /// Whether a record says what the line says that led to it.
    fn led_to(&self, head: Head, record: &Record) -> bool {
        let predicate = self.rows[head.row].try_get::<&str, _>(0);
        predicate.is_ok_and(|predicate| {
            record.topic() == (Kind::Assertion, &*self.subject, predicate, head.at_ms)
        })
    }
}

impl Head {
    fn is_short(self) -> bool {
        (0..=SHORT_MAX).contains(&self.bytes)
    }

    /// The claim that a line of the index led to, and that says what the line says.
    fn claim<'a>(
        self,
        canonical: &'a [u8],
        subject: &str,
        predicate: &str,
    ) -> Result<Claim<'a>, CallError> {
        Claim::from_stored(canonical)
            .filter(|claim| {
                held::is_head(self.id_head, claim.id)
                    && claim.asserted_at == self.at_ms
                    && claim.subject == subject
                    && claim.predicate == predicate
            })
            .ok_or_else(|| held::damaged(self.sequence))
    }
}

fn statement(selection: &Selection, place: Place) -> Sqlite<'static> {
    let topic = selection.predicate.is_some();
    let query =
        sqlx::query(if topic { OF_TOPIC } else { OF_SUBJECT }).bind(selection.subject.clone());
    let query = match place.predicate {
        Some(predicate) => query.bind(predicate),
        // Bytes come after all texts.
        None => query.bind(Vec::<u8>::new()),
    };
    let query = query
        .bind(place.at_ms)
        .bind(place.sequence)
        .bind(PAGE_CLAIMS)
        .bind(SHORT_MAX);
    match topic {
        true => query,
        false => query.bind(selection.as_of.unwrap_or(i64::MAX)),
    }
}

/// The numbers of a list.
fn numbers(
    row: &SqliteRow,
    column: usize,
) -> Result<impl Iterator<Item = Result<i64, sqlx::Error>>, sqlx::Error> {
    // None: no rows were aggregated.
    let list: Option<&str> = row.try_get(column)?;
    let number = |digits: &str| {
        digits
            .parse::<i64>()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    Ok(list
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(number))
}
