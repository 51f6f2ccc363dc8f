//! The feed as a client reads it: NDJSON lines, from the next gateway and the last token when one breaks off.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{Call, Client, encode, is_passing};
use crate::failure::{Attempts, Failure, Problem};

/// A gateway says something every 10 s; one that is silent for three times as long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A record has at most 256 KiB, a token a few numbers for each node.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A refusal is one problem.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Between two turns over all gateways.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Tries that a failure lists: the last ones say enough.
const ATTEMPTS_SHOWN: usize = 6;

/// Records that are remembered, so that what the next gateway sends again is not shown again. After a gateway's death that is a
/// few pages of each store; as many as a gateway itself remembers, and about 2 MB here.
const SHOWN_MAX: usize = 65_536;

/// Kinds of records.
pub(crate) const KINDS: [&str; 4] = ["assertion", "vote", "epoch", "source"];

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub(crate) struct Filters {
    /// Records of this kind only; several allowed, or a comma list [default: all]
    #[arg(long, value_delimiter = ',', value_parser = KINDS)]
    #[serde(default)]
    kind: Vec<String>,
    /// Records about exactly this
    #[arg(long)]
    subject: Option<String>,
    /// Records about what begins so
    #[arg(long, value_name = "PREFIX", conflicts_with = "subject")]
    subject_prefix: Option<String>,
    /// Claims of this predicate only
    #[arg(long)]
    predicate: Option<String>,
    /// Claims of this source only
    #[arg(long, value_name = "URI")]
    source: Option<String>,
}

/// What the feed brings.
#[derive(Debug)]
pub(crate) enum Event {
    /// A record, as the gateway wrote it, and the position behind it.
    Record {
        token: String,
        record: Box<RawValue>,
    },
    /// Everything that was committed when the stream began has been sent, but for what the missing nodes hold alone.
    CaughtUp {
        token: String,
        missing: Vec<String>,
        /// Whether those cannot hold an acknowledged record alone; gateways of earlier versions do not say.
        complete: Option<bool>,
    },
}

/// A stream of records that outlives the gateway it comes from.
pub(crate) struct Feed {
    client: Client,
    filters: Filters,
    position: String,
    ends: bool,
    patience: Duration,
    open: Option<Stream>,
    /// Index of the gateway that is asked next.
    turn: usize,
    troubles: Troubles,
    shown: Shown,
}

/// The last records that were shown, by a hash with a key of its own.
#[derive(Default)]
struct Shown {
    key: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Shown {
    /// Notes a record. False: it was there already. One without an id is always new.
    fn note(&mut self, record: &RawValue) -> bool {
        let Some(id) = id(record) else {
            return true;
        };
        let hash = self.key.hash_one(id.as_bytes());
        if !self.known.insert(hash) {
            return false;
        }
        if self.order.len() == SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(hash);
        true
    }
}

fn id(record: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Known<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let known: Known<'_> = serde_json::from_str(record.get()).ok()?;
    Some(known.id)
}

/// What went wrong since the last record.
struct Troubles {
    /// The last of them.
    attempts: Attempts,
    count: usize,
    pause: Duration,
    /// When a gateway last said anything; to a feed that ends, anything that brought it on.
    life: Instant,
}

impl Troubles {
    fn none() -> Troubles {
        Troubles {
            attempts: Attempts::default(),
            count: 0,
            pause: PAUSE_FIRST,
            life: Instant::now(),
        }
    }
}

struct Stream {
    url: String,
    body: Incoming,
    buffer: BytesMut,
}

#[derive(Deserialize)]
struct Line<'a> {
    token: Option<String>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(default)]
    caught_up: bool,
    #[serde(default)]
    missing: Vec<String>,
    complete: Option<bool>,
    error: Option<Value>,
}

impl Feed {
    /// A feed from a position: `start`, `now` or a token. One that `ends` does so when it has caught up. `patience` is how long
    /// it is tried without a line from any gateway, and one that ends without one that brings it on.
    pub(crate) fn new(
        client: Client,
        filters: Filters,
        position: String,
        ends: bool,
        patience: Duration,
    ) -> Feed {
        Feed {
            client,
            filters,
            position,
            ends,
            patience,
            open: None,
            turn: 0,
            troubles: Troubles::none(),
            shown: Shown::default(),
        }
    }

    /// What comes next: a record once, also when the gateway that takes over sends it again.
    ///
    /// # Errors
    /// When a gateway refuses the question, or none has said anything, or brought the end nearer, for as long as patience lasts.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let line = match self.line().await? {
                Ok(line) => line,
                Err(why) => {
                    self.went_wrong(why).await?;
                    continue;
                }
            };
            let before = self.position.clone();
            let said = self.read(&line)?;
            // On the way to an end, signs of life are none of progress: a gateway may have them for ever while it cannot read a store.
            if !self.ends || self.position != before {
                self.troubles.life = Instant::now();
            }
            match said {
                Some(Ok(event)) => {
                    self.troubles = Troubles {
                        life: self.troubles.life,
                        ..Troubles::none()
                    };
                    if let Event::Record { record, .. } = &event
                        && !self.shown.note(record)
                    {
                        continue;
                    }
                    return Ok(event);
                }
                Some(Err(problem)) => self.went_wrong(problem.to_string()).await?,
                None => {}
            }
        }
    }

    /// Where to go on: behind the last line.
    pub(crate) fn position(&self) -> &str {
        &self.position
    }

    /// A line from the open stream, or from one that is opened for it. The inner error is worth another try.
    async fn line(&mut self) -> Result<Result<Bytes, String>, Failure> {
        if self.open.is_none() {
            match self.connect().await? {
                Ok(stream) => self.open = Some(stream),
                Err(why) => return Ok(Err(why)),
            }
        }
        let Some(stream) = &mut self.open else {
            return Ok(Err("no stream".to_owned()));
        };
        Ok(
            match tokio::time::timeout(SILENCE_MAX, stream.line()).await {
                Ok(line) => line,
                Err(_) => Err(silent()),
            },
        )
    }

    async fn connect(&self) -> Result<Result<Stream, String>, Failure> {
        let gateways = self.client.gateways();
        let gateway = &gateways[self.turn % gateways.len()];
        let call = Call::get(self.path()).accepting("application/x-ndjson");
        let opened = tokio::time::timeout(SILENCE_MAX, self.client.open(gateway, &call)).await;
        let response = match opened {
            Ok(Ok(response)) => response,
            Ok(Err(none)) => return Ok(Err(none.why)),
            Err(_) => return Ok(Err(silent())),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(Stream {
                url: gateway.to_string(),
                body: response.into_body(),
                buffer: BytesMut::new(),
            }));
        }
        let limited = http_body_util::Limited::new(response.into_body(), REFUSAL_BYTES_MAX);
        let body = tokio::time::timeout(SILENCE_MAX, limited.collect()).await;
        let bytes = body
            .ok()
            .and_then(Result::ok)
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        settled(Problem::read(status.as_u16(), &bytes)).map(Err)
    }

    fn path(&self) -> String {
        let mut pairs = vec![("from", self.position.clone())];
        if self.ends {
            pairs.push(("until", "now".to_owned()));
        }
        pairs.extend(self.filters.parameters());
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={}", encode(value)))
            .collect();
        format!("/v1/feed?{}", pairs.join("&"))
    }

    /// What a line says. Nothing: a sign of life, or a position. The inner error is worth another try.
    fn read(&mut self, line: &[u8]) -> Result<Option<Result<Event, String>>, Failure> {
        if line.iter().all(u8::is_ascii_whitespace) || line.starts_with(b":") {
            return Ok(None);
        }
        let Line {
            token,
            record,
            caught_up,
            missing,
            complete,
            error,
        } = serde_json::from_slice(line).map_err(|error| self.misread(error.to_string()))?;
        if let Some(error) = error {
            return settled(Problem::of_line(error)).map(|why| Some(Err(why)));
        }
        let token = token.ok_or_else(|| self.misread("a line without token".to_owned()))?;
        self.position.clone_from(&token);
        let event = match (record, caught_up) {
            (Some(record), _) => Event::Record {
                token,
                record: record.to_owned(),
            },
            (None, true) => Event::CaughtUp {
                token,
                missing,
                complete,
            },
            (None, false) => return Ok(None),
        };
        Ok(Some(Ok(event)))
    }

    fn misread(&self, detail: String) -> Failure {
        let url = self.open.as_ref().map(|stream| stream.url.clone());
        Failure::Reply {
            url: url.unwrap_or_default(),
            detail: format!("feed: {detail}"),
        }
    }

    /// Notes a failure and turns to the next gateway; after a turn over all of them there is something to wait for.
    async fn went_wrong(&mut self, why: String) -> Result<(), Failure> {
        self.open = None;
        let count = self.client.gateways().len();
        let gateway = self.client.gateways()[self.turn % count].to_string();
        self.turn = self.turn.wrapping_add(1);
        let Troubles {
            attempts,
            count: failed,
            pause,
            life,
        } = &mut self.troubles;
        *failed += 1;
        if attempts.0.len() == ATTEMPTS_SHOWN {
            attempts.0.remove(0);
        }
        attempts.0.push((gateway, why));
        if life.elapsed() > self.patience {
            return Err(Failure::Unreachable {
                attempts: std::mem::take(attempts),
            });
        }
        if failed.is_multiple_of(count) {
            tokio::time::sleep(*pause).await;
            *pause = (*pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }
}

/// A problem of this gateway or moment is worth another try; every other one is the answer.
fn settled(problem: Problem) -> Result<String, Failure> {
    if is_passing(problem.status) || problem.status == 429 {
        return Ok(problem.to_string());
    }
    Err(Failure::Refused(problem))
}

fn silent() -> String {
    format!("silent for {} s", SILENCE_MAX.as_secs())
}

impl Stream {
    async fn line(&mut self) -> Result<Bytes, String> {
        let mut seen = 0;
        loop {
            let end = self.buffer[seen..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line = self.buffer.split_to(seen + end).freeze();
                self.buffer.advance(1);
                return Ok(line);
            }
            seen = self.buffer.len();
            if seen > LINE_BYTES_MAX {
                return Err("the feed holds a line without end".to_owned());
            }
            match self.body.frame().await {
                None => return Err("the feed ended".to_owned()),
                Some(Err(error)) => return Err(format!("the feed broke off: {error}")),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

impl Filters {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let kinds = (!self.kind.is_empty()).then(|| self.kind.join(","));
        let given = [
            ("kind", kinds),
            ("subject", self.subject.clone()),
            ("subject_prefix", self.subject_prefix.clone()),
            ("predicate", self.predicate.clone()),
            ("source", self.source.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
