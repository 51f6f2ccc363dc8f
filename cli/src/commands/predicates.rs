//! `stemedb predicates`: what is claimed of a subject.

use crate::commands::cell::{cell, number, text};
use crate::commands::list::{List, Paging};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `predicates`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The subject
    subject: String,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
In ascending order, with the number of claims (counted up to 10,000).

Examples:
  stemedb predicates cas:7732-18-5
  stemedb predicates constant:hubble --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let list = List {
        path: "/v1/predicates",
        name: "predicates",
        parameters: vec![("subject", Some(arguments.subject))],
    };
    list.show(&arguments.connection, &arguments.paging, |predicates| {
        let mut table = output::table(["PREDICATE", "CLAIMS"]);
        for predicate in predicates {
            table.add_row([
                cell(text(predicate, "predicate")),
                number(&predicate["claims"]),
            ]);
        }
        output::print(&table);
    })
    .await
}
