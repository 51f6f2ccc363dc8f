//! A network of its own for every node, joined by a switch, and what breaks it.
//!
//! Clients are outside: no rule here touches what passes between them and a node, so that what a client sees fail failed in the
//! cluster.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::sweep::{device, ours, system};

/// Addresses that the clients and the nodes of a run have: 198.18.0.0/15 is for tests of networks (RFC 2544).
#[derive(Debug)]
pub struct Network {
    subnet: String,
    nodes: Vec<Place>,
    delays: Vec<Child>,
}

#[derive(Debug)]
struct Place {
    namespace: String,
    address: String,
}

impl Network {
    /// Makes the switch and a network for each of so many nodes.
    ///
    /// # Errors
    /// When the system refuses: it takes root, iproute2 and iptables.
    pub fn make(count: usize) -> Result<Network, String> {
        let id = std::process::id();
        let subnet = format!("198.{}.{}", 18 + (id >> 8 & 1), id & 255);
        let (switch, device) = (ours("switch"), device(id));
        system(&["ip", "netns", "add", &switch])?;
        inside(&switch, &["link", "add", "switch", "type", "bridge"])?;
        inside(&switch, &["link", "set", "switch", "up"])?;
        system(&[
            "ip", "link", "add", &device, "type", "veth", "peer", "name", "clients", "netns",
            &switch,
        ])?;
        inside(
            &switch,
            &["link", "set", "clients", "master", "switch", "up"],
        )?;
        let clients = format!("{subnet}.1/24");
        system(&["ip", "addr", "add", &clients, "dev", &device])?;
        system(&["ip", "link", "set", &device, "up"])?;
        let mut network = Network {
            subnet,
            nodes: Vec::new(),
            delays: Vec::new(),
        };
        for number in 1..=count {
            network.add(number, &switch)?;
        }
        Ok(network)
    }

    fn add(&mut self, number: usize, switch: &str) -> Result<(), String> {
        let (namespace, port) = (ours(&format!("node{number}")), format!("node{number}"));
        system(&["ip", "netns", "add", &namespace])?;
        let pair = [
            "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", switch,
        ];
        inside(&namespace, &pair)?;
        inside(switch, &["link", "set", &port, "master", "switch", "up"])?;
        inside(&namespace, &["link", "set", "lo", "up"])?;
        inside(&namespace, &["link", "set", "eth0", "up"])?;
        self.nodes.push(Place {
            namespace,
            address: String::new(),
        });
        self.number(number, 10 + number)
    }

    /// Gives a node the address that ends so.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn number(&mut self, node: usize, last: usize) -> Result<(), String> {
        let address = format!("{}.{last}", self.subnet);
        let place = &mut self.nodes[node - 1];
        inside(&place.namespace, &["addr", "flush", "dev", "eth0"])?;
        inside(
            &place.namespace,
            &["addr", "add", &format!("{address}/24"), "dev", "eth0"],
        )?;
        place.address = address;
        Ok(())
    }

    /// A node's address.
    pub fn address(&self, node: usize) -> &str {
        &self.nodes[node - 1].address
    }

    /// The command that starts another in a node's network, and becomes it.
    pub fn launcher(&self, node: usize) -> [String; 2] {
        let namespace = &self.nodes[node - 1].namespace;
        [
            "nsenter".to_owned(),
            format!("--net=/run/netns/{namespace}"),
        ]
    }

    /// Nothing that one node sends reaches the other; the other way round it does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut_one_way(&self, from: usize, to: usize) -> Result<(), String> {
        let from = self.address(from);
        self.rule(to, &["INPUT", "-s", from, "-j", "DROP"])
    }

    /// Nothing passes between two nodes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut(&self, a: usize, b: usize) -> Result<(), String> {
        self.cut_one_way(a, b)?;
        self.cut_one_way(b, a)
    }

    /// Nothing passes between a node and any other.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn isolate(&self, node: usize) -> Result<(), String> {
        (1..=self.nodes.len())
            .filter(|other| *other != node)
            .try_for_each(|other| self.cut(node, other))
    }

    /// Drops a share of the packets that reach a node from others.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lose(&self, node: usize, percent: u32) -> Result<(), String> {
        let share = format!("{:.2}", f64::from(percent) / 100.0);
        let clients = format!("{}.1", self.subnet);
        self.rule(
            node,
            &[
                "INPUT",
                "!",
                "-i",
                "lo",
                "!",
                "-s",
                &clients,
                "-m",
                "statistic",
                "--mode",
                "random",
                "--probability",
                &share,
                "-j",
                "DROP",
            ],
        )
        .map_err(|why| format!("cannot lose packets: {why}"))
    }

    /// Holds back every packet that a node sends to others.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn delay(&mut self, node: usize, ms: u32) -> Result<(), String> {
        let ourselves: PathBuf = std::env::current_exe().map_err(|error| error.to_string())?;
        let [launcher, network] = self.launcher(node);
        let mut command = Command::new(launcher);
        command
            .arg(network)
            .arg(ourselves)
            .args(["delay", "--ms", &ms.to_string()])
            .process_group(0)
            .stdin(Stdio::null());
        let child = e2e::process::spawn(command).map_err(|error| error.to_string())?;
        self.delays.push(child);
        let clients = format!("{}.1", self.subnet);
        self.rule(
            node,
            &[
                "OUTPUT",
                "!",
                "-o",
                "lo",
                "!",
                "-d",
                &clients,
                "-j",
                "NFQUEUE",
                "--queue-num",
                "0",
                "--queue-bypass",
            ],
        )
    }

    /// Takes all rules and delays away.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn heal(&mut self) -> Result<(), String> {
        for place in &self.nodes {
            system(&[
                "ip",
                "netns",
                "exec",
                &place.namespace,
                "iptables",
                "-w",
                "-F",
            ])?;
        }
        for mut delay in self.delays.drain(..) {
            // It may be gone already.
            let _ = delay.kill();
            let _ = delay.wait();
        }
        Ok(())
    }

    fn rule(&self, node: usize, rule: &[&str]) -> Result<(), String> {
        let namespace = &self.nodes[node - 1].namespace;
        let add = ["ip", "netns", "exec", namespace, "iptables", "-w", "-A"];
        system(&[&add, rule].concat()).map(drop)
    }
}

/// Ends with the run that started it, however that ends.
///
/// # Errors
/// When the system refuses.
pub fn die_with_parent() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())
}

fn inside(namespace: &str, arguments: &[&str]) -> Result<(), String> {
    system(&[&["ip", "-n", namespace], arguments].concat()).map(drop)
}
