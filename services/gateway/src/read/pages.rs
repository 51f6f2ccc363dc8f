//! Pages of records, one of each node.

use std::time::Duration;

use assertion::{hex, public_json};
use bytes::Bytes;
use proto::cursor::{self, Position};
use proto::{convert, v1};
use tonic::Status;

use super::Question;
use super::marks::Marks;
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
        Said::hear(&mut first, &reply);
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

/// The `result` of a question without a lens.
pub(super) fn page_json(
    records: &[v1::FoundRecord],
    marks: &Marks,
    cursor: &[u8],
) -> Result<Bytes, Problem> {
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
    out.extend_from_slice(b"],\"marks\":");
    out.extend_from_slice(marks.to_json().to_string().as_bytes());
    out.extend_from_slice(b",\"cursor\":");
    if cursor.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        out.extend_from_slice(hex::write(cursor).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    Ok(out.into())
}
