//! Replies about damage.

use serde::Serialize;
use utoipa::ToSchema;

use super::nodes::Unreachable;

/// Something that needs an operator, or soon will.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alarm {
    /// `quarantined_rows`, `database_malformed`.
    pub code: String,
    /// What is wrong, and the next step.
    pub message: String,
    /// Unix milliseconds.
    pub since: i64,
}

/// The search for damage.
#[derive(Debug, Serialize, ToSchema)]
pub struct Scrubs {
    /// Who says so.
    pub node: String,
    /// The nodes that answer.
    pub nodes: Vec<ScrubbedNode>,
    /// The others.
    pub unreachable: Vec<Unreachable>,
}

/// The search for damage on one node. What was found counts since the node started.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScrubbedNode {
    /// Its name.
    pub id: String,
    /// idle, or what is looked at: whole, records, ids, topics, mentions, supersessions, roots.
    pub state: String,
    /// Unix milliseconds when the pass that runs, or the last one, began; 0: none.
    pub begun_at: i64,
    /// Unix milliseconds when a whole pass ended last; 0: never.
    pub ended_at: i64,
    /// Rows that the pass has looked at.
    pub rows: u64,
    /// About how many are left.
    pub rows_to_do: u64,
    /// Of all of them.
    pub percent: f64,
    /// Whole passes.
    pub passes: u64,
    /// Why the last pass did not come to its end; empty: it did.
    pub error: String,
    /// Damaged rows that were put aside.
    pub found_rows: u64,
    /// Lines of indexes that did not fit their records and were put right.
    pub mended_lines: u64,
    /// Roots of shards that were not those of their ids and were derived anew.
    pub mended_roots: u64,
    /// Damaged rows whose records have not come again.
    pub quarantined: u64,
    /// Which, at most 100.
    pub waited_for: Vec<QuarantinedRow>,
    /// What an operator should know.
    pub alarms: Vec<Alarm>,
}

/// A damaged row whose record has not come again.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedRow {
    /// The record.
    pub id: String,
    /// Its shard.
    pub shard: u32,
    /// Unix milliseconds.
    pub noticed_at: i64,
    /// What is wrong with it.
    pub reason: String,
}
