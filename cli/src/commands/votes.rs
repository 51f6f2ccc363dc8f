//! `stemedb votes`: who voted on the claims about a subject.

use crate::commands::cell::{cell, date, number, text};
use crate::commands::ids::{self, Ids};
use crate::commands::list::{List, Paging};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `votes`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What the claims are about
    subject: String,
    /// Votes on this claim only
    #[arg(long, value_name = "ID", value_parser = ids::given)]
    assertion: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Of each voter the vote that counts, the latest on each claim.

Examples:
  stemedb votes constant:hubble
  stemedb votes constant:hubble --assertion 8f2110f3d44c";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let ids = arguments.ids;
    let list = List {
        path: "/v1/votes",
        name: "votes",
        parameters: vec![
            ("subject", Some(arguments.subject)),
            ("assertion", arguments.assertion),
        ],
    };
    list.show(&arguments.connection, &arguments.paging, |votes| {
        let mut table = output::table(["CLAIM", "VOTER", "WEIGHT", "VOTED", "SIGNED", "ID"]);
        for vote in votes {
            let signed = vote["signatures"].as_array().map_or("", |_| "signed");
            table.add_row([
                ids.show(text(vote, "assertion")),
                cell(text(vote, "voter")),
                number(&vote["weight"]),
                date(vote),
                signed.to_owned(),
                ids.show(text(vote, "id")),
            ]);
        }
        output::print(&table);
    })
    .await
}
