//! From an `AppendRequest` to checked records: everything about a write that needs no database.

use assertion::{Place, Record};
use bytes::Bytes;
use proto::convert::{self, WireError};
use proto::v1;
use shard::{global_shard, shard_of};
use sidecar::trace::{self, Context};
use tracing::Span;

/// Requests with more records than this are parsed beside the event loop: they would hold it up for milliseconds.
const INLINE_MAX: usize = 32;

/// Spans of one request. A trace backend shows a handful; a batch of a thousand writes must not send a thousand.
const SPANS_MAX: usize = 32;

/// How a record came, and from which row when repair brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A gateway sent it with a client's write.
    Push,
    /// Repair copied it from a row of another store, when that was said.
    Repair(Option<Origin>),
}

/// A row of another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The store.
    pub store_id: [u8; 16],
    /// The row's arrival sequence there.
    pub sequence: i64,
}

/// A checked record on its way to the writer.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The record.
    pub record: Record,
    /// Where it lies.
    pub shard: u32,
    /// How it came.
    pub arrival: Arrival,
    /// Trace of the write that brought it into the cluster.
    pub trace_id: Option<[u8; 16]>,
}

/// A request whose frame is sound. Its records are still bytes.
#[derive(Debug)]
pub struct Intake {
    records: Vec<Framed>,
    num_shards: u32,
    bytes: usize,
    contexts: Vec<(Context, usize)>,
}

#[derive(Debug)]
struct Framed {
    canonical: Bytes,
    arrival: Arrival,
    trace_id: Option<[u8; 16]>,
}

/// A record, or why the bytes are none.
pub type Parsed = Result<Incoming, String>;

impl Intake {
    /// Checks everything about the request but the records.
    ///
    /// # Errors
    /// When it is over a limit, or a field means nothing.
    pub fn new(request: v1::AppendRequest, num_shards: u32) -> Result<Intake, WireError> {
        let arrival = request.arrival();
        let bytes: usize = request
            .records
            .iter()
            .map(|record| record.canonical.len())
            .sum();
        if request.records.len() > proto::APPEND_RECORDS_MAX || bytes > proto::APPEND_BYTES_MAX {
            let problem = format!(
                "are {} of {bytes} bytes; send at most {} of {} bytes",
                request.records.len(),
                proto::APPEND_RECORDS_MAX,
                proto::APPEND_BYTES_MAX
            );
            return Err(WireError::new("records", problem));
        }
        if request.traces.len() > proto::APPEND_RECORDS_MAX {
            return Err(WireError::new(
                "traces",
                "are more than a request can have records",
            ));
        }
        let mut contexts = request
            .traces
            .iter()
            .map(|context| Ok((context_of(context)?, 0)))
            .collect::<Result<Vec<(Context, usize)>, WireError>>()?;
        let records = request
            .records
            .into_iter()
            .map(|record| framed(record, arrival, &mut contexts))
            .collect::<Result<_, _>>()?;
        Ok(Intake {
            records,
            num_shards,
            bytes,
            contexts,
        })
    }

    /// Canonical bytes in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// One span for each trace that sent records, so that a client sees the store in its own trace. They end when dropped.
    pub fn spans(&self) -> Vec<Span> {
        let call = trace::current();
        self.contexts
            .iter()
            .filter(|(context, records)| context.sampled && *records > 0)
            .take(SPANS_MAX)
            .map(|(context, records)| {
                let span = tracing::info_span!(parent: None, "store.append", records);
                trace::set_parent(&span, *context);
                if let Some(call) = call {
                    trace::link(&span, call);
                }
                span
            })
            .collect()
    }

    /// Parses and hashes the records, in the order of the request.
    pub async fn parse(self) -> Vec<Parsed> {
        if self.records.len() <= INLINE_MAX {
            return self.parse_all();
        }
        let count = self.records.len();
        tokio::task::spawn_blocking(move || self.parse_all())
            .await
            .unwrap_or_else(|_| vec![Err("could not be looked at; send it again".into()); count])
    }

    fn parse_all(self) -> Vec<Parsed> {
        let num_shards = self.num_shards;
        self.records
            .into_iter()
            .map(|record| record.parse(num_shards))
            .collect()
    }
}

impl Framed {
    fn parse(self, num_shards: u32) -> Parsed {
        let record = Record::from_canonical(&self.canonical).map_err(|error| error.to_string())?;
        let shard = shard_of_record(&record, num_shards);
        Ok(Incoming {
            record,
            shard,
            arrival: self.arrival,
            trace_id: self.trace_id,
        })
    }
}

/// Where a record lies.
pub(crate) fn shard_of_record(record: &Record, num_shards: u32) -> u32 {
    match record.place() {
        Place::Subject(subject) => shard_of(subject, num_shards),
        Place::Global => global_shard(num_shards),
    }
}

fn framed(
    record: v1::AppendRecord,
    arrival: v1::Arrival,
    contexts: &mut [(Context, usize)],
) -> Result<Framed, WireError> {
    let named = match record.trace {
        0 => None,
        place => {
            let unknown = || {
                WireError::new(
                    "trace",
                    format!("{place} is not one of the request's traces"),
                )
            };
            let (context, records) = contexts.get_mut(place as usize - 1).ok_or_else(unknown)?;
            *records += 1;
            Some(context.trace_id)
        }
    };
    let trace_id = match record.trace_id.len() {
        0 => named,
        _ => Some(convert::fixed("trace_id", &record.trace_id)?),
    };
    let arrival = match (arrival, record.origin) {
        (v1::Arrival::Push, None) => Arrival::Push,
        (v1::Arrival::Push, Some(_)) => {
            return Err(WireError::new("origin", "is given with ARRIVAL_PUSH"));
        }
        (v1::Arrival::Repair, None) => Arrival::Repair(None),
        (v1::Arrival::Repair, Some(origin)) => Arrival::Repair(Some(Origin {
            store_id: convert::fixed("origin.store_id", &origin.store_id)?,
            sequence: i64::try_from(origin.sequence).map_err(|_| {
                WireError::new("origin.sequence", "is beyond what a store can count")
            })?,
        })),
        (v1::Arrival::Unspecified, _) => {
            return Err(WireError::new(
                "arrival",
                "is missing: give ARRIVAL_PUSH or ARRIVAL_REPAIR",
            ));
        }
    };
    Ok(Framed {
        canonical: record.canonical,
        arrival,
        trace_id,
    })
}

fn context_of(context: &v1::TraceContext) -> Result<Context, WireError> {
    Ok(Context {
        trace_id: convert::fixed("traces.trace_id", &context.trace_id)?,
        span_id: convert::fixed("traces.span_id", &context.span_id)?,
        sampled: context.sampled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(record: v1::AppendRecord) -> v1::AppendRequest {
        v1::AppendRequest {
            records: vec![record],
            traces: Vec::new(),
            arrival: v1::Arrival::Push.into(),
        }
    }

    #[test]
    fn frames_that_mean_nothing_are_refused() {
        let record = v1::AppendRecord::default();
        assert!(Intake::new(request(record.clone()), 4).is_ok());
        let trace = v1::AppendRecord {
            trace: 1,
            ..record.clone()
        };
        assert_eq!(Intake::new(request(trace), 4).unwrap_err().field, "trace");
        let trace_id = v1::AppendRecord {
            trace_id: Bytes::from_static(b"short"),
            ..record.clone()
        };
        assert_eq!(
            Intake::new(request(trace_id), 4).unwrap_err().field,
            "trace_id"
        );
        let origin = v1::AppendRecord {
            origin: Some(v1::Origin::default()),
            ..record.clone()
        };
        assert_eq!(Intake::new(request(origin), 4).unwrap_err().field, "origin");
        let mut unsaid = request(record.clone());
        unsaid.arrival = 0;
        assert_eq!(Intake::new(unsaid, 4).unwrap_err().field, "arrival");
        let mut many = request(record.clone());
        many.records = vec![record; proto::APPEND_RECORDS_MAX + 1];
        assert_eq!(Intake::new(many, 4).unwrap_err().field, "records");
    }

    #[tokio::test]
    async fn bytes_that_are_no_record_are_told_why() {
        let record = v1::AppendRecord {
            canonical: Bytes::from_static(b"{}"),
            ..Default::default()
        };
        let parsed = Intake::new(request(record), 4).unwrap().parse().await;
        assert!(parsed[0].as_ref().unwrap_err().contains("missing"));
    }
}
