//! `stemedb mcp`: the cluster as tools of a language model, by the Model Context Protocol.

mod http;
mod inputs;
mod reading;
mod tools;

use std::net::SocketAddr;

use rmcp::ServiceExt;

use crate::commands::write::Signing;
use crate::connection::Connection;
use crate::failure::Failure;

use tools::Tools;

/// Arguments of `mcp`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Serve streamable HTTP here, at /mcp, in place of standard input and output
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Offers four tools: assert, query, skeptic and trace. Without --http it speaks on standard input and output, as a program that
starts it expects. With --key everything the model asserts is signed with that key.

Examples:
  stemedb mcp --url http://node1:18180,http://node2:18180
  stemedb mcp --http 127.0.0.1:8765
  stemedb mcp --key agent.key

For a client that is configured by a file of servers:
  {\"mcpServers\": {\"stemedb\": {\"command\": \"stemedb\", \"args\": [\"mcp\", \"--url\", \"http://127.0.0.1:18180\"]}}}

With --http on a loopback address only requests for a loopback host are answered, so that no web page reaches it through a
name of its own. Nobody is asked for a password: put it on another address only inside a network that you trust.";

/// Runs the command: until the other side closes, or the process is told to end.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let tools = Tools::new(arguments.connection.client()?, arguments.signing.key()?);
    if let Some(address) = arguments.http {
        return http::serve(address, tools).await;
    }
    let running = tools
        .serve(rmcp::transport::stdio())
        .await
        .map_err(|error| Failure::Local(format!("the client does not speak MCP: {error}")))?;
    running
        .waiting()
        .await
        .map_err(|error| Failure::Local(format!("the session died: {error}")))?;
    Ok(())
}
