//! Real nodes under real faults: every node has a network, a disk and a clock of its own, and they are cut, filled, broken and
//! set back while clients write and ask at a constant rate. What the clients were told goes to a file; a checker that knows
//! nothing of the cluster's inside holds it against what is there in the end.
//!
//! Linux, as root, with iproute2, iptables, e2fsprogs and a C compiler. How to run it: docs/chaos.md.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

pub mod checker;
pub mod client;
pub mod control;
pub mod delay;
pub mod disk;
pub mod history;
pub mod lab;
pub mod nemesis;
pub mod network;
pub mod records;
pub mod report;
pub mod run;
pub mod scenario;
pub mod state;
pub mod sweep;
pub mod workload;

use nemesis::Mix;
use run::{Outcome, Run};

/// How long a fault of the long mix may be planned for at most: a day.
const MINUTES_MAX: u64 = 24 * 60;

/// What to break.
#[derive(Debug, Parser)]
#[command(
    name = "chaos",
    about = "Breaks a cluster of real nodes and checks what clients were told"
)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Inner>,
    /// Makes the plan: the same seed plans the same. Without it the time of day.
    #[arg(long)]
    seed: Option<u64>,
    /// Minutes of faults in the long mix.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=MINUTES_MAX))]
    minutes: u64,
    /// What is broken.
    #[arg(long, value_enum, default_value = "short")]
    mix: Mix,
    /// Instead of a mix: scenarios by name, or `all` of them, each with a cluster of its own.
    #[arg(long, num_args = 1.., conflicts_with = "mix")]
    scenario: Vec<String>,
    /// Names the scenarios.
    #[arg(long)]
    list: bool,
    /// Where the programs of a node are, when they are built already.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Where histories are kept, and the logs of runs that fail.
    #[arg(long, default_value = "target/chaos")]
    out: PathBuf,
}

/// Processes of the lab itself.
#[derive(Debug, Subcommand)]
enum Inner {
    /// Holds back what this network's rules put into queue 0.
    #[command(hide = true)]
    Delay {
        /// For how long.
        #[arg(long)]
        ms: u64,
    },
}

/// Does what is asked; whether all is well.
///
/// # Errors
/// When the machine lacks something or the system refuses.
pub async fn run(options: Options) -> Result<bool, String> {
    if let Some(Inner::Delay { ms }) = options.command {
        network::die_with_parent()?;
        return delay::run(Duration::from_millis(ms))
            .map(|()| true)
            .map_err(|error| format!("cannot delay packets: {error}"));
    }
    if options.list {
        for (name, what) in scenario::ALL {
            say(&format!("{name:<24} {what}"));
        }
        return Ok(true);
    }
    let names = scenario::named(&options.scenario)?;
    if let Some(programs) = &options.programs {
        e2e::binaries::given(programs);
    }
    sweep::dead();
    let seed = options.seed.unwrap_or_else(history::now_ms);
    if names.is_empty() {
        return Ok(mix(&options, seed).await?.good());
    }
    let mut failed = Vec::new();
    for name in names {
        say(&format!("scenario {name}, seed {seed}"));
        let played = match Run::start(name, seed, &options.out, scenario::settings(name)).await {
            Ok(run) => scenario::play(name, run).await,
            Err(why) => Err(why),
        };
        if let Err(why) = &played {
            say(&format!("FAILED: {why}"));
        }
        if !played.is_ok_and(|outcome| outcome.good()) {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        say(&format!("scenarios that failed: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

async fn mix(options: &Options, seed: u64) -> Result<Outcome, String> {
    let time = Duration::from_secs(60 * options.minutes);
    let mut run = Run::start(&format!("seed-{seed}"), seed, &options.out, &[]).await?;
    let steps = nemesis::plan(seed, options.mix, time, 3);
    say(&format!(
        "{:?} mix, seed {seed}, {} faults",
        options.mix,
        steps.len()
    ));
    for step in steps {
        let suffered = run.suffer(&step.fault, step.hold, step.wait).await;
        if let Err(why) = suffered {
            run.complaints.push(format!("{}: {why}", step.fault.name()));
            break;
        }
    }
    run.finish().await
}

/// Tells the user.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub fn say(text: &str) {
    println!("{text}");
}
