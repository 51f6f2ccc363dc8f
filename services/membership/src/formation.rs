//! Formation: how a set of nodes without a cluster becomes one cluster, exactly once.
//!
//! The smallest name mints the id when `bootstrap_expect` nodes are UP and none has one (protocol 7). Two nodes that see
//! different sets could both be the smallest, so minting needs agreement: each node publishes a digest of *everybody it
//! knows* (name and incarnation) once all of them are UP with a store and without a cluster, and only a node whose members
//! all published its own digest mints. From the moment it mints it publishes none. Two sets that share a member cannot
//! both mint: what a node knows only grows, so the member that published both published the larger one later, and a minter
//! never publishes again. The price: one known member that is DOWN stops formation until it is back or forgotten.

use std::collections::BTreeSet;

use crate::metadata::ClusterId;
use crate::roster::{Member, Roster};

/// What the own store says about its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCluster {
    /// It has not answered yet.
    Unknown,
    /// It belongs to none.
    None,
    /// It belongs to this one.
    Some(ClusterId),
}

/// What formation needs beside the roster.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// The own store.
    pub store: StoreCluster,
    /// A cluster this node has chosen, on disk: its store may not have taken it yet.
    pub chosen: Option<ClusterId>,
    /// Nodes that must be UP before a cluster is made.
    pub bootstrap_expect: usize,
    /// Every seed was tried once: a cluster that exists had its chance to be found.
    pub seeds_tried: bool,
}

/// What to do about the cluster now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The store belongs to this cluster: nothing.
    Formed(ClusterId),
    /// Bind the own store to this cluster, after writing the choice to disk.
    Adopt(ClusterId),
    /// Make a new cluster id, then as [`Decision::Adopt`].
    Mint,
    /// Wait, and say why.
    Wait(String),
}

/// Decides. `published` is the digest this node's description carries now.
pub fn decide(roster: &Roster, situation: &Situation, published: Option<u64>) -> Decision {
    match (situation.store, situation.chosen) {
        (StoreCluster::Some(id), _) => return Decision::Formed(id),
        (StoreCluster::Unknown, _) => {
            return Decision::Wait(
                "this node's store does not answer yet: `stemedb local list`, or its log".into(),
            );
        }
        (StoreCluster::None, Some(id)) => return Decision::Adopt(id),
        (StoreCluster::None, None) => {}
    }
    if let Some(decision) = existing(roster) {
        return decision;
    }
    if let Some(reason) = obstacle(roster, situation) {
        return Decision::Wait(reason);
    }
    let smallest = roster
        .known()
        .next()
        .map_or(roster.name(), |(name, _)| name.as_str());
    if smallest != roster.name() {
        return Decision::Wait(format!("{smallest} to make the cluster id"));
    }
    let digest = digest(roster);
    let agree = |(name, member): (&String, &Member)| {
        let theirs = if name == roster.name() {
            published
        } else {
            member.metadata.agreed
        };
        theirs == Some(digest)
    };
    if roster.known().all(agree) {
        Decision::Mint
    } else {
        Decision::Wait("the members to agree on who they are".into())
    }
}

/// The digest this node publishes: only while it could be part of a new cluster as it knows the members now.
pub fn agreed(roster: &Roster, situation: &Situation) -> Option<u64> {
    let open = situation.store == StoreCluster::None && situation.chosen.is_none();
    (open && existing(roster).is_none() && obstacle(roster, situation).is_none())
        .then(|| digest(roster))
}

/// A cluster that exists already is joined, never doubled.
fn existing(roster: &Roster) -> Option<Decision> {
    let clusters = |answering: bool| -> BTreeSet<ClusterId> {
        roster
            .known()
            .filter(|(_, member)| member.alive() || !answering)
            .filter_map(|(_, member)| member.metadata.cluster_id)
            .collect()
    };
    let answering = clusters(true);
    let all = clusters(false);
    match (answering.len(), all.first()) {
        (1, Some(_)) => answering.first().copied().map(Decision::Adopt),
        (0, Some(id)) => Some(Decision::Wait(format!(
            "a member of cluster {id} to answer: those known are DOWN; start one, or `stemedb node forget` them"
        ))),
        (0, None) => None,
        _ => Some(Decision::Wait(format!(
            "a decision of yours: members of several clusters answer ({}); correct the seeds",
            answering
                .iter()
                .map(ClusterId::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

/// Why no cluster can be made of the known members now.
fn obstacle(roster: &Roster, situation: &Situation) -> Option<String> {
    let ready = |member: &Member| member.alive() && member.metadata.store_id.is_some();
    let up = roster.known().filter(|(_, member)| ready(member)).count();
    if up < situation.bootstrap_expect {
        return Some(format!(
            "{} nodes with a store (bootstrap_expect), {up} answer: start the others, or check the seeds",
            situation.bootstrap_expect
        ));
    }
    if !situation.seeds_tried {
        return Some("the seeds to be tried once".into());
    }
    let missing = roster.known().find(|(_, member)| !ready(member));
    missing.map(|(name, _)| {
        format!("{name}, which is known but has no store that answers: start it, or `stemedb node forget {name}`")
    })
}

/// Whether this node is one of those that the cluster was made of: its maker named exactly those that are known here. Their stores
/// are empty, and none of them ever counted on fewer members.
pub fn is_founder(roster: &Roster, id: ClusterId) -> bool {
    let own = digest(roster);
    roster.known().any(|(_, member)| {
        member.alive()
            && member.metadata.cluster_id == Some(id)
            && member.metadata.founders == Some(own)
    })
}

/// A digest of everybody known: names and incarnations.
pub fn digest(roster: &Roster) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for (name, member) in roster.known() {
        hasher.update(&(name.len() as u64).to_be_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&member.incarnation.to_be_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::fixture::{CLUSTER, OTHER_CLUSTER, at, peer, peer_with, roster};
    use crate::swim::Peer;

    const OPEN: Situation = Situation {
        store: StoreCluster::None,
        chosen: None,
        bootstrap_expect: 3,
        seeds_tried: true,
    };

    fn seeing(name: &str, peers: &[Peer]) -> Roster {
        let book = Book {
            num_shards: 256,
            ..Book::default()
        };
        let mut roster = roster(name, 1, book);
        roster.observe(peers, at(1));
        roster
    }

    fn waits(decision: &Decision, word: &str) -> bool {
        matches!(decision, Decision::Wait(reason) if reason.contains(word))
    }

    /// The peers as they are once each has published the digest of its own set.
    fn agreeing(names: &[&str], on: u64) -> Vec<Peer> {
        names
            .iter()
            .map(|name| peer_with(name, 1, true, |metadata| metadata.agreed = Some(on)))
            .collect()
    }

    #[test]
    fn the_smallest_of_the_expected_nodes_mints_once_all_agree() {
        let silent = [peer("node2", 1, true), peer("node3", 1, true)];
        let roster = seeing("node1", &silent);
        let own = agreed(&roster, &OPEN);
        assert!(own.is_some());
        assert!(waits(&decide(&roster, &OPEN, own), "agree"));

        let roster = seeing("node1", &agreeing(&["node2", "node3"], own.unwrap()));
        assert_eq!(decide(&roster, &OPEN, own), Decision::Mint);
        assert!(
            waits(&decide(&roster, &OPEN, None), "agree"),
            "own digest not published yet"
        );

        let roster = seeing("node2", &agreeing(&["node1", "node3"], own.unwrap()));
        assert!(waits(&decide(&roster, &OPEN, own), "node1"));
    }

    #[test]
    fn all_of_one_set_publish_one_digest() {
        let first = seeing("node1", &[peer("node2", 1, true), peer("node3", 1, true)]);
        let third = seeing("node3", &[peer("node2", 1, true), peer("node1", 1, true)]);
        assert_eq!(agreed(&first, &OPEN), agreed(&third, &OPEN));
        let restarted = seeing("node1", &[peer("node2", 9, true), peer("node3", 1, true)]);
        assert_ne!(agreed(&first, &OPEN), agreed(&restarted, &OPEN));
    }

    #[test]
    fn a_node_that_sees_a_cluster_joins_it_and_never_mints() {
        let member = peer_with("node2", 1, true, |metadata| {
            metadata.cluster_id = Some(CLUSTER);
        });
        let alone = Situation {
            bootstrap_expect: 1,
            ..OPEN
        };
        let roster = seeing("node1", std::slice::from_ref(&member));
        assert_eq!(decide(&roster, &alone, None), Decision::Adopt(CLUSTER));
        assert_eq!(agreed(&roster, &alone), None);

        let dead = Peer {
            alive: false,
            ..member.clone()
        };
        let roster = seeing("node1", &[dead]);
        assert!(waits(&decide(&roster, &alone, None), &CLUSTER.to_string()));

        let stranger = peer_with("node3", 1, true, |metadata| {
            metadata.cluster_id = Some(OTHER_CLUSTER);
        });
        let roster = seeing("node1", &[member, stranger]);
        assert!(waits(&decide(&roster, &alone, None), "several clusters"));
    }

    #[test]
    fn a_known_member_that_is_down_stops_formation() {
        let peers = [
            peer("node0", 1, false),
            peer("node2", 1, true),
            peer("node3", 1, true),
        ];
        let mut roster = seeing("node1", &peers);
        assert!(waits(&decide(&roster, &OPEN, None), "node0"));
        assert_eq!(agreed(&roster, &OPEN), None);
        roster.forget("node0", at(2)).unwrap();
        assert!(agreed(&roster, &OPEN).is_some());
    }

    #[test]
    fn too_few_nodes_wait_and_one_alone_mints_when_that_is_expected() {
        let roster = seeing("node1", &[peer("node2", 1, true)]);
        assert!(waits(&decide(&roster, &OPEN, None), "bootstrap_expect"));

        let alone = Situation {
            bootstrap_expect: 1,
            ..OPEN
        };
        let roster = seeing("node1", &[]);
        let own = agreed(&roster, &alone);
        assert_eq!(decide(&roster, &alone, own), Decision::Mint);
        let untried = Situation {
            seeds_tried: false,
            ..alone
        };
        assert!(waits(&decide(&roster, &untried, own), "seeds"));
    }

    #[test]
    fn the_stores_cluster_and_the_choice_on_disk_come_first() {
        let roster = seeing("node1", &[]);
        let bound = Situation {
            store: StoreCluster::Some(CLUSTER),
            ..OPEN
        };
        assert_eq!(decide(&roster, &bound, None), Decision::Formed(CLUSTER));
        let chosen = Situation {
            chosen: Some(CLUSTER),
            ..OPEN
        };
        assert_eq!(decide(&roster, &chosen, None), Decision::Adopt(CLUSTER));
        assert_eq!(agreed(&roster, &chosen), None);
        let silent = Situation {
            store: StoreCluster::Unknown,
            ..chosen
        };
        assert!(waits(&decide(&roster, &silent, None), "store"));
    }
}
