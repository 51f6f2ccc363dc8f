//! One node: four processes, started and killed one by one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::binaries;
use crate::ports::LOOPBACK;
use crate::process::{Process, tail};

/// Names of the four services.
pub const SERVICES: [&str; 4] = ["gateway", "store", "membership", "antientropy"];

/// Settings of the ports that others reach, and where in the node's block they are.
const OUTWARD: [(&str, u16); 4] = [
    ("STEMEDB_API_ADDR", 0),
    ("STEMEDB_GATEWAY_ADDR", 1),
    ("STEMEDB_RPC_ADDR", 2),
    ("STEMEDB_SWIM_ADDR", 3),
];

/// A node of a test cluster.
#[derive(Debug)]
pub struct Node {
    /// `node1` and so on.
    pub name: String,
    host: String,
    base: u16,
    directory: PathBuf,
    settings: Vec<(String, String)>,
    launcher: Vec<String>,
    processes: Mutex<[Option<Process>; 4]>,
}

impl Node {
    /// A node on this machine's loopback that has not been started.
    ///
    /// # Panics
    /// When its directory cannot be made.
    pub fn new(name: &str, base: u16, directory: &Path) -> Node {
        Node::at(name, "127.0.0.1", base, directory)
    }

    /// A node at a host of its own, that has not been started.
    ///
    /// # Panics
    /// When its directory cannot be made.
    pub fn at(name: &str, host: &str, base: u16, directory: &Path) -> Node {
        let directory = directory.join(name);
        std::fs::create_dir_all(directory.join("log")).expect("a directory can be made");
        let mut node = Node {
            name: name.to_owned(),
            host: String::new(),
            base,
            directory,
            settings: Vec::new(),
            launcher: Vec::new(),
            processes: Mutex::new([const { None }; 4]),
        };
        node.set("STEMEDB_NODE_ID", name);
        node.set("STEMEDB_LOOPBACK_PORT", &(base + LOOPBACK).to_string());
        node.set("STEMEDB_DATA_DIR", &node.directory.display().to_string());
        node.set("STEMEDB_LOG_FORMAT", "text");
        node.move_to(host);
        node
    }

    /// Gives it another address, from its next start on.
    pub fn move_to(&mut self, host: &str) {
        host.clone_into(&mut self.host);
        for (key, offset) in OUTWARD {
            self.set(key, &format!("{host}:{}", self.base + offset));
        }
    }

    /// Gives it other ports, from its next start on.
    pub fn move_to_ports(&mut self, base: u16) {
        self.base = base;
        self.set("STEMEDB_LOOPBACK_PORT", &(base + LOOPBACK).to_string());
        self.move_to(&self.host.clone());
    }

    /// Starts its programs through a command that takes them as arguments and becomes them: into a network of its own.
    pub fn launch_through(&mut self, command: &[&str]) {
        self.launcher = command.iter().map(|part| (*part).to_owned()).collect();
    }

    /// Adds a setting, or replaces one.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// The first of its outward ports: the public API, the cluster's own, the store's, SWIM.
    pub fn port(&self) -> u16 {
        self.base
    }

    /// URL of a path on the public port.
    pub fn api(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.base)
    }

    /// URL of a path on the cluster port.
    pub fn admin(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.base + 1)
    }

    /// Where others reach it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// host:port of SWIM.
    pub fn swim(&self) -> String {
        format!("{}:{}", self.host, self.base + 3)
    }

    /// host:port of the store's peer listener.
    pub fn rpc(&self) -> String {
        format!("{}:{}", self.host, self.base + 2)
    }

    /// Where a service answers its neighbours.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn loopback(&self, service: &str) -> SocketAddr {
        let offset = u16::try_from(index(service)).expect("below 4");
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + LOOPBACK + offset))
    }

    /// Starts all services that do not run.
    pub fn start(&self) {
        SERVICES.iter().for_each(|service| self.start_one(service));
    }

    /// Starts one service, unless it runs.
    pub fn start_one(&self, service: &str) {
        let mut processes = self.processes();
        let place = &mut processes[index(service)];
        if place
            .as_mut()
            .is_some_and(|process| process.status().is_none())
        {
            return;
        }
        let mut command = self.command(service);
        command
            .env_clear()
            .envs(
                std::env::vars()
                    .filter(|(key, _)| key == "PATH" || key == "HOME" || key == "TMPDIR"),
            )
            // Logs are read as text in the message of a failure.
            .env("NO_COLOR", "1")
            .envs(self.settings.iter().map(|(key, value)| (key, value)));
        *place = Some(Process::start(command, &self.log(service)));
    }

    /// The command that starts a service, without its settings.
    fn command(&self, service: &str) -> Command {
        let program = binaries::path(&format!("stemedb-{service}"));
        let mut command = match self.launcher.split_first() {
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("--die-with-parent");
        command
    }

    /// SIGKILL to all four at once, as when a machine dies.
    pub fn kill(&self) {
        let mut processes = self.processes();
        // All are signalled before the first is waited for.
        for process in processes.iter().flatten() {
            process.signal(Signal::KILL);
        }
        for process in processes.iter_mut().flatten() {
            process.kill();
        }
    }

    /// SIGKILL to one.
    pub fn kill_one(&self, service: &str) {
        if let Some(process) = &mut self.processes()[index(service)] {
            process.kill();
        }
    }

    /// A signal to all that run, at once, as an orchestrator ends a pod.
    pub fn signal(&self, signal: Signal) {
        for process in self.processes().iter().flatten() {
            process.signal(signal);
        }
    }

    /// Waits until all have ended; their exit codes, none for one that a signal ended or that was never started.
    ///
    /// # Panics
    /// When one does not end in time.
    pub fn wait(&self, deadline: Duration) -> [Option<i32>; 4] {
        let mut processes = self.processes();
        let mut codes = [None; 4];
        for (code, process) in codes.iter_mut().zip(processes.iter_mut()) {
            *code = process
                .as_mut()
                .and_then(|process| process.wait(deadline).code());
        }
        codes
    }

    /// A signal to one.
    pub fn signal_one(&self, service: &str, signal: Signal) {
        if let Some(process) = &self.processes()[index(service)] {
            process.signal(signal);
        }
    }

    /// Whether a service runs.
    pub fn runs(&self, service: &str) -> bool {
        let mut processes = self.processes();
        let process = processes[index(service)].as_mut();
        process.is_some_and(|process| process.status().is_none())
    }

    /// Process id of a service, if it was started.
    pub fn pid(&self, service: &str) -> Option<u32> {
        self.processes()[index(service)].as_ref().map(Process::pid)
    }

    /// Directory of its data.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a service writes.
    pub fn log(&self, service: &str) -> PathBuf {
        self.directory.join("log").join(format!("{service}.log"))
    }

    /// The ends of its four logs.
    pub fn tails(&self, lines: usize) -> String {
        let tails = SERVICES.map(|service| {
            format!(
                "--- {}/{service}\n{}\n",
                self.name,
                tail(&self.log(service), lines)
            )
        });
        tails.concat()
    }

    fn processes(&self) -> MutexGuard<'_, [Option<Process>; 4]> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(service: &str) -> usize {
    let found = SERVICES.iter().position(|name| *name == service);
    found.unwrap_or_else(|| panic!("{service} is no service"))
}
