//! Lists of what is known beside claims, of the predicates of a subject, and of records by the beginning of their ids: by one node
//! that can prove that it has all of it, else put together from all live nodes.

use std::collections::BTreeSet;

use assertion::{Place, Record, RecordId, hex};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proto::v1::{self, ListKind};
use proto::{SUPERSEDERS_MAX, convert};
use serde_json::{Value, json};

use super::marks::listed;
use super::merged::Merged;
use super::owner::{Call, proved};
use super::question::LIMIT_MAX;
use super::subjects::greatest;
use super::union::{Asked, Heard, Said, checked};
use super::{Answer, CALL_MAX, Reader};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::Store;

/// Enough of the digest of a list to tell a cursor of another one; nobody gains by forging it.
const DIGEST: usize = 8;

/// A list, and the page of it that is wanted.
#[derive(Debug, Clone)]
pub struct List(v1::ListRequest);

impl List {
    /// A page of a list: from where `cursor` says, if it came with the same list.
    ///
    /// # Errors
    /// 422 for the cursor of another list.
    pub fn new(mut request: v1::ListRequest, cursor: Option<&str>) -> Result<List, Problem> {
        if let Some(cursor) = cursor {
            let token = hex::read(cursor).unwrap_or_default();
            let key = match token.split_first_chunk::<DIGEST>() {
                Some((digest, key)) if *digest == digest_of(&request) && !key.is_empty() => key,
                _ => return Err(bad_cursor()),
            };
            request.after = Bytes::copy_from_slice(key);
        }
        Ok(List(request))
    }

    fn cursor(&self, through: &[u8]) -> String {
        let digest = digest_of(&self.0);
        hex::write(&[&digest[..], through].concat())
    }

    /// Which shard it is made from; none: from all.
    fn shard(&self, route: &Route) -> Option<u32> {
        match self.0.kind() {
            ListKind::Votes | ListKind::Predicates => {
                Some(route.shard_of(Place::Subject(&self.0.subject)))
            }
            ListKind::Records => None,
            _ => Some(route.shard_of(Place::Global)),
        }
    }

    /// What each node is asked for a union. Which record of a source is the latest is known when all have answered, so nothing is
    /// left out before.
    fn of_each_node(&self) -> v1::ListRequest {
        let mut request = self.0.clone();
        if request.retracted.take().is_some() {
            request.limit = LIMIT_MAX;
        }
        request
    }

    fn passes(&self, row: &Row) -> bool {
        let source = row.record.as_ref().and_then(Record::source);
        self.0.retracted.is_none_or(|wanted| {
            source.is_some_and(|source| source.retracted.unwrap_or(false) == wanted)
        })
    }

    /// The `result`.
    fn page(&self, mut rows: Vec<(Bytes, Row)>, mut end: Option<Bytes>) -> Bytes {
        rows.retain(|(_, row)| self.passes(row));
        let limit = self.0.limit as usize;
        if rows.len() > limit {
            rows.truncate(limit);
            end = rows.last().map(|(key, _)| key.clone());
        }
        let name = match self.0.kind() {
            ListKind::Epochs => "epochs",
            ListKind::Sources => "sources",
            ListKind::Votes => "votes",
            ListKind::Records => "records",
            ListKind::Predicates | ListKind::Unspecified => "predicates",
        };
        let mut page = format!("{{\"{name}\":[");
        for (place, (key, row)) in rows.iter().enumerate() {
            if place > 0 {
                page.push(',');
            }
            page.push_str(&row.json(self.0.kind(), key));
        }
        let cursor = end.map_or(Value::Null, |end| self.cursor(&end).into());
        page.push_str(&format!("],\"cursor\":{cursor}}}"));
        page.into()
    }
}

/// Of everything that makes it the list it is.
fn digest_of(request: &v1::ListRequest) -> [u8; DIGEST] {
    let text = json!([
        request.kind,
        request.subject,
        request.assertion,
        request.prefix,
        request.retracted
    ]);
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&RecordId::of(text.to_string().as_bytes()).as_bytes()[..DIGEST]);
    digest
}

fn bad_cursor() -> Problem {
    Problem::unprocessable(
        "bad_cursor",
        "the cursor is none of this list",
        "send the cursor with the parameters it came with, or start without one",
    )
    .at("cursor")
}

/// A row, as far as it is known.
#[derive(Debug)]
struct Row {
    record: Option<Record>,
    superseded_by: BTreeSet<RecordId>,
    claims: u64,
}

impl Row {
    /// A row as it came, hash-checked.
    fn read(listed: v1::ListedRow) -> Result<(Bytes, Row), Problem> {
        let strange =
            |error: convert::WireError| Problem::internal(&format!("a store listed {error}"));
        let superseded_by = listed.superseded_by.iter();
        let row = Row {
            record: listed.record.as_ref().map(checked).transpose()?,
            superseded_by: superseded_by
                .map(|id| convert::record_id(id).map_err(strange))
                .collect::<Result<_, _>>()?,
            claims: listed.claims,
        };
        Ok((listed.key, row))
    }

    /// The later record decides, whoever holds it.
    fn join(&mut self, other: Row) {
        let time = |record: &Record| (record.at_ms(), record.id());
        if self.record.as_ref().map(time) < other.record.as_ref().map(time) {
            self.record = other.record;
        }
        self.superseded_by.extend(other.superseded_by);
        while self.superseded_by.len() > SUPERSEDERS_MAX {
            self.superseded_by.pop_last();
        }
        greatest(&mut self.claims, other.claims);
    }

    fn json(&self, kind: ListKind, key: &[u8]) -> String {
        let record = self.record.as_ref().map_or_else(
            || "null".into(),
            |record| String::from_utf8_lossy(&record.public_json()).into_owned(),
        );
        match kind {
            ListKind::Epochs => {
                let by = listed(&self.superseded_by);
                format!("{{\"record\":{record},\"superseded_by\":{by}}}")
            }
            ListKind::Sources | ListKind::Votes | ListKind::Records => record,
            ListKind::Predicates | ListKind::Unspecified => {
                let predicate = String::from_utf8_lossy(key);
                json!({ "predicate": predicate, "claims": self.claims }).to_string()
            }
        }
    }
}

impl Reader {
    /// A page of a list.
    ///
    /// # Errors
    /// 503 while no store can be asked, 422 when it would go through too much.
    pub async fn list(&self, list: &List, caller: &Caller) -> Result<Answer, Problem> {
        let route = self.readiness.formed()?;
        let Some(shard) = list.shard(&route) else {
            return self.list_together(list, caller, &route).await;
        };
        let owners = self.candidates(shard, &route);
        let ask = |store: Store| -> Call<v1::ListReply> {
            let (caller, request) = (caller.clone(), list.0.clone());
            Box::pin(async move { store.list(request, &caller, CALL_MAX).await })
        };
        let judge = |node: &Name, reply: v1::ListReply| {
            if !reply.complete {
                return Ok(None);
            }
            let (rows, end) = read(reply.rows, reply.through)?;
            let page = list.page(rows, end);
            Ok(Some(proved(page, node, reply.proved_through_ms)))
        };
        match self.first_complete(owners, ask, judge).await? {
            Some(answer) => Ok(answer),
            None => self.list_together(list, caller, &route).await,
        }
    }

    async fn list_together(
        &self,
        list: &List,
        caller: &Caller,
        route: &Route,
    ) -> Result<Answer, Problem> {
        let _turn = self.turn().await?;
        let asked = Asked::now();
        let request = list.of_each_node();
        let mut calls: FuturesUnordered<_> = self
            .stores(route)
            .into_iter()
            .map(|(store, limit)| {
                let request = request.clone();
                async move {
                    let reply = store.list(request, caller, limit).await;
                    (Name::clone(store.node()), reply)
                }
            })
            .collect();
        let mut heard = Heard::new();
        let mut merged = Merged::new();
        while let Some((node, reply)) = calls.next().await {
            let said = match reply {
                Ok(reply) => {
                    let (rows, end) = read(reply.rows, reply.through)?;
                    merged.add(rows, end, Row::join);
                    Ok(Said::unproved(reply.counts_as_absent))
                }
                Err(status) => Err(status),
            };
            self.note(&mut heard, node, said)?;
        }
        self.somebody(&heard)?;
        let (rows, end) = merged.page(request.limit as usize);
        Ok(self.worth(list.page(rows, end), &heard, asked, route))
    }
}

type Rows = (Vec<(Bytes, Row)>, Option<Bytes>);

/// The rows of a page, and where the node's next one starts.
fn read(rows: Vec<v1::ListedRow>, through: Bytes) -> Result<Rows, Problem> {
    let rows: Result<Vec<_>, Problem> = rows.into_iter().map(Row::read).collect();
    Ok((rows?, Some(through).filter(|through| !through.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(prefix: &str, retracted: Option<bool>) -> v1::ListRequest {
        v1::ListRequest {
            kind: ListKind::Sources.into(),
            prefix: prefix.into(),
            retracted,
            limit: 2,
            ..v1::ListRequest::default()
        }
    }

    fn source(uri: &str, retracted: bool, at: i64) -> (Bytes, Row) {
        let json = format!(
            r#"{{"kind":"source","uri":"{uri}","class":"expert","retracted":{retracted},"recorded_at":{at}}}"#
        );
        let record = Record::from_client_json(json.as_bytes(), 1_000).unwrap();
        Row::read(v1::ListedRow {
            key: Bytes::copy_from_slice(uri.as_bytes()),
            record: Some(v1::FoundRecord {
                id: Bytes::copy_from_slice(record.id().as_bytes()),
                canonical: Bytes::copy_from_slice(record.canonical()),
            }),
            ..v1::ListedRow::default()
        })
        .unwrap()
    }

    #[test]
    fn a_cursor_goes_with_its_list_only() {
        let cursor = List::new(sources("a", None), None).unwrap().cursor(b"abc");
        let next = List::new(sources("a", None), Some(&cursor)).unwrap();
        assert_eq!(next.0.after, "abc");
        for (other, cursor) in [
            (sources("b", None), cursor.as_str()),
            (sources("a", Some(true)), &cursor),
            (sources("a", None), ""),
            (sources("a", None), "xyz"),
            (sources("a", None), &cursor[..16]),
        ] {
            let refused = List::new(other, Some(cursor)).unwrap_err();
            assert_eq!(refused.code, "bad_cursor");
        }
    }

    #[test]
    fn what_a_node_holds_too_late_is_no_row_of_a_filtered_list() {
        let list = List::new(sources("", Some(true)), None).unwrap();
        assert_eq!(
            (list.of_each_node().retracted, list.of_each_node().limit),
            (None, LIMIT_MAX)
        );
        let mut merged = Merged::new();
        merged.add(
            [source("a", true, 5), source("b", true, 5)],
            None,
            Row::join,
        );
        // A retraction that was taken back, which the first node has not heard of.
        merged.add(
            [source("b", false, 6), source("c", true, 5)],
            None,
            Row::join,
        );
        merged.add(
            [source("b", true, 4), source("d", true, 5)],
            None,
            Row::join,
        );
        let (rows, end) = merged.page(LIMIT_MAX as usize);
        let page: Value = serde_json::from_slice(&list.page(rows, end)).unwrap();
        let shown: Vec<&Value> = page["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["uri"])
            .collect();
        assert_eq!(shown, ["a", "c"]);
        assert_eq!(page["cursor"], list.cursor(b"c"), "d is on the next page");
    }
}
