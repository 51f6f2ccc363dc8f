//! What repair counts. Labels are bounded: outcomes, directions, and the names of known peers.

use std::fmt::Write as _;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use proto::v1;

use crate::error::SessionError;
use crate::session::{Outcome, Work};

const SESSIONS: &str = "stemedb_antientropy_sessions_total";
const SECONDS: &str = "stemedb_antientropy_session_seconds";
const ROUND_TRIPS: &str = "stemedb_antientropy_round_trips_total";
const RECORDS: &str = "stemedb_antientropy_records_total";
const BYTES: &str = "stemedb_antientropy_record_bytes_total";
const RELEASED: &str = "stemedb_antientropy_released_records_total";
const FOREIGN: &str = "stemedb_antientropy_foreign_records";
const REFUSALS: &str = "stemedb_antientropy_refusals_total";

/// Gives every series its sentence, and the counters their zero.
pub fn describe() {
    describe_counter!(SESSIONS, "Repair sessions by how they ended");
    describe_histogram!(SECONDS, Unit::Seconds, "Length of repair sessions");
    describe_counter!(ROUND_TRIPS, "Questions asked of peers' stores");
    describe_counter!(RECORDS, "Records copied by repair, by direction");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Canonical bytes of records copied by repair, by direction"
    );
    describe_counter!(
        REFUSALS,
        "Records that the local store refused, every try counted"
    );
    describe_counter!(
        RELEASED,
        "Records that this node gave up: it does not own them, and all owners confirmed theirs"
    );
    describe_gauge!(
        FOREIGN,
        "Records here of shards that this node does not own"
    );
    counter!(RELEASED).absolute(0);
    gauge!(FOREIGN).set(0.0);
    for outcome in ["ok", "unfinished", "failed"] {
        counter!(SESSIONS, "outcome" => outcome).absolute(0);
    }
    for direction in ["pull", "push"] {
        counter!(RECORDS, "direction" => direction).absolute(0);
        counter!(BYTES, "direction" => direction).absolute(0);
    }
    counter!(ROUND_TRIPS).absolute(0);
    counter!(REFUSALS).absolute(0);
}

/// Counts a session that ended.
pub fn session(result: &Result<Outcome, SessionError>, work: &Work, took: Duration) {
    let outcome = match result {
        Ok(outcome) if outcome.failure.is_some() => "failed",
        Ok(outcome) if outcome.unfinished => "unfinished",
        Ok(_) => "ok",
        Err(_) => "failed",
    };
    counter!(SESSIONS, "outcome" => outcome).increment(1);
    histogram!(SECONDS).record(took);
    counter!(ROUND_TRIPS).increment(work.round_trips.into());
}

/// Counts records that are durable on the other side now.
pub fn moved(direction: &'static str, records: u64, bytes: u64) {
    counter!(RECORDS, "direction" => direction).increment(records);
    counter!(BYTES, "direction" => direction).increment(bytes);
}

/// Counts records that were given up.
pub fn released(records: u64) {
    counter!(RELEASED).increment(records);
}

/// Records of shards that this node does not own.
pub fn foreign(records: u64) {
    gauge!(FOREIGN).set(records as f64);
}

/// Counts a refusal.
pub fn refusal() {
    counter!(REFUSALS).increment(1);
}

/// How repair stands with each peer, as exposition text. It is written here because a series has to end when its peer
/// leaves, and the registry keeps every series it has seen.
pub fn standing(peers: &[v1::PeerStatus]) -> String {
    let lag = family(
        "replication_lag_seconds",
        "Seconds that this node may be behind a peer; 0 while in step.",
        peers
            .iter()
            .map(|peer| (peer, peer.lag_seconds.to_string())),
    );
    let refused = family(
        "stemedb_antientropy_refused_records",
        "Records of a peer that the local store refuses now; they block proofs.",
        peers.iter().map(|peer| (peer, peer.refused.to_string())),
    );
    lag + &refused
}

fn family<'a>(
    name: &str,
    help: &str,
    series: impl Iterator<Item = (&'a v1::PeerStatus, String)>,
) -> String {
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (peer, value) in series {
        let label = peer
            .peer
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}{{peer=\"{label}\"}} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_peer_has_its_series() {
        let peer = |name: &str, lag_seconds| v1::PeerStatus {
            peer: name.into(),
            lag_seconds,
            refused: 7,
            ..v1::PeerStatus::default()
        };
        let text = standing(&[peer("node2", 0.0), peer("node\"3", 4.5)]);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "replication_lag_seconds{peer=\"node2\"} 0",
                "replication_lag_seconds{peer=\"node\\\"3\"} 4.5",
                "stemedb_antientropy_refused_records{peer=\"node2\"} 7",
                "stemedb_antientropy_refused_records{peer=\"node\\\"3\"} 7",
            ]
        );
    }
}
