//! Rows of the statements, each with the record that its line leads to. A line names what its record is about: one that says
//! something else was led astray, to another record of its kind perhaps, and the true one would not be missed.

use assertion::{Kind, Record, RecordId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::error::CallError;
use crate::held::record_of_line;
use crate::writer::superseded;

/// The record; none when it was redacted. An error: it is damaged, or its line is.
type Told = Result<Option<Record>, CallError>;

/// Of the sources of these uris.
pub(crate) fn source(row: &SqliteRow, uris: &[impl AsRef<str>]) -> Told {
    let (number, at_ms): (u32, i64) = (row.try_get(0)?, row.try_get(4)?);
    let uri = uris.get(number as usize).map(AsRef::as_ref);
    record_of_line(row, |record| {
        uri.is_some_and(|uri| record.topic() == (Kind::Source, uri, "", at_ms))
    })
}

/// Of the votes on these claims of a subject.
pub(crate) fn vote_on(row: &SqliteRow, subject: &str, claims: &[RecordId]) -> Told {
    let (number, at_ms): (u32, i64) = (row.try_get(0)?, row.try_get(4)?);
    let claim = claims.get(number as usize);
    record_of_line(row, |record| {
        let (kind, about, voted_on, at) = record.topic();
        (kind, about, at) == (Kind::Vote, subject, at_ms)
            && claim.is_some_and(|claim| voted_on.parse() == Ok(*claim))
    })
}

/// Of all votes that name a subject.
pub(super) fn vote(row: &SqliteRow, subject: &str) -> Told {
    let (at_ms, voted_on): (i64, &str) = (row.try_get(0)?, row.try_get(4)?);
    record_of_line(row, |record| {
        record.topic() == (Kind::Vote, subject, voted_on, at_ms)
    })
}

/// Of all epochs.
pub(super) fn epoch(row: &SqliteRow) -> Told {
    let (at_ms, name): (i64, &str) = (row.try_get(0)?, row.try_get(4)?);
    record_of_line(row, |record| {
        record.topic() == (Kind::Epoch, name, "", at_ms)
    })
}

/// Of the records with these ids.
pub(crate) fn of_id(row: &SqliteRow, ids: &[RecordId]) -> Told {
    let number: u32 = row.try_get(0)?;
    let id = ids.get(number as usize);
    record_of_line(row, |record| id == Some(&record.id()))
}

/// Of the epochs that supersede one of these.
pub(crate) fn superseding(row: &SqliteRow, epochs: &[RecordId]) -> Told {
    let (number, at_ms): (u32, i64) = (row.try_get(0)?, row.try_get(4)?);
    let epoch = epochs.get(number as usize);
    record_of_line(row, |record| {
        record.at_ms() == at_ms && superseded(record).any(|named| epoch == Some(&named))
    })
}

/// Of a chain of epochs.
pub(crate) fn in_chain(row: &SqliteRow) -> Told {
    let (at_ms, epoch): (i64, &[u8]) = (row.try_get(4)?, row.try_get(5)?);
    record_of_line(row, |record| {
        record.at_ms() == at_ms && superseded(record).any(|named| named.as_bytes()[..] == *epoch)
    })
}
