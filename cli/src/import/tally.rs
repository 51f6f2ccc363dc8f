//! What an import counts, and the lines that were refused.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::output;

/// Refused lines that are kept for the listing; the rest is counted, and `--refused FILE` takes all.
const LISTED_MAX: usize = 20;

/// The counts so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// New, on enough nodes.
    pub(crate) stored: u64,
    /// Held already.
    pub(crate) present: u64,
    /// Held when they were sent again: stored by a try of this run whose reply was lost, or present before.
    pub(crate) sent_again: u64,
    /// Durable, but on fewer nodes than they shall be.
    pub(crate) pending: u64,
    /// Refused.
    pub(crate) refused: u64,
}

impl Counts {
    /// Lines that have been settled one way or another.
    pub(crate) fn lines(&self) -> u64 {
        self.stored + self.present + self.sent_again + self.pending + self.refused
    }
}

/// A line that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// 1-based.
    pub(crate) line: u64,
    /// The problem as the gateway gave it.
    pub(crate) problem: Value,
}

impl Refused {
    fn text(&self, key: &str) -> &str {
        self.problem.get(key).and_then(Value::as_str).unwrap_or("")
    }
}

/// Counts and refused lines.
#[derive(Default)]
pub(crate) struct Tally {
    /// The counts.
    pub(crate) counts: Counts,
    listed: Vec<Refused>,
    file: Option<BufWriter<File>>,
}

impl Tally {
    /// With a file that takes every refused line, if wanted. One that is there already is not touched: it may be where the lines of
    /// this import come from.
    pub(crate) fn new(refused: Option<&Path>) -> io::Result<Tally> {
        let file = refused.map(File::create_new).transpose()?;
        let file = file.map(BufWriter::new);
        Ok(Tally {
            file,
            ..Tally::default()
        })
    }

    /// Writes a refused line down. `text` is the line as it was sent; empty when it was too long to keep.
    pub(crate) fn refuse(&mut self, refused: Refused, text: &[u8]) -> io::Result<()> {
        self.counts.refused += 1;
        if let Some(file) = &mut self.file {
            let entry = json!({
                "line": refused.line,
                "code": refused.text("code"),
                "path": refused.text("path"),
                "detail": refused.text("detail"),
                "text": String::from_utf8_lossy(text),
            });
            writeln!(file, "{entry}")?;
        }
        // Chunks end in any order: the listing keeps the first lines of the file, not the first answers.
        let at = self
            .listed
            .partition_point(|known| known.line < refused.line);
        if at < LISTED_MAX {
            self.listed.insert(at, refused);
            self.listed.truncate(LISTED_MAX);
        }
        Ok(())
    }

    /// Ends the file of refused lines.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    /// The summary for programs.
    pub(crate) fn to_json(&self, took: Duration) -> Value {
        let Counts {
            stored,
            present,
            sent_again,
            pending,
            refused,
        } = self.counts;
        let listed: Vec<Value> = self
            .listed
            .iter()
            .map(|line| json!({ "line": line.line, "error": line.problem }))
            .collect();
        json!({
            "lines": self.counts.lines(),
            "stored": stored,
            "present": present,
            "sent_again": sent_again,
            "pending": pending,
            "refused": refused,
            "refused_lines": listed,
            "seconds": (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            "rate": rate(self.counts.lines(), took),
        })
    }

    /// The summary for people.
    pub(crate) fn print(&self, took: Duration) {
        let Counts {
            stored,
            present,
            sent_again,
            pending,
            refused,
        } = self.counts;
        listing(&self.listed).iter().for_each(output::line);
        if refused > self.listed.len() as u64 {
            let rest = refused - self.listed.len() as u64;
            output::line(format!(
                "… and {} more refused; --refused FILE keeps them all",
                grouped(rest)
            ));
        }
        output::line(format!(
            "{} in {} ({}/s): {} stored, {} present already, {} refused",
            lines(self.counts.lines()),
            output::seconds(took.as_secs_f64()),
            grouped(rate(self.counts.lines(), took)),
            grouped(stored),
            grouped(present),
            grouped(refused),
        ));
        if sent_again > 0 {
            output::line(format!(
                "{} more were sent again after a reply was lost, and are there: stored by this run or present already",
                grouped(sent_again)
            ));
        }
        if pending > 0 {
            output::line(format!(
                "{} more are on disk on fewer nodes than they shall be (202); repair brings the rest: stemedb verify",
                grouped(pending)
            ));
        }
    }
}

/// What is wrong with lines, and what to do about it: said once of lines in a row that need the same.
fn listing(refused: &[Refused]) -> Vec<String> {
    let mut listing = Vec::new();
    for (place, line) in refused.iter().enumerate() {
        let at = match line.text("path") {
            "" => String::new(),
            path => format!(" at {path}"),
        };
        listing.push(format!(
            "line {}: {}{at}: {}",
            line.line,
            line.text("code"),
            line.text("detail")
        ));
        let next = line.text("next_step");
        let again = refused.get(place + 1).map(|line| line.text("next_step"));
        if !next.is_empty() && again != Some(next) {
            listing.push(format!("  → {next}"));
        }
    }
    listing
}

/// `1 line`, `292,577 lines`.
pub(crate) fn lines(number: u64) -> String {
    match number {
        1 => "1 line".to_owned(),
        number => format!("{} lines", grouped(number)),
    }
}

/// Lines per second, rounded.
pub(crate) fn rate(lines: u64, took: Duration) -> u64 {
    let seconds = took.as_secs_f64().max(0.001);
    (lines as f64 / seconds).round() as u64
}

/// `292577` as `292,577`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refused_lines_are_listed_and_all_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("refused.ndjson");
        let mut tally = Tally::new(Some(&path)).unwrap();
        for line in (1..=50).rev() {
            let problem =
                json!({ "code": "number_not_exact", "path": "$.object.value", "detail": "no" });
            tally
                .refuse(Refused { line, problem }, b"{\"value\":9007199254740993}")
                .unwrap();
        }
        tally.finish().unwrap();
        let summary = tally.to_json(Duration::from_secs(2));
        assert_eq!(
            (&summary["refused"], &summary["rate"]),
            (&json!(50), &json!(25))
        );
        let listed: Vec<u64> = summary["refused_lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["line"].as_u64().unwrap())
            .collect();
        assert_eq!(listed, (1..=LISTED_MAX as u64).collect::<Vec<_>>());
        let kept = std::fs::read_to_string(path).unwrap();
        assert_eq!(kept.lines().count(), 50);
        assert!(kept.lines().all(|line| line.contains("9007199254740993")));
    }

    #[test]
    fn what_to_do_is_said_once_of_lines_that_need_the_same() {
        let refused = |line, next: &str| Refused {
            line,
            problem: json!({ "code": "too_long", "path": "$.note", "detail": "no", "next_step": next }),
        };
        let said = listing(&[
            refused(3, "shorten it"),
            refused(4, "shorten it"),
            refused(9, ""),
        ]);
        assert_eq!(
            said,
            [
                "line 3: too_long at $.note: no",
                "line 4: too_long at $.note: no",
                "  → shorten it",
                "line 9: too_long at $.note: no",
            ]
        );
        assert_eq!(
            (lines(1), lines(2_000)),
            ("1 line".into(), "2,000 lines".into())
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(292_577)),
            ("7".into(), "1,000".into(), "292,577".into())
        );
    }
}
