//! SWIM by the `memberlist` crate, with every setting that its defaults get wrong for us.
//!
//! What is set and why (measured; `docs/adr/0003-membership.md`): a key alone does not encrypt, so key, algorithm and both
//! verify flags are set together and checked; the same id on a new port is refused until the old one is dead, so ids carry
//! the incarnation and are never used twice; an unspecified bind address would be advertised as something unbound, so the
//! advertised address is always given; the delegates run under the library's own lock, so they only leave notes.

mod door;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use memberlist::Options;
use memberlist::net::NetTransportOptions;
use memberlist::proto::{EncryptionAlgorithm, Label, MaybeResolvedAddress, Node, SecretKey};
use memberlist::tokio::{TokioSocketAddrResolver, TokioTcp, TokioTcpMemberlist};
use smol_str::SmolStr;

use super::{JoinFailed, Peer, Swim};
use crate::admission::Requirements;
use door::{Door, Notes};

/// One probe round. Smaller finds the dead sooner and costs packets.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How long one datagram may take there and back.
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);
/// How often news is passed on.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(100);
/// How often whole states (and books) are exchanged with a random peer: bounds how long anything can stay unknown.
const PUSH_PULL_INTERVAL: Duration = Duration::from_secs(5);
/// Suspicion lasts this many probe intervals: with 4 the dead are declared within 5 s, and 40 % loss kills nobody.
const SUSPICION_MULT: usize = 4;
/// A suspicion that nobody confirms lasts at most this many times as long. With the library's 6, a node of four whose
/// neighbour is dead already was found DOWN after 7 s: the dead one was still expected to confirm.
const SUSPICION_MAX_TIMEOUT_MULT: usize = 2;
/// How often news is passed on, times log10 of the members. With the preset's 2, five nodes that join at once can leave one
/// with three of five members; with 4, one change of a description in some fifty reached somebody only by the next
/// exchange of states, seconds later. Packets are cheap at this size.
const RETRANSMIT_MULT: usize = 8;
/// Streams, and with them the TCP fallback of a probe. 10 s, the library's default, delays finding a black hole.
const STREAM_TIMEOUT: Duration = Duration::from_secs(1);
/// An id may move to another address this long after its death. Ids are never used twice; it only must not be zero.
const RECLAIM: Duration = Duration::from_secs(3);
/// The dead are kept in the library's list for ever: when it drops one (0.8.5, `reset_nodes`), it moves others without telling
/// its index, and the shuffle that follows leaves the entry at place 0 as it is about once in as many times as there are
/// nodes. News of that member then change another one, or panic. A name's next incarnation is a new entry, so the list grows
/// by one for each restart; some packets go to the dead.
const DEAD_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A join opens, sends and reads: three stream timeouts bound it, this is less.
const JOIN_TIMEOUT: Duration = Duration::from_millis(2_500);
/// A changed description is known to all well within this; if not, the next exchange of state brings it.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);
/// Goodbye has to fit into a pod's last seconds; those who miss it find out by probing.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// Datagrams of one of our own pings: one lost packet is no sign of anything.
const PING_TRIES: usize = 2;
/// Tries to find a port that is free for TCP and UDP alike.
const PORT_TRIES: usize = 16;

/// What the memberlist process needs to start.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// Node name.
    pub name: String,
    /// Incarnation of this process.
    pub incarnation: u64,
    /// Packets of other cluster names are not read.
    pub cluster_name: String,
    /// Everything is encrypted with a key derived from it, when given.
    pub secret: Option<String>,
    /// Where to listen, UDP and TCP. Port 0: any.
    pub bind: SocketAddr,
    /// The address others are told; the port is the bound one.
    pub advertise: IpAddr,
    /// The first description of this process.
    pub metadata: Vec<u8>,
    /// What peers have to fulfil at first.
    pub requirements: Requirements,
    /// The first book.
    pub book: Vec<u8>,
}

/// Why SWIM did not start.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// Not a label.
    #[error("cluster name {name:?} cannot be used: {detail}")]
    ClusterName {
        /// As given.
        name: String,
        /// Why.
        detail: String,
    },
    /// Listening or starting failed.
    #[error(
        "SWIM did not start on {bind} (UDP and TCP): {detail}; set STEMEDB_SWIM_ADDR to a free address"
    )]
    Start {
        /// Where.
        bind: SocketAddr,
        /// Why.
        detail: String,
    },
    /// A secret was given, and traffic would be in the clear all the same.
    #[error("a cluster secret is set but SWIM traffic would not be encrypted: refusing to start")]
    NotEncrypted,
    /// No port is free for both protocols.
    #[error("no port of {0} is free for both TCP and UDP")]
    NoPort(IpAddr),
}

type Handle = TokioTcpMemberlist<SmolStr, TokioSocketAddrResolver, Door>;

/// A running memberlist process.
pub struct Gossip {
    handle: Handle,
    notes: Arc<Notes>,
    address: SocketAddr,
}

impl Gossip {
    /// Binds and starts. Nobody is joined yet.
    ///
    /// # Errors
    /// When the address is taken, the cluster name cannot be a label, or encryption would not be on despite a secret.
    pub async fn start(config: GossipConfig) -> Result<Gossip, GossipError> {
        let bind = match config.bind.port() {
            0 => free_port(config.bind.ip())?,
            _ => config.bind,
        };
        let address = SocketAddr::new(config.advertise, bind.port());
        let options = options(&config)?;
        let notes = Arc::new(Notes::new(&config));
        let id = SmolStr::new(format!("{}/{}", config.name, config.incarnation));
        let mut transport =
            NetTransportOptions::<SmolStr, TokioSocketAddrResolver, TokioTcp>::new(id)
                .with_advertise_address(address);
        transport.add_bind_address(bind);
        let handle = Handle::with_delegate(Door::new(Arc::clone(&notes)), transport, options)
            .await
            .map_err(|fault| GossipError::Start {
                bind,
                detail: fault.to_string(),
            })?;
        if config.secret.is_some() && !handle.encryption_enabled() {
            let _ = handle.shutdown().await;
            return Err(GossipError::NotEncrypted);
        }
        Ok(Gossip {
            handle,
            notes,
            address,
        })
    }
}

fn options(config: &GossipConfig) -> Result<Options, GossipError> {
    let label = Label::try_from(config.cluster_name.as_str()).map_err(|fault| {
        GossipError::ClusterName {
            name: config.cluster_name.clone(),
            detail: fault.to_string(),
        }
    })?;
    let options = Options::local()
        .with_label(label)
        .with_probe_interval(PROBE_INTERVAL)
        .with_probe_timeout(PROBE_TIMEOUT)
        .with_gossip_interval(GOSSIP_INTERVAL)
        .with_push_pull_interval(PUSH_PULL_INTERVAL)
        .with_suspicion_mult(SUSPICION_MULT)
        .with_suspicion_max_timeout_mult(SUSPICION_MAX_TIMEOUT_MULT)
        .with_retransmit_mult(RETRANSMIT_MULT)
        .with_timeout(STREAM_TIMEOUT)
        .with_dead_node_reclaim_time(RECLAIM)
        .with_gossip_to_the_dead_time(DEAD_KEPT);
    let Some(secret) = &config.secret else {
        return Ok(options);
    };
    Ok(options
        .with_primary_key(key(secret))
        .with_encryption_algo(EncryptionAlgorithm::NoPadding)
        .with_gossip_verify_outgoing(true)
        .with_gossip_verify_incoming(true))
}

/// The key of SWIM traffic, for nothing else.
fn key(secret: &str) -> SecretKey {
    SecretKey::Aes256(blake3::derive_key(
        "stemedb 2026-11 membership gossip key",
        secret.as_bytes(),
    ))
}

/// A port that is free for both protocols, for nodes that do not care which.
fn free_port(ip: IpAddr) -> Result<SocketAddr, GossipError> {
    (0..PORT_TRIES)
        .find_map(|_| {
            let listener = TcpListener::bind((ip, 0)).ok()?;
            let address = listener.local_addr().ok()?;
            UdpSocket::bind(address).ok().map(|_| address)
        })
        .ok_or(GossipError::NoPort(ip))
}

/// `name/incarnation`, as ids are written.
pub(crate) fn split_id(id: &str) -> Option<(&str, u64)> {
    let (name, incarnation) = id.rsplit_once('/')?;
    Some((name, incarnation.parse().ok()?))
}

impl Swim for Gossip {
    async fn peers(&self) -> Vec<Peer> {
        let own = self.handle.local_id().clone();
        let online = self.handle.online_members().await;
        let alive: std::collections::HashSet<&SmolStr> =
            online.iter().map(|node| node.id()).collect();
        let mut peers: Vec<Peer> = self
            .handle
            .members()
            .await
            .iter()
            .filter(|node| *node.id() != own)
            .filter_map(|node| door::peer(node, alive.contains(node.id())))
            .collect();
        peers.extend(self.notes.kept_out());
        peers
    }

    async fn changed(&self) {
        self.notes.news.notified().await;
    }

    fn books(&self) -> Vec<Vec<u8>> {
        self.notes.take_books()
    }

    fn keep_book(&self, book: Vec<u8>) {
        self.notes.keep_book(book);
    }

    fn require(&self, requirements: Requirements) {
        self.notes.require(requirements);
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn join(&self, address: SocketAddr) -> Result<(), JoinFailed> {
        let joining = self.handle.join(MaybeResolvedAddress::resolved(address));
        match tokio::time::timeout(JOIN_TIMEOUT, joining).await {
            Err(_) => Err(JoinFailed(format!("{address} does not answer"))),
            Ok(Err(fault)) => Err(JoinFailed(format!("{address}: {fault}"))),
            Ok(Ok(_)) => match self.notes.reason_for(address) {
                Some(reason) => Err(JoinFailed(reason)),
                None => Ok(()),
            },
        }
    }

    async fn announce(&self, metadata: Vec<u8>) {
        self.notes.describe(metadata);
        if let Err(fault) = self.handle.update_node(ANNOUNCE_TIMEOUT).await {
            tracing::debug!(%fault, "the new description travels with the next exchange of state");
        }
    }

    async fn send_book(&self, address: SocketAddr) -> bool {
        let sending = self.handle.send_reliable(&address, self.notes.book());
        matches!(
            tokio::time::timeout(JOIN_TIMEOUT, sending).await,
            Ok(Ok(()))
        )
    }

    async fn ping(&self, peer: &Peer) -> bool {
        let id = SmolStr::new(format!("{}/{}", peer.name, peer.incarnation));
        for _ in 0..PING_TRIES {
            let node = Node::new(id.clone(), peer.address);
            if self.handle.ping(node).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn leave(&self) {
        let goodbye = async {
            if let Err(fault) = self.handle.leave(GOODBYE_TIMEOUT).await {
                tracing::debug!(%fault, "goodbye did not reach everybody");
            }
            if let Err(fault) = self.handle.shutdown().await {
                tracing::debug!(%fault, "SWIM did not stop cleanly");
            }
        };
        if tokio::time::timeout(2 * STREAM_TIMEOUT, goodbye)
            .await
            .is_err()
        {
            tracing::warn!("SWIM did not stop in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_splits_at_its_last_slash() {
        assert_eq!(split_id("node1/17"), Some(("node1", 17)));
        assert_eq!(split_id("a/b/17"), Some(("a/b", 17)));
        assert_eq!(split_id("node1"), None);
        assert_eq!(split_id("node1/x"), None);
    }

    #[test]
    fn the_dead_are_never_dropped() {
        let config = GossipConfig {
            name: "node1".into(),
            incarnation: 1,
            cluster_name: "stemedb".into(),
            secret: None,
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: IpAddr::from([127, 0, 0, 1]),
            metadata: Vec::new(),
            requirements: Requirements {
                num_shards: 256,
                cluster_id: None,
            },
            book: Vec::new(),
        };
        let kept = options(&config).unwrap().gossip_to_the_dead_time();
        assert!(kept > Duration::from_secs(365 * 24 * 60 * 60), "{kept:?}");
    }

    #[test]
    fn different_secrets_give_different_keys() {
        assert_ne!(key("water"), key("ammonia"));
        assert_eq!(key("water"), key("water"));
    }
}
