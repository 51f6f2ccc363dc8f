//! Claims to store.

use assertion::Record;
use bytes::Bytes;
use proto::v1;

use crate::node::Node;

/// A claim about one of a few hundred subjects.
pub(crate) fn claim(number: u32) -> Record {
    about(
        &format!("cas:{}", number % 200),
        "boiling_point_k",
        number,
        1_700_000_000_000,
    )
}

pub(crate) fn claims(numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(claim).collect()
}

pub(crate) fn about(subject: &str, predicate: &str, value: u32, at: i64) -> Record {
    let json = format!(
        r#"{{"subject":"{subject}","predicate":"{predicate}","asserted_at":{at},
        "object":{{"type":"number","value":{value}}},"source":{{"uri":"urn:{value}","class":"expert"}}}}"#
    );
    Record::from_client_json(json.as_bytes(), 1_800_000_000_000).unwrap()
}

pub(crate) fn pushed(canonical: &[u8]) -> v1::AppendRecord {
    v1::AppendRecord {
        canonical: Bytes::copy_from_slice(canonical),
        ..v1::AppendRecord::default()
    }
}

pub(crate) fn push(records: &[Record]) -> v1::AppendRequest {
    v1::AppendRequest {
        records: records
            .iter()
            .map(|record| pushed(record.canonical()))
            .collect(),
        traces: Vec::new(),
        arrival: v1::Arrival::Push.into(),
    }
}

/// Appends all, and says what became of each.
pub(crate) async fn append(node: &Node, records: &[Record]) -> Vec<v1::AppendStatus> {
    let mut store = node.store();
    let mut statuses = Vec::new();
    for batch in records.chunks(proto::APPEND_RECORDS_MAX) {
        let reply = store.append(push(batch)).await.unwrap().into_inner();
        statuses.extend(reply.outcomes.iter().map(v1::AppendOutcome::status));
    }
    statuses
}
