//! `stemedb node`: what can be done with a member.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::{Call, Client, encode};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::local::control::{Action, Order, ask};
use crate::local::{directory, welcome};
use crate::output;

/// Between two looks at a node that leaves.
const POLL: Duration = Duration::from_millis(500);

/// Between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lets a node hand everything over and go for good
    Leave(Leave),
    /// Declares a node that is DOWN gone for good
    Forget(Forget),
}

/// Arguments of `node leave`.
#[derive(Debug, clap::Args)]
#[command(after_help = LEAVE_EXAMPLES)]
struct Leave {
    /// The node's name
    node: String,
    /// Also when fewer nodes stay than records shall have copies
    #[arg(long)]
    force: bool,
    /// Wait so many seconds until it has LEFT; 0: do not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    #[command(flatten)]
    connection: Connection,
}

const LEAVE_EXAMPLES: &str = "\
The node owns nothing from then on, hands everything over, and is LEFT when all of it is on the others; then it can be stopped.
It goes on across restarts. A leave cannot be called off: to keep the node after all, let it finish and start it again; it joins anew.
See what will move first: stemedb placement plan --leave node4

Examples:
  stemedb node leave node4
  stemedb local remove node4          the same for a node of `stemedb up`, and stops it";

/// Arguments of `node forget`.
#[derive(Debug, clap::Args)]
#[command(after_help = FORGET_EXAMPLES)]
struct Forget {
    /// The node's name
    node: String,
    /// Where the `stemedb up` is that runs the node, if one does: it forgets it as well
    #[arg(long, value_name = "DIR", default_value = crate::local::DATA_DIR)]
    data_dir: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

const FORGET_EXAMPLES: &str = "\
A node that is DOWN still counts: claims wait for it, and answers say so. Forget it when its disk is gone or it will never come
back; its shards get new owners. Refused while the node is UP. Should its disk come back after all: started again it joins anew,
and brings the records that only it had. A node of `stemedb up` is put off its list as well; `stemedb local add` starts it again.

Examples:
  stemedb node forget node3
  stemedb local add node3             to have it back, one of `stemedb up`";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.what {
        What::Leave(leave) => run_leave(leave).await,
        What::Forget(forget) => run_forget(forget).await,
    }
}

async fn run_leave(leave: Leave) -> Result<(), Failure> {
    let Leave {
        node,
        force,
        wait,
        connection,
    } = leave;
    let client = connection.client()?;
    let path = format!("/cluster/members/{}/leave?force={force}", encode(&node));
    let call = Call::post(path, "application/json", "");
    let mut said = client.send(&call).await?.json()?;
    let began = Instant::now();
    let mut told: Option<Instant> = None;
    let deadline = Duration::from_secs(wait);
    let left = loop {
        let seen = standing(&client, &node).await?;
        if seen.left {
            break true;
        }
        if began.elapsed() >= deadline {
            break false;
        }
        if told.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            told = Some(Instant::now());
            output::note(format!(
                "{node} hands over ({}), {}",
                seen.phase,
                output::seconds(began.elapsed().as_secs_f64())
            ));
        }
        tokio::time::sleep(POLL).await;
    };
    if connection.json {
        said["left"] = json!(left);
        output::json(&said);
    } else if left {
        output::line(format!(
            "{node} has LEFT after {}; it can be stopped",
            output::seconds(began.elapsed().as_secs_f64())
        ));
    }
    if !connection.json {
        warnings(&said).iter().for_each(output::line);
    }
    if left || wait == 0 {
        return Ok(());
    }
    Err(Failure::Outcome(format!(
        "{node} still hands over; it goes on\n→ stemedb status shows how repair stands; the same command waits on"
    )))
}

/// How a node that leaves stands.
struct Standing {
    left: bool,
    phase: String,
}

/// What the first gateway that answers says of it. The one that leaves may say it of itself; one that has gone is LEFT.
async fn standing(client: &Client, node: &str) -> Result<Standing, Failure> {
    let said = client.get_json("/cluster/members").await?;
    let members = said["members"].as_array().into_iter().flatten();
    let found = members.clone().find(|member| member["id"] == node);
    let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    Ok(match found {
        None => Standing {
            left: true,
            phase: String::new(),
        },
        Some(member) => Standing {
            left: member["status"] == "LEFT",
            phase: text(member, "phase"),
        },
    })
}

async fn run_forget(forget: Forget) -> Result<(), Failure> {
    let Forget {
        node,
        data_dir,
        connection,
    } = forget;
    let client = connection.client()?;
    let members = client.get_json("/cluster/members").await?;
    let call = Call::post(
        format!("/cluster/members/{}/forget", encode(&node)),
        "application/json",
        "",
    );
    let said = client.send(&call).await?.json()?;
    let dropped = drop_local(&data_dir, &node, &members).await?;
    if connection.json {
        output::json(&said);
        return Ok(());
    }
    let up = dropped.then(|| welcome::directory_flag(&data_dir));
    told(&node, &said, up.as_deref())
        .iter()
        .for_each(output::line);
    Ok(())
}

/// What is said of a node that was forgotten; `up`: the `up` that ran it and does not any more, as a flag.
fn told(node: &str, said: &Value, up: Option<&str>) -> Vec<String> {
    let back = match up {
        Some(flag) => format!(
            "{node} is forgotten, and is none of the nodes of `stemedb up` any more\n→ to have it back with what is on its disk: stemedb local add {node}{flag}"
        ),
        None => format!(
            "{node} is forgotten\n→ should its disk come back: start it again, and it joins anew"
        ),
    };
    std::iter::once(back).chain(warnings(said)).collect()
}

/// What the node that did it warns of.
fn warnings(said: &Value) -> Vec<String> {
    let warning = said["warning"].as_str().filter(|text| !text.is_empty());
    let at_risk = said["shards_at_risk"].as_array().map_or(0, Vec::len) as u64;
    let at_risk = (at_risk > 0).then(|| {
        format!(
            "the other owners of {} are away as well: what is in these is lost if none of them comes back",
            output::count(at_risk, "shard")
        )
    });
    warning
        .map(str::to_owned)
        .into_iter()
        .chain(at_risk)
        .collect()
}

/// A node of the `up` in this directory is put off its list as well; true: it was. Only when the cluster that was asked is that one: names repeat,
/// addresses do not.
async fn drop_local(data_dir: &Path, node: &str, members: &Value) -> Result<bool, Failure> {
    let Some(file) = directory::read_file(data_dir)? else {
        return Ok(false);
    };
    let Some(entry) = file.nodes.get(node) else {
        return Ok(false);
    };
    let mut asked = members["members"].as_array().into_iter().flatten();
    let same = asked.any(|member| member["id"] == node && member["admin_addr"] == *entry.admin);
    if !same {
        return Ok(false);
    }
    let order = Order {
        action: Action::Drop,
        node: node.to_owned(),
        service: None,
        force: false,
    };
    match ask(data_dir, &order).await {
        Ok(answer) if answer.ok => Ok(true),
        Ok(answer) => Err(Failure::Local(answer.said)),
        // Nobody runs it: the file of a cluster that is at rest is not ours to change.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_forgotten_is_said_to_come_back_by_what_starts_it() {
        let said = json!({ "warning": "what only it had is lost", "shards_at_risk": [3] });
        let of_up = told("node3", &said, Some(" --data-dir five"));
        assert!(
            of_up[0].ends_with("stemedb local add node3 --data-dir five"),
            "{of_up:?}"
        );
        let elsewhere = told("node3", &said, None);
        assert!(elsewhere[0].contains("start it again"), "{elsewhere:?}");
        for lines in [of_up, elsewhere] {
            assert_eq!(lines[1], "what only it had is lost");
            assert!(lines[2].starts_with("the other owners of 1 shard are"));
            assert_eq!(lines.len(), 3);
            let text = lines.join("\n");
            assert_eq!(text.matches("is forgotten").count(), 1, "{text}");
        }
    }
}
