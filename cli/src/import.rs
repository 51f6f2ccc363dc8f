//! `stemedb import`: a file of claims into the cluster, through several gateways at once.

mod delivery;
mod exchange;
mod lines;
mod progress;
mod stamp;
mod tally;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::commands::write::Signing;
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

use delivery::Delivery;
use lines::{Lines, Piece};
use progress::Progress;
use tally::Tally;
pub(crate) use tally::grouped;

/// Connections for each gateway: one is filled while another waits for its reply.
const CONNECTIONS_PER_GATEWAY: usize = 2;

/// More connections than this only queue in the gateways.
const CONNECTIONS_MAX: usize = 64;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// NDJSON, one record a line, plain or gzip; - for standard input
    file: PathBuf,
    /// Write every refused line here, with its number, code, path and text
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// Connections in all [default: 2 for each URL]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX as i64))]
    connections: Option<u16>,
    /// Give up when nothing has been taken for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  stemedb import claims.ndjson.gz
  zcat claims.ndjson.gz | stemedb import -
  stemedb import claims.ndjson --refused refused.ndjson
  stemedb import claims.ndjson --url http://node1:18180,http://node2:18180,http://node3:18180
  stemedb import claims.ndjson --key stemedb.key

Lines are records of any kind, claims when they do not say `kind`; what `stemedb export` wrote is read as it is. A line without
its time (asserted_at, voted_at, started_at, recorded_at) gets that of the start of the import, before the first try: whatever
has to be sent again is the same record. Importing a file twice stores nothing twice, where its lines have their time; a line
without it is said anew each time. Mend what was refused (--refused FILE keeps it, each line's text as `text`) and import it, or the
whole file where its lines have their time. With --key every line is signed, beside signatures that it has already, and a vote without
voter is yours. Ends 0 only if no line was refused and every line is on disk.";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let file = &arguments.file;
    let key = arguments.signing.key()?;
    let lines = Lines::open(file, dates::now_ms())
        .map_err(Failure::file("cannot read", file))?
        .signed(key);
    let total_bytes = std::fs::metadata(file)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|data| data.len());
    let plan = Plan {
        connections: arguments.connections.map(usize::from),
        patience: Duration::from_secs(arguments.patience),
        refused: arguments.refused.clone(),
        progress: Progress::new(total_bytes, arguments.connection.json),
    };
    let name = file.display().to_string();
    let done = deliver(client, lines, plan, name).await?;
    if arguments.connection.json {
        output::json(&done.summary());
    } else {
        done.tally.print(done.took);
    }
    done.verdict()
}

/// Loads claims that are part of this program, quietly.
pub(crate) async fn load(
    client: Client,
    text: &'static str,
    now_ms: i64,
    patience: Duration,
) -> Result<u64, Failure> {
    let lines = Lines::new(text.as_bytes(), now_ms)
        .map_err(Failure::file("cannot read", Path::new("the demo set")))?;
    let plan = Plan {
        connections: None,
        patience,
        refused: None,
        progress: Progress::new(None, true),
    };
    let done = deliver(client, lines, plan, "the demo set".to_owned()).await?;
    let loaded = done.tally.counts.lines();
    done.verdict().map(|()| loaded)
}

struct Plan {
    connections: Option<usize>,
    patience: Duration,
    refused: Option<PathBuf>,
    progress: Progress,
}

/// An import that has ended.
struct Done {
    tally: Tally,
    took: Duration,
    /// Why it ended before the end of the file.
    failure: Option<Failure>,
    /// Where every refused line is.
    refused: Option<PathBuf>,
}

impl Done {
    fn summary(&self) -> Value {
        let mut summary = self.tally.to_json(self.took);
        if let Some(failure) = &self.failure {
            summary["error"] = failure.to_json();
        }
        summary
    }

    fn verdict(self) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.tally.counts.refused {
            0 => Ok(()),
            refused => Err(Failure::Outcome(after_refusals(
                refused,
                self.refused.as_deref(),
            ))),
        }
    }
}

/// How many lines were refused, and what to do about them. Importing the whole file again is safe only where lines say when.
fn after_refusals(refused: u64, kept: Option<&Path>) -> String {
    let were = match refused {
        1 => "was",
        _ => "were",
    };
    let next = match kept {
        Some(file) => format!(
            "{} has each with its reason; `jq -r .text {0}` takes the lines out: mend them in a file of their own and import that",
            file.display()
        ),
        None => "mend them and import the file again, with --refused FILE to have those that are left in a file: what is stored is \
             not stored twice, where lines have their time (asserted_at, voted_at, started_at, recorded_at)"
            .to_owned(),
    };
    format!("{} {were} refused\n→ {next}", tally::lines(refused))
}

async fn deliver(client: Client, lines: Lines, plan: Plan, name: String) -> Result<Done, Failure> {
    let tally = Tally::new(plan.refused.as_deref()).map_err(Failure::file(
        "cannot write",
        plan.refused.clone().unwrap_or_default(),
    ))?;
    let connections = plan
        .connections
        .unwrap_or(client.gateways().len() * CONNECTIONS_PER_GATEWAY)
        .clamp(1, CONNECTIONS_MAX);
    let delivery = Arc::new(Delivery::new(client, plan.patience, tally, plan.progress));
    let started = Instant::now();
    // One piece waits for each connection; the reader stops when they fall behind.
    let (sender, receiver) = mpsc::channel(connections);
    let reader = tokio::task::spawn_blocking(move || read(lines, &sender, &name));
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let mut failure = work(connections, &delivery, &receiver).await.err();
    // Ends the reader if the connections ended first.
    receiver.lock().await.close();
    let read = reader
        .await
        .map_err(|error| Failure::Local(format!("the reader died: {error}")))?;
    failure = failure.or(read.err());
    let took = started.elapsed();
    let delivery = Arc::into_inner(delivery)
        .ok_or_else(|| Failure::Local("a connection is still open".to_owned()))?;
    let mut tally = delivery.close();
    tally.finish().map_err(Failure::file(
        "cannot write",
        plan.refused.clone().unwrap_or_default(),
    ))?;
    Ok(Done {
        tally,
        took,
        failure,
        refused: plan.refused,
    })
}

/// Runs the connections until the input ends or the first of them fails.
async fn work(
    connections: usize,
    delivery: &Arc<Delivery>,
    receiver: &Arc<tokio::sync::Mutex<mpsc::Receiver<Piece>>>,
) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let (delivery, receiver) = (Arc::clone(delivery), Arc::clone(receiver));
        tasks.spawn(async move { delivery.run(connection, &receiver).await });
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended
            .map_err(|error| Failure::Local(format!("a connection died: {error}")))
            .and_then(|ended| ended);
        if outcome.is_ok() && ended.is_err() {
            // The others finish the chunk in hand and find nothing more.
            receiver.lock().await.close();
            outcome = ended;
        }
    }
    outcome
}

fn read(mut lines: Lines, sender: &mpsc::Sender<Piece>, name: &str) -> Result<(), Failure> {
    while let Some(piece) = lines.next() {
        let piece = piece.map_err(|source| {
            let after = lines.number();
            Failure::Local(format!(
                "cannot read {name} after line {after}: {source}\n→ mend the file and import it from the start: what is stored already is not stored twice"
            ))
        })?;
        if sender.blocking_send(piece).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_next() {
        let said = after_refusals(1, None);
        assert!(said.starts_with("1 line was refused\n→ mend"), "{said}");
        assert!(
            said.contains("--refused FILE") && said.contains("not stored twice"),
            "{said}"
        );
        let said = after_refusals(2_000, Some(Path::new("refused.ndjson")));
        assert!(
            said.starts_with("2,000 lines were refused\n→ refused.ndjson has each"),
            "{said}"
        );
        assert!(said.contains("`jq -r .text refused.ndjson`"), "{said}");
    }
}
