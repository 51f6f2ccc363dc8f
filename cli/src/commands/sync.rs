//! `stemedb sync`: repair now, not at the next interval.

use serde_json::Value;

use crate::client::Call;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Count what is missing, move nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Runs a repair session between the asked node and every other one, both ways, and says what it moved. Repair runs every second
by itself; this is for those who do not want to wait.

Examples:
  stemedb sync
  stemedb sync --dry-run --url http://node2:18181";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let path = if arguments.dry_run {
        "/cluster/sync?dry_run=true"
    } else {
        "/cluster/sync"
    };
    let said = client
        .send(&Call::post(path, "application/json", ""))
        .await?
        .json()?;
    if arguments.connection.json {
        output::json(&said);
    } else {
        show(&said);
    }
    let peers = said["peers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let failed: Vec<&str> = peers
        .iter()
        .filter(|peer| error(peer).is_some())
        .filter_map(|peer| peer["peer"].as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Outcome(format!(
        "no session with {}\n→ is it UP? stemedb members",
        failed.join(", ")
    )))
}

fn show(said: &Value) {
    let mut table = output::table([
        "PEER",
        "PULLED",
        "PUSHED",
        "BYTES",
        "ROUND TRIPS",
        "MS",
        "ERROR",
    ]);
    for peer in said["peers"].as_array().into_iter().flatten() {
        table.add_row([
            peer["peer"].as_str().unwrap_or_default().to_owned(),
            peer["pulled"].to_string(),
            peer["pushed"].to_string(),
            peer["record_bytes"].to_string(),
            peer["round_trips"].to_string(),
            peer["took_ms"].to_string(),
            error(peer).unwrap_or_default().to_owned(),
        ]);
    }
    output::print(&table);
}

fn error(peer: &Value) -> Option<&str> {
    peer["error"].as_str().filter(|error| !error.is_empty())
}
