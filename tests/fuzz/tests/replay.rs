//! The saved corpora of all targets, and a few thousand changes of them, the same in every run.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzz::corpus::{self, escaped, unescaped};
use fuzz::mutate::Mutator;
use fuzz::{Target, targets};

/// The changes follow from it.
const SEED: u64 = 0x57e3_edb0;

/// Checks one input, and says which it was when it breaks a promise.
fn check(target: &Target, input: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    assert!(
        held.is_ok(),
        "{} breaks a promise; once mended, keep this line in tests/fuzz/found/{0}.txt:\n{}",
        target.name,
        escaped(input)
    );
}

fn replay(prefix: &str) {
    let chosen = targets().into_iter();
    let chosen: Vec<Target> = chosen
        .filter(|target| target.name.starts_with(prefix))
        .collect();
    assert!(!chosen.is_empty());
    for target in chosen {
        let inputs = corpus::inputs(&target).expect("a corpus that can be read");
        assert!(!inputs.is_empty(), "{} has no input", target.name);
        inputs.iter().for_each(|input| check(&target, input));
        let mut mutator = Mutator::new(SEED);
        for _ in 0..target.mutations {
            check(&target, &mutator.next(&inputs));
        }
    }
}

#[test]
fn records_of_clients() {
    replay("record_of_client");
}

#[test]
fn records_of_peers() {
    replay("record_of_peer");
}

#[test]
fn descriptions_of_members() {
    replay("metadata");
    replay("book");
    replay("view");
}

#[test]
fn configurations() {
    replay("config");
}

#[test]
fn tokens_and_cursors() {
    replay("feed_token");
    replay("cursor");
}

#[test]
fn bodies_of_one_record() {
    for one in ["body_assert", "body_vote", "body_epoch", "body_source"] {
        replay(one);
    }
}

#[test]
fn bodies_of_many_records() {
    replay("body_batch");
    replay("body_lines");
}

#[test]
fn questions() {
    replay("body_query");
    replay("url");
}

#[test]
fn calls_of_peers() {
    replay("call_");
}

#[test]
fn answers_of_peers() {
    replay("reply_");
}

#[test]
fn the_same_seed_makes_the_same_changes() {
    let inputs = [b"one".to_vec(), b"{\"two\":2}".to_vec()];
    let made = || {
        let mut mutator = Mutator::new(SEED);
        (0..100).map(|_| mutator.next(&inputs)).collect::<Vec<_>>()
    };
    assert_eq!(made(), made());
    let different: BTreeSet<Vec<u8>> = made().into_iter().collect();
    assert!(different.len() > 60, "{}", different.len());
}

#[test]
fn a_saved_input_comes_back() {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    assert_eq!(unescaped(&escaped(&all)), Some(all));
    for wrong in ["\\", "\\x1", "\\q", "\\xzz"] {
        assert_eq!(unescaped(wrong), None, "{wrong}");
    }
    let names: BTreeSet<&str> = targets().iter().map(|target| target.name).collect();
    assert_eq!(names.len(), targets().len(), "each has a file of its own");
}
