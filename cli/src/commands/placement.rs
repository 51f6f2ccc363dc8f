//! `stemedb placement`: who owns how much, and what would move if nodes came or went.

use clap::Subcommand;
use serde_json::Value;

use crate::client::encode;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `placement`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows who owns how many shards and records
    Show(Show),
    /// Shows what would move; moves nothing
    Plan(Plan),
}

/// Arguments of `placement show`.
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `placement plan`.
#[derive(Debug, clap::Args)]
struct Plan {
    /// So many more nodes, named on from those that are there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    join: Option<u16>,
    /// Nodes that would leave; several allowed, or a comma list
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    leave: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Each record is counted at every node that keeps a copy. Bytes are those of the records themselves (canonical bytes), which repair
sends, estimated by a sample; on the disk a record takes more, with its indexes.

Examples:
  stemedb placement show
  stemedb placement plan --join 2
  stemedb placement plan --leave node4,node5 --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.what {
        What::Show(show) => {
            let said = show
                .connection
                .client()?
                .get_json("/cluster/placement")
                .await?;
            if show.connection.json {
                output::json(&said);
                return Ok(());
            }
            let mut table = output::table(["NODE", "SHARDS", "RECORDS"]);
            for node in nodes(&said) {
                table.add_row(["id", "shards", "records"].map(|key| text(&node[key])));
            }
            output::print(&table);
            note_unreachable(&said);
        }
        What::Plan(plan) => {
            let client = plan.connection.client()?;
            if plan.join.is_none() && plan.leave.is_empty() {
                return Err(Failure::Usage(
                    "nothing to plan: give --join N or --leave NAME".to_owned(),
                ));
            }
            let members = client.get_json("/cluster/members").await?;
            let known: Vec<&str> = members["members"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|member| member["id"].as_str())
                .collect();
            let joining = newcomers(&known, plan.join.unwrap_or(0));
            let join = joining.iter().map(|name| format!("join={}", encode(name)));
            let leave = plan
                .leave
                .iter()
                .map(|name| format!("leave={}", encode(name)));
            let query: Vec<String> = join.chain(leave).collect();
            let path = format!("/cluster/placement?{}", query.join("&"));
            let said = client.get_json(path).await?;
            if plan.connection.json {
                output::json(&said);
                return Ok(());
            }
            show_plan(&said);
        }
    }
    Ok(())
}

fn show_plan(said: &Value) {
    let mut table = output::table([
        "NODE", "SHARDS", "AFTER", "RECORDS", "AFTER", "COMING", "GOING", "BYTES IN",
    ]);
    let columns = [
        "id",
        "shards",
        "shards_after",
        "records",
        "records_after",
        "records_in",
        "records_out",
        "bytes_in",
    ];
    for node in nodes(said) {
        table.add_row(columns.map(|key| text(&node[key])));
    }
    output::print(&table);
    output::line(format!(
        "{} would be copied, about {}; nothing moves before nodes really join or leave",
        output::count(said["records_moved"].as_u64().unwrap_or(0), "record"),
        output::count(said["bytes_moved"].as_u64().unwrap_or(0), "byte")
    ));
    note_unreachable(said);
}

fn nodes(said: &Value) -> impl Iterator<Item = &Value> {
    said["nodes"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn note_unreachable(said: &Value) {
    for node in said["unreachable"].as_array().into_iter().flatten() {
        output::line(format!(
            "not counted: {} does not answer: {}",
            text(&node["id"]),
            text(&node["reason"])
        ));
    }
}

/// Names for so many more nodes: as those that are there are numbered, from the highest on.
fn newcomers(known: &[&str], count: u16) -> Vec<String> {
    let numbered = |name: &&str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: u64 = name[stem.len()..].parse().ok()?;
        Some((number, stem.to_owned()))
    };
    let (last, stem) = known
        .iter()
        .filter_map(numbered)
        .max()
        .unwrap_or((0, "node".to_owned()));
    (1..=u64::from(count))
        .map(|step| format!("{stem}{}", last.saturating_add(step)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_are_named_on() {
        assert_eq!(
            newcomers(&["node1", "node3"], 2),
            ["node4".to_owned(), "node5".to_owned()]
        );
        assert_eq!(newcomers(&["stemedb-0", "stemedb-2"], 1), ["stemedb-3"]);
        assert_eq!(newcomers(&["alpha"], 1), ["node1"]);
        assert!(newcomers(&["node1"], 0).is_empty());
    }
}
