//! The antientropy service of one node.

use std::process::ExitCode;

use stemedb_antientropy::{Config, run};

fn main() -> ExitCode {
    sidecar::boot::service_main(
        "antientropy",
        "Merkle repair between stores",
        |settings, shutdown| run(Config::from(&settings), shutdown),
    )
}
