//! The membership service of one node.

use std::process::ExitCode;

use stemedb_membership::{Config, run};

fn main() -> ExitCode {
    sidecar::boot::service_main(
        "membership",
        "SWIM membership, cluster formation and the view",
        |settings, shutdown| run(Config::from(&settings), shutdown),
    )
}
