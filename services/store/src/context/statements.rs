//! The statements that find what lenses look at beside claims; for the lenses of this store, and for Context.
//!
//! Ids and uris come as a JSON list, which is the outer loop: rows are in its order, and within it in that of the index. Uris
//! go as hex: JSON may be written in many ways. A line whose row is gone comes too, without bytes: it says that something is lacking.

use assertion::{RecordId, hex};
use proto::CONTEXT_LIST_MAX;
use sqlx::SqliteConnection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::place::{Last, Spot};
use crate::held::{self, canonical_of};

/// Of each uri the records of its latest moment.
const SOURCES: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    ", t.at_ms
    FROM json_each(?1) j
    CROSS JOIN topic t ON t.kind = 3 AND t.subject = CAST(unhex(j.value) AS TEXT) AND t.predicate = '' AND t.at_ms = (
        SELECT max(m.at_ms) FROM topic m
        WHERE m.kind = 3 AND m.subject = CAST(unhex(j.value) AS TEXT) AND m.predicate = '' AND m.at_ms <= ?2)
    LEFT JOIN record r ON r.sequence = t.sequence",
);

const VOTES: &str = concat!(
    "SELECT t.at_ms, t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    ", t.predicate
    FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 1 AND t.subject = ?1 AND (t.predicate, t.at_ms, t.sequence) > (?2, ?3, ?4) AND t.at_ms <= ?5
    ORDER BY t.predicate, t.at_ms, t.sequence LIMIT ?6",
);

/// Claims of a subject that have votes, in the order of ids from one on: one seek for each, however many votes it has.
const VOTED: &str = "
    WITH RECURSIVE voted (claim) AS (
        SELECT min(predicate) FROM topic WHERE kind = 1 AND subject = ?1 AND predicate >= ?2
        UNION ALL
        SELECT (SELECT min(t.predicate) FROM topic t WHERE t.kind = 1 AND t.subject = ?1 AND t.predicate > voted.claim)
        FROM voted WHERE voted.claim IS NOT NULL)
    SELECT claim FROM voted WHERE claim IS NOT NULL LIMIT ?3";

/// One seek for each claim: votes on other claims are not even read. Times are within 2^53.
const VOTES_ON: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    ", t.at_ms
    FROM json_each(?1) j
    CROSS JOIN topic t ON t.kind = 1 AND t.subject = ?2 AND t.predicate = j.value
        AND t.at_ms >= iif(j.key = 0, ?3, -9223372036854775807) AND t.at_ms <= ?5
        AND (j.key > 0 OR t.at_ms > ?3 OR t.sequence > ?4)
    LEFT JOIN record r ON r.sequence = t.sequence
    LIMIT ?6",
);

const EPOCHS: &str = concat!(
    "SELECT t.at_ms, t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    ", t.subject
    FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 2 AND (t.subject, t.predicate, t.at_ms, t.sequence) > (?1, '', ?2, ?3) AND t.at_ms <= ?4
    ORDER BY t.subject, t.predicate, t.at_ms, t.sequence LIMIT ?5",
);

const OF_GLOBAL_SHARD: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), p.sequence, r.id_head, ",
    canonical_of!("p.sequence"),
    " FROM json_each(?1) j
    CROSS JOIN place p ON p.shard = ?2 AND p.id = unhex(j.value)
    LEFT JOIN record r ON r.sequence = p.sequence
    LIMIT ?3",
);

const SUPERSEDING: &str = concat!(
    "SELECT CAST(j.key AS INTEGER), s.sequence, r.id_head, ",
    canonical_of!("s.sequence"),
    ", s.at_ms
    FROM json_each(?1) j
    CROSS JOIN supersession s ON s.epoch = unhex(j.value)
        AND s.at_ms >= iif(j.key = 0, ?2, -9223372036854775807) AND s.at_ms <= ?4
        AND (j.key > 0 OR s.at_ms > ?2 OR s.sequence > ?3)
    LEFT JOIN record r ON r.sequence = s.sequence
    LIMIT ?5",
);

/// Lines of epochs that supersede one of these, those that supersede them, and so on, the nearest first. Which epoch a line leads
/// to is known by its sequence: the epoch's id begins as the row's head says, and lines of others that begin so come along.
const CHAIN: &str = concat!(
    "WITH RECURSIVE chain (sequence, id_head, at_ms, epoch) AS (
        SELECT s.sequence, r.id_head, s.at_ms, s.epoch
        FROM json_each(?1) j
        CROSS JOIN supersession s ON s.epoch = unhex(j.value) AND s.at_ms <= ?2
        LEFT JOIN record r ON r.sequence = s.sequence
        UNION
        SELECT s.sequence, r.id_head, s.at_ms, s.epoch
        FROM chain c
        CROSS JOIN supersession s ON s.at_ms <= ?2
            AND s.epoch >= unhex(format('%08x%056x', c.id_head, 0))
            AND s.epoch <= unhex(format('%08x', c.id_head) || replace(format('%056x', 0), '0', 'f'))
        LEFT JOIN record r ON r.sequence = s.sequence
        LIMIT ?3)
    SELECT 0, c.sequence, r.id_head, ",
    canonical_of!("c.sequence"),
    ", c.at_ms, c.epoch
    FROM chain c LEFT JOIN record r ON r.sequence = c.sequence",
);

pub(crate) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// What is known of sources up to a time: of each uri the records of its latest moment.
pub(crate) fn sources<'a>(uris: impl IntoIterator<Item = &'a str>, latest: i64) -> Statement {
    let mut list = String::from("[");
    for (number, uri) in uris.into_iter().enumerate() {
        list.push_str(if number == 0 { "\"" } else { ",\"" });
        list.push_str(&hex::write(uri.as_bytes()));
        list.push('"');
    }
    list.push(']');
    sqlx::query(SOURCES).bind(list).bind(latest)
}

/// Votes that name a subject.
pub(crate) fn votes(subject: &str, after: &Last, latest: i64, limit: i64) -> Statement {
    sqlx::query(VOTES)
        .bind(subject.to_owned())
        .bind(after.about.clone())
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// Claims of a subject that have votes, whether or not they are here: ids from one on, at most [`CONTEXT_LIST_MAX`].
pub(crate) async fn voted(
    connection: &mut SqliteConnection,
    subject: &str,
    from: RecordId,
) -> Result<Vec<RecordId>, sqlx::Error> {
    let rows = sqlx::query_scalar::<_, String>(VOTED)
        .bind(subject.to_owned())
        .bind(from.to_string())
        .bind(u32::try_from(CONTEXT_LIST_MAX).unwrap_or(u32::MAX))
        .fetch_all(connection)
        .await?;
    // A record's door lets only ids through.
    Ok(rows.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Votes on these claims of a subject; on the first of them only those behind the spot, whose number is not looked at.
pub(crate) fn votes_on(
    subject: &str,
    claims: &[RecordId],
    after: &Spot,
    latest: i64,
    limit: i64,
) -> Statement {
    sqlx::query(VOTES_ON)
        .bind(list(claims))
        .bind(subject.to_owned())
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// All epochs.
pub(crate) fn epochs(after: &Last, latest: i64, limit: i64) -> Statement {
    sqlx::query(EPOCHS)
        .bind(after.about.clone())
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// Records of the global shard by id, of whatever kind and time.
pub(crate) fn of_global_shard(ids: &[RecordId], global: u32, limit: i64) -> Statement {
    sqlx::query(OF_GLOBAL_SHARD)
        .bind(list(ids))
        .bind(global)
        .bind(limit)
}

/// Epochs that supersede one of these; of the first of them only those behind the spot, whose number is not looked at.
pub(crate) fn superseding(epochs: &[RecordId], after: &Spot, latest: i64, limit: i64) -> Statement {
    sqlx::query(SUPERSEDING)
        .bind(list(epochs))
        .bind(after.at_ms)
        .bind(after.sequence)
        .bind(latest)
        .bind(limit)
}

/// Epochs that supersede one of these, and so on, and perhaps some that have nothing to do with them: at most `limit` rows, one
/// for each that an epoch supersedes. When there are fewer, none is missing.
pub(crate) fn chain(epochs: &[RecordId], latest: i64, limit: u32) -> Statement {
    sqlx::query(CHAIN)
        .bind(list(epochs))
        .bind(latest)
        .bind(limit)
}

fn list(ids: &[RecordId]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| id.to_bytes()).collect();
    held::json(&ids)
}
