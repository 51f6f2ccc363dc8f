use proptest::prelude::*;

use super::*;
use crate::fixture::{
    CLUSTER, OTHER_CLUSTER, REBALANCE_DELAY_MS, at, metadata, peer, peer_with, roster, serving,
};
use crate::view::status;
use proto::v1::Status;

fn empty() -> Book {
    Book {
        num_shards: 256,
        ..Book::default()
    }
}

fn status_of(roster: &Roster, name: &str) -> Status {
    status(&roster.members()[name])
}

fn in_phase(name: &str, incarnation: u64, alive: bool, phase: Phase) -> Peer {
    peer_with(name, incarnation, alive, |metadata| metadata.phase = phase)
}

#[test]
fn a_member_that_vanishes_is_down_also_while_it_hands_over() {
    let mut roster = roster("node1", 1, empty());
    let leaving = in_phase("node3", 3, true, Phase::Leaving);
    roster.observe(&[serving("node2", 2), leaving], at(1));
    assert_eq!(status_of(&roster, "node2"), Status::Up);
    assert_eq!(status_of(&roster, "node3"), Status::Up);
    roster.observe(&[], at(2));
    for name in ["node2", "node3"] {
        assert_eq!(status_of(&roster, name), Status::Down, "{name}");
        assert_eq!(roster.members()[name].since_unix_ms, at(2).unix_ms);
    }
    assert_eq!(roster.known().count(), 3);
}

#[test]
fn a_member_that_handed_everything_over_has_left_whether_it_answers_or_not() {
    for alive in [true, false] {
        let mut roster = roster("node1", 1, empty());
        roster.observe(&[serving("node2", 2)], at(1));
        roster.observe(&[in_phase("node2", 2, alive, Phase::Left)], at(2));
        assert_eq!(status_of(&roster, "node2"), Status::Left);
        assert!(roster.members()["node2"].seen_going);
        // An older word of the same process comes late.
        roster.observe(&[in_phase("node2", 2, true, Phase::Leaving)], at(3));
        assert_eq!(status_of(&roster, "node2"), Status::Left);
        let known: Vec<_> = roster.known().map(|(name, _)| name.as_str()).collect();
        assert_eq!(known, ["node1"]);
    }
}

#[test]
fn a_leaving_member_owns_nothing_at_once_and_is_known_until_it_has_left() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2), serving("node3", 3)], at(1));
    roster.observe(
        &[
            serving("node2", 2),
            in_phase("node3", 3, true, Phase::Leaving),
        ],
        at(2),
    );
    assert_eq!(roster.placement(at(2)), ["node2"]);
    assert_eq!(roster.known().count(), 3);
}

#[test]
fn a_name_that_was_gone_for_good_owns_nothing_before_it_serves_again() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2)], at(1));
    roster.observe(&[in_phase("node2", 2, false, Phase::Left)], at(2));
    roster.observe(&[peer("node2", 5, true)], at(3));
    assert_eq!(status_of(&roster, "node2"), Status::Up);
    assert_eq!(roster.placement(at(3)), Vec::<String>::new());
    roster.observe(&[serving("node2", 5)], at(4));
    assert_eq!(roster.placement(at(4)), ["node2"]);
}

#[test]
fn the_last_member_cannot_leave_and_too_few_need_force() {
    let mut roster = roster("node1", 1, empty());
    assert_eq!(
        roster.leave(2, true),
        Err(CannotLeave::Last("node1".into()))
    );
    roster.observe(&[peer("node2", 2, true), peer("node3", 3, false)], at(1));
    assert_eq!(
        roster.leave(2, true),
        Err(CannotLeave::NobodyServes("node1".into()))
    );
    roster.observe(&[serving("node2", 2), peer("node3", 3, false)], at(2));
    let few = CannotLeave::TooFew {
        name: "node1".into(),
        staying: 1,
        factor: 2,
    };
    assert_eq!(roster.leave(2, false), Err(few));
    assert_eq!(roster.leave(2, true), Ok(vec!["node2".to_owned()]));
    roster.observe(&[serving("node2", 2), serving("node3", 4)], at(3));
    let both = vec!["node2".to_owned(), "node3".to_owned()];
    assert_eq!(roster.leave(2, false), Ok(both));
    // Who leaves as well takes nothing over.
    let other = in_phase("node3", 4, true, Phase::Leaving);
    roster.observe(&[serving("node2", 2), other], at(4));
    assert!(matches!(
        roster.leave(2, false),
        Err(CannotLeave::TooFew { .. })
    ));
}

#[test]
fn a_restart_counts_at_once_with_its_new_address() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2)], at(1));
    let new = peer_with("node2", 7, true, |metadata| metadata.rpc_port = 28182);
    // SWIM still believes the old process alive.
    roster.observe(&[serving("node2", 2), new.clone()], at(2));
    let member = &roster.members()["node2"];
    assert_eq!((member.incarnation, member.address), (7, new.address));
    assert_eq!(member.metadata.rpc_port, 28182);
    // The old process dies: nothing changes.
    let old = Peer {
        alive: false,
        ..serving("node2", 2)
    };
    roster.observe(&[old, new], at(5));
    assert_eq!(status_of(&roster, "node2"), Status::Up);
}

#[test]
fn suspect_is_up_with_our_own_last_ping_unanswered() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2)], at(1));
    roster.pinged("node2", 2, false, at(2));
    assert_eq!(status_of(&roster, "node2"), Status::Suspect);
    assert_eq!(roster.placement(at(2)), ["node2"]);
    roster.pinged("node2", 1, true, at(3));
    assert_eq!(status_of(&roster, "node2"), Status::Suspect, "an old one");
    roster.pinged("node2", 2, true, at(3));
    assert_eq!(status_of(&roster, "node2"), Status::Up);
    roster.pinged("node2", 2, false, at(4));
    roster.observe(&[], at(5));
    assert_eq!(status_of(&roster, "node2"), Status::Down);
}

#[test]
fn placement_keeps_a_stopped_member_for_the_delay_and_a_leaving_one_not_at_all() {
    let mut roster = roster("node1", 1, empty());
    let joining = peer("node4", 4, true);
    roster.observe(&[serving("node2", 2), serving("node3", 3), joining], at(1));
    assert_eq!(roster.placement(at(1)), ["node2", "node3"], "node4 joins");
    roster.observe(&[serving("node3", 3)], at(10));
    let delay = REBALANCE_DELAY_MS / 1_000;
    assert_eq!(roster.placement(at(10 + delay - 1)), ["node2", "node3"]);
    assert_eq!(roster.placement(at(10 + delay)), ["node3"]);
    // Back after all, with a store that does not serve yet: still out, then in.
    roster.observe(&[serving("node3", 3), peer("node2", 9, true)], at(100));
    assert_eq!(roster.placement(at(100)), ["node3"]);
    roster.observe(&[serving("node3", 3), serving("node2", 9)], at(101));
    assert_eq!(roster.placement(at(101)), ["node2", "node3"]);
    let leaving = peer_with("node3", 3, true, |metadata| {
        metadata.phase = Phase::Leaving;
    });
    roster.observe(&[leaving, serving("node2", 9)], at(102));
    assert_eq!(roster.placement(at(102)), ["node2"]);
}

#[test]
fn a_draining_member_keeps_its_shards_and_a_stopping_one_for_the_delay() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2), serving("node3", 3)], at(1));
    let says = |name: &str, incarnation, phase| {
        peer_with(name, incarnation, true, |metadata| metadata.phase = phase)
    };
    let peers = [
        says("node2", 2, Phase::Draining),
        says("node3", 3, Phase::Stopping),
        // It went before its store ever served: there is nothing to keep.
        says("node4", 4, Phase::Draining),
    ];
    roster.observe(&peers, at(2));
    assert_eq!(roster.placement(at(3)), ["node2", "node3"]);
    assert_eq!(roster.placement(at(500)), ["node2"]);
}

#[test]
fn members_known_from_disk_count_as_just_stopped() {
    let mut before = roster("node1", 1, empty());
    before.describe_own(
        Metadata {
            phase: Phase::Serving,
            ..metadata("node1", 1)
        },
        at(0),
    );
    before.observe(&[serving("node2", 2), serving("node3", 3)], at(1));
    // All stop; node1 comes back alone, much later.
    let book = before.book(at(1));
    let after = roster("node1", 5, book);
    assert_eq!(after.placement(at(0)), ["node1", "node2", "node3"]);
    assert_eq!(status_of(&after, "node2"), Status::Down);
    assert_eq!(after.placement(at(60)), Vec::<String>::new());
}

#[test]
fn a_node_that_joins_while_another_is_away_learns_of_it() {
    let mut old = roster("node1", 1, empty());
    old.observe(&[serving("node2", 2), serving("node3", 3)], at(0));
    old.observe(&[serving("node2", 2)], at(30));
    let mut new = roster("node4", 4, empty());
    new.learn(&old.book(at(50)), at(50));
    assert_eq!(status_of(&new, "node3"), Status::Down);
    assert!(new.known().any(|(name, _)| name == "node3"));
    // It has been away for 20 s already.
    assert!(new.placement(at(89)).contains(&"node3".to_owned()));
    assert!(!new.placement(at(90)).contains(&"node3".to_owned()));
}

#[test]
fn a_forgotten_member_comes_back_only_under_a_new_incarnation() {
    let mut first = roster("node1", 1, empty());
    let mut second = roster("node2", 2, empty());
    first.observe(&[serving("node2", 2), serving("node3", 3)], at(1));
    second.observe(&[peer("node1", 1, true), serving("node3", 3)], at(1));
    assert_eq!(
        first.forget("node3", at(2)),
        Err(CannotForget::Up("node3".into()))
    );
    first.observe(&[serving("node2", 2)], at(3));
    assert_eq!(first.forget("node3", at(4)), Ok(()));
    assert_eq!(first.forget("node3", at(4)), Ok(()), "again");
    assert_eq!(
        first.forget("node1", at(4)),
        Err(CannotForget::Own("node1".into()))
    );
    assert_eq!(
        first.forget("node9", at(4)),
        Err(CannotForget::Unknown("node9".into()))
    );
    // The other member still had it; neither its book nor a late sign of life brings it back.
    let stale = second.book(at(4));
    first.learn(&stale, at(5));
    first.observe(&[serving("node2", 2), serving("node3", 3)], at(6));
    assert!(!first.members()["node3"].known());
    second.learn(&first.book(at(6)), at(6));
    assert!(!second.members()["node3"].known());
    // Also not over a restart.
    let restarted = roster("node1", 9, first.book(at(6)));
    assert!(!restarted.members()["node3"].known());
    // Really joining does.
    second.observe(&[serving("node3", 8)], at(7));
    first.learn(&second.book(at(7)), at(7));
    assert!(first.members()["node3"].known());
    assert!(second.members()["node3"].alive());
}

#[test]
fn a_book_that_says_that_a_member_has_left_is_believed_for_that_incarnation() {
    let mut roster = roster("node1", 1, empty());
    roster.observe(&[serving("node2", 2)], at(1));
    let mut book = roster.book(at(1));
    let entry = book.members.get_mut("node2").unwrap();
    entry.gone = Some(Gone::Left);
    roster.learn(&book, at(2));
    assert_eq!(status_of(&roster, "node2"), Status::Left);
    // SWIM goes on about it for a while.
    roster.observe(&[serving("node2", 2)], at(3));
    assert_eq!(status_of(&roster, "node2"), Status::Left);
    roster.observe(&[serving("node2", 3)], at(4));
    roster.learn(&book, at(5));
    assert_eq!(status_of(&roster, "node2"), Status::Up);
}

#[test]
fn another_process_of_our_name_supersedes_us_and_a_mere_record_makes_us_join_anew() {
    let mut superseded = roster("node1", 5, empty());
    superseded.observe(&[peer("node1", 4, true)], at(1));
    assert!(!superseded.superseded());
    superseded.observe(&[peer("node1", 6, true)], at(1));
    assert!(superseded.superseded());
    assert_eq!(superseded.must_exceed(), None);
    superseded.pinged("node1", 6, true, at(2));
    superseded.observe(&[], at(9));
    assert!(superseded.superseded(), "it answered: a person has to look");

    // A wiped disk and a clock set back: the cluster has our last life on record, and nobody answers for it.
    let mut ours = roster("node1", 5, empty());
    ours.observe(&[peer("node1", 6, true)], at(1));
    ours.pinged("node1", 6, false, at(2));
    ours.observe(&[peer("node1", 6, false)], at(9));
    assert!(!ours.superseded());
    assert_eq!(ours.must_exceed(), Some(6));
}

#[test]
fn a_life_that_the_disk_does_not_know_of_shows_that_the_disk_is_old() {
    let seen = |previous: u64, recorded: u64| {
        let mut other = roster("node2", 2, empty());
        other.observe(&[serving("node1", recorded)], at(1));
        let mut ours = roster("node1", 9, empty());
        ours.own.previous = previous;
        ours.learn(&other.book(at(1)), at(1));
        ours.own_gone()
    };
    assert_eq!(seen(7, 7), None, "the life before");
    assert_eq!(seen(5, 7), Some(7), "restored from before that life");
    assert_eq!(seen(7, 9), None, "this life");
    assert_eq!(seen(0, 7), None, "a new disk: its place on record tells");
}

#[test]
fn a_node_that_was_forgotten_joins_anew() {
    let mut roster = roster("node1", 5, empty());
    let mut book = roster.book(at(0));
    roster.learn(&book, at(0));
    assert_eq!(roster.must_exceed(), None);
    book.members.get_mut("node1").unwrap().gone = Some(Gone::Forgotten);
    roster.learn(&book, at(1));
    assert_eq!(roster.must_exceed(), Some(5));
    assert!(roster.members()["node1"].known(), "not to itself");
}

#[test]
fn members_of_another_cluster_or_shard_count_are_shown_as_refused_and_do_not_count() {
    let mut roster = roster("node1", 1, empty());
    let bound = Metadata {
        cluster_id: Some(CLUSTER),
        ..metadata("node1", 1)
    };
    let of = |name: &str, id| peer_with(name, 2, true, |metadata| metadata.cluster_id = Some(id));
    let shards = peer_with("node4", 4, true, |metadata| metadata.num_shards = 64);
    let peers = [
        of("node2", CLUSTER),
        of("node3", OTHER_CLUSTER),
        shards.clone(),
    ];
    roster.observe(&peers, at(1));
    let known = |roster: &Roster| roster.known().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    assert_eq!(known(&roster), ["node1", "node2", "node3"], "any, so far");
    roster.describe_own(bound, at(2));
    assert_eq!(known(&roster), ["node1", "node2"]);
    roster.observe(&peers, at(3));
    assert_eq!(known(&roster), ["node1", "node2"]);
    let refused: Vec<_> = roster.refused().collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains(&OTHER_CLUSTER.to_string()));
    assert!(refused[1].contains("64") && refused[1].contains("256"));
    // One that was taken before it said where it belongs: SWIM has its old description still, the door met the new one.
    let before = peer("node5", 5, true);
    roster.observe(&[peers[0].clone(), before.clone()], at(3));
    assert_eq!(known(&roster), ["node1", "node2", "node5"]);
    let mut after = of("node5", OTHER_CLUSTER);
    (after.incarnation, after.kept_out) = (5, true);
    after.metadata = Metadata {
        cluster_id: Some(OTHER_CLUSTER),
        ..metadata("node5", 5)
    }
    .encode();
    roster.observe(&[peers[0].clone(), before, after], at(3));
    assert_eq!(known(&roster), ["node1", "node2"]);
    // Their books say nothing here.
    let mut foreign = crate::fixture::roster("node9", 9, empty());
    foreign.observe(&[peer("node8", 8, true)], at(1));
    let mut book = foreign.book(at(1));
    book.cluster_id = Some(OTHER_CLUSTER);
    roster.learn(&book, at(4));
    assert_eq!(known(&roster), ["node1", "node2"]);
    roster.observe(&peers[..1], at(5));
    assert_eq!(roster.refused().count(), 0, "gone when no longer met");
}

#[test]
fn what_a_hostile_peer_can_make_us_remember_is_bounded() {
    let mut roster = roster("node1", 1, empty());
    let crowd: Vec<Peer> = (0..3 * MEMBERS_MAX)
        .map(|number| peer(&format!("crowd{number}"), 2, true))
        .collect();
    roster.observe(&crowd, at(1));
    assert_eq!(roster.known().count(), MEMBERS_MAX);
    roster.observe(&[], at(2));
    let names: Vec<String> = roster.known().map(|(name, _)| name.clone()).collect();
    for name in names.iter().filter(|name| *name != "node1") {
        roster.forget(name, at(3)).unwrap();
    }
    roster.observe(&crowd, at(4));
    for name in roster.absent().into_keys().collect::<Vec<_>>() {
        roster.forget(&name, at(5)).unwrap();
    }
    assert!(roster.members().len() <= 2 * MEMBERS_MAX);
}

/// Anything a peer may look like, of three names.
fn any_peer() -> impl Strategy<Value = Peer> {
    let name = prop_oneof![Just("node1"), Just("node2"), Just("node3")];
    (name, 1u64..6, any::<bool>(), 0usize..4).prop_map(|(name, incarnation, alive, phase)| {
        peer_with(name, incarnation, alive, |metadata| {
            metadata.phase = [
                Phase::Joining,
                Phase::Serving,
                Phase::Draining,
                Phase::Leaving,
            ][phase];
        })
    })
}

/// SWIM has one record per id.
fn picture(peers: Vec<Peer>) -> Vec<Peer> {
    let by_id: BTreeMap<_, _> = peers
        .into_iter()
        .map(|peer| ((peer.name.clone(), peer.incarnation), peer))
        .collect();
    by_id.into_values().collect()
}

fn shape(roster: &Roster) -> Vec<(String, u64, Standing)> {
    roster
        .members()
        .iter()
        .map(|(name, member)| (name.clone(), member.incarnation, member.standing))
        .collect()
}

proptest! {
    #[test]
    fn the_order_of_a_picture_does_not_matter(
        peers in proptest::collection::vec(any_peer(), 0..12),
        turn in 0usize..12,
    ) {
        let peers = picture(peers);
        let mut turned = peers.clone();
        turned.rotate_left(turn.min(peers.len()));
        turned.reverse();
        let mut one = roster("node0", 9, empty());
        let mut other = roster("node0", 9, empty());
        one.observe(&peers, at(1));
        other.observe(&turned, at(1));
        prop_assert_eq!(shape(&one), shape(&other));
        one.observe(&peers, at(2));
        prop_assert_eq!(shape(&one), shape(&other), "seeing it twice changes nothing");
    }

    #[test]
    fn the_highest_incarnation_ever_seen_counts(
        pictures in proptest::collection::vec(proptest::collection::vec(any_peer(), 0..6), 1..6),
    ) {
        let mut roster = roster("node0", 9, empty());
        let mut highest: BTreeMap<String, u64> = BTreeMap::new();
        for (second, peers) in pictures.into_iter().enumerate() {
            let peers = picture(peers);
            for peer in &peers {
                let seen = highest.entry(peer.name.clone()).or_default();
                *seen = (*seen).max(peer.incarnation);
            }
            roster.observe(&peers, at(second as u64));
            for (name, incarnation) in &highest {
                let member = &roster.members()[name];
                prop_assert_eq!(member.incarnation, *incarnation);
                let answers = peers.iter().any(|peer| {
                    peer.name == *name && peer.incarnation == *incarnation && peer.alive
                });
                prop_assert_eq!(member.alive(), answers);
            }
        }
    }

    #[test]
    fn books_merge_in_any_order_to_the_same(
        pictures in proptest::collection::vec(proptest::collection::vec(any_peer(), 0..6), 2..5),
        turn in 0usize..5,
    ) {
        let books: Vec<Book> = pictures
            .into_iter()
            .map(|peers| {
                let mut roster = roster("node0", 9, empty());
                roster.observe(&picture(peers), at(1));
                roster.observe(&[], at(2));
                roster.book(at(2))
            })
            .collect();
        let merged = |books: &[Book]| {
            let mut roster = roster("node9", 9, empty());
            for book in books {
                roster.learn(book, at(3));
            }
            shape(&roster)
        };
        let mut turned = books.clone();
        turned.rotate_left(turn % books.len());
        turned.reverse();
        prop_assert_eq!(merged(&books), merged(&turned));
        let twice = [books.clone(), books.clone()].concat();
        prop_assert_eq!(merged(&books), merged(&twice));
    }

    #[test]
    fn placement_is_who_serves_and_who_stopped_less_than_the_delay_ago(
        steps in proptest::collection::vec((any_peer(), 1u64..40), 1..20),
    ) {
        let mut roster = roster("node0", 9, empty());
        let mut clock = 0;
        // The same rule told as a history: when each name last served.
        let mut last_served: BTreeMap<String, u64> = BTreeMap::new();
        let mut serves: BTreeSet<String> = BTreeSet::new();
        for (peer, pause) in steps {
            for name in &serves {
                last_served.insert(name.clone(), clock + pause);
            }
            clock += pause;
            roster.observe(std::slice::from_ref(&peer), at(clock));
            serves.clear();
            let member = &roster.members()[&peer.name];
            let serving = match member.metadata.phase {
                Phase::Serving => true,
                Phase::Draining => last_served.contains_key(&peer.name),
                _ => false,
            };
            if member.alive() && serving {
                serves.insert(peer.name.clone());
                last_served.insert(peer.name.clone(), clock);
            }
            for (name, member) in roster.members() {
                let recent = last_served
                    .get(name)
                    .is_some_and(|at| (clock - at) * 1_000 < REBALANCE_DELAY_MS);
                let keeps = member.known()
                    && member.metadata.phase != Phase::Leaving
                    && (serves.contains(name) || recent);
                prop_assert_eq!(roster.placement(at(clock)).contains(name), keeps, "{}", name);
            }
        }
    }
}

#[test]
fn members_that_differ_in_copies_come_to_the_most_the_least_and_what_all_count_on() {
    let member = |name, incarnation, alive, factor, counted| {
        peer_with(name, incarnation, alive, |metadata| {
            metadata.phase = Phase::Serving;
            metadata.replication_factor = factor;
            metadata.counted = counted;
        })
    };
    let mut roster = roster("node1", 1, empty());
    let factors = |least, most, counted| Factors {
        least,
        most,
        counted,
    };
    assert_eq!(roster.factors(), factors(2, 2, 0), "no store says anything");
    let passer_by = peer_with("node5", 5, true, |metadata| {
        metadata.replication_factor = Some(9)
    });
    roster.observe(&[passer_by], at(1));
    assert_eq!(
        roster.factors(),
        factors(2, 2, 0),
        "who never served has no vote"
    );
    roster.observe(&[member("node2", 2, true, Some(3), Some(2))], at(1));
    assert_eq!(roster.factors(), factors(2, 3, 2));
    // Who is down still counts.
    let up = member("node3", 3, true, Some(1), Some(4));
    let second = member("node2", 2, true, Some(3), Some(3));
    roster.observe(&[second.clone(), up], at(2));
    let down = member("node3", 3, false, Some(1), Some(4));
    roster.observe(&[second, down], at(3));
    assert_eq!(
        roster.factors(),
        factors(1, 3, 1),
        "counted on is no more than the least"
    );
    roster.forget("node3", at(4)).unwrap();
    assert_eq!(roster.factors(), factors(2, 3, 2));
}

#[test]
fn a_new_node_that_would_change_the_number_of_copies_is_not_let_in_and_a_member_may_change_it() {
    let member = |name, factor| {
        peer_with(name, 2, true, |metadata| {
            metadata.phase = Phase::Serving;
            metadata.replication_factor = factor;
        })
    };
    let mut roster = roster("node1", 1, empty());
    assert_eq!(roster.other_factor(), None, "the first one");
    roster.observe(&[member("node2", Some(3)), member("node3", None)], at(1));
    let why = roster.other_factor().unwrap();
    assert!(why.contains("STEMEDB_REPLICATION_FACTOR=3"), "{why}");
    let mut book = roster.book(at(1));
    book.writer = "node2".into();
    let own = book.members.get_mut("node1").unwrap();
    own.served = true;
    roster.learn(&book, at(2));
    assert_eq!(roster.other_factor(), None, "it had shards before");
    roster.observe(&[member("node2", Some(2))], at(3));
    assert_eq!(roster.other_factor(), None);
}
