//! Sets of shards as runs, as messages carry them.

/// A run of shards, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRange {
    /// First shard.
    pub first: u32,
    /// Last shard.
    pub last: u32,
}

/// Ascending shards as runs. Repeats count once.
pub fn compress(shards: impl IntoIterator<Item = u32>) -> Vec<ShardRange> {
    let mut runs: Vec<ShardRange> = Vec::new();
    for shard in shards {
        match runs.last_mut() {
            Some(run) if shard == run.last => {}
            Some(run) if run.last.checked_add(1) == Some(shard) => run.last = shard,
            _ => runs.push(ShardRange {
                first: shard,
                last: shard,
            }),
        }
    }
    runs
}

/// Runs as ascending shards. `None` when they are not ascending and apart, or go beyond `last`: messages come from outside.
pub fn expand(runs: impl IntoIterator<Item = ShardRange>, last: u32) -> Option<Vec<u32>> {
    let mut shards: Vec<u32> = Vec::new();
    for run in runs {
        let ascending = shards.last().is_none_or(|previous| run.first > *previous);
        if !ascending || run.first > run.last || run.last > last {
            return None;
        }
        shards.extend(run.first..=run.last);
    }
    Some(shards)
}
