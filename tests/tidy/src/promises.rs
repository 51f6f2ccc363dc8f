//! The page of promises names tests that exist.

use crate::{Fault, House, SourceFile};

/// The page.
pub const PAGE: &str = "docs/promises.md";

/// Where the scenarios of chaos have their names.
const SCENARIOS: &str = "tests/chaos/src/scenario.rs";

/// Rows of the page, more or less: a page that cannot be read names nothing.
const NAMES_MIN: usize = 60;

/// Every `path::test` of the page is a test, every `chaos scenario` a scenario.
pub fn check(house: &House) -> Vec<Fault> {
    let Some(page) = house.file(PAGE) else {
        return vec![Fault::of(PAGE, "missing")];
    };
    let mut faults = Vec::new();
    let mut names = 0;
    for (index, line) in page.text.lines().enumerate() {
        for name in quoted(line) {
            let held = match (name.split_once("::"), name.split_once(' ')) {
                (Some((path, test)), _) if path.ends_with(".rs") => {
                    house.file(path).is_some_and(|file| is_test(file, test))
                }
                (None, Some(("chaos", scenario))) => house
                    .file(SCENARIOS)
                    .is_some_and(|file| file.text.contains(&format!("\"{scenario}\" =>"))),
                _ => continue,
            };
            names += 1;
            if !held {
                faults.push(Fault::at(page, index + 1, format!("there is no {name}")));
            }
        }
    }
    if names < NAMES_MIN {
        faults.push(Fault::of(PAGE, format!("only {names} tests are named")));
    }
    faults
}

/// What a line has between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether a function of this name has an attribute that makes it a test.
fn is_test(file: &SourceFile, name: &str) -> bool {
    let mut marked = false;
    for line in file.text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if marked && rest.split('(').next() == Some(name) {
                return true;
            }
            marked = false;
        }
    }
    // Properties are written within a macro.
    let property = file.text.contains("proptest!");
    property && file.text.contains(&format!("fn {name}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_are_tests() {
        let file = SourceFile::new(
            "a.rs",
            "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test(flavor)]\n/// Why.\nasync fn three(",
        );
        let held = ["one", "two", "three", "thre"].map(|name| is_test(&file, name));
        assert_eq!(held, [true, false, true, false]);
        let quoted: Vec<&str> = quoted("| a | `x.rs::y`, `chaos z` |").collect();
        assert_eq!(quoted, ["x.rs::y", "chaos z"]);
    }
}
