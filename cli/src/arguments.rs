//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    assert, config, epoch, keygen, members, node, placement, predicates, query, repair, scrub,
    source, status, subjects, sync, trace, verify, vote, votes, watch,
};
use crate::local::{orders, up};
use crate::{export, import, mcp};

/// StemeDB keeps claims, contradictions included, and answers through lenses.
#[derive(Debug, Parser)]
#[command(name = "stemedb", version, about, after_help = EXAMPLES, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Start here:
  stemedb up                                                   three nodes on this machine
  stemedb query constant:hubble h0_km_s_mpc --lens skeptic     how fast does the universe expand?
  stemedb import claims.ndjson.gz                              many claims at once
  stemedb local kill node2                                     lose a node and go on

Exit codes: 0 done; 1 refused or failed, by what the cluster or a file says; 2 wrong in the command line itself, whoever found it
out; 64 bad configuration.";

/// The commands, those for people first.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a cluster on this machine and stays until Ctrl-C
    Up(up::Arguments),
    /// Kills, pauses and starts nodes of a running `up`
    Local(orders::Arguments),
    /// Stores one claim
    Assert(assert::Arguments),
    /// Lists claims, or asks a lens
    Query(query::Arguments),
    /// Asks for the strongest claim of each source class
    Layered(query::Layered),
    /// Shows where a record comes from
    Trace(trace::Arguments),
    /// Lists what there is something about
    Subjects(subjects::Arguments),
    /// Lists what is claimed of a subject
    Predicates(predicates::Arguments),
    /// Shows records as they come
    Watch(watch::Arguments),
    /// Votes for a claim
    Vote(vote::Arguments),
    /// Lists the votes on the claims about a subject
    Votes(votes::Arguments),
    /// Begins epochs, which may supersede others, and lists them
    Epoch(epoch::Arguments),
    /// Describes a source, retracts it, restores it, or lists sources
    Source(source::Arguments),
    /// Makes a key to sign with
    Keygen(keygen::Arguments),
    /// Stores a file of records
    Import(import::Arguments),
    /// Writes everything that is stored, or a part of it, into a file
    Export(export::Arguments),
    /// Offers the cluster to a language model (Model Context Protocol)
    Mcp(mcp::Arguments),
    /// Shows the members of the cluster
    Members(members::Arguments),
    /// Shows every gateway's health
    Status(status::Arguments),
    /// Checks that every record is where it shall be
    Verify(verify::Arguments),
    /// Repairs now
    Sync(sync::Arguments),
    /// Shows what repair moves, pauses it, limits it
    Repair(repair::Arguments),
    /// Looks for damage on all nodes
    Scrub(scrub::Arguments),
    /// Lets a member leave, or declares it gone
    Node(node::Arguments),
    /// Shows who owns how much, and what would move
    Placement(placement::Arguments),
    /// Checks settings
    Config(config::Arguments),
    /// Runs the gateway of a node
    #[command(disable_help_flag = true)]
    Gateway(Service),
    /// Runs the store of a node
    #[command(disable_help_flag = true)]
    Store(Service),
    /// Runs the membership of a node
    #[command(disable_help_flag = true)]
    Membership(Service),
    /// Runs the antientropy of a node
    #[command(disable_help_flag = true)]
    Antientropy(Service),
}

/// What follows the name of a service is its own command line: `[--config FILE] [health]`.
#[derive(Debug, clap::Args)]
pub(crate) struct Service {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_service_keeps_its_own_arguments() {
        let line = ["stemedb", "store", "--config", "node.toml", "health"];
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Store(service) => {
                assert_eq!(service.arguments, ["--config", "node.toml", "health"])
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_command_for_people_explains_itself_by_example() {
        let command = Arguments::command();
        for name in [
            "up",
            "local",
            "assert",
            "query",
            "layered",
            "trace",
            "subjects",
            "predicates",
            "watch",
            "vote",
            "votes",
            "epoch",
            "source",
            "keygen",
            "import",
            "export",
            "mcp",
            "members",
            "status",
            "verify",
            "sync",
            "placement",
            "repair",
            "scrub",
        ] {
            let found = command.find_subcommand(name).unwrap();
            let help = found
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains(&format!("stemedb {name}")),
                "{name} has no example"
            );
            assert!(found.get_about().is_some(), "{name} says nothing");
        }
    }
}
