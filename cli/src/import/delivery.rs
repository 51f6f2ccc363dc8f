//! Chunks to gateways over several connections: whoever fails is left alone for a moment and its lines go elsewhere.
//!
//! A line that was not answered is sent again. That is safe: its id is the hash of its content, and whatever the first try
//! did, the second finds or does the same.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::exchange::{Exchange, Outcome, exchange};
use super::lines::{Chunk, Piece, RefusedLine};
use super::progress::Progress;
use super::tally::{Refused, Tally, lines};
use crate::client::Client;
use crate::failure::{Attempts, Failure};

/// How long a gateway that failed is left alone, first and at most. Longer: a node that is back stays idle. Shorter: a
/// frozen node costs a connection its patience again and again.
const REST_FIRST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(8);

/// Between two tries of a chunk when no gateway takes it.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the connections share.
pub(crate) struct Delivery {
    client: Client,
    patience: Duration,
    rests: Mutex<Vec<Rest>>,
    books: Mutex<Books>,
}

struct Books {
    tally: Tally,
    progress: Progress,
}

/// When a gateway may be asked again.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    until: Option<Instant>,
    length: Duration,
}

impl Delivery {
    /// `patience` is how long a chunk is tried without any line of it being settled.
    pub(crate) fn new(
        client: Client,
        patience: Duration,
        tally: Tally,
        progress: Progress,
    ) -> Delivery {
        let rests = vec![Rest::default(); client.gateways().len()];
        Delivery {
            client,
            patience,
            rests: Mutex::new(rests),
            books: Mutex::new(Books { tally, progress }),
        }
    }

    /// One connection's work: takes pieces until there are none, or one cannot be delivered.
    pub(crate) async fn run(
        &self,
        connection: usize,
        pieces: &tokio::sync::Mutex<mpsc::Receiver<Piece>>,
    ) -> Result<(), Failure> {
        loop {
            let piece = pieces.lock().await.recv().await;
            match piece {
                None => return Ok(()),
                Some(Piece::Chunk(chunk)) => self.deliver(connection, chunk).await?,
                Some(Piece::Refused(lines)) => self.refuse(lines)?,
            }
        }
    }

    /// Counts and progress, when all connections are done.
    pub(crate) fn close(self) -> Tally {
        let books = self
            .books
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        books.progress.finish();
        books.tally
    }

    async fn deliver(&self, connection: usize, mut chunk: Chunk) -> Result<(), Failure> {
        let input_bytes = chunk.input_bytes;
        let mut attempts = Attempts::default();
        let mut settled_at = Instant::now();
        let mut pause = PAUSE_FIRST;
        // Lines that an earlier try of this run may have stored.
        let mut maybe_stored: BTreeSet<u64> = BTreeSet::new();
        loop {
            let place = self.choose(connection + attempts.0.len());
            let gateway = &self.client.gateways()[place];
            let (outcomes, broken) = match exchange(&self.client, gateway, &chunk).await {
                Exchange::Lines(outcomes, broken) => (outcomes, broken),
                Exchange::Refused(problem) => return Err(Failure::Refused(problem)),
            };
            let unsettled = self.settle(&chunk, &outcomes, &mut maybe_stored)?;
            self.rate(place, broken.is_none());
            if unsettled.is_empty() {
                self.advance(input_bytes);
                return Ok(());
            }
            if unsettled.len() < chunk.len() {
                settled_at = Instant::now();
                pause = PAUSE_FIRST;
                attempts.0.clear();
            }
            let why = broken.unwrap_or_else(|| first_reason(&outcomes));
            attempts.0.push((gateway.to_string(), why));
            chunk = chunk.only(&unsettled);
            if settled_at.elapsed() > self.patience {
                return Err(given_up(&chunk, attempts));
            }
            // The next gateway is tried at once; when all have been, there is something to wait for.
            if attempts
                .0
                .len()
                .is_multiple_of(self.client.gateways().len())
            {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Counts what is settled and returns the places that are not. A line that is there when it is sent again may have been stored by
    /// the try before: that it was present before is more than we know.
    fn settle(
        &self,
        chunk: &Chunk,
        outcomes: &[Outcome],
        maybe_stored: &mut BTreeSet<u64>,
    ) -> Result<Vec<usize>, Failure> {
        let mut books = self.books();
        let mut unsettled = Vec::new();
        for (place, outcome) in outcomes.iter().enumerate() {
            let counts = &mut books.tally.counts;
            match outcome {
                Outcome::Stored => counts.stored += 1,
                Outcome::Present if maybe_stored.contains(&chunk.number(place)) => {
                    counts.sent_again += 1;
                }
                Outcome::Present => counts.present += 1,
                Outcome::Pending => counts.pending += 1,
                Outcome::Unsettled {
                    maybe_stored: maybe,
                    ..
                } => {
                    unsettled.push(place);
                    if *maybe {
                        maybe_stored.insert(chunk.number(place));
                    }
                }
                Outcome::Refused(problem) => {
                    let refused = Refused {
                        line: chunk.number(place),
                        problem: problem.clone(),
                    };
                    books
                        .tally
                        .refuse(refused, chunk.text(place))
                        .map_err(refused_file)?;
                }
            }
        }
        Ok(unsettled)
    }

    fn refuse(&self, lines: Vec<RefusedLine>) -> Result<(), Failure> {
        let mut books = self.books();
        for RefusedLine {
            number: line,
            problem,
            text,
        } in lines
        {
            books
                .tally
                .refuse(Refused { line, problem }, &text)
                .map_err(refused_file)?;
        }
        Ok(())
    }

    fn advance(&self, input_bytes: u64) {
        let mut books = self.books();
        let counts = books.tally.counts;
        books.progress.advance(input_bytes, &counts);
    }

    /// The first gateway at or after `start` that is not resting; when all rest, the one whose turn it is.
    fn choose(&self, start: usize) -> usize {
        let rests = lock(&self.rests);
        let now = Instant::now();
        let count = rests.len();
        (0..count)
            .map(|step| (start + step) % count)
            .find(|place| rests[*place].until.is_none_or(|until| until <= now))
            .unwrap_or(start % count)
    }

    fn rate(&self, place: usize, well: bool) {
        let mut rests = lock(&self.rests);
        let known = rests[place];
        let now = Instant::now();
        if well {
            rests[place] = Rest::default();
            return;
        }
        // Several connections notice the same failure: it counts once.
        if known.until.is_some_and(|until| until > now) {
            return;
        }
        let length = (known.length * 2).clamp(REST_FIRST, REST_MAX);
        rests[place] = Rest {
            until: Some(now + length),
            length,
        };
        drop(rests);
        if known.length.is_zero() {
            let gateway = &self.client.gateways()[place];
            self.books().progress.note(&format!(
                "{gateway} does not answer; its lines go to the others"
            ));
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }
}

/// Counts stay counts when a thread that held them panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused_file(source: std::io::Error) -> Failure {
    Failure::Local(format!("cannot write the refused lines: {source}"))
}

fn first_reason(outcomes: &[Outcome]) -> String {
    let reason = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Unsettled { why, .. } => Some(why.clone()),
        _ => None,
    });
    reason.unwrap_or_default()
}

fn given_up(chunk: &Chunk, mut attempts: Attempts) -> Failure {
    /// The last tries say enough.
    const SHOWN_MAX: usize = 6;
    let superfluous = attempts.0.len().saturating_sub(SHOWN_MAX);
    attempts.0.drain(..superfluous);
    Failure::Outcome(format!(
        "{} from line {} on could not be delivered:\n{attempts}\n→ start the import again when the cluster is back: what is there already counts as present",
        lines(chunk.len() as u64),
        chunk.number(0),
    ))
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
