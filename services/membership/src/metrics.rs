//! What this service counts, and the lines it logs when the view changes.

use std::collections::BTreeMap;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use proto::v1;
use sidecar::metrics::{Adopted, BuildError, PrometheusHandle, install_adopting};

const MEMBERS: &str = "stemedb_membership_members";
const INCARNATION: &str = "stemedb_membership_incarnation";
const VIEW_VERSION: &str = "stemedb_membership_view_version";
const PLACEMENT: &str = "stemedb_membership_placement_members";
const REFUSED: &str = "stemedb_membership_refused_members";
const SUPERSEDED: &str = "stemedb_membership_superseded";
const FORMED: &str = "stemedb_membership_formed";
const JOINS: &str = "stemedb_membership_joins_total";
const PINGS: &str = "stemedb_membership_pings_total";
const SAVE_FAILURES: &str = "stemedb_membership_save_failures_total";

const STATUSES: [(v1::Status, &str); 4] = [
    (v1::Status::Up, "up"),
    (v1::Status::Suspect, "suspect"),
    (v1::Status::Down, "down"),
    (v1::Status::Left, "left"),
];

/// What memberlist counts, and its names here. Its histograms are left out: they are in milliseconds, and our own
/// pings and joins say what they would.
const ADOPTED: &[Adopted] = &[
    ("memberlist.msg.alive", ALIVE),
    ("memberlist.msg.suspect", SUSPECT),
    ("memberlist.msg.dead", DEAD),
    ("memberlist.packet.sent", PACKETS_SENT),
    ("memberlist.packet.received", PACKETS_RECEIVED),
    ("memberlist.stream.sent", STREAMS_SENT),
    ("memberlist.degraded.probe", DEGRADED_PROBES),
    ("memberlist.degraded.timeout", UNCONFIRMED),
    ("memberlist.health.score", HEALTH),
];

const ALIVE: &str = "stemedb_membership_swim_alive_messages_total";
const SUSPECT: &str = "stemedb_membership_swim_suspect_messages_total";
const DEAD: &str = "stemedb_membership_swim_dead_messages_total";
const PACKETS_SENT: &str = "stemedb_membership_swim_packet_sent_bytes_total";
const PACKETS_RECEIVED: &str = "stemedb_membership_swim_packet_received_bytes_total";
const STREAMS_SENT: &str = "stemedb_membership_swim_stream_sent_bytes_total";
const DEGRADED_PROBES: &str = "stemedb_membership_swim_degraded_probes_total";
const UNCONFIRMED: &str = "stemedb_membership_swim_unconfirmed_suspicions_total";
const HEALTH: &str = "stemedb_membership_swim_health_score";

/// Installs the recorder of this process. Once per process.
///
/// # Errors
/// When there is one already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = install_adopting("memberlist.", ADOPTED)?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_gauge!(MEMBERS, "Members by status, as this node sees them");
    describe_gauge!(INCARNATION, "Incarnation of this membership process");
    describe_gauge!(VIEW_VERSION, "Version of the published view");
    describe_gauge!(PLACEMENT, "Members that shards are placed on");
    describe_gauge!(
        REFUSED,
        "Members refused: another cluster or number of shards"
    );
    describe_gauge!(
        SUPERSEDED,
        "1 while another process with this node's name and a higher incarnation exists"
    );
    describe_gauge!(FORMED, "1 once this node belongs to a cluster");
    describe_counter!(JOINS, "Joins tried, by outcome");
    describe_counter!(PINGS, "Own pings to other members, by outcome");
    describe_counter!(SAVE_FAILURES, "Times the member list could not be written");
    describe_counter!(ALIVE, "SWIM messages taken: a member is alive");
    describe_counter!(SUSPECT, "SWIM messages taken: a member is suspected");
    describe_counter!(DEAD, "SWIM messages taken: a member is dead or left");
    describe_counter!(PACKETS_SENT, Unit::Bytes, "Bytes of SWIM datagrams sent");
    describe_counter!(
        PACKETS_RECEIVED,
        Unit::Bytes,
        "Bytes of SWIM datagrams received"
    );
    describe_counter!(STREAMS_SENT, Unit::Bytes, "Bytes sent over SWIM streams");
    describe_counter!(
        DEGRADED_PROBES,
        "Probes made slower because this process is late itself"
    );
    describe_counter!(
        UNCONFIRMED,
        "Suspicions that ran out with fewer confirmations than expected"
    );
    describe_gauge!(HEALTH, "How late this process is itself; 0 is well");
    for answered in [true, false] {
        counter!(JOINS, "outcome" => outcome(answered)).absolute(0);
        counter!(PINGS, "outcome" => outcome(answered)).absolute(0);
    }
    counter!(SAVE_FAILURES).absolute(0);
}

/// Counts a join.
pub fn join_tried(answered: bool) {
    counter!(JOINS, "outcome" => outcome(answered)).increment(1);
}

/// Counts one of our own pings.
pub fn pinged(answered: bool) {
    counter!(PINGS, "outcome" => outcome(answered)).increment(1);
}

/// Counts a write the disk refused.
pub fn save_failed() {
    counter!(SAVE_FAILURES).increment(1);
}

fn outcome(answered: bool) -> &'static str {
    match answered {
        true => "answered",
        false => "failed",
    }
}

/// Brings the gauges up to date and logs what changed for whom.
pub fn report(before: &v1::View, after: &v1::View) {
    for (status, label) in STATUSES {
        let count = after
            .members
            .iter()
            .filter(|m| m.status() == status)
            .count();
        gauge!(MEMBERS, "status" => label).set(count as f64);
    }
    gauge!(INCARNATION).set(after.incarnation as f64);
    gauge!(VIEW_VERSION).set(after.version as f64);
    gauge!(PLACEMENT).set(after.placement.len() as f64);
    gauge!(REFUSED).set(after.refused.len() as f64);
    gauge!(SUPERSEDED).set(f64::from(u8::from(after.superseded)));
    gauge!(FORMED).set(f64::from(u8::from(!after.cluster_id.is_empty())));
    log_members(before, after);
    if after.superseded && !before.superseded {
        tracing::error!(
            node = %after.node,
            "another process runs with this node's name and a higher incarnation: this one takes no writes; stop one of the two"
        );
    }
    for reason in after.refused.iter().filter(|r| !before.refused.contains(r)) {
        tracing::warn!(%reason, "member refused");
    }
    if after.waiting_for != before.waiting_for && !after.waiting_for.is_empty() {
        tracing::info!(waiting_for = %after.waiting_for, "no cluster yet");
    }
}

fn log_members(before: &v1::View, after: &v1::View) {
    let known: BTreeMap<&str, &v1::Member> = before
        .members
        .iter()
        .map(|member| (member.name.as_str(), member))
        .collect();
    for member in &after.members {
        let old = known.get(member.name.as_str());
        let same = old.is_some_and(|old| {
            (old.status, old.phase, old.incarnation)
                == (member.status, member.phase, member.incarnation)
        });
        if !same {
            tracing::info!(
                name = %member.name,
                status = member.status().as_str_name(),
                phase = member.phase().as_str_name(),
                incarnation = member.incarnation,
                address = %member.swim_addr,
                "member"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_a_sentence_for_every_series_and_no_foreign_names() {
        let handle = install().unwrap();
        report(&v1::View::default(), &v1::View::default());
        for (theirs, ours) in ADOPTED {
            match ours.ends_with("_total") {
                true => metrics::counter!(*theirs).increment(1),
                false => metrics::gauge!(*theirs).set(1.0),
            }
        }
        metrics::histogram!("memberlist.gossip").record(1.0);
        let text = handle.render();
        for (_, ours) in ADOPTED {
            assert!(text.contains(&format!("\n{ours} ")), "{ours} in {text}");
        }
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let [name, kind] = line["# TYPE ".len()..].split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(!name.starts_with("memberlist"), "{name}");
        }
    }
}
