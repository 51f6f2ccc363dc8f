//! What goes wrong.

use std::collections::BTreeSet;

use crate::disk::Disk;
use crate::node::{Held, Process, Timer};
use crate::plan::Broken;
use crate::world::{Event, World};

/// The end of a fault.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Start { node: usize },
    Resume { node: usize },
    Mend,
}

impl World {
    /// Something happens to somebody.
    pub(crate) fn fault(&mut self) {
        let node = self.random.index(self.nodes.len());
        if self.nodes[node].process != Process::Up {
            return;
        }
        self.oracle.summary.faults += 1;
        if self.random.permille(self.plan.confusions) {
            return self.confuse(node);
        }
        match self.random.between(0, 9) {
            0 | 1 => self.crash(node),
            2 | 3 => self.pause(node),
            4 => self.crash_store(node),
            5 => self.confuse(node),
            6 | 7 => self.cut(node),
            _ => self.lose_disk(node, None),
        }
    }

    fn crash(&mut self, node: usize) {
        self.note(format!("node{node} dies"));
        self.nodes[node].stop();
        let after = self.random.between(200, 12_000);
        self.at(after, Event::End(End::Start { node }));
    }

    fn pause(&mut self, node: usize) {
        self.note(format!("node{node} freezes"));
        self.nodes[node].process = Process::Paused;
        let after = self.random.between(100, 18_000);
        self.at(after, Event::End(End::Resume { node }));
    }

    fn crash_store(&mut self, node: usize) {
        self.note(format!("node{node}'s store dies and starts"));
        self.nodes[node].start_store(self.now);
    }

    /// Its view shows some of the members it knows.
    fn confuse(&mut self, node: usize) {
        let until = self.now + self.random.between(500, 15_000);
        let known: Vec<usize> = self.nodes[node]
            .heard
            .keys()
            .copied()
            .chain([node])
            .collect();
        let shown: BTreeSet<usize> = known
            .into_iter()
            .filter(|_| self.random.permille(600))
            .collect();
        let serving = |member: &usize| self.nodes[*member].disk.serving;
        let shown: BTreeSet<usize> = shown.into_iter().filter(serving).collect();
        self.note(format!("node{node} sees only {shown:?}"));
        self.nodes[node].confused = Some((until, shown));
    }

    fn cut(&mut self, node: usize) {
        let count = self.nodes.len();
        let other = (node + 1 + self.random.index(count - 1)) % count;
        let kind = self.random.between(0, 3);
        let pairs: Vec<(usize, usize)> = match kind {
            0 => vec![(node, other)],
            1 => vec![(node, other), (other, node)],
            2 => (0..count)
                .flat_map(|third| [(node, third), (third, node)])
                .collect(),
            _ => {
                let side: Vec<bool> = (0..count).map(|_| self.random.permille(500)).collect();
                let across = |a: usize| {
                    (0..count)
                        .filter(|b| side[a] != side[*b])
                        .map(move |b| (a, b))
                        .collect::<Vec<_>>()
                };
                (0..count).flat_map(across).collect()
            }
        };
        self.note(format!("cut: {pairs:?}"));
        for (from, to) in pairs {
            self.network.cut(from, to);
        }
        let after = self.random.between(300, 15_000);
        self.at(after, Event::End(End::Mend));
    }

    /// And stays away for so long, or for as long as chance wants.
    pub(crate) fn lose_disk(&mut self, node: usize, away: Option<u64>) {
        if !self.nodes[node].disk.joined || !self.may_lose(node) {
            return;
        }
        self.note(format!("node{node} loses its disk"));
        self.oracle.summary.wiped += 1;
        let store = self.fresh();
        let num_shards = self.plan.num_shards;
        let here = &mut self.nodes[node];
        here.stop();
        // The name is known, and has served: this store is not a new member's.
        let served = here.disk.serving;
        here.disk = Disk {
            lost: served,
            serving: served,
            ..Disk::new(store, num_shards, BTreeSet::from([node]))
        };
        here.seen.fill(0);
        here.heard.clear();
        here.handed.clear();
        let after = away.unwrap_or_else(|| self.random.between(200, 8_000));
        self.at(after, Event::End(End::Start { node }));
    }

    pub(crate) fn end_fault(&mut self, end: &End) -> Result<(), String> {
        match *end {
            End::Start { node } => self.start(node),
            End::Resume { node } => return self.resume(node),
            End::Mend => {
                self.note("all cuts mended".to_owned());
                self.network.mend();
            }
        }
        Ok(())
    }

    /// A node that is down starts.
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].process != Process::Down || self.is_gone(node) {
            return;
        }
        self.note(format!("node{node} starts"));
        let proofs = self.nodes[node].ledger.clone();
        self.nodes[node].start(self.now);
        self.read_settings(node);
        if self.broken == Broken::WipedStoreKeepsProofs && self.nodes[node].disk.lost {
            self.nodes[node].ledger = proofs;
        }
        let delay = self.random.between(1, 400);
        self.later(node, delay, Timer::Watch);
        let delay = self.random.between(1, 1_000);
        self.later(node, delay, Timer::Repair);
        let delay = self.random.between(1, 1_000);
        self.later(node, delay, Timer::Homecoming);
    }

    /// A frozen node goes on, with everything that has waited. The first thing it may do is to answer a question.
    pub(crate) fn resume(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].process != Process::Paused {
            return Ok(());
        }
        self.note(format!("node{node} goes on"));
        self.nodes[node].process = Process::Up;
        self.check_claims(node)?;
        for held in std::mem::take(&mut self.nodes[node].held) {
            let event = match held {
                Held::Mail { from, mail } => Event::Mail {
                    from,
                    to: node,
                    mail,
                },
                Held::Timer { life, timer } => Event::Timer { node, life, timer },
            };
            self.at(0, event);
        }
        Ok(())
    }

    /// All that is wrong ends.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.note("all faults end".to_owned());
        self.network.calm();
        for node in 0..self.nodes.len() {
            self.nodes[node].confused = None;
            self.resume(node)?;
            // The one that has not joined by now never does.
            if self.nodes[node].life > 0 {
                self.start(node);
            }
        }
        Ok(())
    }
}
