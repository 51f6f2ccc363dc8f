//! One run: a lab, clients at work in it, what was broken, and the judgement.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;

use crate::checker::{self, Violation};
use crate::client::Client;
use crate::history::{self, Fault, Line, Recorder, now_ms};
use crate::lab::{Gateway, Lab, poll};
use crate::nemesis;
use crate::records::{self, Outgoing};
use crate::report;
use crate::say;
use crate::state;
use crate::workload::{Rates, Workload};

/// A cluster that is not whole again after so long has failed. What it takes is printed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Claims in a batch, batches that are open at a time, and how long one may take.
const BATCH: usize = 250;
const BATCHES_OPEN: usize = 4;
const BATCH_PATIENCE: Duration = Duration::from_secs(15);

/// Name of the client that sends what a scenario itself sends.
pub const SCENARIO: &str = "scenario";

/// A run.
#[derive(Debug)]
pub struct Run {
    /// The cluster.
    pub lab: Lab,
    /// The clients.
    pub workload: Workload,
    /// What a scenario found wrong that the checker does not look for.
    pub complaints: Vec<String>,
    name: String,
    history: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that clients saw.
    pub history: Vec<Line>,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// What the scenario found.
    pub complaints: Vec<String>,
}

impl Outcome {
    /// Whether all is well.
    pub fn good(&self) -> bool {
        self.violations.is_empty() && self.complaints.is_empty()
    }
}

impl Run {
    /// Starts a cluster of three and clients. The history goes to `<name>.ndjson` in the directory.
    ///
    /// # Errors
    /// When the machine lacks something, or the cluster does not form.
    pub async fn start(
        name: &str,
        seed: u64,
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Run, String> {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let history = directory.join(format!("{name}.ndjson"));
        let recorder = Recorder::create(&history)?;
        let lab = Lab::start(3, settings).await?;
        let gateways = lab.gateways.clone();
        let workload = Workload::start(gateways, recorder, seed, Rates::default());
        Ok(Run {
            lab,
            workload,
            complaints: Vec::new(),
            name: name.to_owned(),
            history,
        })
    }

    /// Where one node's clients go.
    pub fn gateway(&self, node: usize) -> Gateway {
        let gateways = self.lab.gateways.read().expect("nobody panics with it");
        gateways[node - 1].clone()
    }

    /// The history as it is now.
    pub fn written(&self) -> &Path {
        self.workload.shared().flush();
        &self.history
    }

    /// Sends so many claims through one gateway, in batches, and waits for all answers.
    pub async fn write_many(&mut self, node: usize, count: usize) {
        let (client, gateway) = (Client::new(SCENARIO, BATCH_PATIENCE), self.gateway(node));
        let shared = self.workload.shared();
        let batches = (0..count).step_by(BATCH).map(|from| {
            let claims: Vec<Outgoing> = (from..count.min(from + BATCH))
                .map(|_| records::claim(shared.number(), now_ms()))
                .collect();
            let (client, gateway) = (&client, &gateway);
            async move { client.write_many(gateway, &claims).await }
        });
        let mut answers = futures::stream::iter(batches).buffer_unordered(BATCHES_OPEN);
        while let Some(writes) = answers.next().await {
            for write in writes {
                shared.record(&Line::Write(write));
            }
        }
    }

    /// Breaks something for a time, mends it, and waits until the cluster is whole if that is wanted.
    ///
    /// # Errors
    /// When the system refuses, or the cluster is not whole in time.
    pub async fn suffer(
        &mut self,
        fault: &nemesis::Fault,
        hold: Duration,
        wait: bool,
    ) -> Result<Fault, String> {
        let begun = self.begin(fault).await?;
        self.lab.hold(hold).await;
        self.end(fault, begun, wait).await
    }

    /// Breaks something.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn begin(&mut self, fault: &nemesis::Fault) -> Result<Fault, String> {
        say(&format!("  {} ({fault})", fault.name()));
        let begun = Fault {
            name: fault.name().to_owned(),
            detail: fault.to_string(),
            at: now_ms(),
            ..Fault::default()
        };
        fault.begin(&mut self.lab).await?;
        Ok(begun)
    }

    /// Mends it, and everything else.
    ///
    /// # Errors
    /// When the system refuses, or the cluster is not whole in time.
    pub async fn end(
        &mut self,
        fault: &nemesis::Fault,
        mut begun: Fault,
        wait: bool,
    ) -> Result<Fault, String> {
        begun.detail.push_str(&fault.struck(&self.lab)?);
        fault.end(&mut self.lab)?;
        begun.healed = now_ms();
        let whole = if wait {
            self.mended(&mut begun).await
        } else {
            Ok(())
        };
        self.workload.shared().record(&Line::Fault(begun.clone()));
        whole.map(|()| begun)
    }

    /// Waits until the cluster is whole, and notes when it was.
    async fn mended(&self, fault: &mut Fault) -> Result<(), String> {
        poll("the nodes do not meet", PATIENCE, || self.lab.met()).await?;
        fault.met = now_ms();
        self.lab.whole(PATIENCE).await?;
        fault.equal = now_ms();
        Ok(())
    }

    /// Heals everything, ends the clients, looks at what is there and judges.
    ///
    /// # Errors
    /// When the system refuses or the history cannot be read. That the cluster is not whole in time is a complaint.
    pub async fn finish(mut self) -> Result<Outcome, String> {
        self.lab.heal()?;
        if let Err(why) = self.lab.whole(PATIENCE).await {
            self.complaints.push(why);
        }
        self.workload.stop().await;
        // What the last calls left in flight.
        if let Err(why) = self.lab.whole(PATIENCE).await {
            self.complaints.push(why);
        }
        let history = history::read(&self.history)?;
        let gateways = self.lab.gateways.read().expect("nobody panics").clone();
        let state = state::look(&gateways, &history).await;
        let outcome = Outcome {
            violations: checker::check(&history, &state),
            complaints: self.complaints,
            history,
        };
        report::print(&outcome);
        say(&format!("history: {}", self.history.display()));
        if !outcome.good() {
            let logs = self.history.with_file_name(format!("{}-logs", self.name));
            keep_logs(&self.lab, &logs)?;
            say(&format!("logs: {}", logs.display()));
        }
        Ok(outcome)
    }
}

/// Copies the logs of all nodes out of the lab, which goes with the run.
fn keep_logs(lab: &Lab, to: &Path) -> Result<(), String> {
    for node in &lab.cluster.nodes {
        let to = to.join(&node.name);
        std::fs::create_dir_all(&to).map_err(|error| error.to_string())?;
        for service in e2e::node::SERVICES {
            let log = node.log(service);
            if let Some(name) = log.file_name() {
                std::fs::copy(&log, to.join(name)).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}
