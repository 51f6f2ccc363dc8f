//! The nodes of a running `up` and what can be done with them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::control::{Action, Answer, Order};
use super::directory::{ClusterFile, Directory, NodeEntry, ProcessEntry};
use super::plan::{NODES_MAX, NodePlan, Service};
use super::process::{Death, Launch, Process, State};
use super::ready::Patience;
use super::{ports, ready, welcome};
use crate::failure::Failure;
use crate::output;

/// A service that has not drained by then is killed; its own deadline is shorter.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// `start` and `add` answer by then, one way or the other.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A node that has not handed everything over by then goes on with it; the order is given again to wait on.
const LEAVE_DEADLINE: Duration = Duration::from_secs(600);

/// One node and its four processes.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Ports and settings.
    pub(crate) plan: NodePlan,
    /// In the order of `Service::ALL`.
    pub(crate) processes: Vec<Arc<Process>>,
}

/// All nodes. Lives on the main thread, where children must be started.
pub(crate) struct Cluster {
    directory: Directory,
    base_port: u16,
    program: PathBuf,
    deaths: mpsc::UnboundedSender<Death>,
    inside: Mutex<Inside>,
}

struct Inside {
    nodes: Vec<Node>,
    demo_done: bool,
}

impl Cluster {
    /// Plans a cluster of the nodes with these numbers; starts nothing.
    pub(crate) fn plan(
        directory: Directory,
        base_port: u16,
        numbers: &[u16],
        demo_done: bool,
        deaths: mpsc::UnboundedSender<Death>,
    ) -> Result<Cluster, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::Local(format!("cannot find the own executable: {error}")))?;
        let plans: Vec<NodePlan> = numbers
            .iter()
            .map(|number| NodePlan::new(*number, base_port, directory.path()))
            .collect::<Result<_, _>>()
            .map_err(Failure::Usage)?;
        let cluster = Cluster {
            directory,
            base_port,
            program,
            deaths,
            inside: Mutex::new(Inside {
                nodes: Vec::new(),
                demo_done,
            }),
        };
        let seeds: Vec<String> = plans.iter().map(NodePlan::swim).collect();
        cluster.inside().nodes = plans
            .into_iter()
            .map(|plan| cluster.node(plan, &seeds, numbers.len()))
            .collect();
        Ok(cluster)
    }

    fn node(&self, plan: NodePlan, seeds: &[String], bootstrap_expect: usize) -> Node {
        let settings = plan.settings(seeds, bootstrap_expect);
        let processes = Service::ALL.map(|service| {
            let launch = Launch {
                program: self.program.clone(),
                // A node must not outlive its `up`, whatever kills that, not even before it has begun.
                arguments: vec![
                    service.name().to_owned(),
                    format!("--die-with-parent={}", std::process::id()),
                ],
                settings: settings.clone(),
                log: plan.log(service),
                health: plan.health(service),
            };
            Process::new(&plan.name, service, launch, self.deaths.clone())
        });
        Node {
            plan,
            processes: processes.into(),
        }
    }

    /// The nodes as they are now.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.inside().nodes.clone()
    }

    /// Where `up` takes orders.
    pub(crate) fn control(&self) -> PathBuf {
        self.directory.control()
    }

    /// Remembers that the demo set has been loaded or declined.
    pub(crate) fn set_demo_done(&self) -> Result<(), Failure> {
        self.inside().demo_done = true;
        self.save()
    }

    /// Finds ports that somebody else has, or may have at another time, before anything is written or started.
    pub(crate) fn check_ports(&self) -> Result<(), Failure> {
        let nodes = self.nodes();
        if let Some(warning) = ports::warning(nodes.iter().map(|node| &node.plan)) {
            output::note(warning);
        }
        ports::check(nodes.iter().map(|node| &node.plan), || {
            let numbers: Option<Vec<u16>> = nodes
                .iter()
                .map(|node| NodePlan::number(&node.plan.name))
                .collect();
            ports::free_above(self.base_port, &numbers?)
        })
    }

    /// Starts every process of the nodes that does not run.
    pub(crate) fn start_all(&self) -> Result<(), Failure> {
        let nodes = self.nodes();
        // First the file, then the data: a directory with data in it is always recognised.
        self.save()?;
        for node in &nodes {
            start(node, &node.processes)?;
        }
        self.save()
    }

    /// What is done about a death, in a line for people: a process that ended because its next start is a good one is started once
    /// more.
    pub(crate) fn answer(&self, death: &Death) -> Result<String, Failure> {
        let Death { node, service, .. } = death;
        let nodes = self.nodes();
        let found = nodes.iter().find(|known| known.plan.name == *node);
        let processes = found.iter().flat_map(|node| node.processes.iter());
        let state = processes
            .clone()
            .find(|process| process.service == *service);
        let again = state.filter(|process| process.state().starts_again());
        if let Some(process) = again {
            process.start()?;
            return Ok(format!("  {node}/{service} is started again"));
        }
        let unreadable = state.is_some_and(|process| process.state().has_unreadable_data());
        Ok(match found.filter(|_| unreadable) {
            Some(found) => format!("  {}", self.put_away_first(found, *service)),
            None => format!(
                "  start it again: stemedb local start {node}/{service}{}",
                self.flag()
            ),
        })
    }

    /// Drains everything: gateways first, stores last. Returns what had to be killed.
    pub(crate) async fn stop_all(&self) -> Vec<String> {
        let processes: Vec<Arc<Process>> = self
            .nodes()
            .into_iter()
            .flat_map(|node| node.processes)
            .collect();
        let killed = stop(&processes).await;
        // Whoever reads the file afterwards learns that nothing runs; failing to say so changes nothing.
        let _ = self.save();
        killed
    }

    /// SIGKILL to everything.
    pub(crate) async fn kill_all(&self) {
        let processes: Vec<Arc<Process>> = self
            .nodes()
            .into_iter()
            .flat_map(|node| node.processes)
            .collect();
        join_all(processes.iter().map(|process| process.kill())).await;
    }

    /// Writes `cluster.json`.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        self.directory.write(&self.describe())
    }

    /// What `cluster.json` says.
    pub(crate) fn describe(&self) -> ClusterFile {
        let inside = self.inside();
        let nodes = inside
            .nodes
            .iter()
            .map(|node| (node.plan.name.clone(), describe(node)))
            .collect();
        ClusterFile {
            parent: std::process::id(),
            control: self.directory.control(),
            base_port: self.base_port,
            demo_done: inside.demo_done,
            nodes,
        }
    }

    /// Does what `stemedb local` asks.
    pub(crate) async fn perform(&self, order: &Order) -> Answer {
        let done = match order.action {
            Action::List => Ok(String::new()),
            Action::Add => self.add(&order.node).await,
            Action::Remove => self.remove(&order.node, order.force).await,
            Action::Drop => self.drop_node(&order.node).await,
            _ => self.perform_on(order).await,
        };
        let saved = self.save();
        let cluster = self.describe();
        match done.and_then(|said| saved.map(|()| said)) {
            Ok(said) => Answer {
                ok: true,
                said,
                cluster,
            },
            Err(failure) => Answer {
                ok: false,
                said: failure.to_string(),
                cluster,
            },
        }
    }

    async fn perform_on(&self, order: &Order) -> Result<String, Failure> {
        let nodes = self.nodes();
        let Some(node) = nodes.iter().find(|node| node.plan.name == order.node) else {
            let names: Vec<&str> = nodes.iter().map(|node| node.plan.name.as_str()).collect();
            return Err(Failure::Local(format!(
                "no node {:?}; there are {}",
                order.node,
                names.join(", ")
            )));
        };
        let service = order
            .service
            .as_deref()
            .map(str::parse::<Service>)
            .transpose()
            .map_err(Failure::Local)?;
        let processes: Vec<Arc<Process>> = node
            .processes
            .iter()
            .filter(|process| service.is_none_or(|service| process.service == service))
            .map(Arc::clone)
            .collect();
        let what = service.map_or(node.plan.name.clone(), |service| {
            format!("{}/{service}", node.plan.name)
        });
        match order.action {
            Action::Start => {
                let patience = Patience::new(START_DEADLINE);
                self.start_and_wait(node, &processes, patience).await?;
                self.seen(node, patience).await?;
                return Ok(format!("{what}: ready"));
            }
            Action::Stop => {
                let killed = stop(&processes).await;
                if !killed.is_empty() {
                    return Ok(format!(
                        "{what} stopped; killed after {} s: {}",
                        STOP_DEADLINE.as_secs(),
                        killed.join(", ")
                    ));
                }
            }
            Action::Kill => {
                join_all(processes.iter().map(|process| process.kill())).await;
            }
            Action::Pause => processes.iter().for_each(|process| process.pause()),
            Action::Resume => processes.iter().for_each(|process| process.resume()),
            Action::List | Action::Add | Action::Remove | Action::Drop => {}
        }
        Ok(format!("{what}: {}", order.action.done()))
    }

    async fn start_and_wait(
        &self,
        node: &Node,
        processes: &[Arc<Process>],
        patience: Patience,
    ) -> Result<(), Failure> {
        for process in processes {
            process.notice_end().await;
            process.resume();
        }
        start(node, processes)?;
        let waited = ready::wait(processes, patience).await;
        waited.map_err(|why| {
            let unreadable = |process: &&Arc<Process>| process.state().has_unreadable_data();
            Failure::Local(match processes.iter().find(unreadable) {
                Some(process) => {
                    format!("{why}\n→ {}", self.put_away_first(node, process.service))
                }
                None => why,
            })
        })
    }

    /// What commands for this cluster have to say of where it is.
    fn flag(&self) -> String {
        welcome::directory_flag(self.directory.path())
    }

    /// What helps a store whose database cannot be read: starting it again as it is does not.
    fn put_away_first(&self, node: &Node, service: Service) -> String {
        let database = node.plan.directory().join("store.*");
        let filled = match self.nodes().len() {
            1 => "there is no other node to fill it from: import a backup",
            _ => "the other nodes fill it",
        };
        format!(
            "its database cannot be read: move {} away, then stemedb local start {}/{service}{}; {filled} (docs/operations.md, a malformed \
             database)",
            welcome::shown(&database),
            node.plan.name,
            self.flag()
        )
    }

    /// Waits until the others know that a node is there. One of which a part does not run is for nobody to rely on yet.
    async fn seen(&self, node: &Node, patience: Patience) -> Result<(), Failure> {
        let is_whole = node
            .processes
            .iter()
            .all(|process| process.state().pid().is_some());
        if !is_whole {
            return Ok(());
        }
        ready::seen(node, || self.nodes(), patience)
            .await
            .map_err(Failure::Local)
    }

    /// A new node, ready and counted; one that is there already is started.
    async fn add(&self, name: &str) -> Result<String, Failure> {
        let nodes = self.nodes();
        let known = |name: &str| nodes.iter().find(|node| node.plan.name == name);
        if let Some(node) = known(name) {
            return self.start_and_join(node).await;
        }
        let taken = nodes
            .iter()
            .filter_map(|node| NodePlan::number(&node.plan.name));
        let next = taken.max().unwrap_or(0) + 1;
        let number = match name {
            "" if next <= NODES_MAX => Some(next),
            // Above the last there is no room; below it there may be.
            "" => (1..=NODES_MAX).find(|number| known(&format!("node{number}")).is_none()),
            name => NodePlan::number(name),
        };
        let number = number.ok_or_else(|| {
            Failure::Local(format!(
                "a local cluster has nodes node1 to node{NODES_MAX}, and room for no other{}",
                if name.is_empty() {
                    ""
                } else {
                    ": give one of these names, or none"
                }
            ))
        })?;
        let plan =
            NodePlan::new(number, self.base_port, self.directory.path()).map_err(Failure::Local)?;
        // The others' ports say where this one's are.
        ports::check([&plan], || None)?;
        let seeds: Vec<String> = nodes.iter().map(|node| node.plan.swim()).collect();
        let node = self.node(plan, &seeds, nodes.len());
        self.inside().nodes.push(node.clone());
        // Known from here on: whoever is killed now finds it in the file.
        self.save()?;
        self.start_and_join(&node).await
    }

    /// Starts a node and waits until it takes its share: its copies count, it owns shards, and the others know.
    async fn start_and_join(&self, node: &Node) -> Result<String, Failure> {
        let patience = Patience::new(START_DEADLINE);
        self.start_and_wait(node, &node.processes, patience).await?;
        ready::joined(node, patience)
            .await
            .map_err(Failure::Local)?;
        self.seen(node, patience).await?;
        Ok(format!("{}: ready", node.plan.name))
    }

    /// Lets a node hand everything over, waits until it has LEFT, then stops it and forgets its processes.
    async fn remove(&self, name: &str, force: bool) -> Result<String, Failure> {
        let Some(node) = self.node_or_trace(name)? else {
            return Ok(format!("{name}: removed before"));
        };
        let running = node
            .processes
            .iter()
            .all(|process| process.state().pid().is_some());
        if !running {
            return Err(Failure::Local(format!(
                "{name} does not run whole, and only {name} can hand over what it holds\n→ start it: stemedb local start {name}{0}; \
                 gone for good: stemedb node forget {name}{0}",
                self.flag()
            )));
        }
        ready::left(&node, force, LEAVE_DEADLINE).await?;
        self.put_away(&node).await;
        Ok(format!(
            "{name}: removed; its data is still in {}",
            node.plan.directory().display()
        ))
    }

    /// Stops a node that the cluster has forgotten.
    async fn drop_node(&self, name: &str) -> Result<String, Failure> {
        if let Some(node) = self.node_or_trace(name)? {
            self.put_away(&node).await;
        }
        Ok(format!("{name}: removed"))
    }

    async fn put_away(&self, node: &Node) {
        // What does not end in time is killed: it holds nothing that counts.
        let _ = stop(&node.processes).await;
        let name = &node.plan.name;
        self.inside().nodes.retain(|other| other.plan.name != *name);
    }

    /// A node by name; none when it was removed before.
    fn node_or_trace(&self, name: &str) -> Result<Option<Node>, Failure> {
        let nodes = self.nodes();
        if let Some(node) = nodes.iter().find(|node| node.plan.name == name) {
            return Ok(Some(node.clone()));
        }
        let was_here =
            NodePlan::number(name).is_some() && self.directory.path().join(name).exists();
        if was_here {
            return Ok(None);
        }
        let names: Vec<&str> = nodes.iter().map(|node| node.plan.name.as_str()).collect();
        Err(Failure::Local(format!(
            "no node {name:?}; there are {}",
            names.join(", ")
        )))
    }

    /// Never held over an await.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(node: &Node, processes: &[Arc<Process>]) -> Result<(), Failure> {
    let logs = node.plan.directory().join("log");
    std::fs::create_dir_all(&logs).map_err(Failure::file("cannot create", &logs))?;
    processes.iter().try_for_each(Process::start)
}

/// Stops processes in the order of a graceful end; returns those that had to be killed.
async fn stop(processes: &[Arc<Process>]) -> Vec<String> {
    let mut killed = Vec::new();
    for services in Service::STOP_ORDER {
        let stopping = processes
            .iter()
            .filter(|process| services.contains(&process.service))
            .map(|process| async move {
                let by_itself = process.stop(STOP_DEADLINE).await;
                (!by_itself).then(|| format!("{}/{}", process.node, process.service))
            });
        killed.extend(join_all(stopping).await.into_iter().flatten());
    }
    killed
}

fn describe(node: &Node) -> NodeEntry {
    let processes = node.processes.iter().map(|process| {
        let state = process.state();
        let entry = ProcessEntry {
            pid: state.pid().map(|pid| pid.as_raw_nonzero().get()),
            state: match state {
                State::Ended(_) => "ended".to_owned(),
                _ => state.describe(),
            },
            log: process.launch.log.clone(),
            command: process.command(),
        };
        (process.service.name().to_owned(), entry)
    });
    NodeEntry {
        api: node.plan.api(),
        admin: node.plan.admin(),
        rpc: node.plan.rpc(),
        swim: node.plan.swim(),
        processes: processes.collect(),
    }
}
