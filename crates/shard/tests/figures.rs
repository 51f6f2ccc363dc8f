//! The figures of docs/adr/0002-placement.md: `cargo test --release -p shard --test figures -- --nocapture`.

#![allow(clippy::print_stdout, reason = "a table for a document")]

use std::time::{Duration, Instant};

use shard::Placement;

/// Sets of members tried per line.
const TRIALS: u32 = 25;

fn names(trial: u32, count: u32) -> Vec<String> {
    (0..count).map(|n| format!("member-{trial}-{n}")).collect()
}

fn moved(before: &Placement, after: &Placement) -> usize {
    let came = |shard: &u32| {
        let old = before.owners(*shard);
        after
            .owners(*shard)
            .iter()
            .filter(|owner| !old.contains(owner))
            .count()
    };
    (0..after.num_shards()).map(|shard| came(&shard)).sum()
}

/// Mean and worst of what the last of `count` members moves by joining, over what it must.
fn excess(num_shards: u32, rf: u32, count: u32) -> (f64, f64) {
    let ratios = (0..TRIALS).map(|trial| {
        let names = names(trial, count);
        let with = Placement::new(names.clone(), num_shards, rf);
        let without = Placement::new(names[1..].to_vec(), num_shards, rf);
        moved(&without, &with) as f64 / with.slots()[&*names[0]] as f64
    });
    let ratios: Vec<f64> = ratios.collect();
    let mean = ratios.iter().sum::<f64>() / f64::from(TRIALS);
    (mean, ratios.into_iter().fold(0.0, f64::max))
}

#[test]
fn moves_per_join() {
    println!("| shards | copies | joins as | moves, mean | worst |");
    for (num_shards, rf) in [(64, 2), (128, 2), (256, 2), (256, 3), (1_024, 2)] {
        for count in [3, 4, 5, 8] {
            let (mean, worst) = excess(num_shards, rf, count);
            println!("| {num_shards} | {rf} | member {count} | {mean:.2} × | {worst:.2} × |");
            assert!(worst < 1.6, "moves {worst} times what it must");
        }
    }
}

#[test]
fn a_placement_takes_milliseconds() {
    for (num_shards, count) in [(256, 3), (256, 8), (1_024, 16)] {
        let names = names(0, count);
        let began = Instant::now();
        let placement = Placement::new(names, num_shards, 2);
        let took = began.elapsed();
        println!(
            "| {num_shards} shards | {count} members | {:.2} ms |",
            took.as_secs_f64() * 1e3
        );
        assert_eq!(placement.slots().len(), count as usize);
        // A build without optimisation on a busy machine has its room; a worse algorithm has not.
        assert!(took < Duration::from_secs(5), "took {took:?}");
    }
}
