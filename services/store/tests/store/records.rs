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

/// A record of any kind from its JSON.
pub(crate) fn record(json: &str) -> Record {
    Record::from_client_json(json.as_bytes(), 1_800_000_000_000).unwrap()
}

/// A claim about `s` of `value`, by the source with this uri.
pub(crate) fn said(subject: &str, uri: &str, value: u32, more: &str) -> Record {
    record(&format!(
        r#"{{"subject":"{subject}","predicate":"p","asserted_at":{value},{more}
        "object":{{"type":"number","value":{value}}},"source":{{"uri":"{uri}","class":"expert"}}}}"#
    ))
}

pub(crate) fn vote(on: &Record, voter: &str, weight: f64, at: i64) -> Record {
    let subject = &on.assertion().unwrap().subject;
    record(&format!(
        r#"{{"kind":"vote","subject":"{subject}","assertion":"{}","voter":"{voter}","weight":{weight},"voted_at":{at}}}"#,
        on.id()
    ))
}

pub(crate) fn epoch(name: &str, supersedes: &[&Record], at: i64) -> Record {
    let ids: Vec<String> = supersedes
        .iter()
        .map(|record| format!("\"{}\"", record.id()))
        .collect();
    record(&format!(
        r#"{{"kind":"epoch","name":"{name}","supersedes":[{}],"started_at":{at}}}"#,
        ids.join(",")
    ))
}

pub(crate) fn source(uri: &str, retracted: bool, at: i64) -> Record {
    record(&format!(
        r#"{{"kind":"source","uri":"{uri}","class":"expert","retracted":{retracted},"recorded_at":{at}}}"#
    ))
}

pub(crate) fn id(record: &Record) -> Bytes {
    Bytes::copy_from_slice(record.id().as_bytes())
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
