//! Names of everything a run leaves on the machine, and its removal, also after a run that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{binaries, process};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Begins the names of namespaces and directories; the id of the process that made them follows.
const PREFIX: &str = "chaos-";

/// Where the system keeps named network namespaces.
const NAMESPACES: &str = "/run/netns";

/// What this process calls something.
pub fn ours(what: &str) -> String {
    format!("{PREFIX}{}-{what}", std::process::id())
}

/// The clients' end of a run's network, by the id of its process: a name of at most 15 bytes.
pub fn device(maker: u32) -> String {
    format!("chaos{maker}")
}

/// Runs a command of the system to its end.
///
/// # Errors
/// With what it printed, when it fails.
pub fn system(command: &[&str]) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}; install it"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{}: {}", command.join(" "), said.trim()))
    }
}

/// A new directory for a run, deleted when dropped.
///
/// # Panics
/// When it cannot be made.
pub fn directory() -> TempDir {
    let place = place();
    fs::create_dir_all(&place).expect("a directory can be made");
    tempfile::Builder::new()
        .prefix(&ours(""))
        .tempdir_in(place)
        .expect("a directory can be made")
}

/// `<target>/tmp`.
fn place() -> PathBuf {
    let program = binaries::path("stemedb");
    let target = program.parent().and_then(Path::parent);
    target
        .expect("programs lie in <target>/<profile>")
        .join("tmp")
}

/// Removes what runs that are gone have left: processes, mounts, namespaces, directories.
pub fn dead() {
    remove(&|pid| !process::exists(pid));
    for (entry, maker) in named(&place()) {
        if !process::exists(maker) {
            // Another run may sweep the same.
            let _ = fs::remove_dir_all(place().join(entry));
        }
    }
}

/// Removes namespaces and mounts of this run. Its directory goes when it is dropped.
pub fn own() {
    let us = std::process::id();
    remove(&|pid| pid == us);
}

fn remove(whose: &dyn Fn(u32) -> bool) {
    let namespaces = named(Path::new(NAMESPACES));
    for (namespace, _) in namespaces.iter().filter(|(_, maker)| whose(*maker)) {
        end_processes(namespace);
    }
    for mount in mounts().iter().rev() {
        if maker(mount).is_some_and(whose) {
            // Lazily, if something still holds it: the name has to go.
            let _ = system(&["umount", mount]).or_else(|_| system(&["umount", "--lazy", mount]));
        }
    }
    for (namespace, maker) in namespaces.iter().filter(|(_, maker)| whose(*maker)) {
        // The devices in it go with it, but at a time of the kernel's choosing; a next run wants the name now. The first of
        // a run's namespaces takes it away.
        let _ = system(&["ip", "link", "del", &device(*maker)]);
        let _ = system(&["ip", "netns", "del", namespace]);
    }
}

fn end_processes(namespace: &str) {
    let pids = system(&["ip", "netns", "pids", namespace]).unwrap_or_default();
    let pids = pids
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw));
    for pid in pids {
        // It may be gone already.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Mount points, in the order they were mounted.
fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Entries of a directory that runs have made, and who made them.
fn named(directory: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let maker = maker(&name)?;
            Some((name, maker))
        })
        .collect()
}

/// Who made what has this name or lies in something of this name.
fn maker(name: &str) -> Option<u32> {
    name.split('/')
        .find_map(|part| part.strip_prefix(PREFIX)?.split('-').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_read_from_names_and_paths() {
        assert_eq!(maker("chaos-17-node1"), Some(17));
        assert_eq!(maker("target/x/chaos-18-Abc/node1/data"), Some(18));
        assert_eq!(maker(&ours("switch")), Some(std::process::id()));
        assert_eq!(maker("chaos-theory"), None);
        assert_eq!(maker("e2e-17-x"), None);
    }
}
