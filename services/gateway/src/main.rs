//! The gateway service of one node.

use std::process::ExitCode;

use stemedb_gateway::{Config, run};

fn main() -> ExitCode {
    sidecar::boot::service_main(
        "gateway",
        "The clients' door: HTTP API, routing by shard, fan-out",
        |settings, shutdown| run(Config::from(&settings), shutdown),
    )
}
