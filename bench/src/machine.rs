//! Where the figures come from: machine, disk, commit.

use std::fs;
use std::path::Path;
use std::process::Command;

/// One line about this machine and the disk below a directory.
pub fn describe(directory: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let parts = [
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
        format!("{cores} cores"),
        field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok())
            .map_or_else(
                || "memory unknown".to_owned(),
                |kib| format!("{:.0} GiB", kib / 1_048_576.0),
            ),
        disk(directory).unwrap_or_else(|| "disk unknown".to_owned()),
        read("/proc/sys/kernel/osrelease").map_or_else(String::new, |text| format!("Linux {text}")),
    ];
    parts.join(", ")
}

/// An error when the directory lies in memory: nothing durable is measured there.
///
/// # Errors
/// When it does.
pub fn on_disk(directory: &Path) -> Result<(), String> {
    match disk(directory) {
        Some(disk) if disk.starts_with("tmpfs") || disk.starts_with("ramfs") => Err(format!(
            "{} is in memory ({disk}): set CARGO_TARGET_DIR to a directory on a disk",
            directory.display()
        )),
        _ => Ok(()),
    }
}

/// The commit of the tree that this program was built from, and whether something in it is not committed.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=9", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let programs = [
        "status",
        "--porcelain",
        "--",
        "Cargo.lock",
        "crates",
        "proto",
        "services",
    ];
    let changed = git(&programs).is_none_or(|changes| !changes.is_empty());
    if changed {
        format!("{commit}+changes")
    } else {
        commit
    }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// File system and device of a directory: the mount with the longest path above it.
fn disk(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = read("/proc/self/mounts")?;
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        })
        .filter(|(_, at, _)| directory.starts_with(at))
        .max_by_key(|(_, at, _)| at.len())?;
    Some(format!("{} on {}", mount.2, mount.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_cores_and_a_disk() {
        let line = describe(Path::new("."));
        assert!(line.contains("cores") && line.contains(" on "), "{line}");
        assert!(on_disk(Path::new("/proc")).is_ok());
    }
}
