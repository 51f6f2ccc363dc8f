//! Our side of memberlist's callbacks. They run while the library holds its member table, so they never wait: they check
//! who may come in, and leave notes that the service picks up.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memberlist::bytes::Bytes;
use memberlist::delegate::{
    AliveDelegate, ConflictDelegate, Delegate, EventDelegate, MergeDelegate, NodeDelegate,
    PingDelegate,
};
use memberlist::proto::{Meta, NodeState};
use smol_str::SmolStr;
use tokio::sync::Notify;

use super::{GossipConfig, Peer, split_id};
use crate::admission::{Requirements, admit_peer};
use crate::book::BOOK_BYTES_MAX;

type State = NodeState<SmolStr, SocketAddr>;

/// Received books that wait for the service. Each is a whole state, so the oldest can go.
const BOOKS_MAX: usize = 32;
/// Refused peers that are remembered to be shown: enough to see a pattern.
const KEPT_OUT_MAX: usize = 32;
/// A refused peer that is not met again for this long is no longer shown, and may be tried again.
const KEPT_OUT_FOR: Duration = Duration::from_secs(10);

/// Refused at the door; the reason is for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct KeptOut(String);

struct Refusal {
    peer: Peer,
    reason: String,
    met: Instant,
}

/// What the callbacks and the service leave for each other.
pub(super) struct Notes {
    name: String,
    incarnation: u64,
    metadata: Mutex<Meta>,
    book: Mutex<Bytes>,
    requirements: Mutex<Requirements>,
    books: Mutex<VecDeque<Vec<u8>>>,
    refusals: Mutex<BTreeMap<String, Refusal>>,
    /// Told when there is something to look at.
    pub(super) news: Notify,
}

/// Nothing panics while holding one of these locks; a poisoned one still holds whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn meta(metadata: Vec<u8>) -> Meta {
    // Descriptions are bounded far below the library's limit; should one ever exceed it, saying nothing makes this node
    // be refused by the others, which is visible, where a panic inside the library would not be.
    Meta::try_from(metadata).unwrap_or_else(|fault| {
        tracing::error!(%fault, "this node's description is too large for SWIM");
        Meta::empty()
    })
}

impl Notes {
    pub(super) fn new(config: &GossipConfig) -> Notes {
        Notes {
            name: config.name.clone(),
            incarnation: config.incarnation,
            metadata: Mutex::new(meta(config.metadata.clone())),
            book: Mutex::new(config.book.clone().into()),
            requirements: Mutex::new(config.requirements),
            books: Mutex::default(),
            refusals: Mutex::default(),
            news: Notify::new(),
        }
    }

    pub(super) fn describe(&self, metadata: Vec<u8>) {
        *lock(&self.metadata) = meta(metadata);
    }

    pub(super) fn keep_book(&self, book: Vec<u8>) {
        *lock(&self.book) = book.into();
    }

    pub(super) fn book(&self) -> Bytes {
        lock(&self.book).clone()
    }

    pub(super) fn require(&self, requirements: Requirements) {
        *lock(&self.requirements) = requirements;
    }

    pub(super) fn take_books(&self) -> Vec<Vec<u8>> {
        lock(&self.books).drain(..).collect()
    }

    /// Peers refused lately, as they were met.
    pub(super) fn kept_out(&self) -> Vec<Peer> {
        let mut refusals = lock(&self.refusals);
        refusals.retain(|_, refusal| refusal.met.elapsed() < KEPT_OUT_FOR);
        refusals
            .values()
            .map(|refusal| refusal.peer.clone())
            .collect()
    }

    /// Why the peer at an address was refused, if it was.
    pub(super) fn reason_for(&self, address: SocketAddr) -> Option<String> {
        lock(&self.refusals)
            .values()
            .find(|refusal| refusal.peer.address == address && refusal.met.elapsed() < KEPT_OUT_FOR)
            .map(|refusal| refusal.reason.clone())
    }

    fn receive(&self, book: &[u8]) {
        if book.len() > BOOK_BYTES_MAX {
            tracing::debug!(bytes = book.len(), "a book over the limit is not looked at");
            return;
        }
        let mut books = lock(&self.books);
        if books.len() == BOOKS_MAX {
            books.pop_front();
        }
        books.push_back(book.to_vec());
        drop(books);
        self.news.notify_one();
    }

    fn check(&self, state: &State) -> Result<(), KeptOut> {
        let Some(mut peer) = peer(state, true) else {
            return Err(KeptOut(format!(
                "an id of another form: {:.80}",
                state.id()
            )));
        };
        if peer.name == self.name {
            return Ok(());
        }
        let requirements = *lock(&self.requirements);
        let outcome = admit_peer(&requirements, &peer);
        let mut refusals = lock(&self.refusals);
        match outcome {
            Ok(_) => {
                refusals.remove(&peer.name);
                Ok(())
            }
            Err(reason) => {
                if refusals.len() < KEPT_OUT_MAX || refusals.contains_key(&peer.name) {
                    peer.kept_out = true;
                    let refusal = Refusal {
                        reason: reason.clone(),
                        met: Instant::now(),
                        peer,
                    };
                    refusals.insert(refusal.peer.name.clone(), refusal);
                }
                drop(refusals);
                self.news.notify_one();
                Err(KeptOut(reason))
            }
        }
    }
}

/// A peer from the library's record of it. `None` for an id that is not ours in form.
pub(super) fn peer(state: &State, alive: bool) -> Option<Peer> {
    let (name, incarnation) = split_id(state.id())?;
    Some(Peer {
        name: name.to_owned(),
        incarnation,
        address: *state.address(),
        metadata: state.meta().to_vec(),
        alive,
        kept_out: false,
    })
}

/// The delegate handed to the library.
pub(super) struct Door {
    notes: Arc<Notes>,
}

impl Door {
    pub(super) fn new(notes: Arc<Notes>) -> Door {
        Door { notes }
    }
}

impl Delegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;
}

impl AliveDelegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;
    type Error = KeptOut;

    async fn notify_alive(&self, peer: Arc<State>) -> Result<(), KeptOut> {
        self.notes.check(&peer)
    }
}

impl MergeDelegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;
    type Error = KeptOut;

    async fn notify_merge(&self, _peers: Arc<[State]>) -> Result<(), KeptOut> {
        // Each peer is checked on its own when it is taken.
        Ok(())
    }
}

impl EventDelegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;

    async fn notify_join(&self, _node: Arc<State>) {
        self.notes.news.notify_one();
    }

    async fn notify_leave(&self, _node: Arc<State>) {
        self.notes.news.notify_one();
    }

    async fn notify_update(&self, _node: Arc<State>) {
        self.notes.news.notify_one();
    }
}

impl ConflictDelegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;

    async fn notify_conflict(&self, existing: Arc<State>, other: Arc<State>) {
        tracing::error!(
            id = %existing.id(),
            first = %existing.address(),
            second = %other.address(),
            own = self.notes.incarnation,
            "one id is used at two addresses: two nodes run with one STEMEDB_NODE_ID; stop one of them"
        );
    }
}

impl PingDelegate for Door {
    type Id = SmolStr;
    type Address = SocketAddr;

    async fn ack_payload(&self) -> Bytes {
        Bytes::new()
    }

    async fn notify_ping_complete(&self, _node: Arc<State>, _rtt: Duration, _payload: Bytes) {}
}

impl NodeDelegate for Door {
    async fn node_meta(&self, _limit: usize) -> Meta {
        lock(&self.notes.metadata).clone()
    }

    async fn notify_message(&self, message: Cow<'_, [u8]>) {
        self.notes.receive(&message);
    }

    async fn local_state(&self, _join: bool) -> Bytes {
        self.notes.book()
    }

    async fn merge_remote_state(&self, book: &[u8], _join: bool) {
        self.notes.receive(book);
    }
}
