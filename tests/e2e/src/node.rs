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

/// A node of a test cluster.
#[derive(Debug)]
pub struct Node {
    /// `node1` and so on.
    pub name: String,
    base: u16,
    directory: PathBuf,
    settings: Vec<(String, String)>,
    processes: Mutex<[Option<Process>; 4]>,
}

impl Node {
    /// A node that has not been started.
    ///
    /// # Panics
    /// When its directory cannot be made.
    pub fn new(name: &str, base: u16, directory: &Path) -> Node {
        let directory = directory.join(name);
        std::fs::create_dir_all(directory.join("log")).expect("a directory can be made");
        let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
        let settings = [
            ("STEMEDB_NODE_ID", name.to_owned()),
            ("STEMEDB_API_ADDR", at(0)),
            ("STEMEDB_GATEWAY_ADDR", at(1)),
            ("STEMEDB_RPC_ADDR", at(2)),
            ("STEMEDB_SWIM_ADDR", at(3)),
            ("STEMEDB_LOOPBACK_PORT", (base + LOOPBACK).to_string()),
            ("STEMEDB_DATA_DIR", directory.display().to_string()),
            ("STEMEDB_LOG_FORMAT", "text".to_owned()),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value)).into();
        Node {
            name: name.to_owned(),
            base,
            directory,
            settings,
            processes: Mutex::new([const { None }; 4]),
        }
    }

    /// Adds a setting, or replaces one.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// URL of a path on the public port.
    pub fn api(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.base)
    }

    /// URL of a path on the cluster port.
    pub fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.base + 1)
    }

    /// host:port of SWIM.
    pub fn swim(&self) -> String {
        format!("127.0.0.1:{}", self.base + 3)
    }

    /// host:port of the store's peer listener.
    pub fn rpc(&self) -> String {
        format!("127.0.0.1:{}", self.base + 2)
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
        let mut command = Command::new(binaries::path(&format!("stemedb-{service}")));
        command
            .arg("--die-with-parent")
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
