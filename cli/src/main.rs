//! The `stemedb` command: a client of any cluster, the parent of a local one, and each of the four services.

mod arguments;
mod client;
mod commands;
mod connection;
mod dates;
mod export;
mod failure;
mod feed;
mod import;
mod keys;
mod local;
mod mcp;
mod output;
mod services;
mod words;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::arguments::{Arguments, Command};
use crate::commands::{
    assert, config, epoch, keygen, members, node, placement, predicates, query, repair, scrub,
    source, status, subjects, sync, trace, verify, vote, votes, watch,
};
use crate::failure::{EXIT_DONE, Failure};
use crate::local::{orders, up};
use crate::words::Words;

fn main() -> ExitCode {
    if let Some(code) = services::called() {
        return code;
    }
    let line = Arguments::command();
    let matches = line.clone().get_matches();
    let words = Words::of(&line, &matches);
    let command = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments.command,
        Err(error) => error.exit(),
    };
    let json = std::env::args().any(|argument| argument == "--json");
    let outcome = match command {
        Command::Gateway(service) => return services::gateway(service.arguments),
        Command::Store(service) => return services::store(service.arguments),
        Command::Membership(service) => return services::membership(service.arguments),
        Command::Antientropy(service) => return services::antientropy(service.arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Up(arguments) => on_this_thread(up::run(arguments)),
        Command::Local(arguments) => on_this_thread(orders::run(arguments)),
        Command::Import(arguments) => on_threads(import::run(arguments)),
        Command::Assert(arguments) => on_this_thread(assert::run(arguments)),
        Command::Query(arguments) => on_this_thread(query::run(arguments)),
        Command::Layered(arguments) => on_this_thread(query::layered(arguments)),
        Command::Trace(arguments) => on_this_thread(trace::run(arguments)),
        Command::Subjects(arguments) => on_this_thread(subjects::run(arguments)),
        Command::Predicates(arguments) => on_this_thread(predicates::run(arguments)),
        Command::Watch(arguments) => on_this_thread(watch::run(arguments)),
        Command::Vote(arguments) => on_this_thread(vote::run(arguments)),
        Command::Votes(arguments) => on_this_thread(votes::run(arguments)),
        Command::Epoch(arguments) => on_this_thread(epoch::run(arguments)),
        Command::Source(arguments) => on_this_thread(source::run(arguments)),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Export(arguments) => on_this_thread(export::run(arguments)),
        Command::Mcp(arguments) => on_threads(mcp::run(arguments)),
        Command::Members(arguments) => on_this_thread(members::run(arguments)),
        Command::Status(arguments) => on_this_thread(status::run(arguments)),
        Command::Verify(arguments) => on_this_thread(verify::run(arguments)),
        Command::Sync(arguments) => on_this_thread(sync::run(arguments)),
        Command::Repair(arguments) => on_this_thread(repair::run(arguments)),
        Command::Scrub(arguments) => on_this_thread(scrub::run(arguments)),
        Command::Node(arguments) => on_this_thread(node::run(arguments)),
        Command::Placement(arguments) => on_this_thread(placement::run(arguments)),
    };
    let Err(failure) = outcome.and_then(|()| output::check()) else {
        return ExitCode::from(EXIT_DONE);
    };
    // What was found out has been printed already; only a command that could not answer at all prints its failure as JSON.
    if json && !matches!(failure, Failure::Outcome(_)) {
        output::json(&failure.to_json());
    }
    output::note(format!("stemedb: {}", failure.told(&words)));
    ExitCode::from(failure.exit_code(&words))
}

/// One thread is enough for a client, and `up` needs to start its children on the one that lives longest.
fn on_this_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let local = tokio::task::LocalSet::new();
    let outcome = local.block_on(&runtime, work);
    runtime.shutdown_background();
    outcome
}

/// An import reads, unpacks and sends at the same time.
fn on_threads(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

fn no_threads(error: std::io::Error) -> Failure {
    Failure::Local(format!("cannot start threads: {error}"))
}
