//! One `Append` call: records of several jobs, and the way back to them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::v1;
use proto::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};
use sidecar::trace::Context;
use tokio::sync::mpsc;
use tonic::metadata::{Ascii, MetadataValue};

use super::{Event, Job, Outcome, What};
use crate::route::Name;

/// Contexts that a call's span is linked to. All of them are in the message; a span with a thousand links helps nobody.
const LINKS_MAX: usize = 16;

/// Records of one job in a call.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) places: Vec<u32>,
}

impl Part {
    /// Tells the batch. One that has ended does not listen any more.
    pub(super) fn tell(&self, node: &Name, what: What) {
        let node = Name::clone(node);
        let _ = self.events.send(Event { node, what });
    }
}

/// A call that is put together.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: v1::AppendRequest,
    pub(super) parts: Vec<Part>,
    pub(super) api_key: Option<MetadataValue<Ascii>>,
    pub(super) bytes: usize,
    contexts: Vec<(Context, Bytes)>,
}

/// What the front of a queue gives.
pub(super) enum Gathered {
    /// Nothing waits.
    Nothing,
    /// A job that has waited longer than anybody waits for it.
    Stale(Job),
    /// A call.
    Call(Box<Call>),
}

/// Takes the next call off the queue: as many records as fit, of one client key.
pub(super) fn gather(waiting: &mut VecDeque<Job>, now: Instant, stale_after: Duration) -> Gathered {
    let is_stale = |job: &Job| now.duration_since(job.offered) > stale_after;
    match waiting.front() {
        None => return Gathered::Nothing,
        Some(job) if is_stale(job) => {
            return waiting
                .pop_front()
                .map_or(Gathered::Nothing, Gathered::Stale);
        }
        Some(_) => {}
    }
    let api_key = waiting.front().and_then(|job| job.api_key.clone());
    let mut call = Call {
        request: v1::AppendRequest {
            arrival: v1::Arrival::Push.into(),
            ..v1::AppendRequest::default()
        },
        parts: Vec::new(),
        api_key,
        bytes: 0,
        contexts: Vec::new(),
    };
    while let Some(job) = waiting.front_mut() {
        if job.api_key != call.api_key || is_stale(job) || !call.take(job) {
            break;
        }
        if !job.records.is_empty() {
            break;
        }
        waiting.pop_front();
    }
    call.request.traces = call
        .contexts
        .iter()
        .map(|(context, _)| wire(context))
        .collect();
    Gathered::Call(Box::new(call))
}

impl Call {
    /// Moves records of a job into the call, while there is room. False: there was none for a single one.
    fn take(&mut self, job: &mut Job) -> bool {
        let (trace, trace_id) = match job.trace {
            Some(context) => self.context(context),
            None => (0, Bytes::new()),
        };
        let mut places = Vec::with_capacity(job.records.len());
        while let Some((place, canonical)) = job.records.front() {
            let full = self.request.records.len() == APPEND_RECORDS_MAX
                || (!self.request.records.is_empty()
                    && self.bytes + canonical.len() > APPEND_BYTES_MAX);
            if full {
                break;
            }
            self.bytes += canonical.len();
            places.push(*place);
            self.request.records.push(v1::AppendRecord {
                canonical: canonical.clone(),
                trace,
                origin: None,
                trace_id: trace_id.clone(),
            });
            job.records.pop_front();
        }
        let took = !places.is_empty();
        if took {
            let events = job.events.clone();
            self.parts.push(Part { events, places });
        }
        took
    }

    /// 1-based index of a context among those of the call, and its trace id.
    fn context(&mut self, context: Context) -> (u32, Bytes) {
        let known = self
            .contexts
            .iter()
            .position(|(known, _)| *known == context);
        let index = known.unwrap_or_else(|| {
            let trace_id = Bytes::copy_from_slice(&context.trace_id);
            self.contexts.push((context, trace_id));
            self.contexts.len() - 1
        });
        let (_, trace_id) = &self.contexts[index];
        (u32::try_from(index + 1).unwrap_or(0), trace_id.clone())
    }

    /// The span of the call: part of the first write's trace, linked to the others'.
    pub(super) fn span(&self, node: &Name) -> tracing::Span {
        let records = self.request.records.len();
        let span = tracing::info_span!("append", node = %node, records);
        let mut contexts = self.contexts.iter().map(|(context, _)| *context);
        if let Some(first) = contexts.next() {
            sidecar::trace::set_parent(&span, first);
        }
        for other in contexts.take(LINKS_MAX) {
            sidecar::trace::link(&span, other);
        }
        span
    }
}

fn wire(context: &Context) -> v1::TraceContext {
    v1::TraceContext {
        trace_id: Bytes::copy_from_slice(&context.trace_id),
        span_id: Bytes::copy_from_slice(&context.span_id),
        sampled: context.sampled,
    }
}

/// Takes a reply apart, for the jobs that the records came from. `None`: it does not fit the call.
pub(super) fn split(reply: v1::AppendReply, parts: &[Part]) -> Option<Vec<Vec<(u32, Outcome)>>> {
    let count: usize = parts.iter().map(|part| part.places.len()).sum();
    if reply.outcomes.len() != count {
        return None;
    }
    let mut outcomes = reply.outcomes.into_iter();
    let mut told = Vec::with_capacity(parts.len());
    for part in parts {
        let mut of_part = Vec::with_capacity(part.places.len());
        for place in &part.places {
            let outcome = outcomes.next()?;
            of_part.push((*place, read(outcome)?));
        }
        told.push(of_part);
    }
    Some(told)
}

fn read(outcome: v1::AppendOutcome) -> Option<Outcome> {
    match outcome.status() {
        v1::AppendStatus::Stored => Some(Outcome::Stored),
        v1::AppendStatus::Present => Some(Outcome::Present),
        v1::AppendStatus::Invalid => Some(Outcome::Invalid(outcome.reason)),
        v1::AppendStatus::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_secs(4);

    fn job(count: u32, length: usize, trace: u8) -> Job {
        let (events, _) = mpsc::unbounded_channel();
        let bytes = Bytes::from(vec![b'x'; length]);
        Job {
            records: (0..count).map(|place| (place, bytes.clone())).collect(),
            api_key: None,
            trace: Some(Context {
                trace_id: [trace; 16],
                span_id: [trace; 8],
                sampled: true,
            }),
            events,
            offered: Instant::now(),
            told: false,
        }
    }

    fn gathered(waiting: &mut VecDeque<Job>) -> Call {
        match gather(waiting, Instant::now(), STALE) {
            Gathered::Call(call) => *call,
            _ => panic!("no call"),
        }
    }

    #[test]
    fn jobs_share_calls_up_to_the_bounds() {
        let mut waiting: VecDeque<Job> =
            [job(1, 300, 1), job(700, 300, 2), job(700, 300, 1)].into();
        let first = gathered(&mut waiting);
        assert_eq!(first.request.records.len(), APPEND_RECORDS_MAX);
        let of_parts: Vec<usize> = first.parts.iter().map(|part| part.places.len()).collect();
        assert_eq!(of_parts, [1, 700, 299]);
        assert_eq!(first.request.traces.len(), 2, "one for each trace");
        let traces: Vec<u32> = [0, 1, 999]
            .iter()
            .map(|at: &usize| first.request.records[*at].trace)
            .collect();
        assert_eq!(traces, [1, 2, 1]);
        let second = gathered(&mut waiting);
        assert_eq!(second.parts[0].places, (299..700).collect::<Vec<u32>>());
        assert!(matches!(
            gather(&mut waiting, Instant::now(), STALE),
            Gathered::Nothing
        ));
    }

    #[test]
    fn large_records_fill_a_call_by_their_bytes() {
        let mut waiting: VecDeque<Job> = [job(20, 256 * 1024, 1)].into();
        let first = gathered(&mut waiting);
        assert_eq!(first.request.records.len(), APPEND_BYTES_MAX / (256 * 1024));
    }

    #[test]
    fn keys_do_not_mix() {
        let mut other = job(1, 10, 1);
        other.api_key = Some(MetadataValue::from_static("steme_test_1"));
        let mut waiting: VecDeque<Job> = [job(1, 10, 1), other, job(1, 10, 1)].into();
        let keys: Vec<bool> = (0..3)
            .map(|_| gathered(&mut waiting).api_key.is_some())
            .collect();
        assert_eq!(keys, [false, true, false]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let mut waiting: VecDeque<Job> = [job(1, 10, 1)].into();
        let later = Instant::now() + STALE * 2;
        assert!(matches!(
            gather(&mut waiting, later, STALE),
            Gathered::Stale(_)
        ));
    }

    #[test]
    fn a_reply_that_does_not_fit_says_nothing() {
        let mut waiting: VecDeque<Job> = [job(2, 10, 1)].into();
        let call = gathered(&mut waiting);
        let stored = v1::AppendOutcome {
            status: v1::AppendStatus::Stored.into(),
            reason: String::new(),
        };
        let short = v1::AppendReply {
            outcomes: vec![stored.clone()],
        };
        assert!(split(short, &call.parts).is_none());
        let unset = v1::AppendReply {
            outcomes: vec![stored.clone(), v1::AppendOutcome::default()],
        };
        assert!(split(unset, &call.parts).is_none());
        let whole = v1::AppendReply {
            outcomes: vec![stored.clone(), stored],
        };
        assert_eq!(split(whole, &call.parts).unwrap()[0].len(), 2);
    }
}
