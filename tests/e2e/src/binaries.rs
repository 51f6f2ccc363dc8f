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

/// Where the programs are, or why they are not: found once, told to every test.
static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Where programs are that are built already, for runs by hand: E2E_PROGRAMS=target/release.
const GIVEN: &str = "E2E_PROGRAMS";

/// Path of a program, built from this tree with the profile of the test itself. The first call builds all of them.
///
/// # Panics
/// When they cannot be built.
pub fn path(program: &str) -> PathBuf {
    let find = || std::env::var_os(GIVEN).map_or_else(build, |given| complete(given.into()));
    match DIRECTORY.get_or_init(find) {
        Ok(directory) => directory.join(program),
        Err(why) => panic!("{why}"),
    }
}

/// Takes programs that are built already, from `<target>/<profile>`. To be called before the first [`path`].
///
/// # Panics
/// When programs were taken from elsewhere, or one is missing.
pub fn given(directory: &Path) {
    let directory = directory.canonicalize().expect("the directory is there");
    let taken = DIRECTORY.get_or_init(|| complete(directory.clone()));
    assert_eq!(*taken, Ok(directory));
}

fn build() -> Result<PathBuf, String> {
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
    // Cargo tells the tests that it runs who it is.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let status = command.status().expect("cargo can be run");
    if !status.success() {
        return Err(format!("the programs do not build: {command:?}"));
    }
    complete(directory)
}

/// The directory, when all programs are in it.
fn complete(directory: PathBuf) -> Result<PathBuf, String> {
    let missing = PROGRAMS
        .iter()
        .find(|program| !directory.join(program).is_file());
    match missing {
        Some(program) => Err(format!("{program} is not in {}", directory.display())),
        None => Ok(directory),
    }
}
