//! Records on their way from one store to the other: fetched as a stream, checked, appended in bounded batches, and
//! counted only once they are durable there.

use std::collections::HashSet;

use assertion::RecordId;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use merkle::{Id, Salt, ShortId};
use proto::v1;
use tokio::time::Instant;

use crate::error::SessionError;
use crate::rate::Rate;
use crate::stores::Asked;

/// Short ids in one `Fetch`: enough to keep the stream busy, few enough that a time limit between two of them holds.
pub const FETCH_IDS_MAX: usize = 4_000;

/// Appends on their way at once: the store commits them in one group. Each holds at most one chunk, so this bounds the
/// memory of a session.
const APPENDS_MAX: usize = 4;

/// Write traces that one session links to. A trace backend shows a handful; a fill of a million rows must not send them.
const LINKS_MAX: usize = 32;

/// Wanted records below one node of a shard's tree.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where both stores find them.
    pub node: v1::TreeNode,
    /// Which of them.
    pub short_ids: Vec<ShortId>,
}

impl Wanted {
    /// As messages carry it.
    pub fn message(&self) -> v1::FetchNode {
        v1::FetchNode {
            node: Some(self.node.clone()),
            short_ids: Bytes::from(self.short_ids.concat()),
        }
    }
}

/// One direction of a session.
#[derive(Debug)]
pub struct Route<'a> {
    /// Who has them.
    pub from: &'a Asked,
    /// Who lacks them.
    pub to: &'a Asked,
    /// The store behind `from`.
    pub origin: Bytes,
    /// The store behind `to`.
    pub target: Bytes,
    /// The session's key for short ids.
    pub salt: Salt,
    /// The node's byte rate.
    pub rate: &'a Rate,
}

/// A record that the receiving store did not take.
#[derive(Debug)]
pub struct Refused {
    /// Its id as the giving store says.
    pub id: Id,
    /// Why, for people.
    pub reason: String,
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct Copied {
    /// Records that the receiver has now and had not before.
    pub records: u64,
    /// Their canonical bytes.
    pub bytes: u64,
    /// Asked for and durable now, by short id.
    pub durable: Vec<ShortId>,
    /// Those of them that the receiver had not before.
    pub new: Vec<ShortId>,
    /// The full ids of those.
    pub taken: Vec<Id>,
    /// Not taken.
    pub refused: Vec<Refused>,
    /// When the giver got the oldest of them, Unix milliseconds.
    pub oldest_ms: Option<i64>,
    /// Traces of the writes that brought them to the giver.
    pub traces: Vec<[u8; 16]>,
}

/// A record that passed the checks at the door of this process.
struct Carried {
    short: ShortId,
    id: Id,
    bytes: u64,
}

/// Splits wanted records into fetches of bounded size, keeping their order.
pub fn fetches(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut fetches = Vec::new();
    let mut current: Vec<Wanted> = Vec::new();
    let mut room = FETCH_IDS_MAX;
    for Wanted {
        node,
        mut short_ids,
    } in wanted
    {
        while !short_ids.is_empty() {
            let rest = short_ids.split_off(short_ids.len().min(room));
            room -= short_ids.len();
            current.push(Wanted {
                node: node.clone(),
                short_ids,
            });
            short_ids = rest;
            if room == 0 || current.len() == proto::TREE_NODES_MAX {
                fetches.push(std::mem::take(&mut current));
                room = FETCH_IDS_MAX;
            }
        }
    }
    if !current.is_empty() {
        fetches.push(current);
    }
    fetches
}

impl Route<'_> {
    /// Copies what one fetch names. Stops asking for more at the deadline; what was on the way is finished.
    ///
    /// # Errors
    /// When either store fails: what was durable by then stays, and the next session finds the rest.
    pub async fn copy(
        &self,
        wanted: &[Wanted],
        deadline: Instant,
        copied: &mut Copied,
    ) -> Result<(), SessionError> {
        let mut awaited: HashSet<ShortId> = wanted
            .iter()
            .flat_map(|wanted| &wanted.short_ids)
            .copied()
            .collect();
        let nodes = wanted.iter().map(Wanted::message).collect();
        let mut stream = self.from.fetch(nodes, self.salt).await?;
        let mut open = true;
        let mut appends = FuturesUnordered::new();
        loop {
            tokio::select! {
                chunk = self.from.next_chunk(&mut stream), if open && appends.len() < APPENDS_MAX => {
                    let Some(chunk) = chunk? else {
                        open = false;
                        continue;
                    };
                    if chunk.store_id != self.origin {
                        return Err(SessionError::StoreChanged(self.from.side()));
                    }
                    for batch in self.batches(chunk, &mut awaited, copied)? {
                        appends.push(self.append(batch));
                    }
                    open = Instant::now() < deadline;
                }
                Some(done) = appends.next() => book(done?, copied),
                else => return Ok(()),
            }
        }
    }

    /// Checks what came and cuts it into batches that a store takes.
    fn batches(
        &self,
        chunk: v1::FetchReply,
        awaited: &mut HashSet<ShortId>,
        copied: &mut Copied,
    ) -> Result<Vec<Vec<(Carried, v1::AppendRecord)>>, SessionError> {
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        let mut size = 0;
        for record in chunk.records {
            let hash = *RecordId::of(&record.canonical).as_bytes();
            let id = match record.id.as_ref() {
                [] => hash,
                said => Id::try_from(said)
                    .map_err(|_| self.from.wrong("Fetch", "an id that is not 32 bytes"))?,
            };
            let short = merkle::short_id(&self.salt, &id);
            if !awaited.remove(&short) {
                return Err(self.from.wrong("Fetch", "a record that nobody asked for"));
            }
            copied.note_origin(&record);
            if hash != id {
                let reason = "its bytes do not hash to its id".to_owned();
                copied.refused.push(Refused { id, reason });
                continue;
            }
            let bytes = record.canonical.len();
            if batch.len() >= proto::APPEND_RECORDS_MAX || size + bytes > proto::APPEND_BYTES_MAX {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += bytes;
            let carried = Carried {
                short,
                id,
                bytes: bytes as u64,
            };
            batch.push((carried, self.outgoing(record)));
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        Ok(batches)
    }

    fn outgoing(&self, record: v1::HeldRecord) -> v1::AppendRecord {
        v1::AppendRecord {
            canonical: record.canonical,
            trace: 0,
            origin: Some(v1::Origin {
                store_id: self.origin.clone(),
                sequence: record.sequence,
            }),
            trace_id: record.trace_id,
        }
    }

    async fn append(
        &self,
        batch: Vec<(Carried, v1::AppendRecord)>,
    ) -> Result<Vec<(Carried, v1::AppendOutcome)>, SessionError> {
        let (carried, records): (Vec<Carried>, Vec<v1::AppendRecord>) = batch.into_iter().unzip();
        let bytes = carried.iter().map(|record| record.bytes).sum::<u64>();
        self.rate
            .take(usize::try_from(bytes).unwrap_or(usize::MAX))
            .await;
        let outcomes = self.to.append(records).await?;
        Ok(carried.into_iter().zip(outcomes).collect())
    }
}

impl Copied {
    /// Adds what the next fetch did. Short ids belong to their fetch and are not kept.
    pub fn add(&mut self, more: Copied) {
        self.records += more.records;
        self.bytes += more.bytes;
        self.taken.extend(more.taken);
        self.refused.extend(more.refused);
        self.oldest_ms = match (self.oldest_ms, more.oldest_ms) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for trace in more.traces {
            self.note_trace(trace);
        }
    }

    /// Links the current span to the writes that brought the records to the giver. A row keeps the trace of its write, not
    /// the span, so the link names one that only stands for the trace.
    pub fn link_traces(&self) {
        let span = tracing::Span::current();
        for trace_id in &self.traces {
            let mut span_id = [0; 8];
            span_id.copy_from_slice(&trace_id[8..]);
            let write = sidecar::trace::Context {
                trace_id: *trace_id,
                span_id,
                sampled: true,
            };
            sidecar::trace::link(&span, write);
        }
    }

    fn note_trace(&mut self, trace: [u8; 16]) {
        if self.traces.len() < LINKS_MAX && !self.traces.contains(&trace) {
            self.traces.push(trace);
        }
    }

    fn note_origin(&mut self, record: &v1::HeldRecord) {
        let received = record.received_at_ms;
        self.oldest_ms = Some(
            self.oldest_ms
                .map_or(received, |oldest| oldest.min(received)),
        );
        if let Ok(trace) = <[u8; 16]>::try_from(record.trace_id.as_ref()) {
            self.note_trace(trace);
        }
    }
}

/// Counts what an append made durable.
fn book(outcomes: Vec<(Carried, v1::AppendOutcome)>, copied: &mut Copied) {
    for (carried, outcome) in outcomes {
        match outcome.status() {
            v1::AppendStatus::Stored => {
                copied.records += 1;
                copied.bytes += carried.bytes;
                copied.new.push(carried.short);
            }
            v1::AppendStatus::Present => {}
            v1::AppendStatus::Invalid | v1::AppendStatus::Unspecified => {
                copied.refused.push(Refused {
                    id: carried.id,
                    reason: outcome.reason,
                });
                continue;
            }
        }
        copied.durable.push(carried.short);
        copied.taken.push(carried.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(shard: u32, count: usize) -> Wanted {
        let node = v1::TreeNode {
            shard,
            ..v1::TreeNode::default()
        };
        let short_ids = (0..count)
            .map(|number| (number as u64).to_be_bytes())
            .collect();
        Wanted { node, short_ids }
    }

    #[test]
    fn fetches_are_bounded_and_lose_nothing() {
        let all = vec![
            wanted(1, 3_999),
            wanted(2, 1),
            wanted(3, 9_000),
            wanted(4, 0),
            wanted(5, 5),
        ];
        let fetches = fetches(all);
        let sizes: Vec<usize> = fetches
            .iter()
            .map(|fetch| fetch.iter().map(|wanted| wanted.short_ids.len()).sum())
            .collect();
        assert_eq!(sizes, [4_000, 4_000, 4_000, 1_005]);
        let of_three: usize = fetches
            .iter()
            .flatten()
            .filter(|wanted| wanted.node.shard == 3)
            .map(|wanted| wanted.short_ids.len())
            .sum();
        assert_eq!(of_three, 9_000);
    }
}
