//! `cargo run -p chaos`.

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        chaos::say("signals cannot be waited for");
        return ExitCode::FAILURE;
    };
    // What a run has made on the machine goes when it is dropped, however it ends.
    let ended = tokio::select! {
        ended = chaos::run(chaos::Options::parse()) => ended,
        _ = interrupt.recv() => Err("interrupted".to_owned()),
        _ = terminate.recv() => Err("ended by a signal".to_owned()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            chaos::say(&why);
            ExitCode::FAILURE
        }
    }
}
