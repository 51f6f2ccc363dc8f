//! Documents: short where they promise to be short, there where they are linked to.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Fault, SourceFile};

/// One page.
const ARCHITECTURE_LINES_MAX: usize = 90;

/// A decision that needs more is two decisions.
const DECISION_LINES_MAX: usize = 60;

/// Files that a reader of any repository looks for.
const EXPECTED: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/configuration.md",
];

/// The expected files are there, and the short ones are short.
pub fn check_shape(files: &[SourceFile]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for path in EXPECTED {
        match files.iter().find(|file| file.path == path) {
            None => faults.push(Fault::of(path, "missing")),
            Some(file) if file.text.trim().is_empty() => faults.push(Fault::of(path, "empty")),
            Some(_) => {}
        }
    }
    for file in files {
        let decision = file.path.starts_with("docs/adr/") && file.ending() == "md";
        let most = match file.path.as_str() {
            "ARCHITECTURE.md" => ARCHITECTURE_LINES_MAX,
            _ if decision => DECISION_LINES_MAX,
            _ => continue,
        };
        let count = file.text.lines().count();
        if count > most {
            faults.push(Fault::of(
                &file.path,
                format!("{count} lines, at most {most}"),
            ));
        }
        if decision && !file.text.lines().any(|line| line.starts_with("Status:")) {
            faults.push(Fault::of(&file.path, "a decision has a line `Status: …`"));
        }
    }
    faults.extend(check_numbers(files));
    faults
}

/// What the one gate runs. The first is what the README tells a reader to run.
const GATE: [&str; 4] = [
    "cargo test --workspace",
    "cargo fmt --all --check",
    "cargo clippy --workspace --all-targets --quiet -- -D warnings",
    "cargo doc --workspace --no-deps",
];

/// The gate runs all of it, and the README's test command is a part of the gate.
pub fn check_gate(gate: &SourceFile, readme: &SourceFile) -> Vec<Fault> {
    let missing = |file: &SourceFile, command: &str| {
        let there = file.text.lines().any(|line| line.contains(command));
        (!there).then(|| Fault::of(&file.path, format!("does not say `{command}`")))
    };
    let mut faults: Vec<Fault> = GATE
        .iter()
        .filter_map(|command| missing(gate, command))
        .collect();
    faults.extend(missing(readme, GATE[0]));
    faults
}

/// Every decision has its own number.
fn check_numbers(files: &[SourceFile]) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for file in files {
        let Some(name) = file
            .path
            .strip_prefix("docs/adr/")
            .filter(|name| name.ends_with(".md"))
        else {
            continue;
        };
        let number: String = name.chars().take_while(char::is_ascii_digit).collect();
        if number.len() != 4 || !seen.insert(number.clone()) {
            faults.push(Fault::of(
                &file.path,
                format!("number {number:?} is taken, or not four digits"),
            ));
        }
    }
    faults
}

/// Relative links of Markdown lead somewhere. `exists` is asked with paths from the root.
pub fn check_links(files: &[SourceFile], exists: &dyn Fn(&Path) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.ending() == "md") {
        let directory = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        let mut fenced = false;
        for (index, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for target in link_targets(line) {
                if !exists(&directory.join(target)) {
                    faults.push(Fault::at(
                        file,
                        index + 1,
                        format!("link to {target}, which is not there"),
                    ));
                }
            }
        }
    }
    faults
}

/// The relative paths that a line links to, anchors cut off.
fn link_targets(line: &str) -> Vec<&str> {
    line.match_indices("](")
        .filter_map(|(at, _)| line[at + 2..].split(')').next())
        .map(|target| target.split('#').next().unwrap_or(target).trim())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_long_documents_are_found() {
        let long = "Status: accepted\n".repeat(DECISION_LINES_MAX + 1);
        let files = [
            SourceFile::new("README.md", "# StemeDB"),
            SourceFile::new(
                "ARCHITECTURE.md",
                &"line\n".repeat(ARCHITECTURE_LINES_MAX + 1),
            ),
            SourceFile::new("docs/adr/0001-one.md", &long),
            SourceFile::new("docs/adr/0001-other.md", "no state"),
        ];
        let faults: Vec<String> = check_shape(&files).iter().map(Fault::to_string).collect();
        // Three files missing, two too long, one without a status, one number twice.
        assert_eq!(faults.len(), 7, "{faults:#?}");
    }

    #[test]
    fn a_gate_that_lacks_a_step_is_found() {
        let readme = SourceFile::new("README.md", "cargo test --workspace");
        let gate = SourceFile::new(".ci/run", &GATE.join("\n"));
        assert!(check_gate(&gate, &readme).is_empty());
        let gate = SourceFile::new(".ci/run", &GATE[1..].join("\n"));
        let readme = SourceFile::new("README.md", "cargo test");
        assert_eq!(check_gate(&gate, &readme).len(), 2);
    }

    #[test]
    fn broken_links_are_found() {
        let text = "[a](there.md#part) [b](gone.md) [c](https://example.org/x) [d](#here)\n```\n[e](code.md)\n```";
        let files = [SourceFile::new("docs/page.md", text)];
        let faults = check_links(&files, &|path| path == Path::new("docs/there.md"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].what.contains("gone.md"));
    }
}
