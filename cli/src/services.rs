//! The four services from this one executable: the same libraries and the same command line as their own binaries.

use std::path::Path;
use std::process::ExitCode;

use sidecar::boot::service_main_from;

/// The service that this executable was called as: under the name `stemedb-store` it is the store's own binary. An image
/// then has one file under five names instead of the same code five times.
pub(crate) fn called() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let run = by_name(&arguments.next()?)?;
    Some(run(arguments.collect()))
}

fn by_name(called: &str) -> Option<fn(Vec<String>) -> ExitCode> {
    let name = Path::new(called).file_name()?.to_str()?;
    match name.strip_prefix("stemedb-")? {
        "gateway" => Some(gateway),
        "store" => Some(store),
        "membership" => Some(membership),
        "antientropy" => Some(antientropy),
        _ => None,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_services_are_services() {
        for name in sidecar::settings::SERVICES {
            assert!(by_name(&format!("/usr/local/bin/stemedb-{name}")).is_some());
        }
        for name in ["stemedb", "stemedb-", "stemedb-up", "store", ""] {
            assert!(by_name(name).is_none(), "{name}");
        }
    }
}
