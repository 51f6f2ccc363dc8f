//! A cluster whose nodes each have a network, a disk and a clock of their own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, statuses};
use e2e::http::Http;
use e2e::node::{Node, SERVICES};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::control::{self, Control};
use crate::disk::Disk;
use crate::network::Network;
use crate::sweep;

/// First port of a node; every node has an address of its own.
const PORT: u16 = 18180;

/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_millis(100);

/// Between two looks for processes that have ended by themselves.
const SUPERVISE: Duration = Duration::from_millis(500);

/// Where clients reach the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Name of the node.
    pub node: String,
    /// URL of the public port.
    pub api: String,
    /// URL of the cluster port.
    pub admin: String,
}

/// All gateways; clients look again before every call, for nodes may move.
pub type Gateways = Arc<RwLock<Vec<Gateway>>>;

/// Real nodes, and the means to break them.
#[derive(Debug)]
pub struct Lab {
    /// The nodes.
    pub cluster: Cluster,
    /// Their network.
    pub network: Network,
    /// Their disks, by number.
    pub disks: Vec<Disk>,
    /// Their clocks and syncs, by number.
    pub controls: Vec<Control>,
    /// Where clients reach them.
    pub gateways: Gateways,
    http: Http,
    /// What shall not be started again for now: number of the node, service.
    down: BTreeSet<(usize, &'static str)>,
}

/// Takes away what a run leaves on the machine, also when the lab is not finished.
#[derive(Debug)]
struct Sweeper;

impl Drop for Sweeper {
    fn drop(&mut self) {
        sweep::own();
    }
}

impl Lab {
    /// Builds the lab and starts the nodes in it.
    ///
    /// # Errors
    /// When the machine lacks something, or the cluster does not form.
    pub async fn start(count: usize, settings: &[(&str, &str)]) -> Result<Lab, String> {
        let directory = sweep::directory();
        // Gone through on every way out of here but the last line.
        let sweeper = Sweeper;
        let lab = Lab::build(count, settings, directory)?;
        std::mem::forget(sweeper);
        lab.cluster.nodes.iter().for_each(Node::start);
        lab.cluster.formed().await;
        Ok(lab)
    }

    fn build(count: usize, settings: &[(&str, &str)], directory: TempDir) -> Result<Lab, String> {
        let network = Network::make(count)?;
        let library = control::compile(directory.path())?;
        let (mut nodes, mut disks, mut controls) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=count {
            let name = format!("node{number}");
            let mut node = Node::at(&name, network.address(number), PORT, directory.path());
            let image = directory.path().join(format!("{name}.img"));
            let disk = Disk::make(&image, &node.directory().join("data"))?;
            let control = Control::make(&node.directory().join("control"))?;
            let [launcher, argument] = network.launcher(number);
            node.launch_through(&[&launcher, &argument]);
            node.set("STEMEDB_DATA_DIR", &disk.mount_point().to_string_lossy());
            node.set("LD_PRELOAD", &library.to_string_lossy());
            node.set("CHAOS_CONTROL", &control.path().to_string_lossy());
            nodes.push(node);
            disks.push(disk);
            controls.push(control);
        }
        let lab = Lab {
            cluster: Cluster::of(nodes, directory, settings),
            network,
            disks,
            controls,
            gateways: Gateways::default(),
            http: Http::new(),
            down: BTreeSet::new(),
        };
        lab.tell_clients();
        Ok(lab)
    }

    fn tell_clients(&self) {
        let gateway = |node: &Node| Gateway {
            node: node.name.clone(),
            api: node.api(""),
            admin: node.admin(""),
        };
        let gateways = self.cluster.nodes.iter().map(gateway).collect();
        *self.gateways.write().expect("nobody panics with it") = gateways;
    }

    /// Numbers of all nodes.
    pub fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.cluster.nodes.len()
    }

    /// SIGKILL to a whole node, which stays down until [`Lab::bring_back`].
    pub fn kill(&mut self, node: usize) {
        self.down.extend(SERVICES.map(|service| (node, service)));
        self.cluster.node(node).kill();
    }

    /// SIGKILL to one service, which stays down until [`Lab::bring_back`].
    pub fn kill_one(&mut self, node: usize, service: &'static str) {
        self.down.insert((node, service));
        self.cluster.node(node).kill_one(service);
    }

    /// Whatever is down may start again.
    pub fn bring_back(&mut self) {
        self.down.clear();
        self.supervise();
    }

    /// Starts what has ended by itself, as an orchestrator does.
    pub fn supervise(&self) {
        for number in self.numbers() {
            for service in SERVICES {
                if !self.down.contains(&(number, service)) {
                    self.cluster.node(number).start_one(service);
                }
            }
        }
    }

    /// Lets the cluster run for so long, and does meanwhile what an orchestrator does.
    pub async fn hold(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.supervise();
            let look = until.min(Instant::now() + SUPERVISE);
            tokio::time::sleep_until(look.into()).await; // between polls
        }
    }

    /// Ends a node as an orchestrator does (SIGTERM, then SIGKILL) and starts it again.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&self, node: usize, patience: Duration) -> Result<(), String> {
        let restarted = self.cluster.node(node);
        restarted.signal(Signal::TERM);
        let until = Instant::now() + patience;
        let mut looks = tokio::time::interval(LOOK);
        while SERVICES.iter().any(|service| restarted.runs(service)) {
            if Instant::now() > until {
                restarted.kill();
            }
            looks.tick().await;
        }
        restarted.start();
        self.ready(node, patience).await
    }

    /// Waits until a node is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn ready(&self, node: usize, patience: Duration) -> Result<(), String> {
        let node = self.cluster.node(node);
        let what = format!("{} is not ready", node.name);
        poll(&what, patience, || async {
            let reply = self.http.get(&node.api("/v1/health")).await?;
            (reply.status == 200)
                .then_some(())
                .ok_or_else(|| reply.text())
        })
        .await
    }

    /// Ends all nodes and starts them with other addresses, and seeds that name those.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn move_all(&mut self) -> Result<(), String> {
        for number in self.numbers() {
            self.cluster.node(number).kill();
        }
        for number in self.numbers() {
            let last = self.network.address(number).rsplit('.').next();
            let last: usize = last.and_then(|last| last.parse().ok()).unwrap_or_default();
            // Each takes one that another had not: 11 and 12 become 61 and 62, and so on.
            self.network.number(number, 11 + (last + 39) % 200)?;
            self.cluster.nodes[number - 1].move_to(self.network.address(number));
        }
        let seeds: Vec<String> = self.cluster.nodes.iter().map(Node::swim).collect();
        for node in &mut self.cluster.nodes {
            node.set("STEMEDB_SEED_NODES", &seeds.join(","));
        }
        self.tell_clients();
        self.supervise();
        Ok(())
    }

    /// Puts an empty disk into a node, which has to be down.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn replace_disk(&self, node: usize) -> Result<(), String> {
        self.disks[node - 1].replace()
    }

    /// The database of a node.
    pub fn database(&self, node: usize) -> PathBuf {
        self.disks[node - 1].mount_point().join("store.db")
    }

    /// Takes every fault away and starts everything.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn heal(&mut self) -> Result<(), String> {
        for node in &self.cluster.nodes {
            node.signal(Signal::CONT);
        }
        self.network.heal()?;
        for (disk, control) in self.disks.iter().zip(&self.controls) {
            disk.empty();
            control.clock_back(Duration::ZERO)?;
            control.fail_syncs(0)?;
        }
        self.bring_back();
        Ok(())
    }

    /// Waits until every node is ready and sees all UP, and all owners hold the same; how long that took.
    ///
    /// # Errors
    /// When it is not so in time, with what was seen last.
    pub async fn whole(&self, patience: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        poll("the cluster is not whole again", patience, || async {
            self.met().await?;
            self.equal().await
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Whether every node is ready and sees all UP.
    ///
    /// # Errors
    /// When not, with what was seen.
    pub async fn met(&self) -> Result<(), String> {
        self.supervise();
        for node in &self.cluster.nodes {
            let statuses = statuses(&self.http, node).await?;
            let up = statuses.iter().filter(|(_, status)| status == "UP").count();
            if up != self.cluster.nodes.len() {
                return Err(format!("{} sees {statuses:?}", node.name));
            }
        }
        Ok(())
    }

    /// Waits until all others say that a node is DOWN; how long that took.
    ///
    /// # Errors
    /// When they do not in time, with what was seen last.
    pub async fn down(&self, dead: usize, patience: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        let dead = &self.cluster.node(dead).name;
        let what = format!("{dead} is not DOWN everywhere");
        poll(&what, patience, || async {
            for node in self.cluster.nodes.iter().filter(|node| node.name != *dead) {
                let statuses = statuses(&self.http, node).await?;
                let mut seen = statuses.iter();
                if !seen.any(|(name, status)| name == dead && status == "DOWN") {
                    return Err(format!("{} sees {statuses:?}", node.name));
                }
            }
            Ok(())
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Waits until the nodes that are there own every record and hold it as often as it shall be; how long that took.
    ///
    /// # Errors
    /// When they do not in time, with what verify said last.
    pub async fn copied(&self, patience: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        poll("records lack copies", patience, || async {
            let said = self.cluster.verify(&self.http).await?;
            let good = said["under_replicated"] == 0 && said["missing_at_owners"] == 0;
            good.then_some(()).ok_or_else(|| said.to_string())
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Waits until no node holds what it does not own; how long that took.
    ///
    /// # Errors
    /// When that is not in time, with what verify said last.
    pub async fn home(&self, patience: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        poll("stand-ins keep what they took", patience, || async {
            let said = self.cluster.verify(&self.http).await?;
            let home = said["equal"] == true && said["foreign"] == 0;
            home.then_some(()).ok_or_else(|| said.to_string())
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Whether all owners hold the same, every record on as many nodes as it shall be.
    ///
    /// # Errors
    /// When not, with what verify said.
    pub async fn equal(&self) -> Result<(), String> {
        let said = self.cluster.verify(&self.http).await?;
        let good = said["equal"] == true && said["under_replicated"] == 0;
        good.then_some(()).ok_or_else(|| said.to_string())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in &self.cluster.nodes {
            node.kill();
        }
        // Rules go with the namespaces; what holds packets back does not.
        let _ = self.network.heal();
        sweep::own();
    }
}

/// Polls until the condition holds.
///
/// # Errors
/// When it does not in time, with what was seen last.
pub async fn poll<T, F>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let until = Instant::now() + patience;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > until => {
                let seconds = patience.as_secs();
                return Err(format!("{what} after {seconds} s; seen last: {seen}"));
            }
            Err(_) => {}
        }
    }
}
