//! Records by id, when nothing but the id is known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use assertion::RecordId;
use bytes::Bytes;
use merkle::Id;
use proto::convert::{self, WireError};
use proto::{GET_IDS_MAX, v1};
use sqlx::SqlitePool;

use crate::completeness::Completeness;
use crate::error::CallError;
use crate::held::{self, Place};
use crate::trees::Trees;

/// Canonical bytes of an answer: a message holds no more.
const REPLY_BYTES: usize = 3 * 1024 * 1024;

/// Answers a Get. An id does not say its shard: the trees in memory know it, and each other shard is looked into.
///
/// # Errors
/// When the request means nothing, the answer is too long, or the database cannot be read.
pub async fn get(
    readers: &SqlitePool,
    trees: &Arc<Trees>,
    completeness: &Completeness,
    request: v1::GetRequest,
) -> Result<v1::GetReply, CallError> {
    if request.ids.len() > GET_IDS_MAX {
        let problem = format!("are {}, give at most {GET_IDS_MAX}", request.ids.len());
        return Err(WireError::new("ids", problem).into());
    }
    let ids = request
        .ids
        .iter()
        .map(|id| convert::record_id(id).map(RecordId::to_bytes))
        .collect::<Result<Vec<Id>, _>>()?;
    let standing = completeness.of_all();
    let mut found: HashMap<Bytes, v1::HeldRecord> = HashMap::new();
    let mut bytes = 0;
    for (shards, ids) in places(trees, &ids) {
        let place = match shards[..] {
            [shard] => Place::Shard(shard),
            _ => Place::Shards(&shards),
        };
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let batch = held::by_id(readers, place, rest, REPLY_BYTES).await?;
            rest = &rest[batch.settled..];
            if let Some(sequence) = batch.gone.first() {
                return Err(held::damaged(*sequence));
            }
            for mut record in batch.records {
                // Damage that is met is looked at. The caller hashes it once more.
                let redacted = record.canonical.is_empty();
                if !redacted && RecordId::of(&record.canonical).as_bytes()[..] != record.id {
                    let sequence = i64::try_from(record.sequence).unwrap_or_default();
                    return Err(held::damaged(sequence));
                }
                if request.provenance_only {
                    record.canonical = Bytes::new();
                }
                bytes += record.canonical.len();
                found.insert(record.id.clone(), record);
            }
            if bytes > REPLY_BYTES {
                return Err(CallError::TooLarge(
                    "the records are longer than 3 MiB; ask for fewer at a time",
                ));
            }
        }
    }
    let records = request
        .ids
        .iter()
        .filter_map(|id| found.get(id).cloned())
        .collect();
    let (complete, proved_through_ms) = standing.judge();
    Ok(v1::GetReply {
        records,
        complete,
        proved_through_ms,
        counts_as_absent: standing.counts_as_absent(),
    })
}

/// The ids by the shards that each may be in; those that are nowhere are left out.
fn places(trees: &Trees, ids: &[Id]) -> BTreeMap<Vec<u32>, Vec<Id>> {
    let mut places: BTreeMap<Vec<u32>, Vec<Id>> = BTreeMap::new();
    for id in ids {
        let shards = match trees.locate(id) {
            Ok(shard) => vec![shard],
            Err(shards) => shards,
        };
        if !shards.is_empty() {
            places.entry(shards).or_default().push(*id);
        }
    }
    places
}
