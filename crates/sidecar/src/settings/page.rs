//! The settings as a page of documentation.

use std::fmt::Write as _;

use super::table::{COMMAND_VARIABLES, Kind, OTHER_VARIABLES, TABLE};

/// `docs/configuration.md`, made from the table.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Defaults, then `config.toml` (`--config FILE` or `STEMEDB_CONFIG`), then environment variables; all four services of a\n\
         node read the same. Unknown keys and variables are refused. `stemedb config check` prints the merged result with the\n\
         origin of each value, and every fault at once. This page is made from the table in `crates/sidecar`.\n\n\
         | key | variable | default | accepted | what it is |\n|---|---|---|---|---|\n",
    );
    for entry in TABLE {
        let default = if entry.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", entry.default)
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {default} | {} | {} |",
            entry.key,
            entry.env,
            accepted(entry.kind),
            entry.doc
        );
    }
    let others = [
        ("Read by services and commands", OTHER_VARIABLES),
        ("Read by commands only", COMMAND_VARIABLES),
    ];
    for (who, variables) in others {
        let _ = writeln!(page, "\n{who}:\n\n| variable | what it is |\n|---|---|");
        for (name, doc) in variables {
            let _ = writeln!(page, "| `{name}` | {doc} |");
        }
    }
    page.push_str(
        "\nTraces follow the standard `OTEL_*` variables: nothing is exported until `OTEL_EXPORTER_OTLP_ENDPOINT` or\n`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.\n",
    );
    page
}

fn accepted(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Secret => "text, never shown".into(),
        Kind::Flag => "true, false".into(),
        Kind::Whole { min, max } => format!("{min}–{max}"),
        Kind::Address => "address:port".into(),
        Kind::List => "list".into(),
        Kind::Choice(choices) => choices.join(", "),
    }
}
