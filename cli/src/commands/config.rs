//! `stemedb config check`: the settings as a service would see them.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use sidecar::Settings;

use crate::failure::Failure;
use crate::output;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows every setting, where its value comes from, and every fault at once
    Check(Check),
}

/// Arguments of `config check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Check {
    /// The configuration file; without it STEMEDB_CONFIG, or none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Reads what the services would read: defaults, then the file, then STEMEDB_* variables. Ends 64 when a service would not start.

Examples:
  stemedb config check
  STEMEDB_NUM_SHARDS=4 stemedb config check --config /etc/stemedb/config.toml";

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let What::Check(check) = &arguments.what;
    let settings = Settings::load(check.config.as_deref())
        .map_err(|error| Failure::Configuration(error.to_string()))?;
    if check.json {
        let all: Vec<Value> = settings
            .explain()
            .iter()
            .map(|line| json!({ "key": line.key, "env": line.env, "value": line.value, "origin": line.origin.to_string() }))
            .collect();
        output::json(&json!({ "settings": all }));
        return Ok(());
    }
    let mut table = output::table(["SETTING", "VALUE", "FROM", "VARIABLE"]);
    for line in settings.explain() {
        table.add_row([
            line.key.to_owned(),
            line.value.clone(),
            line.origin.to_string(),
            line.env.to_owned(),
        ]);
    }
    output::print(&table);
    Ok(())
}
