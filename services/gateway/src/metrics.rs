//! What the gateway counts. Labels are bounded: routes, outcomes, classes of status, names of known members.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// Reads by endpoint (the seed's name).
pub const QUERIES: &str = "stemedb_queries_total";
/// How long reads take (the seed's name).
pub const QUERY_SECONDS: &str = "stemedb_query_latency_seconds";
/// Reads that no owner answered alone.
pub const UNIONS: &str = "stemedb_gateway_unions_total";
/// Records by what became of them.
pub const WRITES: &str = "stemedb_gateway_writes_total";
/// Records for which a stand-in was asked because a store was silent.
pub const HEDGES: &str = "stemedb_gateway_hedged_records_total";
/// Calls to stores.
pub const APPENDS: &str = "stemedb_gateway_append_calls_total";
/// Records that wait for a store.
pub const LANE_RECORDS: &str = "stemedb_gateway_lane_records";
/// Nodes that writes go around.
pub const NODES_OUT: &str = "stemedb_gateway_nodes_out";
/// Requests by route and class of status.
pub const REQUESTS: &str = "stemedb_gateway_requests_total";
/// How long requests take until the reply begins.
pub const REQUEST_SECONDS: &str = "stemedb_gateway_request_seconds";
/// Requests in hand.
pub const REQUESTS_RUNNING: &str = "stemedb_gateway_requests_running";
/// NDJSON streams in hand.
pub const STREAMS_RUNNING: &str = "stemedb_gateway_streams_running";
/// Readers of the feed.
pub const FEEDS_RUNNING: &str = "stemedb_gateway_feeds_running";
/// Records shown to readers of the feed.
pub const FEED_RECORDS: &str = "stemedb_gateway_feed_records_total";
/// Requests that were turned away.
pub const SHED: &str = "stemedb_gateway_shed_total";
/// Whether a service of this node answered the scrape.
pub const SERVICE_UP: &str = "stemedb_gateway_service_up";

/// Gives every series its sentence, and the counters their zero.
pub fn describe() {
    describe_counter!(QUERIES, "Reads by endpoint");
    describe_histogram!(
        QUERY_SECONDS,
        Unit::Seconds,
        "Time from a read to its answer"
    );
    describe_counter!(UNIONS, "Reads answered from all live nodes together");
    describe_counter!(WRITES, "Records by what became of them");
    describe_counter!(
        HEDGES,
        "Records also sent to a stand-in because a store was silent"
    );
    describe_counter!(APPENDS, "Append calls to stores by how they ended");
    describe_gauge!(LANE_RECORDS, "Records that wait for a store");
    describe_gauge!(NODES_OUT, "Placement members that writes go around");
    describe_counter!(REQUESTS, "Requests by route and class of status");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time until the reply to a request begins"
    );
    describe_gauge!(REQUESTS_RUNNING, "Requests in hand");
    describe_gauge!(STREAMS_RUNNING, "NDJSON streams in hand");
    describe_gauge!(FEEDS_RUNNING, "Readers of the feed");
    describe_counter!(FEED_RECORDS, "Records shown to readers of the feed");
    describe_counter!(SHED, "Requests turned away because there were too many");
    for outcome in ["stored", "present", "accepted", "maybe_stored", "refused"] {
        counter!(WRITES, "outcome" => outcome).absolute(0);
    }
    for name in [UNIONS, HEDGES, FEED_RECORDS, SHED] {
        counter!(name).absolute(0);
    }
    for name in [NODES_OUT, REQUESTS_RUNNING, STREAMS_RUNNING, FEEDS_RUNNING] {
        gauge!(name).set(0.0);
    }
}
