//! NDJSON: records a line at a time, in bounded memory, answered as they are settled.
//!
//! Lines are checked where they are read and travel in batches; several batches are on their way while the next one is
//! filled. Answers come in the order in which batches end; every answer names its line.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use assertion::Record;
use axum::body::{Body, BodyDataStream};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http::header::CONTENT_TYPE;
use metrics::gauge;
use serde_json::{Value, json};
use sidecar::clock;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use super::assert::{admit, problem, status};
use super::body::broken;
use super::lines::{LINE_MAX, Line, Lines};
use crate::app::App;
use crate::caller::Caller;
use crate::metrics::STREAMS_RUNNING;
use crate::problem::Problem;
use crate::write::{Durability, Verdict};
use crate::writer::{BATCH_RECORDS, Written, outcome};

/// Bytes of a batch; records of usual size reach the other bound first.
const BATCH_BYTES: usize = 512 * 1024;

/// Batches of one stream on their way. The records of all streams together have a bound of their own.
const BATCHES_MAX: usize = 8;

/// Parts of the reply that wait for a client that reads slowly.
const REPLIES_WAITING: usize = 16;

/// How long the input may pause. Longer than any batch takes; a client that sends no more for this long is gone.
const INPUT_WAIT: Duration = Duration::from_secs(60);

/// How long a client may not read its answers.
const REPLY_WAIT: Duration = Duration::from_secs(60);

/// Answers gathered before they are sent.
const REPLY_BYTES: usize = 16 * 1024;

/// Begins a stream. What is wrong with its lines is said in the reply.
///
/// # Errors
/// 503 when the node is not ready, or has too many streams.
pub fn start(
    app: Arc<App>,
    caller: Caller,
    durability: Durability,
    body: Body,
) -> Result<Response, Problem> {
    app.readiness.formed()?;
    let place = Arc::clone(&app.places.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::overloaded("too many streams at a time"))?;
    let (replies, receiver) = mpsc::channel(REPLIES_WAITING);
    let span = tracing::info_span!("stream");
    let trace = sidecar::trace::of(&span).or(caller.trace);
    let stream = Stream {
        app,
        caller: Caller { trace, ..caller },
        durability,
        body: body.into_data_stream(),
        lines: Lines::default(),
        number: 0,
        batch: Vec::new(),
        batch_bytes: 0,
        running: FuturesUnordered::new(),
        reply: BytesMut::new(),
        replies,
        summary: Summary::default(),
        _place: place,
    };
    tokio::spawn(stream.run().instrument(span));
    let parts = ReceiverStream::new(receiver).map(Ok::<Bytes, Infallible>);
    let headers = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// How many records ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    lines: u64,
    stored: u64,
    present: u64,
    accepted: u64,
    refused: u64,
    failed: u64,
}

impl Summary {
    /// Counts records that were taken.
    pub fn of(written: &[Written]) -> Summary {
        let mut summary = Summary::default();
        for written in written {
            summary.count(&written.verdict);
        }
        summary
    }

    fn count(&mut self, verdict: &Verdict) {
        self.lines += 1;
        match verdict {
            Verdict::Stored => self.stored += 1,
            Verdict::Present => self.present += 1,
            Verdict::Accepted => self.accepted += 1,
            Verdict::Refused(_) => self.refused += 1,
            Verdict::MaybeStored => self.failed += 1,
        }
    }

    fn refuse(&mut self) {
        self.lines += 1;
        self.refused += 1;
    }

    /// The object.
    pub fn to_json(self) -> Value {
        json!({
            "lines": self.lines,
            "stored": self.stored,
            "present": self.present,
            "accepted": self.accepted,
            "refused": self.refused,
            "failed": self.failed,
        })
    }
}

/// A batch on its way, or back: the lines it came from and how they ended.
type Running = BoxFuture<'static, (Vec<u64>, Result<Vec<Written>, Problem>)>;

/// The client does not read any more: there is nobody to answer.
struct HungUp;

struct Stream {
    app: Arc<App>,
    caller: Caller,
    durability: Durability,
    body: BodyDataStream,
    lines: Lines,
    number: u64,
    batch: Vec<(u64, Record)>,
    batch_bytes: usize,
    running: FuturesUnordered<Running>,
    reply: BytesMut,
    replies: mpsc::Sender<Bytes>,
    summary: Summary,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn run(mut self) {
        gauge!(STREAMS_RUNNING).increment(1.0);
        // A client that hung up gets no answer; what it sent is seen through by the batches' own tasks.
        if self.exchange().await.is_err() {
            tracing::debug!(lines = self.number, "the client of a stream hung up");
        }
        gauge!(STREAMS_RUNNING).decrement(1.0);
    }

    async fn exchange(&mut self) -> Result<(), HungUp> {
        let ended = self.take_input().await?;
        if let Some(line) = self.lines.finish().filter(|_| ended.is_none()) {
            self.take_line(line);
        }
        self.send_batch().await?;
        while let Some((lines, written)) = self.running.next().await {
            self.settled(&lines, written).await?;
        }
        if let Some(problem) = ended {
            let line = json!({ "error": problem.to_json() });
            self.answer(&line.to_string());
        }
        let summary = json!({ "summary": self.summary.to_json() });
        self.answer(&summary.to_string());
        self.send_reply().await
    }

    /// Reads to the end of the input, or to what ended it early.
    async fn take_input(&mut self) -> Result<Option<Problem>, HungUp> {
        loop {
            // What has come is sent off before waiting for more: a client that writes one line waits for its answer.
            let part = match self.body.next().now_or_never() {
                Some(part) => part,
                None => {
                    self.send_batch().await?;
                    self.send_reply().await?;
                    match self.wait_for_part().await? {
                        Ok(part) => part,
                        Err(problem) => return Ok(Some(problem)),
                    }
                }
            };
            match part {
                None => return Ok(None),
                Some(Err(error)) => return Ok(Some(broken(&error))),
                Some(Ok(part)) => self.take_part(part).await?,
            }
            if self.app.readiness.is_draining() {
                return Ok(Some(draining()));
            }
        }
    }

    /// Waits for input, while batches come back.
    #[allow(
        clippy::type_complexity,
        reason = "what a body stream gives, or why there is no more"
    )]
    async fn wait_for_part(
        &mut self,
    ) -> Result<Result<Option<Result<Bytes, axum::Error>>, Problem>, HungUp> {
        let deadline = tokio::time::Instant::now() + INPUT_WAIT;
        loop {
            tokio::select! {
                part = self.body.next() => return Ok(Ok(part)),
                Some((lines, written)) = self.running.next(), if !self.running.is_empty() => {
                    self.settled(&lines, written).await?;
                    self.send_reply().await?;
                }
                () = self.app.readiness.drained() => return Ok(Err(draining())),
                () = self.replies.closed() => return Err(HungUp),
                () = tokio::time::sleep_until(deadline) => return Ok(Err(silent())),
            }
        }
    }

    async fn take_part(&mut self, part: Bytes) -> Result<(), HungUp> {
        self.lines.push(part);
        while let Some(line) = self.lines.next_line() {
            self.take_line(line);
            if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
                self.send_batch().await?;
                // A stream that never waits would keep this thread for itself.
                tokio::task::yield_now().await;
            }
            if self.reply.len() >= REPLY_BYTES {
                self.send_reply().await?;
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: Line) {
        self.number += 1;
        let problem = match line {
            Line::Whole(text) if text.iter().all(u8::is_ascii_whitespace) => return,
            Line::Whole(text) => match admit(Record::from_client_json(&text, clock::unix_ms())) {
                Ok(record) => {
                    self.batch_bytes += record.canonical().len();
                    self.batch.push((self.number, record));
                    return;
                }
                Err(problem) => problem,
            },
            Line::TooLong(length) => Problem::too_large(
                "line_too_long",
                format!("the line has {length} bytes"),
                LINE_MAX,
                "split the text over several records, or store it elsewhere and give its hash",
            ),
        };
        self.summary.refuse();
        self.refuse(self.number, &problem);
    }

    /// Sends the batch off, once there is room for it.
    async fn send_batch(&mut self) -> Result<(), HungUp> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.running.len() >= BATCHES_MAX {
            if let Some((lines, written)) = self.running.next().await {
                self.settled(&lines, written).await?;
            }
        }
        let (lines, records): (Vec<u64>, Vec<Record>) = self.batch.drain(..).unzip();
        self.batch_bytes = 0;
        let part = self.app.places.window.enter(records.len()).await;
        let held = (part, self.app.writer.wait_for_room(&records).await);
        let caller = self.caller.clone();
        let written = self
            .app
            .writer
            .write(records, self.durability, caller, held);
        self.running
            .push(Box::pin(async move { (lines, written.await) }));
        Ok(())
    }

    async fn settled(
        &mut self,
        lines: &[u64],
        written: Result<Vec<Written>, Problem>,
    ) -> Result<(), HungUp> {
        match written {
            Ok(written) => {
                for (line, written) in lines.iter().zip(&written) {
                    self.summary.count(&written.verdict);
                    if status(&written.verdict).is_some() {
                        self.confirm(*line, written);
                    } else {
                        self.refuse(*line, &problem(written));
                    }
                }
            }
            Err(problem) => {
                for line in lines {
                    self.summary.lines += 1;
                    self.summary.failed += 1;
                    self.refuse(*line, &problem);
                }
            }
        }
        if self.reply.len() >= REPLY_BYTES {
            self.send_reply().await?;
        }
        Ok(())
    }

    fn confirm(&mut self, line: u64, written: &Written) {
        // Hundreds of thousands of these in an import: no tree of values for each.
        let _ = writeln!(
            self.reply,
            "{{\"line\":{line},\"id\":\"{}\",\"status\":\"{}\",\"copies\":{}}}",
            written.id,
            outcome(&written.verdict),
            written.holders.len()
        );
    }

    fn refuse(&mut self, line: u64, problem: &Problem) {
        let answer = json!({ "line": line, "error": problem.to_json() });
        self.answer(&answer.to_string());
    }

    fn answer(&mut self, line: &str) {
        self.reply.extend_from_slice(line.as_bytes());
        self.reply.extend_from_slice(b"\n");
    }

    async fn send_reply(&mut self) -> Result<(), HungUp> {
        if self.reply.is_empty() {
            return Ok(());
        }
        let part = self.reply.split().freeze();
        match self.replies.send_timeout(part, REPLY_WAIT).await {
            Ok(()) => Ok(()),
            Err(_) => Err(HungUp),
        }
    }
}

fn draining() -> Problem {
    Problem::unavailable(
        "draining",
        "this node is stopping; lines without an answer were not taken",
        "send the lines without an answer to another gateway",
    )
}

fn silent() -> Problem {
    Problem::new(
        http::StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        format!("nothing of the body came for {} s", INPUT_WAIT.as_secs()),
        "send lines without long pauses, or end the request and begin another",
    )
}
