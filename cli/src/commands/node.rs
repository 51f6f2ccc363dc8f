//! `stemedb node`: what can be done with a member.

use clap::Subcommand;

use crate::client::{Call, encode};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Declares a node that is DOWN gone for good
    Forget(Forget),
}

/// Arguments of `node forget`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Forget {
    /// The node's name
    node: String,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
A node that is DOWN still counts: claims wait for it, and answers say so. Forget it when its disk is gone or it will never come
back; its shards get new owners. Refused while the node is UP.

Example:
  stemedb node forget node3";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let What::Forget(Forget { node, connection }) = arguments.what;
    let client = connection.client()?;
    let call = Call::post(
        format!("/cluster/members/{}/forget", encode(&node)),
        "application/json",
        "",
    );
    let said = client.send(&call).await?.json()?;
    if connection.json {
        output::json(&said);
        return Ok(());
    }
    output::line(format!("{node} is forgotten"));
    if let Some(warning) = said["warning"]
        .as_str()
        .filter(|warning| !warning.is_empty())
    {
        output::line(warning);
    }
    Ok(())
}
