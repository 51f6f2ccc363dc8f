//! The four services from this one executable: the same libraries and the same command line as their own binaries.

use std::process::ExitCode;

use sidecar::boot::service_main_from;

/// Runs the gateway.
pub(crate) fn gateway(arguments: Vec<String>) -> ExitCode {
    service_main_from(
        "gateway",
        "The clients' door: HTTP API, routing by shard, fan-out",
        arguments.into_iter(),
        |settings, shutdown| {
            stemedb_gateway::run(stemedb_gateway::Config::from(&settings), shutdown)
        },
    )
}

/// Runs the store.
pub(crate) fn store(arguments: Vec<String>) -> ExitCode {
    service_main_from(
        "store",
        "The data of one node: SQLite, Merkle trees, lens queries",
        arguments.into_iter(),
        |settings, shutdown| stemedb_store::run(stemedb_store::Config::from(&settings), shutdown),
    )
}

/// Runs membership.
pub(crate) fn membership(arguments: Vec<String>) -> ExitCode {
    service_main_from(
        "membership",
        "SWIM membership, cluster formation and the view",
        arguments.into_iter(),
        |settings, shutdown| {
            stemedb_membership::run(stemedb_membership::Config::from(&settings), shutdown)
        },
    )
}

/// Runs antientropy.
pub(crate) fn antientropy(arguments: Vec<String>) -> ExitCode {
    service_main_from(
        "antientropy",
        "Merkle repair between stores",
        arguments.into_iter(),
        |settings, shutdown| {
            stemedb_antientropy::run(stemedb_antientropy::Config::from(&settings), shutdown)
        },
    )
}
