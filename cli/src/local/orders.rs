//! `stemedb local`: the nodes of a running `stemedb up`, one by one.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::control::{Action, Answer, Order, ask};
use super::directory::{self, ClusterFile};
use super::plan::Service;
use crate::failure::Failure;
use crate::output;

/// Arguments of `local`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Data directory of the `up` that is meant
    #[arg(long, global = true, value_name = "DIR", default_value = super::DATA_DIR)]
    data_dir: PathBuf,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  stemedb local list
  stemedb local kill node2             all four processes, as if the machine had died
  stemedb local start node2            returns when the node is ready and the others know it
  stemedb local kill node1/store       one process
  stemedb local pause node3            as if the machine hung: connections stay open, nothing answers
  stemedb local add                    one more node, ready when this returns
  stemedb local remove node4           it hands everything over, then it is stopped";

#[derive(Debug, Subcommand)]
enum What {
    /// Shows every process
    List,
    /// Ends a node or a process gracefully (SIGTERM)
    Stop(Place),
    /// Ends it at once (SIGKILL)
    Kill(Place),
    /// Freezes it (SIGSTOP)
    Pause(Place),
    /// Lets it go on (SIGCONT)
    Resume(Place),
    /// Starts what does not run and waits until it is ready
    Start(Place),
    /// Adds a node to the cluster and waits until it is ready
    Add(Newcomer),
    /// Lets a node hand everything over, waits until it has LEFT, and stops it; its data stays where it is
    Remove(Removed),
}

/// Who comes.
#[derive(Debug, clap::Args)]
struct Newcomer {
    /// node4; one that is there already is started if it does not run [default: the next number]
    node: Option<String>,
}

/// Who goes.
#[derive(Debug, clap::Args)]
struct Removed {
    /// node4
    node: String,
    /// Also when fewer nodes stay than records shall have copies
    #[arg(long)]
    force: bool,
}

/// NODE or NODE/SERVICE.
#[derive(Debug, clap::Args)]
struct Place {
    /// node2, or node2/store
    #[arg(value_name = "NODE[/SERVICE]")]
    place: String,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let order = order(&arguments.what)?;
    let answer = match (order.action, ask(&arguments.data_dir, &order).await) {
        (_, Ok(answer)) => answer,
        // Nothing runs, and that is an answer to the question.
        (Action::List, Err(failure)) => {
            let left = directory::read_file(&arguments.data_dir)?.ok_or(failure)?;
            Answer {
                ok: true,
                said: "`stemedb up` does not run".to_owned(),
                cluster: at_rest(left),
            }
        }
        (_, Err(failure)) => return Err(failure),
    };
    if !answer.ok {
        return Err(Failure::Local(answer.said));
    }
    if arguments.json {
        output::json(&json!(answer.cluster));
        return Ok(());
    }
    if order.action == Action::List {
        list(&answer.cluster);
    }
    if !answer.said.is_empty() {
        output::line(answer.said);
    }
    Ok(())
}

fn order(what: &What) -> Result<Order, Failure> {
    let whole = |action, node: &str, force| {
        Ok(Order {
            action,
            node: node.to_owned(),
            service: None,
            force,
        })
    };
    let (action, place) = match what {
        What::List => return whole(Action::List, "", false),
        What::Add(newcomer) => {
            let node = newcomer.node.as_deref().unwrap_or_default();
            return whole(Action::Add, node, false);
        }
        What::Remove(removed) => return whole(Action::Remove, &removed.node, removed.force),
        What::Stop(place) => (Action::Stop, place),
        What::Kill(place) => (Action::Kill, place),
        What::Pause(place) => (Action::Pause, place),
        What::Resume(place) => (Action::Resume, place),
        What::Start(place) => (Action::Start, place),
    };
    let place = place.place.as_str();
    let (node, service) = match place.split_once('/') {
        Some((node, service)) => (node, Some(service)),
        None => (place, None),
    };
    if let Some(service) = service {
        service.parse::<Service>().map_err(Failure::Usage)?;
    }
    Ok(Order {
        action,
        node: node.to_owned(),
        service: service.map(str::to_owned),
        force: false,
    })
}

/// What a killed `up` left in the file runs no more: its children end with it.
fn at_rest(mut cluster: ClusterFile) -> ClusterFile {
    for process in cluster
        .nodes
        .values_mut()
        .flat_map(|node| node.processes.values_mut())
    {
        process.pid = None;
        process.state = "ended".to_owned();
    }
    cluster
}

fn list(cluster: &ClusterFile) {
    let mut table = output::table(["NODE", "SERVICE", "STATE", "PID", "LISTENS", "LOG"]);
    for (name, node) in &cluster.nodes {
        for service in Service::ALL {
            let Some(process) = node.processes.get(service.name()) else {
                continue;
            };
            let listens = match service {
                Service::Gateway => format!("{} {}", node.api, node.admin),
                Service::Store => node.rpc.clone(),
                Service::Membership => node.swim.clone(),
                Service::Antientropy => String::new(),
            };
            table.add_row([
                name.clone(),
                service.to_string(),
                process.state.clone(),
                process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                listens,
                process.log.display().to_string(),
            ]);
        }
    }
    output::print(&table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_node_or_one_of_its_services() {
        let place = |text: &str| Place {
            place: text.to_owned(),
        };
        let whole = order(&What::Kill(place("node2"))).unwrap();
        assert_eq!(
            (whole.action, whole.node.as_str(), whole.service),
            (Action::Kill, "node2", None)
        );
        let one = order(&What::Start(place("node2/store"))).unwrap();
        assert_eq!(
            (one.node.as_str(), one.service.as_deref()),
            ("node2", Some("store"))
        );
        let newcomer = Newcomer { node: None };
        let next = order(&What::Add(newcomer)).unwrap();
        assert_eq!((next.action, next.node.as_str()), (Action::Add, ""));
        let removed = Removed {
            node: "node4".into(),
            force: true,
        };
        let gone = order(&What::Remove(removed)).unwrap();
        assert_eq!(
            (gone.action, gone.node.as_str(), gone.force),
            (Action::Remove, "node4", true)
        );
        assert!(matches!(
            order(&What::Stop(place("node2/shop"))),
            Err(Failure::Usage(_))
        ));
    }
}
