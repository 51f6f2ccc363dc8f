//! Where the programs are that are tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The programs of a node, and the user's command.
const PROGRAMS: [&str; 5] = [
    "stemedb-gateway",
    "stemedb-store",
    "stemedb-membership",
    "stemedb-antientropy",
    "stemedb",
];

/// Path of a program, built from this tree with the profile of the test itself. The first call builds all of them.
///
/// # Panics
/// When they cannot be built.
pub fn path(program: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(build).join(program)
}

fn build() -> PathBuf {
    // target/<profile>/deps/cluster-<hash>
    let test = std::env::current_exe().expect("a test has an executable");
    let directory = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in <profile>/deps")
        .to_owned();
    let folder = directory.file_name().and_then(|name| name.to_str());
    let profile = match folder {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let target = directory.parent().expect("<target>/<profile>");
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "the programs do not build: {command:?}");
    for program in PROGRAMS {
        assert!(
            directory.join(program).is_file(),
            "{program} was not built into {}",
            directory.display()
        );
    }
    directory
}
