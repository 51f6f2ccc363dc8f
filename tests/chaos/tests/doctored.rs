//! The checker on histories that are good, and on the same with one thing wrong.

use std::collections::BTreeSet;

use chaos::checker::{DISK_REPLACED, Violation, check};
use chaos::client::Question;
use chaos::history::{Fault, Line, Read, Write};
use chaos::state::{Replicas, State};

/// A claim that was acknowledged from 1,000 to 1,010.
fn claim(id: &str) -> Write {
    Write {
        client: "writer0".into(),
        at: 1_000,
        end: 1_010,
        record: "assertion".into(),
        subject: "s".into(),
        predicate: "p".into(),
        id: id.into(),
        status: 201,
        answered_id: Some(id.into()),
        copies: 2,
        ..Write::default()
    }
}

/// A complete answer that holds everything from before 2,000.
fn read(ids: &[&str]) -> Read {
    Read {
        at: 2_000,
        end: 2_010,
        subject: "s".into(),
        status: 200,
        complete: true,
        proved_through: 2_000,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Read::default()
    }
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

fn question() -> Question {
    Question {
        subject: "s".into(),
        predicate: "p".into(),
        lens: "recency".into(),
    }
}

/// Two claims, a vote and two answers, and a state that agrees.
fn good() -> (Vec<Line>, State) {
    let vote = Write {
        record: "vote".into(),
        predicate: String::new(),
        ..claim("v")
    };
    let counted = Read {
        lens: "recency".into(),
        predicate: "p".into(),
        considered: 2,
        ..read(&[])
    };
    let history = vec![
        Line::Write(claim("x")),
        Line::Write(claim("y")),
        Line::Write(vote),
        Line::Read(read(&["x", "y"])),
        Line::Read(counted),
    ];
    let mut state = State {
        equal: true,
        everywhere: names(&["x", "y", "v"]),
        ..State::default()
    };
    let owners = ["node1", "node2"].map(|node| (node.to_owned(), names(&["x", "y"])));
    state.listed.insert("s".into(), owners.into());
    let replicas = Replicas {
        owners: names(&["node1", "node2"]),
        holders: names(&["node1", "node2", "node3"]),
    };
    state.replicas.insert("v".into(), replicas);
    let answers = ["node1", "node2"].map(|node| (node.to_owned(), "{\"lens\":1}".to_owned()));
    state.answers.insert(question(), answers.into());
    (history, state)
}

/// Letters of the checks that fail, each once.
fn letters(found: &[Violation]) -> String {
    let letters: BTreeSet<char> = found.iter().map(|violation| violation.check).collect();
    letters.into_iter().collect()
}

/// Letters after something was changed in what is good.
fn after(change: impl FnOnce(&mut Vec<Line>, &mut State)) -> String {
    let (mut history, mut state) = good();
    change(&mut history, &mut state);
    letters(&check(&history, &state))
}

fn listed<'a>(state: &'a mut State, node: &str) -> &'a mut BTreeSet<String> {
    let owners = state.listed.get_mut("s").expect("the subject is there");
    owners.get_mut(node).expect("the owner is there")
}

#[test]
fn what_is_good_passes() {
    assert_eq!(after(|_, _| {}), "");
}

#[test]
fn a_record_that_one_owner_lacks_is_noticed() {
    assert_eq!(
        after(|_, state| assert!(listed(state, "node2").remove("y"))),
        "a"
    );
}

#[test]
fn a_record_that_is_nowhere_is_noticed() {
    assert_eq!(
        after(|history, _| history.push(Line::Write(Write {
            subject: "nobody has this subject".into(),
            ..claim("z")
        }))),
        "a"
    );
}

#[test]
fn a_vote_that_an_owner_lacks_is_noticed() {
    let lose = |state: &mut State| {
        let replicas = state.replicas.get_mut("v").unwrap();
        replicas.holders.remove("node1")
    };
    assert_eq!(after(|_, state| assert!(lose(state))), "a");
}

#[test]
fn an_accepted_record_may_only_go_with_a_disk() {
    let accepted = |id: &str| {
        Line::Write(Write {
            status: 202,
            copies: 1,
            ..claim(id)
        })
    };
    assert_eq!(after(|history, _| history.push(accepted("z"))), "a");
    let replaced = Line::Fault(Fault {
        name: DISK_REPLACED.into(),
        ..Fault::default()
    });
    assert_eq!(
        after(|history, _| history.extend([accepted("z"), replaced])),
        ""
    );
}

#[test]
fn a_record_that_failed_may_be_there_or_not() {
    let failed = |id: &str| {
        Line::Write(Write {
            status: 503,
            copies: 0,
            ..claim(id)
        })
    };
    assert_eq!(after(|history, _| history.push(failed("z"))), "");
    assert_eq!(
        after(|history, state| {
            history.push(failed("z"));
            state.everywhere.insert("z".into());
        }),
        ""
    );
}

#[test]
fn a_record_that_nobody_wrote_is_noticed() {
    assert_eq!(
        after(|_, state| assert!(state.everywhere.insert("z".into()))),
        "b"
    );
    assert_eq!(
        after(|_, state| assert!(listed(state, "node1").insert("z".into()))),
        "b"
    );
}

#[test]
fn altered_bytes_and_wrong_names_are_noticed() {
    assert_eq!(after(|_, state| state.altered.push("x".into())), "b");
    assert_eq!(
        after(|history, state| {
            state.everywhere.insert("z".into());
            for ids in state.listed.get_mut("s").unwrap().values_mut() {
                ids.insert("z".into());
            }
            history.push(Line::Write(Write {
                end: 3_000,
                answered_id: Some("x".into()),
                ..claim("z")
            }));
        }),
        "b"
    );
}

#[test]
fn unequal_owners_are_noticed() {
    assert_eq!(after(|_, state| state.equal = false), "c");
}

#[test]
fn lenses_that_differ_are_noticed() {
    let differ = |state: &mut State| {
        let answers = state.answers.get_mut(&question()).unwrap();
        answers.insert("node2".into(), "{\"lens\":2}".into())
    };
    assert_eq!(after(|_, state| assert!(differ(state).is_some())), "d");
}

#[test]
fn a_complete_answer_that_misses_a_record_is_noticed() {
    assert_eq!(
        after(|history, _| history.push(Line::Read(read(&["x"])))),
        "g"
    );
    let counted = Read {
        lens: "recency".into(),
        considered: 1,
        ..read(&[])
    };
    assert_eq!(after(|history, _| history.push(Line::Read(counted))), "g");
}

#[test]
fn an_answer_is_only_bound_by_what_it_says() {
    let incomplete = Read {
        complete: false,
        ..read(&["x"])
    };
    let earlier = Read {
        proved_through: 1_009,
        ..read(&[])
    };
    let page = Read {
        more: true,
        ..read(&["x"])
    };
    let refused = Read {
        status: 503,
        ..read(&[])
    };
    for fine in [incomplete, earlier, page, refused] {
        assert_eq!(after(|history, _| history.push(Line::Read(fine))), "");
    }
}

#[test]
fn what_could_not_be_looked_at_is_not_good() {
    assert_eq!(
        after(|_, state| state.unknown.push("node2 does not answer".into())),
        "a"
    );
}
