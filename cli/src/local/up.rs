//! `stemedb up`: a cluster of real processes on this machine.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use sidecar::Settings;
use sidecar::settings::PORT_API;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::cluster::Cluster;
use super::directory::{self, Directory};
use super::plan::{NODES_MAX, NodePlan};
use super::process::Death;
use super::{control, ready, welcome};
use crate::failure::Failure;
use crate::output;

/// Three nodes survive the loss of any one.
const NODES: u16 = 3;

/// Lines of a log that are shown when its process dies during the start.
const TAIL_LINES: usize = 8;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How many nodes, four processes each [default: 3, or as many as the data directory has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u16>,
    /// First port of node1; node2 starts 100 above [default: 18180, or as the data directory has it]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    base_port: Option<u16>,
    /// Where the nodes keep data and logs
    #[arg(long, value_name = "DIR", default_value = super::DATA_DIR)]
    data_dir: PathBuf,
    /// Delete what an earlier cluster left in the data directory
    #[arg(long)]
    fresh: bool,
    /// Do not load the demo set on the first start
    #[arg(long)]
    no_demo: bool,
}

const EXAMPLES: &str = "\
Examples:
  stemedb up
  stemedb up --nodes 5 --base-port 28180 --data-dir five
  STEMEDB_NUM_SHARDS=4 stemedb up --fresh
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 stemedb up

Every STEMEDB_ and OTEL_ variable reaches the nodes. The cluster runs until Ctrl-C or SIGTERM and keeps running when a process
or a node dies; `stemedb local` kills, pauses and starts them. Started again with the same directory it is the same cluster.";

/// Runs the cluster until it is told to end.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    // What no service would start with is told once, here, not by twelve logs.
    Settings::load(None).map_err(|error| Failure::Configuration(error.to_string()))?;
    let mut ends = Ends::new()?;
    let (sender, mut deaths) = mpsc::unbounded_channel();
    let cluster = Rc::new(prepare(&arguments, sender)?);
    cluster.check_ports()?;
    let listener = control::listen(&cluster.control())?;
    let outcome = match cluster.start_all() {
        Err(failure) => Err(failure),
        Ok(()) => {
            let orders = control::serve(listener, Rc::clone(&cluster));
            let life = live(&cluster, &arguments, &mut deaths, began);
            tokio::select! {
                () = orders => Ok(()),
                outcome = life => outcome,
                () = ends.next() => Ok(()),
            }
        }
    };
    let drained = drain(&cluster, &mut ends).await;
    // Somebody else may have put the file away; it is of no use without us.
    let _ = std::fs::remove_file(cluster.control());
    outcome.and(drained)
}

/// Takes the directory and plans the cluster: as it was, when there was one.
fn prepare(
    arguments: &Arguments,
    deaths: mpsc::UnboundedSender<Death>,
) -> Result<Cluster, Failure> {
    let directory = Directory::take(&arguments.data_dir, arguments.fresh)?;
    let Some(known) = directory::read_file(directory.path())? else {
        let nodes = arguments.nodes.unwrap_or(NODES);
        let base_port = arguments.base_port.unwrap_or(PORT_API);
        let numbers: Vec<u16> = (1..=nodes).collect();
        return Cluster::plan(directory, base_port, &numbers, arguments.no_demo, deaths);
    };
    // Nodes come and go: what is left need not be numbered without gaps.
    let numbers: Vec<u16> = known
        .nodes
        .keys()
        .filter_map(|name| NodePlan::number(name))
        .collect();
    let count = numbers.len();
    if let Some(nodes) = arguments.nodes.filter(|nodes| usize::from(*nodes) != count) {
        return Err(Failure::Local(format!(
            "{} has a cluster of {}, not {nodes}\n→ leave --nodes out and grow it with `stemedb local add`, or start over with --fresh",
            directory.path().display(),
            output::count(count as u64, "node")
        )));
    }
    let base_port = arguments.base_port.unwrap_or(known.base_port);
    let demo_done = known.demo_done || arguments.no_demo;
    Cluster::plan(directory, base_port, &numbers, demo_done, deaths)
}

/// From the start to the end that never comes by itself, unless nothing came up at all.
async fn live(
    cluster: &Cluster,
    arguments: &Arguments,
    deaths: &mut mpsc::UnboundedReceiver<Death>,
    began: Instant,
) -> Result<(), Failure> {
    let nodes = cluster.nodes();
    {
        let becoming = ready::cluster(&nodes);
        tokio::pin!(becoming);
        loop {
            tokio::select! {
                outcome = &mut becoming => break outcome.map_err(Failure::Local)?,
                Some(death) = deaths.recv() => {
                    tell(cluster, &death);
                    output::note(tail(&death));
                }
            }
        }
    }
    let up = began.elapsed();
    if !cluster.describe().demo_done {
        welcome::load_demo(&nodes).await?;
    }
    // Declined is as good as loaded: a later start does not ask again.
    cluster.set_demo_done()?;
    let has_demo = welcome::has_demo(&nodes).await;
    welcome::print(&nodes, &arguments.data_dir, up, has_demo);
    while let Some(death) = deaths.recv().await {
        tell(cluster, &death);
    }
    Ok(())
}

fn tell(cluster: &Cluster, death: &Death) {
    let Death {
        node,
        service,
        status,
        log,
    } = death;
    output::note(format!(
        "{node}/{service} died: {status}; its log: {}",
        log.display()
    ));
    match cluster.answer(death) {
        Ok(line) => output::note(line),
        Err(failure) => output::note(failure.to_string()),
    }
    if let Err(failure) = cluster.save() {
        output::note(failure.to_string());
    }
}

fn tail(death: &Death) -> String {
    let text = std::fs::read_to_string(&death.log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..]
        .iter()
        .map(|line| format!("  | {line}\n"))
        .collect()
}

/// Ends everything in order; at once, when asked a second time.
async fn drain(cluster: &Cluster, ends: &mut Ends) -> Result<(), Failure> {
    output::note("stopping: gateways first, stores last (once more to kill)");
    tokio::select! {
        killed = cluster.stop_all() => {
            if !killed.is_empty() {
                output::note(format!("did not end in time and were killed: {}", killed.join(", ")));
            }
        }
        () = ends.next() => cluster.kill_all().await,
    }
    output::note("stopped");
    Ok(())
}

/// The two signals that end `up`.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> Result<Ends, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::Local(format!("cannot wait for signals: {error}")))
        };
        Ok(Ends {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
