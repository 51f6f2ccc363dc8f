//! `stemedb members`: who belongs to the cluster, as one gateway sees it.

use serde_json::Value;

use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Arguments of `members`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
UP answers; SUSPECT answers others, not us; DOWN went without goodbye and still counts; LEFT is gone for good.

Examples:
  stemedb members
  stemedb members --url http://node2:18181 --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let said = client.get_json("/cluster/members").await?;
    if arguments.connection.json {
        output::json(&said);
        return Ok(());
    }
    let members = said["members"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut table = output::table([
        "NODE", "STATUS", "SINCE", "PHASE", "API", "SHARDS", "VERSION",
    ]);
    for member in members {
        table.add_row([
            text(member, "id"),
            text(member, "status"),
            since(member),
            text(member, "phase"),
            text(member, "api_addr"),
            shards(member),
            text(member, "version"),
        ]);
    }
    output::print(&table);
    Ok(())
}

fn text(member: &Value, key: &str) -> String {
    member[key].as_str().unwrap_or_default().to_owned()
}

fn since(member: &Value) -> String {
    let ms = member["since_ms"]
        .as_i64()
        .or_else(|| member["since"].as_i64());
    ms.map(dates::show).unwrap_or_else(|| text(member, "since"))
}

/// A number, or the list of what it owns.
fn shards(member: &Value) -> String {
    let owned = ["owned_shards", "shards"]
        .iter()
        .map(|key| &member[*key])
        .find(|value| !value.is_null());
    match owned {
        Some(Value::Array(list)) => list.len().to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
