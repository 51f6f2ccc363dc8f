//! `stemedb verify`: do all nodes hold what they shall hold?

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Between two looks with `--wait`.
const POLL: Duration = Duration::from_millis(500);

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Look again for so many seconds, until all are equal
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Compares what was stored before the call: every record on all its owners, every owner with the same set. Ends 0 only if so.

Examples:
  stemedb verify
  stemedb verify --wait 60            after a node came back";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let deadline = Instant::now() + Duration::from_secs(arguments.wait);
    let said = loop {
        let said = client.get_json("/cluster/verify").await;
        let settled = said.as_ref().is_ok_and(|said| said["equal"] == true);
        if settled || Instant::now() >= deadline {
            break said?;
        }
        tokio::time::sleep(POLL).await;
    };
    if arguments.connection.json {
        output::json(&said);
    } else {
        show(&said);
    }
    if said["equal"] == true {
        return Ok(());
    }
    let reason = said["reason"].as_str().unwrap_or("no reason given");
    Err(Failure::Outcome(format!(
        "not equal: {reason}\n→ repair runs by itself: stemedb status; look again: stemedb verify --wait 60"
    )))
}

fn show(said: &Value) {
    let mut table = output::table(["NODE", "RECORDS", "SHARDS"]);
    for node in said["nodes"].as_array().into_iter().flatten() {
        table.add_row([
            node["id"].as_str().unwrap_or_default().to_owned(),
            node["records"].to_string(),
            node["shards"].to_string(),
        ]);
    }
    output::print(&table);
    for node in said["unreachable"].as_array().into_iter().flatten() {
        output::line(format!(
            "{} does not answer: {}",
            node["id"].as_str().unwrap_or_default(),
            node["reason"].as_str().unwrap_or_default()
        ));
    }
    let verdict = if said["equal"] == true {
        "equal"
    } else {
        "NOT equal"
    };
    output::line(format!(
        "{verdict}: {} records, {} on fewer nodes than they shall be",
        said["distinct_records"], said["under_replicated"]
    ));
}
