//! What is known of the claims on a page besides what they say: that their source was retracted, or their epoch superseded.

use std::collections::{BTreeMap, BTreeSet};

use assertion::{Record, RecordId};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lens::Selection;
use proto::v1;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::error::CallError;
use crate::{context, list};

/// The claims that something is known of, in the order of the page; records dated up to `as_of` count, as for a lens.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn of(
    readers: &SqlitePool,
    page: &[v1::FoundRecord],
    selection: &Selection,
) -> Result<Vec<v1::Mark>, CallError> {
    // They were records when they were read from their rows.
    let claims: Vec<Record> = page
        .iter()
        .filter_map(|found| Record::from_stored(&found.canonical).ok())
        .collect();
    let latest = selection.as_of.unwrap_or(i64::MAX);
    let mut connection = readers.acquire().await?;
    let retracted = retracted(&mut connection, &claims, latest).await?;
    let epochs: BTreeSet<RecordId> = claims.iter().filter_map(epoch).collect();
    let superseders = list::superseders(&mut connection, epochs, latest).await?;
    let marks = claims.iter().filter_map(|record| {
        let uri = &record.assertion()?.source.uri;
        let superseded_by = epoch(record).and_then(|epoch| superseders.get(&epoch));
        let mark = v1::Mark {
            id: Bytes::copy_from_slice(record.id().as_bytes()),
            retracted: retracted.contains(uri.as_str()),
            superseded_by: superseded_by.cloned().unwrap_or_default(),
        };
        (mark.retracted || !mark.superseded_by.is_empty()).then_some(mark)
    });
    Ok(marks.collect())
}

fn epoch(record: &Record) -> Option<RecordId> {
    record.assertion()?.epoch.as_deref()?.parse().ok()
}

/// The uris of these claims that are retracted by the latest record of each, of several of one moment the greatest id's.
async fn retracted<'a>(
    connection: &mut SqliteConnection,
    claims: &'a [Record],
    latest: i64,
) -> Result<BTreeSet<&'a str>, CallError> {
    let uris: BTreeSet<&str> = claims
        .iter()
        .filter_map(|record| Some(record.assertion()?.source.uri.as_str()))
        .collect();
    let uris: Vec<&str> = uris.into_iter().collect();
    if uris.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut decides: BTreeMap<usize, (RecordId, bool)> = BTreeMap::new();
    let mut rows = context::sources(uris.iter().copied(), latest).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let number = row.try_get::<u32, _>(0)? as usize;
        if let Some(record) = context::lines::source(&row, &uris)?
            && let Some(source) = record.source()
        {
            let says = (record.id(), source.retracted.unwrap_or(false));
            let known = decides.entry(number).or_insert(says);
            *known = says.max(*known);
        }
        tokio::task::consume_budget().await;
    }
    let retracted = decides.into_iter().filter(|(_, (_, retracted))| *retracted);
    Ok(retracted
        .filter_map(|(number, _)| uris.get(number).copied())
        .collect())
}
