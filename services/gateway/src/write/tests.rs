use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::route::tests::view;

const DEADLINES: Deadlines = Deadlines {
    write_ms: 2_000,
    maybe_stored_ms: 4_000,
};

const SHARD: u32 = 3;

fn route(nodes: usize, out: &[&Name]) -> Route {
    Route::new(
        view(nodes, 2),
        out.iter().map(|n| Arc::clone(n)).collect(),
        None,
    )
}

fn write() -> Write {
    Write::new(SHARD, Durability::Copies, DEADLINES, 0)
}

fn advance(write: &mut Write, now: u64, route: &Route) -> (Vec<Name>, Next) {
    let mut send = Vec::new();
    let next = write.advance(now, route, &mut send);
    (send, next)
}

/// Owners of the shard, and the third node of three.
fn owners_and_third(route: &Route) -> (Name, Name, Name) {
    let owners = route.owners(SHARD).to_vec();
    let members = route.view().placement().members();
    let third = members.iter().find(|name| !owners.contains(name)).unwrap();
    (owners[0].clone(), owners[1].clone(), third.clone())
}

#[test]
fn both_owners_are_asked_at_once_and_both_must_confirm() {
    let route = route(3, &[]);
    let (one, other, _) = owners_and_third(&route);
    let mut write = write();
    let (send, next) = advance(&mut write, 0, &route);
    assert_eq!(send, [one.clone(), other.clone()]);
    assert_eq!(next, Next::Wait(4_000));
    write.confirmed(&one, true);
    assert_eq!(advance(&mut write, 5, &route), (vec![], Next::Wait(2_000)));
    write.confirmed(&one, true);
    assert_eq!(
        advance(&mut write, 6, &route).1,
        Next::Wait(2_000),
        "one node twice is one copy"
    );
    write.confirmed(&other, false);
    assert_eq!(
        advance(&mut write, 7, &route).1,
        Next::Done(Verdict::Stored)
    );
    assert_eq!(write.holders().count(), 2);
}

#[test]
fn what_all_had_is_present() {
    let route = route(3, &[]);
    let (one, other, _) = owners_and_third(&route);
    let mut write = write();
    advance(&mut write, 0, &route);
    write.confirmed(&one, false);
    write.confirmed(&other, false);
    assert_eq!(
        advance(&mut write, 1, &route).1,
        Next::Done(Verdict::Present)
    );
}

#[test]
fn what_belongs_everywhere_waits_for_everybody_who_may_come() {
    let whole = route(3, &[]);
    let nodes: Vec<Name> = whole.view().placement().members().to_vec();
    let global = whole.shard_of(assertion::Place::Global);
    let mut write = Write::new(global, Durability::Copies, DEADLINES, 0);
    assert_eq!(advance(&mut write, 0, &whole).0, nodes);
    write.confirmed(&nodes[0], true);
    write.confirmed(&nodes[2], false);
    assert_eq!(advance(&mut write, 1, &whole).1, Next::Wait(2_000));
    assert_eq!(
        advance(&mut write, 2_000, &whole).1,
        Next::Done(Verdict::Stored),
        "two of three are enough when the time is over"
    );
    let around = route(3, &[&nodes[1]]);
    assert_eq!(
        advance(&mut write, 3, &around).1,
        Next::Done(Verdict::Stored),
        "who is out is not waited for"
    );
    write.refused(&nodes[1], "unknown kind".into());
    assert_eq!(
        advance(&mut write, 4, &whole).1,
        Next::Done(Verdict::Stored),
        "nor is who does not read it"
    );
    let mut alone = Write::new(global, Durability::Copies, DEADLINES, 0);
    advance(&mut alone, 0, &around);
    alone.confirmed(&nodes[0], true);
    assert_eq!(advance(&mut alone, 1, &around).1, Next::Wait(2_000));
    assert_eq!(
        advance(&mut alone, 2_000, &around).1,
        Next::Done(Verdict::Accepted)
    );
}

#[test]
fn silence_asks_the_stand_in_and_a_late_owner_still_counts() {
    let route = route(3, &[]);
    let (one, other, third) = owners_and_third(&route);
    let mut write = write();
    advance(&mut write, 0, &route);
    write.confirmed(&one, true);
    write.silent(&other);
    assert_eq!(advance(&mut write, 250, &route).0, [third]);
    write.confirmed(&other, true);
    assert_eq!(
        advance(&mut write, 300, &route).1,
        Next::Done(Verdict::Stored)
    );
}

#[test]
fn a_failed_node_is_tried_again_with_growing_pauses() {
    let route = route(2, &[]);
    let (one, other) = (
        route.owners(SHARD)[0].clone(),
        route.owners(SHARD)[1].clone(),
    );
    let mut write = write();
    advance(&mut write, 0, &route);
    write.confirmed(&one, true);
    write.failed(&other, 10);
    assert_eq!(advance(&mut write, 10, &route), (vec![], Next::Wait(60)));
    assert_eq!(
        advance(&mut write, 60, &route).0,
        std::slice::from_ref(&other)
    );
    write.failed(&other, 60);
    assert_eq!(advance(&mut write, 61, &route), (vec![], Next::Wait(160)));
}

#[test]
fn an_owner_that_is_out_is_not_asked_until_it_is_in_again() {
    let whole = route(3, &[]);
    let (one, other, third) = owners_and_third(&whole);
    let around = route(3, &[&other]);
    let mut write = write();
    let (send, _) = advance(&mut write, 0, &around);
    assert_eq!(send, [one, third]);
    assert_eq!(advance(&mut write, 20, &whole).0, [other]);
}

#[test]
fn the_survivor_of_three_answers_accepted_and_nobody_maybe_stored() {
    let route = route(3, &[]);
    let (one, other, third) = owners_and_third(&route);
    let mut write = write();
    advance(&mut write, 0, &route);
    write.confirmed(&one, true);
    write.failed(&other, 1);
    write.failed(&third, 1);
    assert!(matches!(
        advance(&mut write, 1_999, &route).1,
        Next::Wait(_)
    ));
    assert_eq!(
        advance(&mut write, 2_000, &route).1,
        Next::Done(Verdict::Accepted)
    );
    let mut write = self::write();
    advance(&mut write, 0, &route);
    write.failed(&one, 1);
    assert!(matches!(
        advance(&mut write, 3_999, &route).1,
        Next::Wait(_)
    ));
    assert_eq!(
        advance(&mut write, 4_000, &route).1,
        Next::Done(Verdict::MaybeStored)
    );
    write.confirmed(&one, true);
    assert_eq!(
        advance(&mut write, 4_001, &route).1,
        Next::Done(Verdict::Accepted)
    );
}

#[test]
fn a_node_alone_stores_alone_and_a_second_known_one_ends_that() {
    let alone = Route::new(view(1, 2), BTreeSet::new(), None);
    let one = alone.owners(SHARD)[0].clone();
    let mut write = write();
    advance(&mut write, 0, &alone);
    write.confirmed(&one, true);
    assert_eq!(
        advance(&mut write, 1, &alone).1,
        Next::Done(Verdict::Stored)
    );
    let mut write = self::write();
    advance(&mut write, 0, &alone);
    let two = route(2, &[]);
    write.confirmed(&one, true);
    assert!(matches!(advance(&mut write, 1, &two).1, Next::Wait(_)));
    assert!(
        matches!(advance(&mut write, 2, &alone).1, Next::Wait(_)),
        "an older view does not lower the number again"
    );
}

#[test]
fn durability_local_takes_one_and_all_takes_every_owner() {
    let whole = route(3, &[]);
    let (one, other, third) = owners_and_third(&whole);
    let mut local = Write::new(SHARD, Durability::Local, DEADLINES, 0);
    advance(&mut local, 0, &whole);
    local.confirmed(&one, true);
    assert_eq!(
        advance(&mut local, 1, &whole).1,
        Next::Done(Verdict::Stored)
    );
    let mut all = Write::new(SHARD, Durability::All, DEADLINES, 0);
    advance(&mut all, 0, &whole);
    all.confirmed(&one, true);
    all.silent(&other);
    advance(&mut all, 250, &whole);
    all.confirmed(&third, true);
    assert!(
        matches!(advance(&mut all, 260, &whole).1, Next::Wait(_)),
        "a stand-in is no owner"
    );
    all.confirmed(&other, true);
    assert_eq!(
        advance(&mut all, 270, &whole).1,
        Next::Done(Verdict::Stored)
    );
}

#[test]
fn bytes_that_no_store_takes_are_refused_at_once() {
    let route = route(3, &[]);
    let (one, other, _) = owners_and_third(&route);
    let mut write = write();
    advance(&mut write, 0, &route);
    write.refused(&one, "kind vote is not known".into());
    assert!(matches!(advance(&mut write, 1, &route).1, Next::Wait(_)));
    write.refused(&other, "kind vote is not known".into());
    assert!(matches!(
        advance(&mut write, 2, &route).1,
        Next::Done(Verdict::Refused(_))
    ));
}

/// One thing that may happen to a write.
#[derive(Debug, Clone)]
enum News {
    Confirmed(usize, bool),
    Failed(usize),
    Silent(usize),
    Out(usize),
    In(usize),
    Time(u64),
}

fn news(nodes: usize) -> impl Strategy<Value = News> {
    prop_oneof![
        (0..nodes, any::<bool>()).prop_map(|(node, new)| News::Confirmed(node, new)),
        (0..nodes).prop_map(News::Failed),
        (0..nodes).prop_map(News::Silent),
        (0..nodes).prop_map(News::Out),
        (0..nodes).prop_map(News::In),
        (1_u64..400).prop_map(News::Time),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: acknowledged only with enough distinct nodes, each asked before it could
    /// confirm, nobody asked twice while a question is open, and an end in time.
    #[test]
    fn a_write_keeps_its_promise(
        nodes in 1_usize..6,
        happened in prop::collection::vec(news(5), 0..60),
    ) {
        let members = route(nodes, &[]).view().placement().members().to_vec();
        let mut out: BTreeSet<Name> = BTreeSet::new();
        let mut write = write();
        let (mut now, mut asked, mut confirmed) = (0, BTreeSet::new(), BTreeSet::new());
        let mut any_new = false;
        let mut verdict = None;
        let rest = std::iter::repeat_n(News::Time(500), 9);
        for happening in std::iter::once(News::Time(0)).chain(happened).chain(rest) {
            let node = |index: usize| members[index % nodes].clone();
            match happening {
                News::Confirmed(index, new) if asked.remove(&node(index)) => {
                    write.confirmed(&node(index), new);
                    confirmed.insert(node(index));
                    any_new |= new;
                }
                News::Failed(index) if asked.remove(&node(index)) => write.failed(&node(index), now),
                News::Silent(index) => write.silent(&node(index)),
                News::Out(index) => { out.insert(node(index)); }
                News::In(index) => { out.remove(&node(index)); }
                News::Time(passed) => now += passed,
                _ => {}
            }
            let route = Route::new(view(nodes, 2), out.clone(), None);
            let mut send = Vec::new();
            let next = write.advance(now, &route, &mut send);
            for node in send {
                prop_assert!(members.contains(&node));
                prop_assert!(!confirmed.contains(&node), "{node} has it already");
                prop_assert!(asked.insert(node.clone()), "{node} asked twice");
            }
            prop_assert_eq!(write.holders().cloned().collect::<BTreeSet<_>>(), confirmed.clone());
            match next {
                Next::Done(ended) => { verdict = Some(ended); break; }
                Next::Wait(until) => prop_assert!(until > now && until <= 4_000),
            }
        }
        let needed = nodes.min(2);
        match verdict {
            Some(Verdict::Stored) => prop_assert!(confirmed.len() >= needed && any_new),
            Some(Verdict::Present) => prop_assert!(confirmed.len() >= needed && !any_new),
            Some(Verdict::Accepted) => prop_assert!(!confirmed.is_empty() && confirmed.len() < needed),
            Some(Verdict::MaybeStored) => prop_assert!(confirmed.is_empty() && now >= 4_000),
            other => prop_assert!(false, "no end after 4 s: {other:?}"),
        }
    }
}
