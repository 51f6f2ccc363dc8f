//! How long records are: what repair moves of them is their canonical bytes.

use std::cmp::Reverse;
use std::time::Duration;

use assertion::RecordId;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use proto::v1;

use super::{Side, broken};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::store::code;

/// Records that are weighed at a time: a megabyte of usual ones.
const WEIGHED_AT_ONCE: usize = 500;

/// How long that may take.
const WEIGH_MAX: Duration = Duration::from_secs(5);

/// A store's code for an answer that would be too long.
const TOO_MUCH: &str = "too_much";

/// Shards that a sample is of, the fullest: what is in the others is alike, for subjects are spread by their hash.
const SAMPLED_SHARDS: usize = 32;

/// Records of each of them. The first ids are as good as any others: ids are hashes, and say nothing of the length.
const SAMPLED_RECORDS: u32 = 32;

/// Shards that are sampled at a time.
const SHARDS_AT_ONCE: usize = 8;

/// Canonical bytes of a record on average over all shards, by a sample; 0 where there are no records.
pub(in crate::cluster) async fn mean(
    sides: &[Side],
    shards: u32,
    caller: &Caller,
) -> Result<f64, Problem> {
    let fullest = |shard: u32| {
        let holder = sides.iter().max_by_key(|side| side.count(shard as usize))?;
        let records = holder.count(shard as usize);
        (records > 0).then_some((records, shard, holder))
    };
    let mut sampled: Vec<(u64, u32, &Side)> = (0..shards).filter_map(fullest).collect();
    sampled.sort_unstable_by_key(|(records, shard, _)| (Reverse(*records), *shard));
    sampled.truncate(SAMPLED_SHARDS);
    let samples: Vec<_> = sampled
        .into_iter()
        .map(|(records, shard, side)| sample(side, shard, records, caller))
        .collect();
    let samples: Vec<_> = futures::stream::iter(samples)
        .buffer_unordered(SHARDS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(weighed(&samples))
}

/// How many records a shard has, how many of them are looked at, and how many bytes these have.
async fn sample(
    side: &Side,
    shard: u32,
    records: u64,
    caller: &Caller,
) -> Result<(u64, usize, u64), Problem> {
    let ids = side.first_ids(shard, SAMPLED_RECORDS, caller).await;
    let ids = ids.map_err(|status| broken(side.node(), status.message()))?;
    let bytes = canonical_bytes(side, &ids, caller).await?;
    Ok((records, ids.len(), bytes))
}

/// The mean of samples of shards, each as heavy as its shard is full.
fn weighed(samples: &[(u64, usize, u64)]) -> f64 {
    let seen = samples.iter().filter(|(_, ids, _)| *ids > 0);
    let (records, bytes) = seen.fold((0.0, 0.0), |sum, (records, ids, bytes)| {
        let records = *records as f64;
        (
            sum.0 + records,
            sum.1 + records * *bytes as f64 / *ids as f64,
        )
    });
    if records > 0.0 { bytes / records } else { 0.0 }
}

/// Canonical bytes of records that a node holds. What it gave up meanwhile counts nothing.
pub(super) async fn canonical_bytes(
    side: &Side,
    ids: &[RecordId],
    caller: &Caller,
) -> Result<u64, Problem> {
    let mut sum = 0;
    let mut waiting: Vec<&[RecordId]> = ids.chunks(WEIGHED_AT_ONCE).collect();
    while let Some(ids) = waiting.pop() {
        let request = v1::GetRequest {
            ids: ids
                .iter()
                .map(|id| Bytes::copy_from_slice(id.as_bytes()))
                .collect(),
            provenance_only: false,
        };
        match side.store.get(request, caller, WEIGH_MAX).await {
            Ok(reply) => {
                let lengths = reply.records.iter().map(|held| held.canonical.len() as u64);
                sum += lengths.sum::<u64>();
            }
            // Long records: half as many at a time.
            Err(status) if code(&status) == Some(TOO_MUCH) && ids.len() > 1 => {
                let (one, other) = ids.split_at(ids.len() / 2);
                waiting.extend([one, other]);
            }
            Err(status) => {
                return Err(broken(side.node(), status.message()));
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_counts_by_what_is_in_it() {
        assert!((weighed(&[(30, 2, 600), (10, 5, 500)]) - 250.0).abs() < 1e-9);
        // What was given up between the two questions says nothing.
        assert!((weighed(&[(30, 0, 0), (10, 5, 500)]) - 100.0).abs() < 1e-9);
        assert!(weighed(&[]).abs() < 1e-9);
    }
}
