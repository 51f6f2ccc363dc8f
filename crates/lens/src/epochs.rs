//! Epochs: which periods of knowledge others have superseded.

use std::collections::{BTreeMap, BTreeSet};

use assertion::{Epoch, RecordId};

use crate::resolver::TooMuch;

/// Most epochs that bear on one answer: those that its claims name, and those that supersede one of these, whether or not their
/// records are known. Each names at most 64 others, 32 bytes each.
pub const MAX_EPOCHS: usize = 10_000;

/// The epochs that bear on the claims, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    /// Named by a claim, or by way of what they supersede.
    bearing: BTreeSet<RecordId>,
    /// Of these, those that nobody has been asked about.
    unasked: Vec<RecordId>,
    /// The records of these.
    supersedes: BTreeMap<RecordId, Vec<RecordId>>,
    /// What follows; none after something was learned.
    standing: Option<Standing>,
}

/// Who is superseded, and who is not although somebody names it.
#[derive(Debug, Default, PartialEq)]
struct Standing {
    superseded: BTreeSet<RecordId>,
    cycles: BTreeSet<RecordId>,
}

impl Epochs {
    /// An epoch bears on the answer.
    pub(crate) fn bears(&mut self, id: RecordId) -> Result<(), TooMuch> {
        if self.bearing.contains(&id) {
            return Ok(());
        }
        if self.bearing.len() == MAX_EPOCHS {
            return Err(TooMuch::Epochs);
        }
        self.bearing.insert(id);
        self.unasked.push(id);
        Ok(())
    }

    /// Those that came to bear since this was asked last.
    pub(crate) fn take_unasked(&mut self) -> Vec<RecordId> {
        std::mem::take(&mut self.unasked)
    }

    /// Takes the record of an epoch that bears, or that supersedes one that does.
    pub(crate) fn learn(&mut self, epoch: &Epoch, id: RecordId) -> Result<(), TooMuch> {
        if self.supersedes.contains_key(&id) {
            return Ok(());
        }
        // A record's door lets only ids through.
        let named = epoch.supersedes.iter().filter_map(|id| id.parse().ok());
        let named: Vec<RecordId> = named.collect();
        if !self.bearing.contains(&id) && !named.iter().any(|id| self.bearing.contains(id)) {
            return Ok(());
        }
        self.bears(id)?;
        self.supersedes.insert(id, named);
        self.standing = None;
        Ok(())
    }

    /// Whether another epoch has taken the place of this one.
    pub(crate) fn is_superseded(&mut self, epoch: Option<&str>) -> bool {
        if self.supersedes.is_empty() {
            return false;
        }
        let id = epoch.and_then(|epoch| epoch.parse().ok());
        id.is_some_and(|id| self.standing().superseded.contains(&id))
    }

    /// Members of cycles, ascending.
    pub(crate) fn cycles(&mut self) -> Vec<RecordId> {
        self.standing().cycles.iter().copied().collect()
    }

    /// Every epoch that was considered: those that bear and have a record.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &RecordId> {
        self.supersedes.keys()
    }

    /// How many bear.
    pub(crate) fn len(&self) -> usize {
        self.bearing.len()
    }

    fn standing(&mut self) -> &Standing {
        let supersedes = &self.supersedes;
        self.standing
            .get_or_insert_with(|| Standing::of(supersedes))
    }
}

impl Standing {
    /// An epoch that another one names is superseded, whether or not the other one is superseded itself, and whether or not
    /// its own record is known. Epochs that supersede each other in a cycle are all kept: none of them is the last word.
    fn of(supersedes: &BTreeMap<RecordId, Vec<RecordId>>) -> Standing {
        let mut superseded: BTreeSet<RecordId> = supersedes
            .iter()
            .flat_map(|(id, named)| named.iter().filter(move |other| *other != id))
            .copied()
            .collect();
        let cycles = cycles(supersedes);
        superseded.retain(|id| !cycles.contains(id));
        Standing { superseded, cycles }
    }
}

/// Epochs that reach themselves over others: the strongly connected components of more than one (Kosaraju and Sharir). An
/// epoch's id is a hash of the ids that it names, so that nobody can make a cycle on purpose; an answer ends even so.
fn cycles(supersedes: &BTreeMap<RecordId, Vec<RecordId>>) -> BTreeSet<RecordId> {
    let ids: Vec<RecordId> = supersedes.keys().copied().collect();
    let mut forward: Vec<Vec<usize>> = vec![Vec::new(); ids.len()];
    let mut backward = forward.clone();
    for (from, named) in supersedes.values().enumerate() {
        for to in named.iter().filter_map(|id| ids.binary_search(id).ok()) {
            forward[from].push(to);
            backward[to].push(from);
        }
    }
    let mut seen = vec![false; ids.len()];
    let mut finished = Vec::with_capacity(ids.len());
    for start in 0..ids.len() {
        walk(&forward, start, &mut seen, &mut finished);
    }
    seen.fill(false);
    let mut cycles = BTreeSet::new();
    for start in finished.into_iter().rev() {
        let mut component = Vec::new();
        walk(&backward, start, &mut seen, &mut component);
        if component.len() > 1 {
            cycles.extend(component.into_iter().map(|index| ids[index]));
        }
    }
    cycles
}

/// Depth first from `start` through what was not seen; appends each place when all behind it is done. No recursion: chains
/// are long.
fn walk(edges: &[Vec<usize>], start: usize, seen: &mut [bool], finished: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut path = vec![(start, 0)];
    while let Some((place, next)) = path.last_mut() {
        match edges[*place].get(*next) {
            None => {
                finished.push(*place);
                path.pop();
            }
            Some(to) => {
                *next += 1;
                if !std::mem::replace(&mut seen[*to], true) {
                    path.push((*to, 0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(byte: u8) -> RecordId {
        RecordId::from_bytes([byte; 32])
    }

    fn ids(bytes: &[u8]) -> BTreeSet<RecordId> {
        bytes.iter().map(|byte| id(*byte)).collect()
    }

    fn graph(edges: &[(u8, &[u8])]) -> BTreeMap<RecordId, Vec<RecordId>> {
        let named = |named: &[u8]| named.iter().map(|byte| id(*byte)).collect();
        edges
            .iter()
            .map(|(from, to)| (id(*from), named(to)))
            .collect()
    }

    fn standing(edges: &[(u8, &[u8])]) -> (BTreeSet<RecordId>, BTreeSet<RecordId>) {
        let Standing { superseded, cycles } = Standing::of(&graph(edges));
        (superseded, cycles)
    }

    #[test]
    fn what_is_named_is_superseded_along_a_chain() {
        let chain: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[2])];
        assert_eq!(standing(chain), (ids(&[1, 2]), ids(&[])));
        assert_eq!(standing(&[(3, &[2])]), (ids(&[2]), ids(&[])), "unknown");
        assert_eq!(standing(&[]), (ids(&[]), ids(&[])));
    }

    #[test]
    fn members_of_a_cycle_are_kept_and_what_they_name_is_not() {
        let cycle: &[(u8, &[u8])] = &[(1, &[2]), (2, &[3, 5]), (3, &[1]), (4, &[3]), (5, &[])];
        assert_eq!(standing(cycle), (ids(&[5]), ids(&[1, 2, 3])));
        let two: &[(u8, &[u8])] = &[(1, &[2]), (2, &[1, 3]), (3, &[4]), (4, &[5]), (5, &[4])];
        assert_eq!(standing(two), (ids(&[3]), ids(&[1, 2, 4, 5])));
    }

    #[test]
    fn an_epoch_does_not_supersede_itself() {
        assert_eq!(standing(&[(1, &[1])]), (ids(&[]), ids(&[])));
        assert_eq!(standing(&[(1, &[1]), (2, &[1])]), (ids(&[1]), ids(&[])));
    }

    fn made(supersedes: &[u8]) -> Epoch {
        let named = supersedes.iter().map(|byte| id(*byte).to_string());
        Epoch {
            name: "e".into(),
            supersedes: named.collect(),
            reason: None,
            started_at: 0,
        }
    }

    #[test]
    fn what_follows_is_worked_out_again_when_more_is_learned() {
        let one = id(1).to_string();
        let mut epochs = Epochs::default();
        epochs.bears(id(1)).unwrap();
        epochs.learn(&made(&[]), id(1)).unwrap();
        assert!(!epochs.is_superseded(Some(&one)));
        epochs.learn(&made(&[1]), id(2)).unwrap();
        assert!(epochs.is_superseded(Some(&one)) && !epochs.is_superseded(None));
        assert!(!epochs.is_superseded(Some(&id(9).to_string())));
        assert!(epochs.cycles().is_empty());
    }

    #[test]
    fn nothing_is_known_of_epochs_that_do_not_bear() {
        let mut epochs = Epochs::default();
        epochs.learn(&made(&[]), id(1)).unwrap();
        epochs.learn(&made(&[1]), id(2)).unwrap();
        assert_eq!((epochs.len(), epochs.ids().count()), (0, 0));
        epochs.bears(id(1)).unwrap();
        assert_eq!(epochs.take_unasked(), [id(1)]);
        // The third supersedes what does not bear yet, and is asked for once it does.
        epochs.learn(&made(&[2]), id(3)).unwrap();
        epochs.learn(&made(&[1, 8]), id(2)).unwrap();
        assert_eq!(epochs.take_unasked(), [id(2)]);
        epochs.learn(&made(&[2]), id(3)).unwrap();
        epochs.learn(&made(&[8]), id(4)).unwrap();
        assert_eq!(epochs.take_unasked(), [id(3)]);
        assert!(epochs.take_unasked().is_empty());
        assert!(epochs.ids().eq([&id(2), &id(3)]));
        assert!(epochs.is_superseded(Some(&id(2).to_string())));
    }

    #[test]
    fn a_chain_and_a_ring_of_all_epochs_there_may_be_are_walked() {
        let long = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            RecordId::from_bytes(bytes)
        };
        let mut chain: BTreeMap<RecordId, Vec<RecordId>> = (0..MAX_EPOCHS)
            .map(|number| (long(number), vec![long(number + 1)]))
            .collect();
        let Standing { superseded, cycles } = Standing::of(&chain);
        assert_eq!((superseded.len(), cycles.len()), (MAX_EPOCHS, 0));
        chain.insert(long(MAX_EPOCHS - 1), vec![long(0)]);
        let Standing { superseded, cycles } = Standing::of(&chain);
        assert_eq!((superseded.len(), cycles.len()), (0, MAX_EPOCHS));
    }

    proptest! {
        /// Straight from the definition: a member of a cycle reaches itself over others.
        #[test]
        fn standing_follows_its_definition(
            edges in prop::collection::btree_map(0..12_u8, prop::collection::vec(0..14_u8, 0..4), 0..10),
        ) {
            let reach = |from: u8| {
                let mut reached = BTreeSet::new();
                let mut next = vec![from];
                while let Some(place) = next.pop() {
                    for to in edges.get(&place).into_iter().flatten().filter(|to| **to != place) {
                        if reached.insert(*to) {
                            next.push(*to);
                        }
                    }
                }
                reached
            };
            let cycles: BTreeSet<u8> = edges.keys().copied().filter(|at| reach(*at).contains(at)).collect();
            let superseded: BTreeSet<u8> = edges
                .iter()
                .flat_map(|(from, named)| named.iter().filter(move |to| *to != from))
                .filter(|to| !cycles.contains(to))
                .copied()
                .collect();
            let given: Vec<(u8, &[u8])> = edges.iter().map(|(from, to)| (*from, &to[..])).collect();
            let bytes = |set: BTreeSet<u8>| set.into_iter().map(id).collect::<BTreeSet<RecordId>>();
            prop_assert_eq!(standing(&given), (bytes(superseded), bytes(cycles)));
        }
    }
}
