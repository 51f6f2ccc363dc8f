//! `stemedb keygen`: a key of one's own.

use std::path::PathBuf;

use serde_json::json;

use crate::failure::Failure;
use crate::keys;
use crate::output;

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to keep the key
    #[arg(default_value = "stemedb.key")]
    file: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Makes an Ed25519 key and prints its agent: the public key, which is the name under which everything signed with it appears.
The file holds the private key, is readable by you alone, and is never overwritten. There is no copy anywhere: keep one.

Examples:
  stemedb keygen
  stemedb keygen ~/.config/stemedb/lab.key
  stemedb assert cas:7732-18-5 boiling_point_k 373.15 --source https://example.org/kettle --class anecdotal --key stemedb.key";

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, json } = arguments;
    let agent = keys::create(file)?.agent();
    if *json {
        output::json(&json!({ "agent": agent, "file": file.display().to_string() }));
    } else {
        output::line(format!("agent {agent}"));
        output::line(format!("key   {}", file.display()));
    }
    Ok(())
}
