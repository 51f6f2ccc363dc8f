//! One incarnation: the loop that takes what SWIM, the store, our pings and people say, and settles what follows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::book::Book;
use crate::disk::Saved;
use crate::formation::{self, Decision, Situation, StoreCluster};
use crate::joining::{self, Report, Targets};
use crate::metadata::{ClusterId, Metadata};
use crate::metrics;
use crate::node::{Command, Node, Refusal, now};
use crate::probing::{self, Outcome};
use crate::roster::{CannotForget, Roster};
use crate::seeds::resolve_all;
use crate::store::{CallFailed, LocalStore};
use crate::swim::{Peer, Swim};
use crate::telling;
use crate::view::view;

/// How often the picture is looked at without news: times pass (rebalance_delay), and lost news are made up for.
const TICK: Duration = Duration::from_millis(500);
/// Between two tries to bind the store, or to write a file the disk refused.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stopping node waits for `draining` to be passed on, by gossip and then by hand, before it says goodbye.
const GOODBYE_NOTICE: Duration = Duration::from_millis(300);
/// Ping outcomes that wait; the pinging waits when it is full.
const OUTCOMES_MAX: usize = 64;

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As asked.
    Shutdown,
    /// The cluster has this name on record as forgotten or higher: start again above this incarnation.
    Again(u64),
    /// The store belongs to another cluster than this node: somebody put another database here.
    ForeignStore {
        /// What the member list on disk says.
        remembered: ClusterId,
        /// What the database says.
        found: ClusterId,
    },
    /// A task ended that never should.
    Broken(&'static str),
}

/// One incarnation's state.
pub struct Session<'a, S, L> {
    node: &'a mut Node,
    swim: Arc<S>,
    store: Arc<L>,
    ask_store: Arc<Notify>,
    roster: Roster,
    metadata: Metadata,
    announce: watch::Sender<Vec<u8>>,
    targets: watch::Sender<Targets>,
    probed: watch::Sender<Vec<Peer>>,
    report: watch::Receiver<Report>,
    seeds_tried: bool,
    outcomes: mpsc::Receiver<Outcome>,
    tasks: JoinSet<&'static str>,
    adopting: Option<oneshot::Receiver<Result<(), CallFailed>>>,
    adopt_fault: Option<String>,
    adopt_not_before: Instant,
    save_not_before: Instant,
    refused_at: BTreeSet<SocketAddr>,
    admitting: Option<oneshot::Receiver<Result<(), CallFailed>>>,
    admit_not_before: Instant,
    farewell: Farewell,
}

/// How far the others know that this node has LEFT.
#[derive(Default)]
struct Farewell {
    /// Being told; how many heard it.
    telling: Option<oneshot::Receiver<usize>>,
    /// Whoever waits for it.
    reply: Option<oneshot::Sender<Result<(), Refusal>>>,
    not_before: Option<Instant>,
}

impl<'a, S: Swim, L: LocalStore> Session<'a, S, L> {
    /// Over a SWIM process that was started with [`Node::metadata`] of the same incarnation.
    pub fn new(
        node: &'a mut Node,
        swim: Arc<S>,
        incarnation: u64,
        store: Arc<L>,
        ask_store: Arc<Notify>,
    ) -> Session<'a, S, L> {
        let roster = node.roster(incarnation, swim.address());
        let metadata = node.metadata(incarnation, None);
        let (announce, announced) = watch::channel(metadata.encode());
        // The first round has to reach whoever is on record: they may know what was decided about this node.
        let (targets, targeted) = watch::channel(Targets {
            absent: roster.absent().into_values().collect(),
            skip: BTreeSet::from([swim.address()]),
            ..Targets::default()
        });
        let (probed, to_probe) = watch::channel(Vec::new());
        let (reporting, report) = watch::channel(Report::default());
        let (tell, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let mut tasks = JoinSet::new();
        let seeds = node.config.seeds.clone();
        let seeds_tried = seeds.is_empty();
        let joiner = Arc::clone(&swim);
        tasks.spawn(async move {
            joining::keep_joining(joiner, seeds, targeted, reporting).await;
            "joining"
        });
        let prober = Arc::clone(&swim);
        tasks.spawn(async move {
            probing::keep_probing(prober, to_probe, tell).await;
            "probing"
        });
        let announcer = Arc::clone(&swim);
        tasks.spawn(async move {
            keep_announcing(announcer, announced).await;
            "announcing"
        });
        Session {
            node,
            swim,
            store,
            ask_store,
            roster,
            metadata,
            announce,
            targets,
            probed,
            report,
            seeds_tried,
            outcomes,
            tasks,
            adopting: None,
            adopt_fault: None,
            adopt_not_before: Instant::now(),
            save_not_before: Instant::now(),
            refused_at: BTreeSet::new(),
            admitting: None,
            admit_not_before: Instant::now(),
            farewell: Farewell::default(),
        }
    }

    /// Runs until it is told to stop, or has to start again under a higher incarnation.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> End {
        tokio::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => {
                    self.goodbye().await;
                    return End::Shutdown;
                }
                _ = tick.tick() => {
                    self.look().await;
                    self.ask_what_was_told();
                }
                () = self.swim.changed() => self.look().await,
                Ok(()) = self.node.health.changed() => {}
                Ok(()) = self.report.changed() => {
                    // Only after a look: whom a join has found is in SWIM's picture, and not in ours yet.
                    let tried = self.report.borrow_and_update().tried;
                    self.look().await;
                    self.seeds_tried |= tried;
                    self.node.heard |= tried;
                }
                Some(outcome) = self.outcomes.recv() => self.hear_ping(&outcome),
                outcome = adopted(&mut self.adopting) => self.hear_adoption(outcome),
                outcome = adopted(&mut self.admitting) => self.hear_admission(outcome),
                heard = told(&mut self.farewell.telling) => self.hear_farewell(heard),
                Some(command) = self.node.commands.recv() => self.obey(command).await,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok("") => {}
                    Ok(name) => return End::Broken(name),
                    Err(_) => return End::Broken("a panicked task"),
                },
            }
            self.node.hear_store();
            if let Some((remembered, found)) = self.node.foreign_store() {
                self.swim.leave().await;
                return End::ForeignStore { remembered, found };
            }
            self.settle().await;
            if let Some(above) = self.roster.must_exceed() {
                tracing::warn!(
                    above,
                    "the cluster has this node's name on record as gone or newer: joining anew"
                );
                self.swim.leave().await;
                return End::Again(above);
            }
        }
    }

    /// Takes SWIM's picture and the books that came with it.
    async fn look(&mut self) {
        let peers = self.swim.peers().await;
        let now = now();
        self.roster.observe(&peers, now);
        self.refused_at = peers
            .iter()
            .filter(|peer| peer.kept_out)
            .map(|peer| peer.address)
            .collect();
        for book in self.swim.books() {
            match Book::from_json(&book) {
                Ok(book) => self.roster.learn(&book, now),
                Err(fault) => tracing::debug!(%fault, "a received book is not read"),
            }
        }
    }

    fn hear_ping(&mut self, outcome: &Outcome) {
        self.roster
            .pinged(&outcome.name, outcome.incarnation, outcome.answered, now());
    }

    /// Brings everything that follows from the roster and the store up to date.
    async fn settle(&mut self) {
        self.notice_exclusion();
        let situation = self.describe();
        let decision = formation::decide(&self.roster, &situation, self.metadata.agreed);
        let formed = matches!(decision, Decision::Formed(_));
        let mut waiting_for = self.follow(decision).await;
        if formed && let Some(reason) = self.admit() {
            waiting_for = reason;
        }
        self.keep_book().await;
        self.aim();
        self.publish(&waiting_for);
        self.say_farewell();
    }

    /// Tells the others what this node is now, when that is news to them; says what it follows from.
    fn describe(&mut self) -> Situation {
        let situation = self.situation();
        let agreed = formation::agreed(&self.roster, &situation);
        let metadata = self.node.metadata(self.roster.incarnation(), agreed);
        if metadata != self.metadata {
            self.metadata = metadata;
            self.roster.describe_own(self.metadata.clone(), now());
            self.swim.require(self.roster.requirements());
            self.announce.send_replace(self.metadata.encode());
        }
        situation
    }

    fn situation(&self) -> Situation {
        let store = match &self.node.store {
            None => StoreCluster::Unknown,
            Some(store) => store
                .cluster_id
                .map_or(StoreCluster::None, StoreCluster::Some),
        };
        Situation {
            store,
            chosen: self.node.chosen,
            bootstrap_expect: self.node.config.bootstrap_expect,
            seeds_tried: self.seeds_tried,
        }
    }

    /// Acts on a decision; says what is waited for.
    async fn follow(&mut self, decision: Decision) -> String {
        match decision {
            Decision::Formed(id) => {
                if self.node.chosen != Some(id) {
                    tracing::info!(cluster_id = %id, "this node belongs to the cluster");
                    self.node.chosen = Some(id);
                }
                String::new()
            }
            Decision::Mint => {
                let id = ClusterId::mint();
                tracing::info!(cluster_id = %id, "making a new cluster");
                self.node.founders = Some(formation::digest(&self.roster));
                self.node.admitted = Some(self.roster.incarnation());
                self.adopt(id).await
            }
            Decision::Adopt(id) => {
                if self.node.chosen.is_none() && formation::is_founder(&self.roster, id) {
                    self.node.admitted = Some(self.roster.incarnation());
                }
                self.adopt(id).await
            }
            Decision::Wait(reason) => {
                let mut text = self.node.store_trouble().unwrap_or(reason);
                let report = self.report.borrow();
                if !report.failures.is_empty() {
                    text.push_str(&format!(" (last tries: {})", report.failures.join("; ")));
                }
                text
            }
        }
    }

    /// Binds the store to a cluster: the choice goes to disk first, so that it can never be made twice.
    async fn adopt(&mut self, id: ClusterId) -> String {
        // From here on this node publishes no agreement any more, whatever happens (see `formation`).
        self.node.chosen = Some(id);
        if self.adopting.is_none() && Instant::now() >= self.adopt_not_before {
            let saved = Saved {
                cluster_id: Some(id),
                admitted: self.node.admitted,
                ..self.node.saved.clone()
            };
            match self.node.save(saved).await {
                Ok(()) => {
                    let (tell, outcome) = oneshot::channel();
                    let store = Arc::clone(&self.store);
                    let num_shards = self.node.config.num_shards;
                    self.tasks.spawn(async move {
                        let _ = tell.send(store.adopt(id, num_shards).await);
                        ""
                    });
                    self.adopting = Some(outcome);
                }
                Err(fault) => {
                    self.adopt_fault = Some(fault.to_string());
                    self.adopt_not_before = Instant::now() + RETRY;
                }
            }
        }
        let mut text = format!("this node's store to take cluster {id}");
        if let Some(fault) = &self.adopt_fault {
            text.push_str(&format!(" (last try: {fault})"));
        }
        text
    }

    fn hear_adoption(&mut self, outcome: Result<(), CallFailed>) {
        self.adopting = None;
        // From now on, however long it took: the store is to be asked before it is told again.
        self.adopt_not_before = Instant::now() + RETRY;
        self.adopt_fault = outcome.err().map(|fault| fault.to_string());
        if let Some(fault) = &self.adopt_fault {
            tracing::warn!(%fault, "the store was not bound to the cluster; trying again");
        }
        self.ask_store.notify_one();
    }

    /// While somebody joins, what the own store was told of is asked for more often: the newcomer waits for it.
    fn ask_what_was_told(&self) {
        let told = self.node.store.as_ref().and_then(|store| store.told);
        if self.roster.cluster_id().is_some() && told != Some(telling::known(&self.roster)) {
            self.ask_store.notify_one();
        }
    }

    /// The cluster went on without this node for a while: what it holds may lack what was acknowledged meanwhile, and the others'
    /// stores do not count on it. It joins like a new member.
    fn notice_exclusion(&mut self) {
        let gone = self.roster.own_gone();
        if gone.is_some() && self.node.admitted.is_some() && gone >= self.node.admitted {
            tracing::warn!("the cluster went on without this disk: the node joins anew");
            self.node.admitted = None;
        }
    }

    /// Lets this node's copies count once the others' stores know of it; says what that waits for.
    fn admit(&mut self) -> Option<String> {
        if self.node.admitted.is_some() || self.node.left || self.node.leaving {
            return None;
        }
        if !self.node.heard {
            return Some("the other members to be looked for once".into());
        }
        let factor = self.roster.factors().most;
        if let Some(reason) = telling::lacking(&self.roster, factor) {
            return Some(reason);
        }
        let due = Instant::now() >= self.admit_not_before;
        if due && self.admitting.is_none() {
            self.admit_not_before = Instant::now() + RETRY;
        }
        let unheard = telling::unheard(&self.roster);
        if !unheard.is_empty() {
            if due {
                self.exchange(unheard.values().copied().collect());
            }
            let names: Vec<String> = unheard.into_keys().collect();
            return Some(format!("the member lists of {}", names.join(", ")));
        }
        if let Some(reason) = self.roster.other_factor() {
            return Some(reason);
        }
        if due && self.admitting.is_none() {
            let (tell, outcome) = oneshot::channel();
            let store = Arc::clone(&self.store);
            let fresh = telling::is_fresh(&self.roster, factor);
            self.tasks.spawn(async move {
                let _ = tell.send(store.admit(fresh).await);
                ""
            });
            self.admitting = Some(outcome);
        }
        Some("this node's store to note that it joins".into())
    }

    /// Exchanges states, and books with them.
    fn exchange(&mut self, addresses: Vec<SocketAddr>) {
        let swim = Arc::clone(&self.swim);
        self.tasks.spawn(async move {
            joining::join_all(swim.as_ref(), addresses).await;
            ""
        });
    }

    fn hear_admission(&mut self, outcome: Result<(), CallFailed>) {
        self.admitting = None;
        match outcome {
            Ok(()) => {
                tracing::info!("the others' stores know of this node: its copies count");
                self.node.admitted = Some(self.roster.incarnation());
            }
            Err(fault) => {
                tracing::warn!(%fault, "the store did not note that it joins; trying again")
            }
        }
    }

    /// Gives SWIM and the disk what they should have.
    async fn keep_book(&mut self) {
        let book = self.roster.book(now());
        self.swim.keep_book(book.to_json());
        let saved = Saved {
            incarnation: self.roster.incarnation(),
            cluster_id: self.node.chosen,
            leaving: self.node.leaving,
            admitted: self.node.admitted,
            book: lasting(book),
        };
        if saved == self.node.saved || Instant::now() < self.save_not_before {
            return;
        }
        if let Err(fault) = self.node.save(saved).await {
            tracing::error!(%fault, "the member list is not on disk; trying again");
            metrics::save_failed();
            self.save_not_before = Instant::now() + RETRY;
        }
    }

    /// Tells the joining and the probing tasks whom to look after.
    fn aim(&mut self) {
        let mut skip = self.refused_at.clone();
        skip.insert(self.swim.address());
        let mut answering = self.roster.answering();
        answering.remove(&self.swim.address());
        let absent: BTreeSet<SocketAddr> = self.roster.absent().into_values().collect();
        let targets = Targets {
            settled: absent.is_empty() && self.roster.cluster_id().is_some(),
            absent,
            answering,
            skip,
        };
        replace(&self.targets, targets);
        let alive = |(name, member): (&String, &crate::roster::Member)| Peer {
            name: name.clone(),
            incarnation: member.incarnation,
            address: member.address,
            metadata: Vec::new(),
            alive: true,
            kept_out: false,
        };
        let mut probed: Vec<Peer> = self
            .roster
            .known()
            .filter(|(name, member)| member.alive() && *name != self.roster.name())
            .map(alive)
            .collect();
        probed.extend(self.roster.rival().cloned());
        replace(&self.probed, probed);
    }

    fn publish(&mut self, waiting_for: &str) {
        let formed = self.node.store.as_ref().and_then(|store| store.cluster_id);
        let next = view(&self.roster, formed, waiting_for, now());
        if let Some(next) = self.node.numbering.next(next) {
            metrics::report(&self.node.view.borrow(), &next);
            self.node.view.send_replace(Arc::new(next));
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Join(seeds, reply) => {
                let swim = Arc::clone(&self.swim);
                self.tasks.spawn(async move {
                    let (addresses, _) = resolve_all(&seeds).await;
                    let addresses = addresses.into_iter().collect();
                    let (joined, _) = joining::join_all(swim.as_ref(), addresses).await;
                    let _ = reply.send(joined.iter().map(SocketAddr::to_string).collect());
                    ""
                });
            }
            Command::Forget(name, reply) => {
                let mut outcome = self.roster.forget(&name, now());
                if outcome.is_ok() {
                    tracing::warn!(%name, "forgotten");
                    // Somebody waits until it is on the disk.
                    self.save_not_before = Instant::now();
                    self.settle().await;
                    self.tell_all();
                    if lasting(self.roster.book(now())) != self.node.saved.book {
                        outcome = Err(CannotForget::Disk(name));
                    }
                }
                let _ = reply.send(outcome);
            }
            Command::Drain(reply) => {
                tracing::info!("draining");
                self.node.draining = true;
                self.settle().await;
                let _ = reply.send(());
            }
            Command::Leave(force, reply) => {
                let outcome = self.leave(force).await;
                if outcome.is_ok() {
                    self.settle().await;
                }
                let _ = reply.send(outcome);
            }
            Command::Depart(reply) => self.depart(reply).await,
        }
    }

    /// Notes the intent, so that a restart goes on with it.
    async fn leave(&mut self, force: bool) -> Result<Vec<String>, Refusal> {
        if self.roster.superseded() {
            return Err(Refusal::Superseded);
        }
        if self.roster.cluster_id().is_none() {
            return Err(Refusal::NotFormed);
        }
        let again = self.node.leaving || self.node.left;
        let factor = self.roster.factors().most;
        let staying = self.roster.leave(factor, force || again)?;
        if !again {
            let saved = Saved {
                leaving: true,
                ..self.node.saved.clone()
            };
            let noted = self.node.save(saved).await;
            noted.map_err(|fault| Refusal::Disk(fault.to_string()))?;
            self.node.leaving = true;
            tracing::warn!(?staying, "leaving: everything is handed over to the others");
        }
        Ok(staying)
    }

    async fn depart(&mut self, reply: oneshot::Sender<Result<(), Refusal>>) {
        if !self.node.leaving && !self.node.left {
            let _ = reply.send(Err(Refusal::NotLeaving));
            return;
        }
        if self.node.left && !self.node.leaving {
            let _ = reply.send(Ok(()));
            return;
        }
        self.node.left = true;
        self.roster.depart(now());
        self.farewell.reply = Some(reply);
        self.settle().await;
    }

    /// Tells the others that this node has LEFT, until one knows: a restart before that goes on leaving.
    fn say_farewell(&mut self) {
        let due = self
            .farewell
            .not_before
            .is_none_or(|due| Instant::now() >= due);
        if !self.node.left || !self.node.leaving || self.farewell.telling.is_some() || !due {
            return;
        }
        self.farewell.not_before = Some(Instant::now() + RETRY);
        let (tell, heard) = oneshot::channel();
        let swim = Arc::clone(&self.swim);
        let metadata = self.metadata.encode();
        let others = self.targets.borrow().answering.iter().copied().collect();
        self.tasks.spawn(async move {
            swim.announce(metadata).await;
            let (joined, _) = joining::join_all(swim.as_ref(), others).await;
            let _ = tell.send(joined.len());
            ""
        });
        self.farewell.telling = Some(heard);
    }

    fn hear_farewell(&mut self, heard: usize) {
        self.farewell.telling = None;
        if heard == 0 {
            return;
        }
        tracing::warn!(heard, "this node has LEFT; start it again to join anew");
        self.node.leaving = false;
        self.node.admitted = None;
        if let Some(reply) = self.farewell.reply.take() {
            let _ = reply.send(Ok(()));
        }
    }

    /// Sends the book to everybody at once; those it does not reach get it with an exchange of state.
    fn tell_all(&mut self) {
        for address in self.roster.answering() {
            if address != self.swim.address() {
                let swim = Arc::clone(&self.swim);
                self.tasks.spawn(async move {
                    swim.send_book(address).await;
                    ""
                });
            }
        }
    }

    /// Stops so that the others see it at once: draining, then goodbye. This is no LEFT unless the description says so.
    /// The disk comes last: however slow it is, the goodbye is said within the time that a stop has.
    async fn goodbye(&mut self) {
        self.node.draining = true;
        self.describe();
        let announce = self.swim.announce(self.metadata.encode());
        let _ = tokio::time::timeout(GOODBYE_NOTICE, announce).await;
        // Gossip may come late, and the goodbye would overtake it; an exchange of states has arrived when it returns.
        let others = self.targets.borrow().answering.iter().copied().collect();
        let exchange = joining::join_all(self.swim.as_ref(), others);
        let told = tokio::time::timeout(GOODBYE_NOTICE, exchange).await;
        let told = told.map_or(0, |(joined, _)| joined.len());
        if self.node.left && self.node.leaving && told > 0 {
            // Who stops as soon as it has LEFT is not to go on leaving at its next start.
            self.hear_farewell(told);
        }
        // Nobody is joined any more.
        self.tasks.abort_all();
        self.swim.leave().await;
        self.settle().await;
    }
}

/// The book as the disk has it: how long somebody has been away is not known after a restart.
fn lasting(mut book: Book) -> Book {
    book.writer.clear();
    for entry in book.members.values_mut() {
        entry.stopped_for_ms = None;
    }
    book
}

fn replace<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|last| {
        let news = *last != value;
        if news {
            *last = value;
        }
        news
    });
}

async fn adopted(
    pending: &mut Option<oneshot::Receiver<Result<(), CallFailed>>>,
) -> Result<(), CallFailed> {
    match pending {
        None => std::future::pending().await,
        Some(outcome) => outcome
            .await
            .unwrap_or_else(|_| Err(CallFailed("the call was dropped".into()))),
    }
}

async fn told(pending: &mut Option<oneshot::Receiver<usize>>) -> usize {
    match pending {
        None => std::future::pending().await,
        Some(heard) => heard.await.unwrap_or(0),
    }
}

/// Tells everybody the newest description, one at a time.
async fn keep_announcing<S: Swim>(swim: Arc<S>, mut metadata: watch::Receiver<Vec<u8>>) {
    while metadata.changed().await.is_ok() {
        let newest = metadata.borrow_and_update().clone();
        swim.announce(newest).await;
    }
}

#[cfg(test)]
mod tests;
