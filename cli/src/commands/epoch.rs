//! `stemedb epoch`: new understandings, which may replace older ones.

use std::collections::BTreeSet;

use assertion::Kind;
use serde::Serialize;

use crate::commands::cell::{cell, date, text};
use crate::commands::ids::{self, Ids};
use crate::commands::list::{List, Paging};
use crate::commands::write::{self, Signing};
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Arguments of `epoch`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Begins an epoch
    #[command(after_help = EXAMPLES)]
    Add(Add),
    /// Lists epochs, newest first, and which ones are superseded
    #[command(after_help = LIST)]
    List(Listing),
}

/// Arguments of `epoch list`.
#[derive(Debug, clap::Args)]
struct Listing {
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `epoch add`.
#[derive(Debug, clap::Args)]
struct Add {
    /// What the epoch is called
    name: String,
    /// Epochs that it replaces, by their ids
    #[arg(long, value_name = "ID", num_args = 1.., value_parser = ids::given)]
    supersedes: Vec<String>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// When it began: 2018-07-17, 2018-07-17T10:30:00Z or Unix milliseconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    started_at: Option<i64>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Claims name the epoch they belong to (`assert --epoch ID`). `query --lens epoch` leaves out claims of epochs that another one
supersedes; nothing is deleted, and every other lens still sees them. An epoch goes to every node; the reply names those that
have not confirmed it yet.

Examples:
  stemedb epoch add IPTS-68 --started-at 1968-01-01
  stemedb epoch add ITS-90 --started-at 1990-01-01 --reason 'the boiling point of water is measured, not defined' \\
      --supersedes c8b864b20e67
  stemedb query cas:7732-18-5 boiling_point_k --lens epoch --inner skeptic
  stemedb epoch list";

const LIST: &str = "\
Claims of superseded epochs are left out by `query --lens epoch`.

Examples:
  stemedb epoch list
  stemedb epoch list --limit 1000 --json";

#[derive(Debug, Serialize)]
struct Epoch<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    supersedes: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    started_at: i64,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Add(arguments) => add(arguments).await,
        Action::List(arguments) => list(arguments).await,
    }
}

async fn list(arguments: Listing) -> Result<(), Failure> {
    let list = List {
        path: "/v1/epochs",
        name: "epochs",
        parameters: Vec::new(),
    };
    let ids = arguments.ids;
    list.show(&arguments.connection, &arguments.paging, |epochs| {
        let mut table = output::table([
            "NAME",
            "STARTED",
            "SUPERSEDES",
            "SUPERSEDED BY",
            "REASON",
            "ID",
        ]);
        for epoch in epochs {
            let record = &epoch["record"];
            table.add_row([
                cell(text(record, "name")),
                date(record),
                ids.all(&record["supersedes"]),
                ids.all(&epoch["superseded_by"]),
                cell(text(record, "reason")),
                ids.show(text(record, "id")),
            ]);
        }
        output::print(&table);
    })
    .await
}

async fn add(mut arguments: Add) -> Result<(), Failure> {
    let key = arguments.signing.key()?;
    let client = arguments.connection.client()?;
    for id in &mut arguments.supersedes {
        *id = ids::whole(&client, id).await?;
    }
    let epoch = epoch(&arguments, dates::now_ms());
    write::run(&arguments.connection, Kind::Epoch, &epoch, key.as_ref()).await
}

fn epoch(arguments: &Add, now_ms: i64) -> Epoch<'_> {
    // A record has them in ascending order, each once.
    let supersedes: BTreeSet<&str> = arguments.supersedes.iter().map(String::as_str).collect();
    Epoch {
        name: &arguments.name,
        supersedes,
        reason: arguments.reason.as_deref(),
        started_at: arguments.started_at.unwrap_or(now_ms),
    }
}

#[cfg(test)]
mod tests {
    use assertion::Record;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Add,
    }

    #[test]
    fn an_epoch_replaces_others_in_the_order_of_records() {
        let (one, two) = ("0a".repeat(32), "0b".repeat(32));
        let line = ["epoch", "ITS-90", "--supersedes", &two, &one, &two];
        let arguments = Line::try_parse_from(line).unwrap().arguments;
        let json = serde_json::to_vec(&epoch(&arguments, 7)).unwrap();
        let record = Record::from_client_json_as(Kind::Epoch, &json, 7).unwrap();
        assert_eq!(record.epoch().unwrap().supersedes, [one, two]);
        assert_eq!(record.at_ms(), 7);
    }

    #[test]
    fn the_same_epoch_has_the_same_id_everywhere() {
        let line = ["epoch", "IPTS-68", "--started-at", "1968-01-01"];
        let arguments = Line::try_parse_from(line).unwrap().arguments;
        let json = serde_json::to_vec(&epoch(&arguments, 7)).unwrap();
        let record = Record::from_client_json_as(Kind::Epoch, &json, 7).unwrap();
        assert_eq!(
            record.id().to_string(),
            "c8b864b20e677f313cf9654dd230130de5f75bc3d51242ddfaa28e57aba48ef2"
        );
        assert!(EXAMPLES.contains(&record.id().to_string()[..12]));
    }
}
