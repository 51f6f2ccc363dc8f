//! `STEMEDB_*` variables: what the code reads is what the documentation explains, no more and no less.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::is_test_file;
use crate::{Fault, House, SourceFile};

/// The page that explains every setting.
pub const PAGE: &str = "docs/configuration.md";

/// Every variable name in a text, with the line of its first mention.
pub fn named(text: &str) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        for (at, start) in line.match_indices("STEMEDB_") {
            let rest = &line[at + start.len()..];
            let length = rest
                .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(rest.len());
            let name = rest[..length].trim_end_matches('_');
            // `STEMEDB_*` and `"STEMEDB_"` name the family, not a variable.
            if !name.is_empty() {
                names.entry(format!("STEMEDB_{name}")).or_insert(index + 1);
            }
        }
    }
    names
}

/// Variables that the code itself knows, tests and comments aside.
pub fn read_by_code(house: &House) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in house.ending("rs").filter(|file| !is_test_file(house, file)) {
        let code: Vec<&str> = file
            .text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        names.extend(named(&code.join("\n")).into_keys());
    }
    names
}

/// Code and page name the same variables.
pub fn check_page(code: &BTreeSet<String>, page: &SourceFile) -> Vec<Fault> {
    let explained = named(&page.text);
    let mut faults = Vec::new();
    for name in code.iter().filter(|name| !explained.contains_key(*name)) {
        faults.push(Fault::of(
            &page.path,
            format!("{name} is read by the code and explained nowhere"),
        ));
    }
    for (name, line) in explained.iter().filter(|(name, _)| !code.contains(*name)) {
        faults.push(Fault::at(page, *line, format!("no code reads {name}")));
    }
    faults
}

/// No other text (README, compose, manifests, scripts) names a variable that does not exist.
pub fn check_mentions(code: &BTreeSet<String>, files: &[SourceFile]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.ending() != "rs" && file.path != PAGE)
    {
        for (name, line) in named(&file.text)
            .iter()
            .filter(|(name, _)| !code.contains(*name))
        {
            faults.push(Fault::at(file, *line, format!("no code reads {name}")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn house() -> House {
        House {
            root: PathBuf::new(),
            files: vec![
                SourceFile::new(
                    "crates/sidecar/src/settings.rs",
                    "// STEMEDB_OLD\nconst A: &str = \"STEMEDB_NODE_ID\";\n#[cfg(test)]\nmod tests {\n \"STEMEDB_TYPO\" }",
                ),
                SourceFile::new("tests/e2e/tests/a.rs", "\"STEMEDB_OTHER\""),
            ],
        }
    }

    #[test]
    fn only_code_counts() {
        let names = read_by_code(&house());
        assert_eq!(names, BTreeSet::from(["STEMEDB_NODE_ID".to_owned()]));
    }

    #[test]
    fn differences_are_found_both_ways() {
        let code = read_by_code(&house());
        let page = SourceFile::new(PAGE, "`STEMEDB_*`\n\n| `STEMEDB_SEED` |\n");
        let faults = check_page(&code, &page);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[1].line, 3);
        let good = SourceFile::new(PAGE, "`STEMEDB_NODE_ID`");
        assert!(check_page(&code, &good).is_empty());
    }

    #[test]
    fn a_mention_of_an_unknown_variable_is_found() {
        let code = read_by_code(&house());
        let files = [SourceFile::new(
            "compose.yaml",
            "STEMEDB_NODE: a\nSTEMEDB_NODE_ID: b",
        )];
        assert_eq!(check_mentions(&code, &files).len(), 1);
    }
}
