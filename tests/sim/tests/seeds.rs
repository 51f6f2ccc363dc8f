//! Many histories; and for every rule, that breaking it is noticed.

#![allow(clippy::print_stdout, reason = "what a long run did")]

use sim::{Broken, Story, run, tell};

/// Histories of an ordinary test run. `SIM_SEEDS=20000` makes a long one.
const SEEDS: u64 = 1_000;

/// Seeds that once showed a fault, and are played for ever. One a line; what is behind the number is for people.
const KEPT: &str = include_str!("../seeds.txt");

/// Histories within which a broken rule must be noticed, from the one on that is known to show it.
const SEEDS_TO_NOTICE: u64 = 400;

fn seeds() -> u64 {
    std::env::var("SIM_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(SEEDS)
}

fn kept() -> impl Iterator<Item = u64> {
    KEPT.lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

#[test]
fn complete_answers_hold_all_that_was_acknowledged() {
    let (mut acknowledged, mut complete, mut incomplete, mut wiped) = (0, 0, 0, 0);
    for seed in kept().chain(0..seeds()) {
        match run(seed, Broken::Nothing) {
            Ok(summary) => {
                acknowledged += summary.acknowledged;
                complete += summary.complete;
                incomplete += summary.incomplete;
                wiped += summary.wiped;
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    println!(
        "{acknowledged} records acknowledged, {complete} complete answers, {incomplete} others, {wiped} disks lost"
    );
    assert!(
        complete > incomplete / 4,
        "hardly ever complete: {complete} against {incomplete}"
    );
}

/// `SIM_FIND=20000` tells of each rule the first seeds that notice it, for the numbers below.
#[test]
fn seeds_that_notice() {
    let seeds = std::env::var("SIM_FIND").ok();
    let Some(seeds) = seeds.and_then(|seeds| seeds.parse::<u64>().ok()) else {
        return;
    };
    for broken in Broken::ALL {
        let promise = |seed: &u64| {
            run(*seed, broken)
                .err()
                .is_some_and(|found| !found.at_the_end)
        };
        let found: Vec<u64> = (0..seeds).filter(promise).take(3).collect();
        println!("{broken:?}: {found:?}");
    }
}

/// Breaks a rule, and plays histories until the promise breaks.
fn notices(broken: Broken, from: u64) {
    let promise = |seed| run(seed, broken).err().filter(|found| !found.at_the_end);
    let violation = (from..from + SEEDS_TO_NOTICE).find_map(promise);
    let violation = violation.unwrap_or_else(|| panic!("{broken:?} was not noticed"));
    println!(
        "{broken:?}: {} at {} ms of seed {}",
        violation.what, violation.at_ms, violation.seed
    );
}

#[test]
fn proofs_from_fewer_members_would_be_noticed() {
    notices(Broken::OneMoreMayMiss, 0);
}

#[test]
fn proofs_of_a_lost_disk_would_be_noticed() {
    notices(Broken::WipedStoreKeepsProofs, 0);
}

#[test]
fn belief_in_an_empty_store_would_be_noticed() {
    notices(Broken::WipedStoreCounts, 0);
}

#[test]
fn belief_in_a_store_with_its_own_shards_alone_would_be_noticed() {
    notices(Broken::OwnedShardsAreEnough, 1);
}

#[test]
fn acknowledging_with_one_copy_would_be_noticed() {
    notices(Broken::OneCopyIsEnough, 0);
}

#[test]
fn dating_proofs_at_the_end_would_be_noticed() {
    notices(Broken::DatedAtTheEnd, 0);
}

#[test]
fn leaving_out_repaired_ids_would_be_noticed() {
    notices(Broken::RepairedIdsAreYoung, 700);
}

#[test]
fn counting_a_newcomer_at_once_would_be_noticed() {
    notices(Broken::NewcomerCountsAtOnce, 7);
}

#[test]
fn telling_only_some_of_a_newcomer_would_be_noticed() {
    notices(Broken::FewAreTold, 254);
}

#[test]
fn confirmations_of_anybody_would_be_noticed() {
    notices(Broken::AnybodyConfirms, 0);
}

#[test]
fn proofs_that_outlive_their_rows_would_be_noticed() {
    notices(Broken::ProofsOutliveRows, 0);
}

/// Versions of each story. Some break a rule in one of ten.
const VERSIONS: u64 = 100;

#[test]
fn every_story_ends_well() {
    for story in Story::ALL {
        for seed in 0..VERSIONS {
            let summary = tell(story, seed, Broken::Nothing);
            let summary = summary.unwrap_or_else(|violation| panic!("{story:?}: {violation}"));
            assert_eq!(summary.acknowledged, 1, "{story:?}, seed {seed}");
        }
    }
}

/// Breaks a rule in a story, and counts in how many of its versions the promise breaks.
fn notices_in(story: Story, broken: Broken) {
    let promise = |seed: &u64| {
        let violation = tell(story, *seed, broken).err();
        violation.is_some_and(|found| !found.at_the_end)
    };
    let found = (0..VERSIONS).filter(promise).count();
    println!("{broken:?} in {story:?}: {found} of {VERSIONS}");
    assert!(found > 0, "{broken:?} was not noticed in {story:?}");
}

#[test]
fn two_nodes_that_would_drop_each_others_copy_keep_both() {
    for seed in 0..VERSIONS {
        let kept = tell(Story::EachSeesTheOther, seed, Broken::Nothing);
        kept.unwrap_or_else(|violation| panic!("{violation}"));
    }
    notices_in(Story::EachSeesTheOther, Broken::AnybodyConfirms);
}

#[test]
fn confirmations_from_before_the_end_of_an_ownership_would_be_noticed() {
    notices_in(Story::EachSawTheOther, Broken::NoHoldTime);
}

#[test]
fn giving_up_under_an_old_view_would_be_noticed() {
    notices_in(Story::OwnerAgain, Broken::OldView);
}

#[test]
fn stale_confirmations_would_be_noticed() {
    notices_in(Story::LostSince, Broken::StaleConfirmations);
}

#[test]
fn confirming_rows_that_just_came_would_be_noticed() {
    notices_in(Story::BehindTwoSessions, Broken::YoungRowsAreConfirmed);
}

/// One seed is one history: without that no seed is worth keeping.
#[test]
fn a_seed_is_a_history() {
    let play = |seed| {
        run(seed, Broken::Nothing)
            .map(|summary| format!("{summary:?}"))
            .map_err(|v| v.to_string())
    };
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

#[test]
fn counting_on_the_own_setting_would_be_noticed() {
    notices(Broken::OwnSettingCounts, 1_000);
}

#[test]
fn counting_on_more_copies_at_once_would_be_noticed() {
    notices(Broken::RaiseCountsAtOnce, 0);
}
