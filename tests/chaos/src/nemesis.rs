//! What is broken, and when: a plan made from a seed, and the same again from the same seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use e2e::node::SERVICES;
use rustix::process::Signal;

use crate::lab::Lab;

/// How long a node may take to come back during a rolling restart.
const RESTART: Duration = Duration::from_secs(60);

/// Records dated more than five minutes ahead are refused at the client door, by the gateway's clock: less than that, so that
/// the clock is all that is wrong.
const CLOCK_BACK: Duration = Duration::from_secs(240);

/// Longer than it takes to notice that a node is gone; a gate has minutes, not hours.
const SHORT_HOLD_MS: std::ops::Range<u64> = 3_500..6_500;

/// What beginning, healing and waiting take beside the fault itself, for planning.
const HEALING: Duration = Duration::from_secs(1);

/// Something that breaks. Nodes are numbers from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to one service.
    KillService(usize, &'static str),
    /// SIGKILL to all of a node.
    KillNode(usize),
    /// SIGKILL to all of two nodes.
    KillTwo(usize, usize),
    /// SIGSTOP to one service.
    PauseService(usize, &'static str),
    /// SIGSTOP to all of a node.
    PauseNode(usize),
    /// Nothing passes between two nodes.
    Cut(usize, usize),
    /// What the first sends does not reach the second.
    CutOneWay(usize, usize),
    /// Nothing passes between a node and the others.
    Isolate(usize),
    /// One in five packets that reach a node is lost.
    Loss(usize),
    /// What a node sends arrives 200 ms later.
    Delay(usize),
    /// No space is left.
    DiskFull(usize),
    /// The file system finds an error and lets nobody write any more.
    DiskReadOnly(usize),
    /// One sync of the write-ahead log fails, and what it should have brought to disk is gone.
    SyncFails(usize),
    /// The wall clock is set back by four minutes.
    ClockBack(usize),
    /// Every node is ended and started, one after the other.
    Rolling,
    /// All nodes are killed and come back with other addresses.
    NewAddresses,
}

impl Fault {
    /// What it is, without where.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::KillService(..) => "kill-service",
            Fault::KillNode(_) => "kill-node",
            Fault::KillTwo(..) => "kill-two",
            Fault::PauseService(..) => "pause-service",
            Fault::PauseNode(_) => "pause-node",
            Fault::Cut(..) => "cut",
            Fault::CutOneWay(..) => "cut-one-way",
            Fault::Isolate(_) => "isolate",
            Fault::Loss(_) => "loss-20-percent",
            Fault::Delay(_) => "delay-200-ms",
            Fault::DiskFull(_) => "disk-full",
            Fault::DiskReadOnly(_) => "disk-read-only",
            Fault::SyncFails(_) => "sync-fails",
            Fault::ClockBack(_) => "clock-back",
            Fault::Rolling => "rolling-restart",
            Fault::NewAddresses => "new-addresses",
        }
    }

    /// Breaks it.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn begin(&self, lab: &mut Lab) -> Result<(), String> {
        match *self {
            Fault::KillService(node, service) => lab.kill_one(node, service),
            Fault::KillNode(node) => lab.kill(node),
            Fault::KillTwo(first, second) => {
                lab.kill(first);
                lab.kill(second);
            }
            Fault::PauseService(node, service) => {
                lab.cluster.node(node).signal_one(service, Signal::STOP);
            }
            Fault::PauseNode(node) => lab.cluster.node(node).signal(Signal::STOP),
            Fault::Cut(a, b) => lab.network.cut(a, b)?,
            Fault::CutOneWay(from, to) => lab.network.cut_one_way(from, to)?,
            Fault::Isolate(node) => lab.network.isolate(node)?,
            Fault::Loss(node) => lab.network.lose(node, 20)?,
            Fault::Delay(node) => lab.network.delay(node, 200)?,
            Fault::DiskFull(node) => lab.disks[node - 1].fill()?,
            Fault::DiskReadOnly(node) => lab.disks[node - 1].break_down()?,
            Fault::SyncFails(node) => lab.controls[node - 1].fail_syncs(1)?,
            Fault::ClockBack(node) => lab.controls[node - 1].clock_back(CLOCK_BACK)?,
            Fault::Rolling => {
                for node in lab.numbers() {
                    lab.restart(node, RESTART).await?;
                }
            }
            Fault::NewAddresses => lab.move_all()?,
        }
        Ok(())
    }

    /// What tells that it struck, of what strikes only when somebody comes by.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn struck(&self, lab: &Lab) -> Result<String, String> {
        match *self {
            Fault::SyncFails(node) => {
                let failed = lab.controls[node - 1].syncs_failed()?;
                Ok(format!(", {failed} so far"))
            }
            _ => Ok(String::new()),
        }
    }

    /// Mends it, and everything else that is broken.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn end(&self, lab: &mut Lab) -> Result<(), String> {
        if let Fault::DiskReadOnly(node) = *self {
            lab.kill(node);
            lab.disks[node - 1].repair()?;
        }
        lab.heal()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::KillService(node, service) | Fault::PauseService(node, service) => {
                write!(f, "node{node} {service}")
            }
            Fault::KillTwo(a, b) => write!(f, "node{a} and node{b}"),
            Fault::Cut(a, b) => write!(f, "node{a} and node{b}"),
            Fault::CutOneWay(from, to) => write!(f, "from node{from} to node{to}"),
            Fault::Rolling | Fault::NewAddresses => f.write_str("all"),
            Fault::KillNode(node)
            | Fault::PauseNode(node)
            | Fault::Isolate(node)
            | Fault::Loss(node)
            | Fault::Delay(node)
            | Fault::DiskFull(node)
            | Fault::DiskReadOnly(node)
            | Fault::SyncFails(node)
            | Fault::ClockBack(node) => write!(f, "node{node}"),
        }
    }
}

/// How much is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Every kind that a gate should see once, a few seconds each.
    Short,
    /// Kinds at random for as long as was asked, some on the heels of the one before.
    Long,
}

/// One thing after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What breaks.
    pub fault: Fault,
    /// For how long.
    pub hold: Duration,
    /// Whether the next one waits until the cluster is whole again.
    pub wait: bool,
}

/// What a seed breaks in a cluster of so many nodes.
pub fn plan(seed: u64, mix: Mix, time: Duration, nodes: usize) -> Vec<Step> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    match mix {
        Mix::Short => {
            let mut kinds: Vec<usize> = (0..SHORT_KINDS).collect();
            kinds.shuffle(&mut chance);
            for kind in kinds {
                let hold = Duration::from_millis(chance.random_range(SHORT_HOLD_MS));
                let fault = draw(kind, &mut chance, nodes);
                let wait = true;
                steps.push(Step { fault, hold, wait });
            }
        }
        Mix::Long => {
            let mut planned = Duration::ZERO;
            while planned < time {
                let hold = Duration::from_millis(chance.random_range(2_000..30_000));
                let kind = chance.random_range(0..KINDS);
                let fault = draw(kind, &mut chance, nodes);
                let wait = chance.random_bool(0.7);
                planned += hold + HEALING;
                steps.push(Step { fault, hold, wait });
            }
        }
    }
    steps
}

/// Kinds in [`draw`]; the first are in the short mix.
const KINDS: usize = 16;
const SHORT_KINDS: usize = 14;

fn draw(kind: usize, chance: &mut StdRng, nodes: usize) -> Fault {
    let mut order: Vec<usize> = (1..=nodes).collect();
    order.shuffle(chance);
    let (first, second) = (order[0], order[1]);
    let service = SERVICES[chance.random_range(0..SERVICES.len())];
    match kind {
        0 => Fault::KillService(first, service),
        1 => Fault::KillNode(first),
        2 => Fault::PauseService(first, service),
        3 => Fault::PauseNode(first),
        4 => Fault::Cut(first, second),
        5 => Fault::CutOneWay(first, second),
        6 => Fault::Loss(first),
        7 => Fault::Delay(first),
        8 => Fault::DiskFull(first),
        9 => Fault::DiskReadOnly(first),
        10 => Fault::SyncFails(first),
        11 => Fault::ClockBack(first),
        12 => Fault::Isolate(first),
        13 => Fault::Rolling,
        14 => Fault::KillTwo(first, second),
        _ => Fault::NewAddresses,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_plans_the_same_again_and_another_seed_does_not() {
        for mix in [Mix::Short, Mix::Long] {
            let steps = plan(1, mix, MINUTE, 3);
            assert_eq!(steps, plan(1, mix, MINUTE, 3));
            assert_ne!(steps, plan(2, mix, MINUTE, 3));
        }
    }

    #[test]
    fn the_short_mix_has_every_short_kind_once_and_is_short() {
        let steps = plan(7, Mix::Short, MINUTE, 3);
        let names: BTreeSet<&str> = steps.iter().map(|step| step.fault.name()).collect();
        assert_eq!(steps.len(), SHORT_KINDS);
        assert_eq!(names.len(), SHORT_KINDS);
        assert!(steps.iter().map(|step| step.hold).sum::<Duration>() <= 2 * MINUTE);
    }

    #[test]
    fn a_long_mix_comes_to_every_kind() {
        let steps = plan(7, Mix::Long, 60 * MINUTE, 3);
        let names: BTreeSet<&str> = steps.iter().map(|step| step.fault.name()).collect();
        assert_eq!(names.len(), KINDS);
    }
}
