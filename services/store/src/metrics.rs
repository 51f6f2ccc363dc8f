//! What the store counts. The only label is the lens, of which there are a handful.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::trees::Trees;

const ASSERTIONS: &str = "stemedb_assertions_total";
const INGESTED: &str = "stemedb_assertions_ingested_total";
const QUERY_SECONDS: &str = "stemedb_query_latency_seconds";
const RECORDS: &str = "stemedb_store_records";
const COMMIT_SECONDS: &str = "stemedb_store_commit_seconds";
const GROUPS: &str = "stemedb_store_groups_total";
const GROUP_RECORDS: &str = "stemedb_store_group_records_total";
const WAITING: &str = "stemedb_store_waiting_bytes";
const DISK: &str = "stemedb_store_disk_bytes";
const TREES: &str = "stemedb_store_trees_bytes";
const RELEASED: &str = "stemedb_store_released_records_total";
const DAMAGED: &str = "stemedb_store_damaged_rows_total";

/// Gives every series its sentence, and those that may stay empty their zero. Once per process.
pub fn describe() {
    describe_counter!(
        ASSERTIONS,
        "Records that ever came to this store; it goes on over restarts"
    );
    describe_counter!(
        INGESTED,
        "Records stored by this process that were not held before"
    );
    describe_histogram!(
        QUERY_SECONDS,
        Unit::Seconds,
        "Time to answer a query, by lens"
    );
    describe_gauge!(RECORDS, "Records that this store holds");
    describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "Time of a transaction, its fsync included"
    );
    describe_counter!(GROUPS, "Groups of writes that were looked at together");
    describe_counter!(
        GROUP_RECORDS,
        "Records in those groups; divided by them, the size of a group"
    );
    describe_gauge!(
        WAITING,
        Unit::Bytes,
        "Records that wait to be written, in whole KiB"
    );
    describe_gauge!(DISK, Unit::Bytes, "Bytes of the database and its log");
    describe_gauge!(TREES, Unit::Bytes, "Memory of the Merkle trees, about");
    describe_counter!(
        RELEASED,
        "Records given up because other nodes own them and have confirmed theirs"
    );
    describe_counter!(
        DAMAGED,
        "Times that a row was read whose bytes are not those of its id"
    );
    for name in [INGESTED, GROUPS, GROUP_RECORDS, RELEASED, DAMAGED] {
        counter!(name).absolute(0);
    }
}

/// A group of this many records is looked at.
pub(crate) fn group(records: usize) {
    counter!(GROUPS).increment(1);
    counter!(GROUP_RECORDS).increment(records as u64);
}

/// A transaction with this many new records is durable.
pub(crate) fn committed(new: usize, took: Duration) {
    counter!(INGESTED).increment(new as u64);
    histogram!(COMMIT_SECONDS).record(took);
}

/// This many records were given up.
pub(crate) fn released(records: u64) {
    counter!(RELEASED).increment(records);
}

/// How much waits.
pub(crate) fn waiting(bytes: usize) {
    gauge!(WAITING).set(bytes as f64);
}

/// A query was answered.
pub(crate) fn answered(lens: &'static str, took: Duration) {
    histogram!(QUERY_SECONDS, "lens" => lens).record(took);
}

/// A row is not what it was.
pub(crate) fn damaged() {
    counter!(DAMAGED).increment(1);
}

/// What the store holds now.
pub(crate) fn holdings(trees: &Trees, disk_bytes: u64) {
    // Records that were given up stay counted: a counter does not go back.
    counter!(ASSERTIONS).absolute(trees.sequence());
    gauge!(RECORDS).set(trees.records() as f64);
    gauge!(DISK).set(disk_bytes as f64);
    gauge!(TREES).set(trees.memory_bytes() as f64);
}
