//! Functions that can be read without scrolling.

use crate::source::{is_test_file, lines};
use crate::{Fault, House};

/// Longest function, signature and closing brace included. `rustfmt` has laid the code out, so lines mean something.
pub const LINES_MAX: usize = 70;

/// Longest test: a scenario or a table of cases is read from top to bottom once.
pub const TEST_LINES_MAX: usize = 100;

/// Finds functions over the limit.
pub fn lengths(house: &House) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in house.ending("rs") {
        let tested = lines(&file.text, is_test_file(house, file));
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = declared(line) else {
                continue;
            };
            let most = if tested[index].test {
                TEST_LINES_MAX
            } else {
                LINES_MAX
            };
            let count = length(&lines[index..]);
            if count > most {
                faults.push(Fault::at(
                    file,
                    index + 1,
                    format!(
                        "fn {name} has {count} lines, at most {most}: find the second thing it does"
                    ),
                ));
            }
        }
    }
    faults
}

/// The name of the function that a line begins, if it does.
fn declared(line: &str) -> Option<&str> {
    let qualifiers = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "async",
        "const",
        "default",
    ];
    let mut words = line.split_whitespace();
    let word = words.find(|word| !qualifiers.contains(word))?;
    let name = if word == "fn" {
        words.next()?
    } else {
        return None;
    };
    name.split(['(', '<']).next()
}

/// Lines of the function that begins with the first line; 0 when it has no body of its own lines.
fn length(lines: &[&str]) -> usize {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let opens = lines
        .iter()
        .position(|line| line.ends_with(['{', ';', '}']));
    if !opens.is_some_and(|at| lines[at].ends_with('{')) {
        return 0;
    }
    let closing = format!("{}}}", " ".repeat(indent));
    lines
        .iter()
        .position(|line| **line == closing)
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;

    fn long(signature: &str, indent: &str) -> String {
        let body = format!("{indent}    step();\n").repeat(LINES_MAX);
        format!("{indent}{signature} {{\n{body}{indent}}}\n")
    }

    fn found(text: &str) -> usize {
        let files = vec![SourceFile::new("cli/src/a.rs", text)];
        let root = std::path::PathBuf::new();
        lengths(&House { root, files }).len()
    }

    #[test]
    fn long_functions_are_found_wherever_they_are() {
        assert_eq!(found(&long("fn a()", "")), 1);
        assert_eq!(
            found(&long("pub(crate) async fn a<T>(b: T) -> c", "    ")),
            1
        );
        assert_eq!(found(&long("impl A for B", "")), 0);
        let test = format!("#[cfg(test)]\nmod tests {{\n{}", long("fn a()", "    "));
        assert_eq!(found(&test), 0);
    }

    #[test]
    fn short_ones_and_those_without_a_body_pass() {
        assert_eq!(found("fn a() {\n    b();\n}\n"), 0);
        assert_eq!(
            found(&format!(
                "trait A {{\n    fn a(\n        &self,\n    );\n{}}}\n",
                "\n".repeat(99)
            )),
            0
        );
        assert_eq!(found(&format!("fn a() {{}}\n{}", "//\n".repeat(99))), 0);
    }
}
