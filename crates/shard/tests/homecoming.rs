//! Stores that give up rows under views that have nothing to do with each other: copies never become fewer than the rule wants.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shard::homecoming::{Tenure, confirmed_by_all};

const STORES: usize = 5;
const SHARD: u32 = 0;
const GLOBAL: u32 = 1;

/// What one store does after some milliseconds.
#[derive(Debug, Clone)]
enum Act {
    /// It is told a view: the owners of the shard.
    Told(BTreeSet<usize>),
    /// It asks those owners to confirm.
    Asks,
    /// It gives up what they confirmed, if it may.
    Releases,
    /// It is stopped and starts: what it was told is gone.
    Restarts,
    /// An owner brings the row home.
    Pulls,
}

fn act(copies: usize) -> impl Strategy<Value = (usize, u64, Act)> {
    let owners = prop::sample::subsequence((0..STORES).collect::<Vec<_>>(), 1..=copies + 1);
    let act = prop_oneof![
        4 => owners.prop_map(|owners| Act::Told(owners.into_iter().collect())),
        4 => Just(Act::Asks),
        4 => Just(Act::Releases),
        1 => Just(Act::Restarts),
        2 => Just(Act::Pulls),
    ];
    let after = prop_oneof![6 => 0..400_u64, 1 => 3_000..12_000_u64];
    (0..STORES, after, act)
}

struct Store {
    holds: bool,
    tenure: Tenure,
    owners: BTreeSet<usize>,
    asked_at: u64,
    confirmed: BTreeMap<String, BTreeSet<u8>>,
}

fn new_tenure() -> Tenure {
    Tenure::new(GLOBAL)
}

fn play(
    copies: usize,
    holders: &BTreeSet<usize>,
    hold: u64,
    acts: Vec<(usize, u64, Act)>,
) -> usize {
    let store = |index| Store {
        holds: holders.contains(&index),
        tenure: new_tenure(),
        owners: BTreeSet::new(),
        asked_at: 0,
        confirmed: BTreeMap::new(),
    };
    let mut stores: Vec<Store> = (0..STORES).map(store).collect();
    let (mut now, mut released) = (1_000_000, 0);
    for (index, after, act) in acts {
        now += after;
        match act {
            Act::Told(owners) => {
                let owned: &[u32] = match owners.contains(&index) {
                    true => &[SHARD, GLOBAL],
                    false => &[GLOBAL],
                };
                stores[index].tenure.report(now, now, owned);
                stores[index].owners = owners;
            }
            Act::Asks => {
                let confirms = |owner: &usize| {
                    let theirs = &stores[*owner];
                    let ids = (theirs.holds && theirs.tenure.confirms(now, SHARD)).then_some(7);
                    (owner.to_string(), ids.into_iter().collect())
                };
                stores[index].confirmed = stores[index].owners.iter().map(confirms).collect();
                stores[index].asked_at = now;
            }
            Act::Releases => {
                let here = &mut stores[index];
                let names: Vec<String> = here.owners.iter().map(usize::to_string).collect();
                let owners = names.iter().map(String::as_str);
                let ids = confirmed_by_all(&[7], owners, copies, &here.confirmed);
                let may = here.tenure.may_release(now, SHARD, here.asked_at, hold);
                if here.holds && may.is_ok() && ids == [7] {
                    here.holds = false;
                    released += 1;
                }
            }
            Act::Restarts => stores[index].tenure = new_tenure(),
            Act::Pulls => {
                let held = stores.iter().any(|store| store.holds);
                stores[index].holds |= held && stores[index].owners.contains(&index);
            }
        }
        let left = stores.iter().filter(|store| store.holds).count();
        assert!(
            left >= copies.min(holders.len()),
            "{left} copies left of {copies}"
        );
    }
    released
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Also with no hold time at all: what it is for are proofs that are on their way and owners that come back.
    #[test]
    fn copies_never_become_fewer(
        (copies, acts) in (1..=3_usize).prop_flat_map(|copies| (Just(copies), prop::collection::vec(act(copies), 1..120))),
        holders in prop::sample::subsequence((0..STORES).collect::<Vec<_>>(), 1..=STORES),
        hold in prop_oneof![Just(0_u64), Just(1_000)],
    ) {
        play(copies, &holders.into_iter().collect(), hold, acts);
    }
}

#[test]
fn a_copy_that_all_owners_confirmed_goes() {
    let owners = BTreeSet::from([1, 2]);
    let told = |index| (index, 0, Act::Told(owners.clone()));
    let acts = vec![
        told(0),
        told(1),
        told(2),
        (0, 50, Act::Asks),
        (0, 60, Act::Releases),
    ];
    assert_eq!(play(2, &BTreeSet::from([0, 1, 2]), 0, acts.clone()), 1);
    assert_eq!(play(2, &BTreeSet::from([0, 1]), 0, acts), 0, "one lacks it");
}
