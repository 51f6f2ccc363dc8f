//! `stemedb repair`: what repair is moving, how long it takes, and how it is held back.

mod dry_run;

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Off a terminal a line a second would fill a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Go on looking until Ctrl-C
    #[arg(long, conflicts_with_all = ["pause", "resume", "rate", "dry_run"])]
    watch: bool,
    /// Show what repair would move between the asked node and every other one: records and bytes, by shard; move nothing
    #[arg(long, conflicts_with_all = ["pause", "resume", "rate"])]
    dry_run: bool,
    /// Move nothing and give nothing up until --resume
    #[arg(long, conflicts_with_all = ["resume", "rate"])]
    pause: bool,
    /// Go on
    #[arg(long, conflicts_with = "rate")]
    resume: bool,
    /// Move at most so many bytes of records per second; 0: no limit
    #[arg(long, value_name = "BYTES_PER_S", value_parser = bytes_per_s, allow_negative_numbers = true)]
    rate: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Shows what the asked node brings from every other one, how far it is, and which of its records others own. What is still to do
is an estimate; a record that several nodes have counts at each of them, and once in the line below. Pause and rate hold for the asked node until its antientropy starts again.

--dry-run compares id by id, in shards that both nodes own; while repair runs it moves the same by itself within seconds. Records that a
node holds of others' shards are no part of it: `stemedb verify` counts them.

Examples:
  stemedb repair
  stemedb repair --dry-run
  stemedb repair --watch --url http://node2:18181
  stemedb repair --rate 2000000
  stemedb repair --pause";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let json = arguments.connection.json;
    let order = match (arguments.pause, arguments.resume, arguments.rate) {
        (true, ..) => Some("/cluster/tasks/pause".to_owned()),
        (_, true, _) => Some("/cluster/tasks/resume".to_owned()),
        (.., Some(rate)) => Some(format!("/cluster/tasks/rate?bytes_per_s={rate}")),
        _ => None,
    };
    if let Some(path) = order {
        let call = Call::post(&path, "application/json", "");
        let said = client.send(&call).await?.json()?;
        match json {
            true => output::json(&said),
            false => output::line(steered(&said)),
        }
        return Ok(());
    }
    if arguments.dry_run {
        return dry_run::run(&client, json).await;
    }
    if arguments.watch {
        return watch(&client, json).await;
    }
    let said = look(&client).await?;
    if json {
        output::json(&said);
    } else {
        show(&said);
    }
    Ok(())
}

fn bytes_per_s(given: &str) -> Result<u64, String> {
    given.parse().map_err(|_| {
        format!("{given:?} is no whole number of bytes per second (10 MB is 10000000)")
    })
}

async fn look(client: &Client) -> Result<Value, Failure> {
    client.send(&Call::get("/cluster/tasks")).await?.json()
}

fn show(said: &Value) {
    let mut table = output::table([
        "PEER", "STATE", "LAG S", "SHARDS", "DONE", "TO DO", "PERCENT", "BYTES/S", "ETA S", "ERROR",
    ]);
    for task in tasks(said) {
        let moving = &task["moving"];
        let shards = moving["shards"].as_array().map_or(0, Vec::len);
        let cell = |name: &str| match &moving[name] {
            Value::Null => "-".to_owned(),
            value => value.to_string(),
        };
        let whole = |name: &str| match moving[name].as_f64() {
            None => "-".to_owned(),
            Some(value) => format!("{value:.0}"),
        };
        table.add_row([
            text(&task["peer"]),
            text(&task["state"]),
            task["lag_seconds"].to_string(),
            shards.to_string(),
            cell("records_done"),
            cell("records_to_do"),
            cell("percent"),
            whole("bytes_per_s"),
            cell("eta_s"),
            text(&task["last_error"]),
        ]);
    }
    output::print(&table);
    if let Some(together) = together(said) {
        output::line(together);
    }
    output::line(home(said));
    output::line(steered(said));
}

/// Draws bars at a terminal, and writes a line now and then elsewhere.
async fn watch(client: &Client, json: bool) -> Result<(), Failure> {
    let drawn = io::stderr().is_terminal() && !json;
    let bars = MultiProgress::new();
    let mut lines: Vec<(String, ProgressBar)> = Vec::new();
    let foot = drawn.then(|| bars.add(ProgressBar::no_length().with_style(plain())));
    loop {
        let said = look(client).await?;
        match &foot {
            Some(foot) => {
                for task in tasks(&said) {
                    let peer = text(&task["peer"]);
                    if !lines.iter().any(|(known, _)| *known == peer) {
                        let bar = bars.insert_before(foot, ProgressBar::new(0).with_style(style()));
                        lines.push((peer.clone(), bar));
                    }
                    let known = lines.iter().find(|(known, _)| *known == peer);
                    if let Some((_, bar)) = known {
                        draw(bar, &peer, task);
                    }
                }
                let parts = together(&said).into_iter();
                let parts = parts.chain([home(&said), steered(&said)]);
                foot.set_message(parts.collect::<Vec<_>>().join("; "));
            }
            None if json => {
                if !output::try_line(said.to_string()) {
                    return Ok(());
                }
            }
            None => {
                let moving = tasks(&said).map(sentence);
                let parts = moving.chain(together(&said)).chain([home(&said)]);
                let all = parts.collect::<Vec<_>>().join("; ");
                if !output::try_line(all) {
                    return Ok(());
                }
            }
        }
        let pause = if drawn { LOOK_EVERY } else { LINE_EVERY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:12} {bar:30} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn draw(bar: &ProgressBar, peer: &str, task: &Value) {
    let moving = &task["moving"];
    let number = |name: &str| number(moving, name);
    bar.set_prefix(peer.to_owned());
    bar.set_length(number("records_done") + number("records_to_do"));
    bar.set_position(number("records_done"));
    bar.set_message(match moving["eta_s"].as_f64() {
        Some(seconds) => format!(
            "{}, {}, {} left",
            text(&task["state"]),
            rate(moving),
            output::seconds(seconds)
        ),
        None => text(&task["state"]),
    });
}

/// One peer as a line.
fn sentence(task: &Value) -> String {
    let moving = &task["moving"];
    let (peer, state) = (text(&task["peer"]), text(&task["state"]));
    match moving["percent"].as_f64() {
        Some(percent) => format!(
            "{peer}: {state}, {percent} % of {}, {} of about {} left, {}",
            output::count(
                moving["shards"].as_array().map_or(0, Vec::len) as u64,
                "shard"
            ),
            number(moving, "records_to_do"),
            output::count(
                number(moving, "records_done") + number(moving, "records_to_do"),
                "record"
            ),
            rate(moving)
        ),
        None => format!("{peer}: {state}"),
    }
}

/// What comes from all peers, each record once: of peers that have the same, each counts it.
fn together(said: &Value) -> Option<String> {
    let moving = said.get("moving").filter(|moving| moving.is_object())?;
    let (done, to_do) = (
        number(moving, "records_done"),
        number(moving, "records_to_do"),
    );
    Some(format!(
        "from all together, each record once: {to_do} of about {} left, {}",
        output::count(done + to_do, "record"),
        rate(moving)
    ))
}

/// `4000 bytes/s`: tenths of a byte say nothing.
fn rate(moving: &Value) -> String {
    format!(
        "{:.0} bytes/s",
        moving["bytes_per_s"].as_f64().unwrap_or(0.0)
    )
}

fn home(said: &Value) -> String {
    let home = &said["home"];
    let foreign = home["foreign_records"].as_u64().unwrap_or(0);
    let waiting = match text(&home["waiting_for"]) {
        why if why.is_empty() || foreign == 0 => String::new(),
        why => format!(", waiting for {why}"),
    };
    let belong = match foreign {
        1 => "belongs",
        _ => "belong",
    };
    format!(
        "{} here {belong} to others ({}{waiting}), given up so far: {}",
        output::count(foreign, "record"),
        text(&home["state"]),
        home["released_records"]
    )
}

fn steered(said: &Value) -> String {
    let limit = match said["bytes_per_s"].as_u64() {
        Some(limit) => format!("at most {limit} bytes/s"),
        None => "no limit".to_owned(),
    };
    let state = match said["paused"].as_bool() {
        Some(true) => "paused",
        _ => "running",
    };
    format!("repair of {} is {state}, {limit}", text(&said["node"]))
}

fn tasks(said: &Value) -> impl Iterator<Item = &Value> {
    said["tasks"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let task = json!({"peer": "node2", "state": "moving", "moving": {"shards": [1, 2], "records_done": 30, "records_to_do": 90,
            "percent": 25.0, "bytes_done": 6000, "bytes_to_do": 18000, "bytes_per_s": 4000.0, "eta_s": 4.5}});
        assert_eq!(
            sentence(&task),
            "node2: moving, 25 % of 2 shards, 90 of about 120 records left, 4000 bytes/s"
        );
        let idle = json!({"peer": "node3", "state": "idle", "moving": null});
        assert_eq!(sentence(&idle), "node3: idle");
    }

    #[test]
    fn what_several_peers_have_is_counted_once_in_the_whole() {
        let moving = json!({"records_done": 30, "records_to_do": 1, "bytes_per_s": 4000.6});
        assert_eq!(
            together(&json!({ "moving": moving })).as_deref(),
            Some("from all together, each record once: 1 of about 31 records left, 4001 bytes/s")
        );
        // Nothing is brought; a gateway of an earlier version does not say.
        assert_eq!(together(&json!({ "moving": null })), None);
        assert_eq!(together(&json!({})), None);
    }

    #[test]
    fn a_rate_is_a_number_of_bytes() {
        assert_eq!(bytes_per_s("2000000"), Ok(2_000_000));
        for text in ["10MB", "-1", "1.5"] {
            let said = bytes_per_s(text).unwrap_err();
            assert!(
                said.starts_with(&format!("{text:?} is no whole")) && said.contains("10000000"),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_waited_for_is_said_while_there_is_something() {
        let said = |foreign: u64| {
            home(
                &json!({"home": {"state": "waiting", "foreign_records": foreign, "released_records": 7, "waiting_for": "node2"}}),
            )
        };
        assert_eq!(
            said(3),
            "3 records here belong to others (waiting, waiting for node2), given up so far: 7"
        );
        assert!(!said(0).contains("node2"));
        let steer = json!({"node": "node1", "paused": true, "bytes_per_s": 5});
        assert_eq!(
            steered(&steer),
            "repair of node1 is paused, at most 5 bytes/s"
        );
    }
}
