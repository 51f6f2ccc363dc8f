//! SWIM as this service needs it: one small trait, so that the library behind it can be replaced and tests can do without.

#[cfg(test)]
pub(crate) mod fake;
pub mod gossip;

use std::future::Future;
use std::net::SocketAddr;

use crate::admission::Requirements;

/// One process as SWIM knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Node name.
    pub name: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Where it speaks SWIM.
    pub address: SocketAddr,
    /// What it says of itself, not looked at yet.
    pub metadata: Vec<u8>,
    /// Alive or suspected, not dead.
    pub alive: bool,
    /// It was refused at the door and takes no part in SWIM here.
    pub kept_out: bool,
}

/// Why a join led nowhere, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JoinFailed(pub String);

/// A running SWIM process of ours.
///
/// It hands out its picture whole; [`Swim::changed`] says when it is worth looking. Nothing here blocks the protocol.
pub trait Swim: Send + Sync + 'static {
    /// Every peer it has, this process left out, dead and refused ones included.
    fn peers(&self) -> impl Future<Output = Vec<Peer>> + Send;

    /// Resolves after something changed since it last resolved: a peer, or a received book.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Books received from other members since the last call, oldest first.
    fn books(&self) -> Vec<Vec<u8>>;

    /// The book that other members get with the next exchange of state.
    fn keep_book(&self, book: Vec<u8>);

    /// What a peer has to fulfil from now on.
    fn require(&self, requirements: Requirements);

    /// Where this process speaks SWIM, as others are told.
    fn address(&self) -> SocketAddr;

    /// Exchanges the whole state with whoever is at an address.
    fn join(&self, address: SocketAddr) -> impl Future<Output = Result<(), JoinFailed>> + Send;

    /// Tells everybody a new description of this process.
    fn announce(&self, metadata: Vec<u8>) -> impl Future<Output = ()> + Send;

    /// Sends the kept book to one peer at once.
    fn send_book(&self, address: SocketAddr) -> impl Future<Output = bool> + Send;

    /// One question to one peer; whether it answered in time.
    fn ping(&self, peer: &Peer) -> impl Future<Output = bool> + Send;

    /// Says goodbye, so that the others need not find out, and stops.
    fn leave(&self) -> impl Future<Output = ()> + Send;
}
