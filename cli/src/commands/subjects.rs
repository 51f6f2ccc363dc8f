//! `stemedb subjects`: what there is something about.

use crate::client::encode;
use crate::commands::cell::{cell, number, text};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `subjects`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Subjects that begin so [default: all]
    prefix: Option<String>,
    /// Subjects on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
In ascending order, with the number of records about each.

Examples:
  stemedb subjects
  stemedb subjects cas:77 --limit 1000
  stemedb subjects constant: --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let said = client.get_json(path(&arguments)).await?;
    if arguments.connection.json {
        output::json(&said);
        return Ok(());
    }
    let result = &said["result"];
    let subjects = result["subjects"].as_array().cloned().unwrap_or_default();
    if subjects.is_empty() {
        output::line("no subjects");
    } else {
        let mut table = output::table(["SUBJECT", "RECORDS"]);
        for subject in &subjects {
            table.add_row([cell(text(subject, "subject")), number(&subject["records"])]);
        }
        output::print(&table);
    }
    let cursor = text(result, "cursor");
    if !cursor.is_empty() {
        output::line(format!("more: --cursor {cursor}"));
    }
    if said["meta"]["complete"] == false {
        output::line("(NOT complete: there may be subjects that were not found)");
    }
    Ok(())
}

fn path(arguments: &Arguments) -> String {
    let given = [
        ("prefix", arguments.prefix.clone()),
        ("limit", arguments.limit.map(|limit| limit.to_string())),
        ("cursor", arguments.cursor.clone()),
    ];
    let pairs: Vec<String> = given
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", encode(value.as_deref()?))))
        .collect();
    match pairs.as_slice() {
        [] => "/v1/subjects".to_owned(),
        pairs => format!("/v1/subjects?{}", pairs.join("&")),
    }
}
