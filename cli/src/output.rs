//! Standard output and error. A reader that goes away (`stemedb query … | head`) is no failure.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints a line to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    // The only way this fails is a reader that has left; there is nobody to tell.
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Prints a line to standard output at once. `false`: the reader has left, and what comes without end may end.
pub(crate) fn try_line(text: impl AsRef<str>) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())
        .and_then(|()| out.flush())
        .is_ok()
}

/// Prints a line to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    // As above: with standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
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

/// A table with our looks: header, no frame, columns as wide as they need.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

/// Prints a table without trailing spaces.
pub(crate) fn print(table: &Table) {
    for row in table.lines() {
        line(row.trim_end());
    }
}
