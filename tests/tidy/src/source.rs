//! Rules over Rust files and other text: size, words, paths, attributes, waiting, purity.

use crate::{Fault, House, SourceFile};

/// Longest file that still reads as one thing (docs and code alike).
pub const LINES_MAX: usize = 800;

/// Longest `main.rs` of a service: it only hands over to the library.
pub const MAIN_LINES_MAX: usize = 40;

/// Rooms that every service has.
const ROOMS: [&str; 6] = [
    "main.rs",
    "lib.rs",
    "config.rs",
    "error.rs",
    "grpc.rs",
    "metrics.rs",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];

/// What a pure crate must not reach for.
const IMPURE: [&str; 8] = [
    "std::time",
    "std::net",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "async fn",
    "RandomState",
];

/// Words that stand for unfinished work. Put together here so that this file does not hold them.
fn unfinished() -> Vec<String> {
    [("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("HA", "CK")]
        .iter()
        .map(|(start, end)| format!("{start}{end}"))
        .collect()
}

/// Directories of one machine; the third is fine in tests.
fn machine_paths() -> [String; 4] {
    ["work", "root", "tmp", "home"].map(|name| format!("/{name}/"))
}

/// A line of a Rust file with what the rules want to know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    number: usize,
    pub(crate) text: &'a str,
    /// Inside a test module or a test file.
    pub(crate) test: bool,
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with("//")
}

/// Whether the file as a whole is test code, by its place or because its parent declares it under `cfg(test)`.
pub fn is_test_file(house: &House, file: &SourceFile) -> bool {
    let path = &file.path;
    if path.starts_with("tests/") || path.contains("/tests/") {
        return true;
    }
    let Some((directory, name)) = path.rsplit_once('/') else {
        return false;
    };
    let module = name.trim_end_matches(".rs");
    let parents = [
        format!("{directory}/lib.rs"),
        format!("{directory}/main.rs"),
        format!("{directory}.rs"),
        format!("{directory}/mod.rs"),
    ];
    parents
        .iter()
        .filter_map(|parent| house.file(parent))
        .any(|parent| declares_for_tests(&parent.text, module))
}

fn declares_for_tests(text: &str, module: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let next = lines.find(|line| !line.starts_with("#[") && !is_comment(line));
            if next.is_some_and(|next| next.ends_with(&format!("mod {module};"))) {
                return true;
            }
        }
    }
    false
}

/// Numbers the lines; everything after `#[cfg(test)] mod name {` is test code (test modules close a file).
pub(crate) fn lines(text: &str, whole_file_is_test: bool) -> Vec<Line<'_>> {
    let mut test = whole_file_is_test;
    let mut after_cfg = false;
    let mut out = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let trimmed = text.trim();
        if trimmed == "#[cfg(test)]" {
            after_cfg = true;
        } else if after_cfg && !trimmed.starts_with("#[") {
            after_cfg = false;
            test |= trimmed.contains("mod ") && trimmed.ends_with('{');
        }
        out.push(Line {
            number: index + 1,
            text,
            test,
        });
    }
    out
}

/// Every file fits on a reader's desk.
pub fn sizes(files: &[SourceFile]) -> Vec<Fault> {
    let counted = ["rs", "md", "proto", "sh", "yaml", "yml"];
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| counted.contains(&file.ending())) {
        let count = file.text.lines().count();
        if count > LINES_MAX {
            faults.push(Fault::of(
                &file.path,
                format!("{count} lines, at most {LINES_MAX}: find the second thing in it"),
            ));
        }
        let main = file.path.starts_with("services/") && file.path.ends_with("/src/main.rs");
        if main && count > MAIN_LINES_MAX {
            faults.push(Fault::of(
                &file.path,
                format!("{count} lines, at most {MAIN_LINES_MAX}: `run` is the composition root"),
            ));
        }
    }
    faults
}

/// No sign of unfinished work, no name that says nothing.
pub fn words(files: &[SourceFile]) -> Vec<Fault> {
    let words = unfinished();
    let mut faults = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            for word in &words {
                if holds_word(line, word) {
                    faults.push(Fault::at(
                        file,
                        index + 1,
                        format!("{word}: finish it, or write it into an issue"),
                    ));
                }
            }
        }
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if let Some(module) = name
            .strip_suffix(".rs")
            .filter(|module| EMPTY_NAMES.contains(module))
        {
            faults.push(Fault::of(
                &file.path,
                format!("a module called {module} says nothing: name what is in it"),
            ));
        }
    }
    faults
}

fn holds_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// No path of one machine; temporary directories only in tests and scripts.
pub fn paths(house: &House) -> Vec<Fault> {
    let [work, root, temporary, home] = machine_paths();
    let mut faults = Vec::new();
    for file in &house.files {
        let test = is_test_file(house, file);
        for line in lines(&file.text, test) {
            for path in [&work, &root, &home, &temporary] {
                let allowed = path == &temporary && (line.test || file.ending() != "rs");
                if !allowed && holds_path(line.text, path) {
                    faults.push(Fault::at(
                        file,
                        line.number,
                        format!("{path} is a place on one machine"),
                    ));
                }
            }
        }
    }
    faults
}

fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "._-}*".contains(c))
    })
}

/// Every test runs, and none waits for time to pass: it polls a condition with a deadline.
pub fn tests_run_and_do_not_wait(house: &House) -> Vec<Fault> {
    let ignore = format!("#[{}", "ignore");
    let waits = ["sleep", "sleep_until", "sleep_ms"].map(|name| format!("{name}("));
    let mut faults = Vec::new();
    for file in house.ending("rs") {
        for line in lines(&file.text, is_test_file(house, file)) {
            if is_comment(line.text) {
                continue;
            }
            if line.text.contains(&ignore) {
                faults.push(Fault::at(
                    file,
                    line.number,
                    "an ignored test holds nothing: run it or delete it",
                ));
            }
            // The pause between two looks of a poll is not a wait for time; it says so on its line.
            let between_polls = line.text.contains("// between polls");
            if line.test
                && !between_polls
                && waits.iter().any(|wait| line.text.contains(wait.as_str()))
            {
                faults.push(Fault::at(
                    file,
                    line.number,
                    "a test that sleeps: poll a condition with a deadline",
                ));
            }
        }
    }
    faults
}

/// A lint is switched off only with its reason beside it.
pub fn allowances(files: &[SourceFile]) -> Vec<Fault> {
    let openings = ["allow", "expect"].map(|name| [format!("#[{name}("), format!("#![{name}(")]);
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.ending() == "rs") {
        for opening in openings.iter().flatten() {
            for (at, _) in file.text.match_indices(opening.as_str()) {
                let line_start = file.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                if file.text[line_start..at].contains(['"', '/']) {
                    continue;
                }
                let attribute = file.text[at..].split(")]").next().unwrap_or_default();
                if !attribute.contains("reason =") {
                    let line = file.text[..at].lines().count().max(1)
                        + usize::from(file.text[..at].ends_with('\n'));
                    faults.push(Fault::at(
                        file,
                        line,
                        "a lint switched off without `reason = \"…\"`",
                    ));
                }
            }
        }
    }
    faults
}

/// Pure crates reach for no clock, socket, disk, environment or chance.
pub fn purity(house: &House) -> Vec<Fault> {
    let pure = [
        "crates/assertion/src/",
        "crates/lens/src/",
        "crates/shard/src/",
        "crates/merkle/src/",
    ];
    let mut faults = Vec::new();
    for file in house
        .ending("rs")
        .filter(|file| pure.iter().any(|room| file.path.starts_with(room)))
    {
        for line in lines(&file.text, is_test_file(house, file)) {
            if line.test || is_comment(line.text) {
                continue;
            }
            if let Some(word) = IMPURE.iter().find(|word| line.text.contains(**word)) {
                faults.push(Fault::at(
                    file,
                    line.number,
                    format!("{word} in a pure crate: let the caller give it"),
                ));
            }
        }
    }
    faults
}

/// Every service has the same rooms.
pub fn rooms(house: &House) -> Vec<Fault> {
    let mut faults = Vec::new();
    for service in ["antientropy", "gateway", "membership", "store"] {
        for room in ROOMS {
            let path = format!("services/{service}/src/{room}");
            if house.file(&path).is_none() {
                faults.push(Fault::of(&path, "every service has this room"));
            }
        }
    }
    faults
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
