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

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Path of a program, built from this tree with the profile of the test itself. The first call builds all of them.
///
/// # Panics
/// When they cannot be built.
pub fn path(program: &str) -> PathBuf {
    DIRECTORY.get_or_init(build).join(program)
}

/// Takes programs that are built already, from `<target>/<profile>`. To be called before the first [`path`].
///
/// # Panics
/// When programs were taken from elsewhere, or one is missing.
pub fn given(directory: &Path) {
    let directory = directory.canonicalize().expect("the directory is there");
    assert_complete(&directory);
    assert_eq!(*DIRECTORY.get_or_init(|| directory.clone()), directory);
}

fn build() -> PathBuf {
    // target/<profile>/deps/cluster-<hash>, or a program that uses this crate: target/<profile>/bench
    let test = std::env::current_exe().expect("a test has an executable");
    let mut directory = test.parent().expect("an executable lies in a directory");
    if directory.ends_with("deps") {
        directory = directory.parent().expect("tests lie in <profile>/deps");
    }
    let directory = directory.to_owned();
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
    assert_complete(&directory);
    directory
}

fn assert_complete(directory: &Path) {
    for program in PROGRAMS {
        assert!(
            directory.join(program).is_file(),
            "{program} is not in {}",
            directory.display()
        );
    }
}
