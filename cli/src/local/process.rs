//! One child process: started, watched, signalled.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sidecar::boot::{EXIT_AGAIN, EXIT_DATA};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

use super::plan::Service;
use crate::failure::Failure;

/// How a process is run.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The executable: this one.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Settings of the node, on top of the environment of `up`.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Where its output goes, appended.
    pub(crate) log: PathBuf,
    /// Where it says whether it is ready.
    pub(crate) health: SocketAddr,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not started yet, or ended.
    Ended(Option<ExitStatus>),
    /// Runs.
    Running(Pid),
    /// Stopped by SIGSTOP.
    Paused(Pid),
}

impl State {
    /// The process id, while there is one.
    pub(crate) fn pid(self) -> Option<Pid> {
        match self {
            State::Ended(_) => None,
            State::Running(pid) | State::Paused(pid) => Some(pid),
        }
    }

    /// Whether it ended because its next start is a good one.
    pub(crate) fn starts_again(self) -> bool {
        self.ended_with(EXIT_AGAIN)
    }

    /// Whether it ended because its data cannot be read: it ends so again until they are put away.
    pub(crate) fn has_unreadable_data(self) -> bool {
        self.ended_with(EXIT_DATA)
    }

    fn ended_with(self, code: u8) -> bool {
        matches!(self, State::Ended(Some(status)) if status.code() == Some(i32::from(code)))
    }

    /// For people.
    pub(crate) fn describe(self) -> String {
        match self {
            State::Running(_) => "running".to_owned(),
            State::Paused(_) => "paused".to_owned(),
            State::Ended(None) => "not started".to_owned(),
            State::Ended(Some(_)) if self.has_unreadable_data() => {
                "ended: its data cannot be read".to_owned()
            }
            State::Ended(Some(status)) => format!("ended ({status})"),
        }
    }
}

/// Whether a child has ended, waited for or not.
fn is_dead(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // "pid (name) state …"; a name may hold anything, so the last bracket counts.
    stat.is_ok_and(|stat| {
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next());
        matches!(state, Some('Z' | 'X'))
    })
}

/// A process that ended without having been asked to.
#[derive(Debug)]
pub(crate) struct Death {
    /// Node name.
    pub(crate) node: String,
    /// Which of its processes.
    pub(crate) service: Service,
    /// How it ended.
    pub(crate) status: String,
    /// Where its last words are.
    pub(crate) log: PathBuf,
}

/// One of the processes of a node, running or not.
#[derive(Debug)]
pub(crate) struct Process {
    /// Node name.
    pub(crate) node: String,
    /// Which of the four.
    pub(crate) service: Service,
    /// How it is run.
    pub(crate) launch: Launch,
    state: watch::Sender<State>,
    /// Whether its next end is asked for.
    asked: watch::Sender<bool>,
    deaths: mpsc::UnboundedSender<Death>,
}

impl Process {
    /// A process that has not been started. `deaths` hears of ends that nobody asked for; twelve processes send at most one
    /// message for each start, so the channel needs no bound.
    pub(crate) fn new(
        node: &str,
        service: Service,
        launch: Launch,
        deaths: mpsc::UnboundedSender<Death>,
    ) -> Arc<Process> {
        Arc::new(Process {
            node: node.to_owned(),
            service,
            launch,
            state: watch::Sender::new(State::Ended(None)),
            asked: watch::Sender::new(false),
            deaths,
        })
    }

    /// What it is doing now.
    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// The command line, for people.
    pub(crate) fn command(&self) -> String {
        format!(
            "{} {}",
            self.launch.program.display(),
            self.launch.arguments.join(" ")
        )
    }

    /// Starts it; nothing happens when it runs.
    ///
    /// Must be called on the main thread: the kernel ends the child when the *thread* that started it ends.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), Failure> {
        if self.state().pid().is_some() {
            return Ok(());
        }
        let log = &self.launch.log;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Failure::file("cannot write", log))?;
        let errors = output
            .try_clone()
            .map_err(Failure::file("cannot write", log))?;
        let mut child = Command::new(&self.launch.program)
            .args(&self.launch.arguments)
            .envs(
                self.launch
                    .settings
                    .iter()
                    .map(|(key, value)| (*key, value)),
            )
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in the terminal is for `up` alone, which then drains its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::file("cannot run", &self.launch.program))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| {
            Failure::Local(format!("{}/{} ended at once", self.node, self.service))
        })?;
        self.asked.send_replace(false);
        self.state.send_replace(State::Running(pid));
        let process = Arc::clone(self);
        tokio::spawn(async move {
            let status = child.wait().await.ok();
            process.state.send_replace(State::Ended(status));
            if !*process.asked.borrow() {
                process.report(status);
            }
        });
        Ok(())
    }

    fn report(&self, status: Option<ExitStatus>) {
        let status = status.map_or("unknown status".to_owned(), |status| status.to_string());
        let death = Death {
            node: self.node.clone(),
            service: self.service,
            status,
            log: self.launch.log.clone(),
        };
        // The receiver lives as long as `up` does.
        let _ = self.deaths.send(death);
    }

    /// Asks it to end, wakes it when it is paused, and kills it when it has not ended in time. Returns whether it ended by itself.
    pub(crate) async fn stop(&self, deadline: Duration) -> bool {
        self.asked.send_replace(true);
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        if tokio::time::timeout(deadline, self.ended()).await.is_ok() {
            return true;
        }
        self.kill().await;
        false
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) async fn kill(&self) {
        self.asked.send_replace(true);
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self) {
        if let State::Running(pid) = self.state() {
            self.signal(Signal::STOP);
            self.mark(State::Running(pid), State::Paused(pid));
        }
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        if let State::Paused(pid) = self.state() {
            self.signal(Signal::CONT);
            self.mark(State::Paused(pid), State::Running(pid));
        }
    }

    /// Takes note of an end that the kernel has not told us of yet: somebody killed it a moment ago.
    pub(crate) async fn notice_end(&self) {
        if self.state().pid().is_some_and(is_dead) {
            self.ended().await;
        }
    }

    /// Returns when it does not run.
    pub(crate) async fn ended(&self) {
        // The sender is a part of self, so this cannot fail while we wait.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| state.pid().is_none())
            .await;
    }

    /// Changes the state unless the process ended in the meantime.
    fn mark(&self, from: State, to: State) {
        self.state.send_if_modified(|state| {
            let unchanged = *state == from;
            if unchanged {
                *state = to;
            }
            unchanged
        });
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.state().pid() {
            // It may end between the look and the signal; then there is nothing left to signal.
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another program stands for a service.
    fn process(
        line: &[&str],
        deaths: mpsc::UnboundedSender<Death>,
    ) -> (tempfile::TempDir, Arc<Process>) {
        let directory = tempfile::tempdir().unwrap();
        let launch = Launch {
            program: line[0].into(),
            arguments: line[1..].iter().map(|word| (*word).to_owned()).collect(),
            settings: Vec::new(),
            log: directory.path().join("store.log"),
            health: ([127, 0, 0, 1], 1).into(),
        };
        let process = Process::new("node2", Service::Store, launch, deaths);
        (directory, process)
    }

    #[tokio::test]
    async fn a_death_that_nobody_asked_for_is_reported_with_its_log() {
        let (sender, mut deaths) = mpsc::unbounded_channel();
        let (_directory, process) = process(&["false"], sender);
        process.start().unwrap();
        let death = tokio::time::timeout(Duration::from_secs(20), deaths.recv()).await;
        let death = death.unwrap().unwrap();
        assert_eq!(
            (death.node.as_str(), death.service),
            ("node2", Service::Store)
        );
        assert!(death.status.contains('1'), "{death:?}");
        assert!(death.log.ends_with("store.log"), "{death:?}");
        assert!(process.state().pid().is_none());
    }

    #[tokio::test]
    async fn an_end_because_of_unreadable_data_is_told_from_others() {
        let (sender, mut deaths) = mpsc::unbounded_channel();
        let (_directory, process) = process(&["sh", "-c", "exit 65"], sender);
        process.start().unwrap();
        let death = tokio::time::timeout(Duration::from_secs(20), deaths.recv()).await;
        assert!(death.unwrap().is_some());
        let state = process.state();
        assert!(state.has_unreadable_data() && !state.starts_again());
        assert_eq!(state.describe(), "ended: its data cannot be read");
    }

    #[tokio::test]
    async fn a_paused_process_is_stopped_and_nobody_is_alarmed() {
        let (sender, mut deaths) = mpsc::unbounded_channel();
        let (_directory, process) = process(&["tail", "-f", "/dev/null"], sender);
        process.start().unwrap();
        process.pause();
        assert!(matches!(process.state(), State::Paused(_)));
        assert!(process.stop(Duration::from_secs(20)).await);
        assert!(matches!(process.state(), State::Ended(Some(_))));
        assert!(deaths.try_recv().is_err());
        // Again, and for one that is not there: nothing happens.
        process.kill().await;
        process.resume();
    }
}
