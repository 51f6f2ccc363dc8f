//! `cargo run --release -p bench`.

use std::process::ExitCode;

use clap::Parser as _;

/// One thread: what drives the load shall take as little of the machine as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bench::run(bench::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            bench::say(&why);
            ExitCode::FAILURE
        }
    }
}
