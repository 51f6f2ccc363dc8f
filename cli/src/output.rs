//! Standard output and error. A reader that goes away (`stemedb query … | head`) is no failure.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::failure::Failure;

/// Why some of what was printed is lost, the first time: a full disk behind `> file`, say. A reader that has left lost nothing.
static LOST: OnceLock<(ErrorKind, String)> = OnceLock::new();

/// Prints a line to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    note_loss(writeln!(io::stdout().lock(), "{}", text.as_ref()));
}

/// Fails when not all that was printed has arrived.
pub(crate) fn check() -> Result<(), Failure> {
    note_loss(io::stdout().lock().flush());
    match LOST.get() {
        None => Ok(()),
        Some((kind, why)) => Err(lost(io::Error::new(*kind, why.clone()))),
    }
}

/// What is said of output that did not arrive.
pub(crate) fn lost(error: io::Error) -> Failure {
    Failure::file("cannot write", "standard output")(error)
}

/// Whether a reader that has left is why a write failed.
pub(crate) fn has_left(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

fn note_loss(written: io::Result<()>) {
    if let Err(error) = written
        && !has_left(&error)
    {
        LOST.get_or_init(|| (error.kind(), error.to_string()));
    }
}

/// Prints a line to standard output at once. `false`: nothing arrives any more, and what comes without end may end.
pub(crate) fn try_line(text: impl AsRef<str>) -> bool {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
    let arrived = written.is_ok();
    note_loss(written);
    arrived
}

/// Prints a line to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    // As above: with standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// `1 record`, `2 records`: of words that take an s.
pub(crate) fn count(number: u64, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    }
}

/// `300 ms`, `2.5 s`, `40 s`: how long something takes. Of a short time whole seconds say too little, and `0 s` nothing.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        // What would be rounded up to a whole one is one.
        part if part < 0.9995 => format!("{:.0} ms", part.max(0.0) * 1_000.0),
        few if few < 9.95 => format!("{few:.1} s"),
        many => format!("{many:.0} s"),
    }
}

/// Prints a value as JSON: indented for a person at a terminal, one line for a program.
pub(crate) fn json(value: &Value) {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    // A `Value` has text keys only, so it always has a text form.
    line(text.unwrap_or_else(|_| value.to_string()));
}

/// Narrowest terminal that tables are fitted to; in a narrower one every column would be a few letters wide.
const COLUMNS_MIN: u16 = 40;

/// A table with our looks: header, no frame. At a terminal long cells go on in the next line, so that the table is no wider than it;
/// elsewhere columns are as wide as they need.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    fit(&mut table, columns());
    table
}

fn fit(table: &mut Table, columns: Option<u16>) {
    match columns.filter(|columns| *columns >= COLUMNS_MIN) {
        Some(columns) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
}

/// How wide the terminal is that standard output goes to.
fn columns() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(out).ok()?;
    Some(size.ws_col)
}

/// Prints a table without trailing spaces.
pub(crate) fn print(table: &Table) {
    for row in table.lines() {
        line(row.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_are_said_as_people_say_them() {
        for (time, said) in [
            (0.0, "0 ms"),
            (0.0421, "42 ms"),
            (0.9996, "1.0 s"),
            (2.46, "2.5 s"),
            (9.97, "10 s"),
            (61.4, "61 s"),
        ] {
            assert_eq!(seconds(time), said);
        }
        assert_eq!(
            (count(1, "line"), count(0, "line")),
            ("1 line".into(), "0 lines".into())
        );
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        let widest = |columns: Option<u16>| {
            let mut table = table(["ID", "NOTE", "SOURCE"]);
            table.add_row([
                "8f2110f3d44c".to_owned(),
                "many words ".repeat(20),
                "doi:10.1051/0004-6361/201833910".to_owned(),
            ]);
            fit(&mut table, columns);
            let lines: Vec<String> = table.lines().collect();
            assert!(
                lines[1].contains("8f2110f3d44c"),
                "ids are not broken: {lines:?}"
            );
            lines
                .iter()
                .map(|line| line.trim_end().chars().count())
                .max()
        };
        assert!(widest(Some(80)) <= Some(80));
        assert!(widest(None) > Some(200));
        assert!(widest(Some(10)) > Some(200), "no use in so narrow a one");
    }
}
