//! `stemedb scrub`: looks for damage in what the nodes have on their disks.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Call, Client, encode};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Between two looks with `--watch`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long `--watch` waits for the records of damaged rows, once all nodes are through: repair takes seconds.
const HEAL_MAX: Duration = Duration::from_secs(30);

/// Arguments of `scrub`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// On this node; several allowed [default: on all]
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// Wait until the nodes are through, and until what they found is healed
    #[arg(long)]
    watch: bool,
    /// Begin nothing, only look
    #[arg(long, conflicts_with = "nodes")]
    status: bool,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Every node reads all its rows again: bytes against ids, indexes against records, roots against ids. What is wrong is put right, or
put aside and fetched again from another node. It happens once a day by itself. Ends 1 when something is damaged and not healed.

Examples:
  stemedb scrub --watch
  stemedb scrub --node node2
  stemedb scrub --status";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let json = arguments.connection.json;
    let mut said = match arguments.status {
        true => look(&client).await?,
        false => {
            let call = Call::post(path(&arguments.nodes), "application/json", "");
            client.send(&call).await?.json()?
        }
    };
    if arguments.watch {
        said = watch(&client, &arguments.nodes, said, json).await?;
    }
    keep(&mut said, &arguments.nodes);
    if json {
        output::json(&said);
    } else {
        show(&said);
    }
    match unhealed(&said) {
        why if why.is_empty() => Ok(()),
        why => Err(Failure::Outcome(why.join("\n"))),
    }
}

fn path(nodes: &[String]) -> String {
    let asked = nodes.iter().map(|name| format!("node={}", encode(name)));
    let asked: Vec<String> = asked.collect();
    match asked.is_empty() {
        true => "/cluster/scrub".to_owned(),
        false => format!("/cluster/scrub?{}", asked.join("&")),
    }
}

async fn look(client: &Client) -> Result<Value, Failure> {
    client.get_json("/cluster/scrub").await
}

/// Looks until all are through and nothing is waited for any more, or for too long.
async fn watch(
    client: &Client,
    names: &[String],
    mut said: Value,
    json: bool,
) -> Result<Value, Failure> {
    let mut idle_since = None;
    loop {
        keep(&mut said, names);
        if nodes(&said).all(|node| node["state"] == "idle") {
            let since = *idle_since.get_or_insert_with(Instant::now);
            let healed = nodes(&said).all(|node| number(node, "quarantined") == 0);
            if healed || since.elapsed() >= HEAL_MAX {
                return Ok(said);
            }
        } else {
            idle_since = None;
        }
        if !json {
            let lines: Vec<String> = nodes(&said).map(sentence).collect();
            output::note(lines.join("; "));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => return Ok(said),
        }
        said = look(client).await?;
    }
}

/// Leaves out nodes that were not asked for.
fn keep(said: &mut Value, names: &[String]) {
    for list in ["nodes", "unreachable"] {
        if let Some(nodes) = said[list].as_array_mut() {
            nodes.retain(|node| names.is_empty() || names.iter().any(|name| node["id"] == **name));
        }
    }
}

fn show(said: &Value) {
    let mut table = output::table([
        "NODE",
        "STATE",
        "PERCENT",
        "ROWS",
        "DAMAGED",
        "MENDED",
        "ROOTS",
        "WAITED FOR",
        "ERROR",
    ]);
    for node in nodes(said) {
        table.add_row([
            text(&node["id"]),
            text(&node["state"]),
            node["percent"].to_string(),
            node["rows"].to_string(),
            node["found_rows"].to_string(),
            node["mended_lines"].to_string(),
            node["mended_roots"].to_string(),
            node["quarantined"].to_string(),
            text(&node["error"]),
        ]);
    }
    output::print(&table);
}

/// One node as a part of a line.
fn sentence(node: &Value) -> String {
    let (id, state) = (text(&node["id"]), text(&node["state"]));
    match number(node, "quarantined") {
        0 => format!("{id}: {state}, {} %", node["percent"]),
        rows => format!(
            "{id}: {state}, {} %, {} waited for",
            node["percent"],
            output::count(rows, "record")
        ),
    }
}

/// What is damaged and not healed, for people.
fn unhealed(said: &Value) -> Vec<String> {
    let alarms = nodes(said).flat_map(|node| {
        let alarms = node["alarms"].as_array().into_iter().flatten();
        alarms.map(|alarm| format!("{}: {}", text(&node["id"]), text(&alarm["message"])))
    });
    let errors = nodes(said).filter(|node| node["error"] != "").map(|node| {
        format!(
            "{}: the pass broke off: {}",
            text(&node["id"]),
            text(&node["error"])
        )
    });
    let away = said["unreachable"].as_array().into_iter().flatten();
    let away = away.map(|node| {
        format!(
            "{} was not looked at: {}",
            text(&node["id"]),
            text(&node["reason"])
        )
    });
    alarms.chain(errors).chain(away).collect()
}

fn nodes(said: &Value) -> impl Iterator<Item = &Value> {
    said["nodes"].as_array().into_iter().flatten()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_put_into_the_path() {
        assert_eq!(path(&[]), "/cluster/scrub");
        let names = ["node1", "a b&c"].map(String::from);
        assert_eq!(path(&names), "/cluster/scrub?node=node1&node=a%20b%26c");
    }

    #[test]
    fn what_is_not_healed_is_said_of_the_nodes_that_were_asked_for() {
        let node = |id: &str, alarms: Value| json!({"id": id, "state": "idle", "percent": 100.0, "quarantined": 0, "error": "", "alarms": alarms});
        let mut said = json!({
            "nodes": [node("node1", json!([])), node("node2", json!([{"code": "quarantined_rows", "message": "1 record", "since": 1}]))],
            "unreachable": [{"id": "node3", "reason": "away"}],
        });
        assert_eq!(
            unhealed(&said),
            ["node2: 1 record", "node3 was not looked at: away"]
        );
        keep(&mut said, &["node1".to_owned()]);
        assert!(unhealed(&said).is_empty());
        assert_eq!(
            nodes(&said).map(sentence).collect::<Vec<_>>(),
            ["node1: idle, 100.0 %"]
        );
    }
}
