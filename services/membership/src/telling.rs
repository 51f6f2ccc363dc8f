//! When a new member's copies may count: once the stores of enough others were told of it.
//!
//! A store judges what it may call complete by the members that it was told of. A copy on a member that the others' stores do not
//! know is none to them, and an answer without that record would be called complete (docs/adr/0008-completeness.md). So a new
//! member stays `joining`, owns nothing, and nobody counts its copies, until their stores know. Each member publishes a digest of
//! the names that its own store was told of; the newcomer compares it with that of the names it knows itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::metadata::Phase;
use crate::roster::{Member, Roster};

/// A digest of a set of names, in ascending order.
pub fn digest<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(&(name.len() as u64).to_be_bytes());
        hasher.update(name.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// The digest of everybody known here.
pub fn known(roster: &Roster) -> u64 {
    digest(roster.known().map(|(name, _)| name.as_str()))
}

/// Whom this node still waits for before its copies may count; `None`: they may. `factor`: copies of every record.
///
/// The stores of all members that answer must know, and of `factor` members in any case: one that is away is not told, and may
/// judge by what it knew when it comes back.
pub fn lacking(roster: &Roster, factor: u32) -> Option<String> {
    let wanted = known(roster);
    let knows = |member: &Member| member.alive() && member.metadata.told == Some(wanted);
    let others: Vec<(&String, &Member)> = roster
        .known()
        .filter(|(name, _)| *name != roster.name())
        .collect();
    let answers = |member: &Member| {
        member.alive() && matches!(member.metadata.phase, Phase::Serving | Phase::Draining)
    };
    let ignorant = others
        .iter()
        .find(|(_, member)| answers(member) && !knows(member));
    if let Some((name, _)) = ignorant {
        return Some(format!("the store of {name} to be told of this node"));
    }
    let needed = others.len().min(factor as usize);
    let knowing = others.iter().filter(|(_, member)| knows(member)).count();
    if knowing >= needed {
        return None;
    }
    let missing: Vec<&str> = others
        .iter()
        .filter(|(_, member)| !knows(member))
        .map(|(name, _)| name.as_str())
        .collect();
    Some(format!(
        "the stores of {needed} other members to be told of this node, {knowing} were; not yet: {} (start them, or `stemedb node \
         forget` those that are gone)",
        missing.join(", ")
    ))
}

/// Members with shards that answer and whose books were not read yet: they may have this node on record.
pub fn unheard(roster: &Roster) -> BTreeMap<String, SocketAddr> {
    roster
        .placed_others()
        .filter(|(name, member)| member.alive() && !roster.heard_from(name))
        .map(|(name, member)| (name.clone(), member.address))
        .collect()
}

/// Whether this node's store counts at once, although it lacks what it owns. Nobody counted on it before, so nothing that was
/// acknowledged can be what only it has lost; and `factor` others had shards all the time, so every acknowledged record is on as many
/// of them, and all but `factor` − 1 cannot miss it. Otherwise the store counts as absent first, and fetches whatever the others have
/// of any shard (docs/adr/0008-completeness.md).
pub fn is_fresh(roster: &Roster, factor: u32) -> bool {
    !roster.own_had_place() && roster.placed_others().count() >= factor as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::fixture::{at, peer_with, roster};
    use crate::swim::Peer;

    fn told(name: &str, alive: bool, of: &[&str]) -> Peer {
        peer_with(name, 2, alive, |metadata| {
            metadata.phase = Phase::Serving;
            metadata.told = (!of.is_empty()).then(|| digest(of.iter().copied()));
        })
    }

    fn waits(peers: &[Peer], factor: u32) -> Option<String> {
        let mut roster = roster("node9", 1, Book::default());
        roster.observe(peers, at(1));
        lacking(&roster, factor)
    }

    #[test]
    fn everybody_who_answers_must_know_and_the_away_ones_when_there_are_too_few() {
        let all = ["node1", "node2", "node3", "node9"];
        let old = ["node1", "node2", "node3"];
        let knowing = [
            told("node1", true, &all),
            told("node2", true, &all),
            told("node3", false, &old),
        ];
        assert_eq!(waits(&knowing, 2), None);
        let third = waits(&knowing, 3).unwrap();
        assert!(
            third.contains("3 other members") && third.contains("node3"),
            "{third}"
        );
        let ignorant = [
            told("node1", true, &all),
            told("node2", true, &all),
            told("node3", true, &old),
        ];
        assert!(waits(&ignorant, 2).unwrap().contains("the store of node3"));
        let one_away = [
            told("node1", true, &["node1", "node2", "node9"]),
            told("node2", false, &["node1", "node2"]),
        ];
        assert!(waits(&one_away, 2).unwrap().contains("node2"));
        assert_eq!(waits(&one_away, 1), None, "one copy: one store");
    }

    #[test]
    fn alone_nobody_has_to_be_told() {
        assert_eq!(waits(&[], 2), None);
        assert!(
            waits(&[told("node1", true, &[])], 2).is_some(),
            "told nothing"
        );
    }
}
