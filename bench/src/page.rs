//! docs/benchmarks.md: its table is written by the bench, the text around it by people.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::rows::{self, Finding, Row};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md");

/// What the bench writes stands between these lines.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

const HEAD: &str = "| # | measure | bar | measured (median) | each run | beside it | holds | notes | commit |\n\
                    |---|---|---|---|---|---|---|---|---|";

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    name: String,
    text: String,
}

impl Line {
    /// Of a row and what was found.
    pub fn new(row: &Row, finding: &Finding, commit: &str) -> Line {
        let holds = match finding.holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let holds = match &finding.ratio {
            Some(ratio) => format!("{ratio}: {holds}"),
            None => holds.to_owned(),
        };
        let notes = finding.notes.join("; ");
        let cells = [
            row.name,
            row.title,
            row.bar,
            &finding.measured,
            &finding.runs,
            &finding.beside,
            &holds,
            &notes,
            commit,
        ]
        // A bar in a cell would open another.
        .map(|cell| cell.replace('|', "/").replace('\n', " "));
        Line {
            name: row.name.to_owned(),
            text: format!("| {} |", cells.join(" | ")),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The page.
#[derive(Debug)]
pub struct Page {
    before: String,
    after: String,
    lines: BTreeMap<(u8, String), String>,
}

impl Page {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not there, or has no place for the table.
    pub fn read() -> Result<Page, String> {
        let path = Path::new(PATH);
        let text = fs::read_to_string(path);
        Page::parse(&text.map_err(|error| format!("{}: {error}", path.display()))?)
    }

    fn parse(text: &str) -> Result<Page, String> {
        let lacks = || format!("docs/benchmarks.md lacks {BEGIN} and {END}");
        let (before, rest) = text.split_once(BEGIN).ok_or_else(lacks)?;
        let (table, after) = rest.split_once(END).ok_or_else(lacks)?;
        let named = |line: &str| {
            let name = line.strip_prefix("| ")?.split(' ').next()?;
            Some((rows::order(name)?, line.to_owned()))
        };
        Ok(Page {
            before: before.to_owned(),
            after: after.to_owned(),
            lines: table.lines().filter_map(named).collect(),
        })
    }

    /// Puts new lines in; lines of rows that were not measured now stay, with the commit that they were measured at.
    pub fn put(&mut self, machine: &str, runs: u8, lines: &[Line]) {
        for line in lines {
            if let Some(order) = rows::order(&line.name) {
                self.lines.insert(order, line.text.clone());
            }
        }
        let before = self
            .before
            .trim_end()
            .rsplit_once("Measured on")
            .map(|(text, _)| text);
        let before = before.unwrap_or(&self.before).trim_end().to_owned();
        self.before = format!("{before}\n\nMeasured on: {machine}; the median of {runs} runs.\n\n");
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<(), String> {
        fs::write(PATH, self.text()).map_err(|error| format!("docs/benchmarks.md: {error}"))
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.values().map(String::as_str).collect();
        format!(
            "{}{BEGIN}\n{HEAD}\n{}\n{END}{}",
            self.before,
            lines.join("\n"),
            self.after
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_not_measured_stay() {
        let line = |name: &str, text: &str| Line {
            name: name.to_owned(),
            text: format!("| {name} | {text} |"),
        };
        let mut page =
            Page::parse(&format!("# B\n\nIn words.\n\n{BEGIN}\n{END}\n\nMore.\n")).unwrap();
        page.put(
            "a machine",
            3,
            &[line("12a", "old"), line("12", "old"), line("2", "old")],
        );
        let mut page = Page::parse(&page.text()).unwrap();
        page.put("another", 1, &[line("2", "new")]);
        let text = page.text();
        let places = [
            "In words.",
            "another",
            BEGIN,
            "| 2 | new |",
            "| 12 | old |",
            "| 12a | old |",
            END,
            "More.",
        ]
        .map(|part| text.find(part).unwrap());
        assert!(places.is_sorted(), "{text}");
        assert!(
            !text.contains("a machine") && !text.contains("| 2 | old |"),
            "{text}"
        );
    }

    #[test]
    fn the_page_of_the_repository_has_its_place() {
        assert!(Page::read().is_ok());
    }
}
