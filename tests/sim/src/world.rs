//! Time: events in order, one after the other.

use std::collections::{BTreeMap, VecDeque};

use crate::changes::Change;
use crate::disk::{Disk, Record};
use crate::faults::End;
use crate::network::{Mail, Network};
use crate::node::{Held, Node, Process, Then, Timer};
use crate::oracle::{Oracle, Summary, Violation};
use crate::plan::{Broken, FAULTS_UNTIL_MS, HEALED_AFTER_MS, PROBE_EVERY_MS, Plan};
use crate::random::Random;
use crate::story::{Act, Story};

/// Events that a violation shows.
const SHOWN: usize = 40;

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Mail {
        from: usize,
        to: usize,
        mail: Mail,
    },
    Timer {
        node: usize,
        life: u32,
        timer: Timer,
    },
    /// A client writes.
    Client,
    Fault,
    End(End),
    Change(Change),
    Act(Act),
    Probe,
    Heal,
}

/// A cluster and its time.
pub(crate) struct World {
    seed: u64,
    pub(crate) broken: Broken,
    /// Else chance decides what happens.
    pub(crate) story: Option<Story>,
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: u64,
    /// By time, then by the order in which they were planned.
    queue: BTreeMap<(u64, u64), Event>,
    planned: u64,
    is_over: bool,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
    events: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Broken) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random).draw_change(seed);
        World::of(seed, broken, plan, random)
    }

    pub(crate) fn told(story: Story, seed: u64, broken: Broken) -> World {
        let mut random = Random::new(seed);
        let plan = story.plan(&mut random);
        World {
            story: Some(story),
            ..World::of(seed, broken, plan, random)
        }
    }

    fn of(seed: u64, broken: Broken, plan: Plan, mut random: Random) -> World {
        let count = plan.founders + plan.joins_at_ms.len();
        let node = |index: usize, random: &mut Random| {
            let founder = index < plan.founders;
            let known = if founder {
                (0..plan.founders).collect()
            } else {
                [index].into()
            };
            let disk = Disk {
                joined: founder,
                serving: founder,
                ..Disk::new(random.next(), plan.num_shards, known)
            };
            Node::new(
                index,
                random.between(100_000, 1_000_000),
                disk,
                plan.num_shards,
            )
        };
        World {
            seed,
            broken,
            story: None,
            now: 0,
            queue: BTreeMap::new(),
            planned: 0,
            is_over: false,
            nodes: (0..count).map(|index| node(index, &mut random)).collect(),
            network: Network::new(plan.loss, plan.latency_ms),
            oracle: Oracle::new(plan.num_shards),
            events: VecDeque::new(),
            random,
            plan,
        }
    }

    pub(crate) fn run(mut self) -> Result<Summary, Box<Violation>> {
        match self.play() {
            Ok(()) => Ok(self.oracle.summary),
            Err(what) => Err(Box::new(Violation {
                seed: self.seed,
                broken: self.broken,
                at_ms: self.now,
                at_the_end: self.is_over,
                what: format!("{what} ({:?})", self.plan),
                events: self.events.into(),
            })),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        for node in 0..self.plan.founders {
            // Founders see each other from the start.
            let all = (0..self.plan.founders).filter(|other| *other != node);
            self.nodes[node].heard = all.map(|other| (other, (0, true))).collect();
            self.start(node);
        }
        match self.story {
            Some(story) => self.tell(story),
            None => {
                self.at(1_000, Event::Client);
                self.at(2_000, Event::Fault);
            }
        }
        self.at(0, Event::Probe);
        self.at(FAULTS_UNTIL_MS, Event::Heal);
        self.plan_changes();
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > FAULTS_UNTIL_MS + HEALED_AFTER_MS {
                break;
            }
            self.now = at;
            self.happens(event)?;
        }
        self.is_over = true;
        self.check_healed()
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Mail { from, to, mail } => match self.nodes[to].process {
                Process::Up => return self.receive(from, to, mail),
                Process::Paused => self.nodes[to].held.push(Held::Mail { from, mail }),
                Process::Down => {}
            },
            Event::Timer { node, life, timer } if self.nodes[node].life == life => {
                match self.nodes[node].process {
                    Process::Up => return self.wake(node, timer),
                    Process::Paused => self.nodes[node].held.push(Held::Timer { life, timer }),
                    Process::Down => {}
                }
            }
            Event::Timer { .. } => {}
            Event::Client => self.client(),
            Event::Fault if self.now < FAULTS_UNTIL_MS => {
                self.fault();
                let next = self.random.between(50, self.plan.fault_every_ms);
                self.at(next, Event::Fault);
            }
            Event::Fault => {}
            Event::End(end) => return self.end_fault(&end),
            Event::Change(change) => self.change(change),
            Event::Act(act) => self.act(act),
            Event::Probe => {
                self.at(PROBE_EVERY_MS, Event::Probe);
                return self.probe();
            }
            Event::Heal => return self.heal(),
        }
        Ok(())
    }

    fn receive(&mut self, from: usize, to: usize, mail: Mail) -> Result<(), String> {
        match mail {
            Mail::Append { write, record } => self.append(to, from, write, record),
            Mail::Appended { write } => self.appended(to, from, write),
            Mail::Compare { session, shards } => self.compare(to, from, session, &shards),
            Mail::Compared(compared) => self.compared(to, from, &compared),
            Mail::Fetch { session, records } => self.fetch(to, from, session, records),
            Mail::Fetched { session, records } => self.fetched(to, session, records),
            Mail::Confirm { offer, records } => self.confirm(to, from, offer, records),
            Mail::Confirmed { offer, records } => self.confirmed(to, from, offer, records),
        }
        Ok(())
    }

    fn wake(&mut self, node: usize, timer: Timer) -> Result<(), String> {
        match timer {
            Timer::Watch => self.watch(node),
            Timer::Repair => self.repair(node),
            Timer::Hedge { write } => self.hedge(node, write),
            Timer::Report { proofs } => self.report(node, proofs),
            Timer::Limit { session } => self.limit(node, session),
            Timer::Homecoming => self.homecoming(node),
            Timer::Release { offer } => return self.release(node, offer),
            Timer::Commit {
                store_life,
                records,
                then,
            } => {
                if self.nodes[node].store_life != store_life {
                    return Ok(());
                }
                let pushed = matches!(then, Then::Gateway { .. });
                for record in &records {
                    self.nodes[node].disk.insert(self.now, *record, pushed);
                }
                match then {
                    Then::Gateway {
                        node: gateway,
                        write,
                    } => self.send(node, gateway, Mail::Appended { write }),
                    Then::Session { session } => self.brought(node, session, &records),
                }
            }
        }
        Ok(())
    }

    /// A record for some shard, at some gateway. Clients go on for a while after the faults.
    fn client(&mut self) {
        if self.now > FAULTS_UNTIL_MS + HEALED_AFTER_MS / 3 {
            return;
        }
        let next = self.random.between(1, self.plan.write_every_ms);
        self.at(next, Event::Client);
        let node = self.random.index(self.nodes.len());
        let shard =
            u32::try_from(self.random.index(self.plan.num_shards as usize + 1)).unwrap_or(0);
        self.client_writes(node, shard);
    }

    /// A record through a gateway, if it takes one.
    pub(crate) fn client_writes(&mut self, node: usize, shard: u32) {
        let id = self.random.bytes();
        if self.nodes[node].is_up() && self.nodes[node].disk.serving && self.nodes[node].disk.joined
        {
            self.oracle.summary.written += 1;
            self.write(node, Record { id, shard });
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, mail: Mail) {
        if let Some(way) = self.network.way(from, to, &mut self.random) {
            self.at(way, Event::Mail { from, to, mail });
        }
    }

    /// A node does something after a while, unless it dies before.
    pub(crate) fn later(&mut self, node: usize, after: u64, timer: Timer) {
        let life = self.nodes[node].life;
        self.at(after, Event::Timer { node, life, timer });
    }

    pub(crate) fn at(&mut self, after: u64, event: Event) {
        self.planned += 1;
        self.queue.insert((self.now + after, self.planned), event);
    }

    /// A number that nothing else has.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.planned += 1;
        self.planned
    }

    pub(crate) fn note(&mut self, what: String) {
        if self.events.len() == SHOWN {
            self.events.pop_front();
        }
        self.events.push_back(format!("{:>6} ms  {what}", self.now));
    }
}
