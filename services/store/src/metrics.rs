//! What the store counts. The only label is the lens, of which there are a handful.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::trees::Trees;
use crate::writer::Mended;

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
const SCRUBBED_ROWS: &str = "stemedb_store_scrubbed_rows_total";
const SCRUBBED_AT: &str = "stemedb_store_scrub_last_timestamp_seconds";
const QUARANTINED: &str = "stemedb_store_quarantined_rows_total";
const HEALED: &str = "stemedb_store_healed_rows_total";
const WAITED_FOR: &str = "stemedb_store_quarantined_rows";
const MENDED: &str = "stemedb_store_mended_lines_total";
const DERIVED: &str = "stemedb_store_mended_roots_total";
const MALFORMED: &str = "stemedb_store_malformed";

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
    describe_scrub();
    let empty = [INGESTED, GROUPS, GROUP_RECORDS, RELEASED, DAMAGED];
    let of_scrub = [SCRUBBED_ROWS, QUARANTINED, HEALED, MENDED, DERIVED];
    for name in empty.into_iter().chain(of_scrub) {
        counter!(name).absolute(0);
    }
}

fn describe_scrub() {
    describe_counter!(SCRUBBED_ROWS, "Rows that scrubs have looked at");
    describe_gauge!(
        SCRUBBED_AT,
        Unit::Seconds,
        "When a whole scrub ended last, Unix time; 0: never"
    );
    describe_counter!(
        QUARANTINED,
        "Damaged rows that were put aside, so that their records are fetched again"
    );
    describe_counter!(HEALED, "Damaged rows whose records have come again");
    describe_gauge!(
        WAITED_FOR,
        "Damaged rows whose records have not come again yet"
    );
    describe_counter!(
        MENDED,
        "Lines of indexes that did not fit their records and were put right"
    );
    describe_counter!(
        DERIVED,
        "Roots of shards that were not those of their ids and were derived anew"
    );
    describe_gauge!(MALFORMED, "1 while SQLite cannot read the database, else 0");
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

/// A scrub looked at rows.
pub(crate) fn scrubbing(rows: u64) {
    counter!(SCRUBBED_ROWS).increment(rows);
}

/// A whole scrub ended at this Unix millisecond.
pub(crate) fn scrubbed(at_ms: i64) {
    gauge!(SCRUBBED_AT).set(at_ms as f64 / 1_000.0);
}

/// A transaction put something right.
pub(crate) fn mended(mended: &Mended) {
    counter!(QUARANTINED).increment(mended.quarantined);
    counter!(MENDED).increment(mended.lines);
    counter!(DERIVED).increment(mended.roots);
}

/// Records have come again.
pub(crate) fn healed(rows: usize) {
    counter!(HEALED).increment(rows as u64);
}

/// What is waited for, and whether nothing can be read.
pub(crate) fn lost(rows: usize, malformed: bool) {
    gauge!(WAITED_FOR).set(rows as f64);
    gauge!(MALFORMED).set(f64::from(u8::from(malformed)));
}

/// What the store holds now.
pub(crate) fn holdings(trees: &Trees, disk_bytes: u64) {
    // Records that were given up stay counted: a counter does not go back.
    counter!(ASSERTIONS).absolute(trees.sequence());
    gauge!(RECORDS).set(trees.records() as f64);
    gauge!(DISK).set(disk_bytes as f64);
    gauge!(TREES).set(trees.memory_bytes() as f64);
}
