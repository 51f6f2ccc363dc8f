//! A SWIM of function calls: the same trait over a table of processes in one place, for tests of everything above it.
//! News travels at once; what the real protocol does over time (suspicion, loss) is left to the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::{JoinFailed, Peer, Swim};
use crate::admission::{Requirements, admit_peer};

#[derive(Default)]
struct Process {
    peer: Option<Peer>,
    requirements: Option<Requirements>,
    /// Everybody it has heard of, as last heard.
    heard: BTreeMap<SocketAddr, Peer>,
    book: Vec<u8>,
    inbox: Vec<Vec<u8>>,
    running: bool,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Network {
    processes: BTreeMap<SocketAddr, Process>,
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
}

/// The place all fakes of a test share.
#[derive(Clone, Default)]
pub(crate) struct FakeNetwork(Arc<Mutex<Network>>);

impl FakeNetwork {
    fn lock(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap()
    }

    /// A process that has joined nobody.
    pub(crate) fn start(&self, mut peer: Peer, requirements: Requirements) -> FakeSwim {
        peer.alive = true;
        let address = peer.address;
        let news = Arc::new(Notify::new());
        let process = Process {
            peer: Some(peer),
            requirements: Some(requirements),
            running: true,
            news: Arc::clone(&news),
            ..Process::default()
        };
        self.lock().processes.insert(address, process);
        FakeSwim {
            network: self.clone(),
            address,
            news,
        }
    }

    /// Stops a process without a word; the others have noticed when this returns.
    pub(crate) fn kill(&self, address: SocketAddr) {
        let mut network = self.lock();
        if let Some(process) = network.processes.get_mut(&address) {
            process.running = false;
        }
        network.tell_all();
    }

    /// Cuts or heals the link between two processes.
    pub(crate) fn cut(&self, one: SocketAddr, other: SocketAddr, cut: bool) {
        let mut network = self.lock();
        for link in [(one, other), (other, one)] {
            if cut {
                network.cut.insert(link);
            } else {
                network.cut.remove(&link);
            }
        }
        network.tell_all();
    }
}

impl Network {
    fn reaches(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let runs = |at| {
            self.processes
                .get(&at)
                .is_some_and(|process| process.running)
        };
        runs(from) && runs(to) && !self.cut.contains(&(from, to))
    }

    fn tell_all(&self) {
        for process in self.processes.values() {
            process.news.notify_one();
        }
    }

    /// What `at` says of itself now.
    fn current(&self, at: SocketAddr) -> Option<&Peer> {
        self.processes.get(&at)?.peer.as_ref()
    }

    /// Everybody `from` has heard of hears of everybody else it has heard of, as far as links reach.
    fn spread(&mut self, from: SocketAddr) {
        let Some(process) = self.processes.get(&from) else {
            return;
        };
        let mut all = process.heard.clone();
        if let Some(own) = &process.peer {
            all.insert(from, own.clone());
        }
        for address in all.keys().copied().collect::<Vec<_>>() {
            if address != from && !self.reaches(from, address) {
                continue;
            }
            if let Some(process) = self.processes.get_mut(&address) {
                for (other, peer) in &all {
                    if *other != address {
                        process.heard.entry(*other).or_insert_with(|| peer.clone());
                    }
                }
            }
        }
    }
}

/// One process of the fake network.
pub(crate) struct FakeSwim {
    network: FakeNetwork,
    address: SocketAddr,
    news: Arc<Notify>,
}

impl Swim for FakeSwim {
    async fn peers(&self) -> Vec<Peer> {
        let mut network = self.network.lock();
        let heard: Vec<SocketAddr> = network.processes[&self.address]
            .heard
            .keys()
            .copied()
            .collect();
        for address in heard {
            let alive = network.reaches(self.address, address);
            let current = network.current(address).cloned();
            let process = network.processes.get_mut(&self.address).unwrap();
            let known = process.heard.get_mut(&address).unwrap();
            if let Some(current) = current.filter(|_| alive) {
                *known = current;
            }
            known.alive = alive;
        }
        let process = &network.processes[&self.address];
        let requirements = process.requirements.unwrap();
        process
            .heard
            .values()
            .cloned()
            .map(|mut peer| {
                peer.kept_out = admit_peer(&requirements, &peer).is_err();
                peer
            })
            .collect()
    }

    async fn changed(&self) {
        self.news.notified().await;
    }

    fn books(&self) -> Vec<Vec<u8>> {
        let mut network = self.network.lock();
        let process = network.processes.get_mut(&self.address).unwrap();
        std::mem::take(&mut process.inbox)
    }

    fn keep_book(&self, book: Vec<u8>) {
        let mut network = self.network.lock();
        network.processes.get_mut(&self.address).unwrap().book = book;
    }

    fn require(&self, requirements: Requirements) {
        let mut network = self.network.lock();
        let process = network.processes.get_mut(&self.address).unwrap();
        process.requirements = Some(requirements);
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn join(&self, address: SocketAddr) -> Result<(), JoinFailed> {
        let mut network = self.network.lock();
        if !network.reaches(self.address, address) {
            return Err(JoinFailed(format!("{address} does not answer")));
        }
        for (one, other) in [(self.address, address), (address, self.address)] {
            let peer = network.current(other).cloned().unwrap();
            let book = network.processes[&other].book.clone();
            let process = network.processes.get_mut(&one).unwrap();
            process.heard.insert(other, peer);
            process.inbox.push(book);
        }
        network.spread(address);
        network.spread(self.address);
        network.tell_all();
        Ok(())
    }

    async fn announce(&self, metadata: Vec<u8>) {
        let mut network = self.network.lock();
        let process = network.processes.get_mut(&self.address).unwrap();
        if let Some(own) = &mut process.peer {
            own.metadata.clone_from(&metadata);
        }
        let all: Vec<SocketAddr> = network.processes.keys().copied().collect();
        for address in all {
            if network.reaches(self.address, address)
                && let Some(process) = network.processes.get_mut(&address)
                && let Some(heard) = process.heard.get_mut(&self.address)
            {
                heard.metadata.clone_from(&metadata);
            }
        }
        network.tell_all();
    }

    async fn send_book(&self, address: SocketAddr) -> bool {
        let mut network = self.network.lock();
        if !network.reaches(self.address, address) {
            return false;
        }
        let book = network.processes[&self.address].book.clone();
        let process = network.processes.get_mut(&address).unwrap();
        process.inbox.push(book);
        process.news.notify_one();
        true
    }

    async fn ping(&self, peer: &Peer) -> bool {
        let network = self.network.lock();
        network.reaches(self.address, peer.address)
            && network
                .current(peer.address)
                .is_some_and(|now| now.incarnation == peer.incarnation)
    }

    async fn leave(&self) {
        self.network.kill(self.address);
    }
}
