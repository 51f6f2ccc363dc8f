//! `stemedb subjects`: what there is something about.

use crate::commands::cell::{cell, number, text};
use crate::commands::list::{List, Paging};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `subjects`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Subjects that begin so [default: all]
    prefix: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
In ascending order, with the number of records about each.

Examples:
  stemedb subjects
  stemedb subjects cas:77 --limit 1000
  stemedb subjects constant: --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let list = List {
        path: "/v1/subjects",
        name: "subjects",
        parameters: vec![("prefix", arguments.prefix)],
    };
    list.show(&arguments.connection, &arguments.paging, |subjects| {
        let mut table = output::table(["SUBJECT", "RECORDS"]);
        for subject in subjects {
            table.add_row([cell(text(subject, "subject")), number(&subject["records"])]);
        }
        output::print(&table);
    })
    .await
}
