//! Pages of records: one of each node, put together as one.

use std::collections::BTreeMap;
use std::time::Duration;

use assertion::public_json;
use bytes::Bytes;
use proto::cursor::{self, Position};
use proto::{convert, v1};
use tonic::Status;

use super::Question;
use super::question::hex;
use super::union::{Said, checked};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::store::Store;

/// Pages of one node that may hold less than they could before the union gives up on it.
const PAGES_MAX: usize = 64;

pub(super) type PageOfNode = (Said, Vec<(Position, v1::FoundRecord)>, Option<Position>);

/// One page of one node. Pages that filters left thin are filled up.
pub(super) async fn read_page(
    store: &Store,
    question: &Question,
    caller: &Caller,
    limit: Duration,
) -> Result<PageOfNode, Status> {
    let mut query = question.to_wire();
    let mut first = None;
    let mut records = Vec::new();
    let broken = |problem: String| Status::data_loss(problem);
    for _ in 0..PAGES_MAX {
        let reply = store.query(query.clone(), caller, limit).await?;
        first.get_or_insert_with(|| Said::of(&reply));
        for found in reply.records {
            let record = checked(&found).map_err(|problem| broken(problem.detail.clone()))?;
            let position = Position {
                at: record.at_ms(),
                id: record.id(),
            };
            records.push((position, found));
        }
        let end = cursor::read(&question.selection, &reply.cursor)
            .map_err(|error| broken(error.to_string()))?;
        if end.is_none() || records.len() >= question.limit as usize {
            return Ok((first.unwrap_or_default(), records, end));
        }
        query.cursor = reply.cursor;
        query.include.clear();
    }
    let end = cursor::read(&question.selection, &query.cursor);
    let end = end.map_err(|error| broken(error.to_string()))?;
    Ok((first.unwrap_or_default(), records, end))
}

/// Pages of several nodes as one.
#[derive(Debug, Default)]
pub(super) struct Merged {
    records: BTreeMap<Position, v1::FoundRecord>,
    /// Beyond this place some node has more than it showed.
    end: Option<Position>,
}

impl Merged {
    pub(super) fn add(&mut self, records: Vec<(Position, v1::FoundRecord)>, end: Option<Position>) {
        self.records.extend(records);
        self.end = [self.end, end].into_iter().flatten().min();
    }

    /// The records of the page in order, and where the next one starts.
    pub(super) fn page(self, limit: usize) -> (Vec<v1::FoundRecord>, Option<Position>) {
        let mut page = Vec::new();
        let mut last = None;
        for (position, record) in self.records {
            if self.end.is_some_and(|end| position > end) {
                return (page, self.end);
            }
            if page.len() == limit {
                return (page, last);
            }
            last = Some(position);
            page.push(record);
        }
        (page, self.end)
    }
}

/// The `result` of a question without a lens.
pub(super) fn page_json(records: &[v1::FoundRecord], cursor: &[u8]) -> Result<Bytes, Problem> {
    let mut out = Vec::with_capacity(
        records
            .iter()
            .map(|r| r.canonical.len() + 80)
            .sum::<usize>()
            + 64,
    );
    out.extend_from_slice(b"{\"records\":[");
    for (place, found) in records.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let id =
            convert::record_id(&found.id).map_err(|error| Problem::internal(&error.to_string()))?;
        out.extend_from_slice(&public_json(&id, &found.canonical));
    }
    out.extend_from_slice(b"],\"cursor\":");
    if cursor.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        out.extend_from_slice(hex(cursor).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use assertion::RecordId;

    use super::*;

    fn found(at: i64, id: u8) -> (Position, v1::FoundRecord) {
        let position = Position {
            at,
            id: RecordId::from_bytes([id; 32]),
        };
        let record = v1::FoundRecord {
            id: Bytes::copy_from_slice(&[id; 32]),
            canonical: Bytes::new(),
        };
        (position, record)
    }

    fn ids(page: &[v1::FoundRecord]) -> Vec<u8> {
        page.iter().map(|record| record.id[0]).collect()
    }

    #[test]
    fn pages_of_nodes_become_one_page_without_holes() {
        let mut merged = Merged::default();
        // The first node stopped at its second record, the other one showed all it has.
        merged.add(vec![found(9, 1), found(7, 2)], Some(found(7, 2).0));
        merged.add(vec![found(8, 3), found(7, 2), found(3, 4)], None);
        let (page, end) = merged.page(10);
        assert_eq!(ids(&page), [1, 3, 2], "what is older than 7 may be missing");
        assert_eq!(end, Some(found(7, 2).0));
    }

    #[test]
    fn a_merged_page_is_cut_at_its_limit_and_goes_on_there() {
        let mut merged = Merged::default();
        merged.add(vec![found(9, 1), found(7, 2)], None);
        merged.add(vec![found(8, 3)], None);
        let (page, end) = merged.page(2);
        assert_eq!(ids(&page), [1, 3]);
        assert_eq!(end, Some(found(8, 3).0));
        let mut rest = Merged::default();
        rest.add(vec![found(7, 2)], None);
        assert_eq!(rest.page(2).1, None);
    }
}
