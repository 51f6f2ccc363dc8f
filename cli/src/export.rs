//! `stemedb export`: everything that is stored, or a part of it, as a file that `import` reads.
//!
//! Records are written as their canonical bytes, which their ids are the hashes of; a record whose bytes have another id is not
//! written. Beside the file lies its state: how far it goes and where to go on.

mod canonical;
mod state;
mod target;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::feed::{Event, Feed, Filters};
use crate::import::grouped;
use crate::output;

use canonical::canonical;
use state::State;
use target::Target;

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to: gzip when the name ends in .gz; - for standard output
    file: PathBuf,
    /// Go on with a file that was begun, or bring a finished one up to date
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    filters: Filters,
    /// Give up when no gateway has brought the export on for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
NDJSON, one record a line, of every kind, with its signatures and without its id, which is the hash of the line. It ends when
everything has been written that was stored when it began. Beside FILE lies FILE.state: with --resume an export that broke off
goes on, and a finished one takes what has been stored since. After a break, or when a node was away in between, many records may
be in the file twice; an import stores each once.

Examples:
  stemedb export all.ndjson.gz
  stemedb export all.ndjson.gz --resume
  stemedb export water.ndjson --subject cas:7732-18-5
  stemedb export - --kind source --kind epoch | jq .
  stemedb import all.ndjson.gz --url http://other-cluster:18180

Nodes that cannot be asked, or may have lost what they had, are named. When they are as many as a record has copies, acknowledged
records may be missing: the export keeps what it has, and ends with 1.";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let (mut target, state) = open(&arguments)?;
    let feed = Feed::new(
        client,
        state.filters.clone(),
        state.token.clone(),
        true,
        Duration::from_secs(arguments.patience),
    );
    let mut export = Export {
        before: state.records,
        records: state.records,
        started: Instant::now(),
        quiet: arguments.connection.json,
        missing: Vec::new(),
        complete: None,
    };
    let outcome = export.run(feed, &mut target).await;
    // What has come is kept, whatever ended it.
    let kept = target.keep(export.records);
    export.report(&arguments, &target);
    let outcome = outcome.and_then(|()| export.judge(&arguments.file, target.resumes()));
    let hint = |failure: Failure| match (failure, target.resumes()) {
        (Failure::Unreachable { attempts }, true) => Failure::Outcome(format!(
            "{}\n→ when the cluster is back: stemedb export {} --resume",
            Failure::Unreachable { attempts },
            arguments.file.display()
        )),
        (failure, _) => failure,
    };
    outcome.map_err(hint).and(kept)
}

fn open(arguments: &Arguments) -> Result<(Target, State), Failure> {
    let file = &arguments.file;
    let filters = arguments.filters.clone();
    match (file.as_path() == Path::new("-"), arguments.resume) {
        (true, true) => Err(Failure::Usage(
            "standard output has no state to go on from\n→ name a file".to_owned(),
        )),
        (true, false) => Ok((Target::standard_output(), State::start(filters))),
        (false, true) if State::path(file).exists() || file.exists() => {
            let state = State::read(file)?;
            if state.filters != filters {
                return Err(Failure::Local(format!(
                    "{} was begun with other filters\n→ give the same ones, or name another file",
                    file.display()
                )));
            }
            Ok((Target::resume(file, &state)?, state))
        }
        (false, _) => {
            let state = State::start(filters);
            Ok((Target::create(file, &state)?, state))
        }
    }
}

/// An export under way.
struct Export {
    /// Records in the file when it began.
    before: u64,
    records: u64,
    started: Instant,
    quiet: bool,
    /// Nodes that could not be asked for all they acknowledged.
    missing: Vec<String>,
    /// Whether those cannot hold an acknowledged record alone. Unknown until the end, and from gateways of earlier versions.
    complete: Option<bool>,
}

impl Export {
    async fn run(&mut self, mut feed: Feed, target: &mut Target) -> Result<(), Failure> {
        let mut said = Instant::now();
        loop {
            match feed.next().await? {
                Event::CaughtUp {
                    token,
                    missing,
                    complete,
                } => {
                    target.reached(token);
                    self.missing = missing;
                    self.complete = complete;
                    return Ok(());
                }
                Event::Record { token, record } => {
                    let line = canonical(record.get())?;
                    self.records += 1;
                    if !target.take(&line, token, self.records)? {
                        return Ok(());
                    }
                }
            }
            if !self.quiet && said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                output::note(format!("export: {}", self.said()));
            }
        }
    }

    fn said(&self) -> String {
        let new = self.records - self.before;
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        format!(
            "{} {}, {}/s",
            grouped(new),
            if new == 1 { "record" } else { "records" },
            grouped((new as f64 / seconds).round() as u64)
        )
    }

    fn report(&self, arguments: &Arguments, target: &Target) {
        let summary = self.summary(&arguments.file);
        // One that may lack acknowledged records is no success, and its outcome says so.
        if !self.missing.is_empty() && self.complete != Some(false) {
            output::note(format!(
                "{} could not be asked: what nobody else holds is not in it\n→ when all are back, --resume brings the rest",
                self.missing.join(", ")
            ));
        }
        match (target.resumes(), self.quiet) {
            // Standard output has the records.
            (false, true) => output::note(summary.to_string()),
            (false, false) => output::note(self.said()),
            (true, true) => output::json(&summary),
            (true, false) => output::line(format!(
                "{} in {:.1} s, {} in {}",
                self.said(),
                self.started.elapsed().as_secs_f64(),
                grouped(self.records),
                arguments.file.display()
            )),
        }
    }

    /// Whether it has everything that was acknowledged, as far as the gateway says.
    fn judge(&self, file: &Path, resumes: bool) -> Result<(), Failure> {
        if self.complete != Some(false) {
            return Ok(());
        }
        let why = match &self.missing[..] {
            [] => "the gateway does not know at the moment which nodes there are".to_owned(),
            missing => format!(
                "{} could not be asked for all they hold",
                missing.join(", ")
            ),
        };
        let next_step = match resumes {
            true => format!(
                "what has come is kept; when they are back: stemedb export {} --resume",
                file.display()
            ),
            false => "run it again when they are back".to_owned(),
        };
        Err(Failure::Outcome(format!(
            "acknowledged records may be missing: {why}\n→ {next_step}"
        )))
    }

    fn summary(&self, file: &Path) -> Value {
        json!({
            "missing": self.missing,
            "complete": self.complete,
            "file": file.display().to_string(),
            "exported": self.records - self.before,
            "records": self.records,
            "seconds": (self.started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        })
    }
}
