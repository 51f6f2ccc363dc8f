//! The store service of one node.

use std::process::ExitCode;

use stemedb_store::{Config, run};

fn main() -> ExitCode {
    sidecar::boot::service_main(
        "store",
        "The data of one node: SQLite, Merkle trees, lens queries",
        |settings, shutdown| run(Config::from(&settings), shutdown),
    )
}
