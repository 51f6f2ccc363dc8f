//! `stemedb vote`: how much somebody trusts a claim.

use assertion::Kind;
use serde::Serialize;

use crate::client::Client;
use crate::commands::ids;
use crate::commands::write::{self, Signing};
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;

/// Arguments of `vote`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The claim, by its id or the first 8 digits of it or more
    #[arg(value_name = "ID", value_parser = ids::given)]
    assertion: String,
    /// What the claim is about [default: looked up]
    #[arg(long)]
    subject: Option<String>,
    /// How much the vote weighs: more than 0, at most 1
    #[arg(long, value_name = "0..1", default_value_t = 1.0, value_parser = write::fraction, allow_negative_numbers = true)]
    weight: f64,
    /// Who votes [default with --key: the key's agent]
    #[arg(long, required_unless_present = "key")]
    voter: Option<String>,
    /// When: 2018-07-17, 2018-07-17T10:30:00Z or Unix milliseconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    voted_at: Option<i64>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
The latest vote of a voter on a claim counts, so voting again changes one's mind. `query --lens votes` answers with the value
that has the greatest weight of votes. With --key the vote is signed by the
key's agent, which is its voter then; `trace` shows who signed. While auth is off, an unsigned vote may claim any name
but a key's.

Examples:
  stemedb vote 8f2110f3d44c --voter lab-7
  stemedb vote 8f2110f3d44c --subject constant:hubble \\
      --weight 0.4 --key stemedb.key
  stemedb query constant:hubble h0_km_s_mpc --lens votes";

#[derive(Debug, Serialize)]
struct Vote<'a> {
    subject: &'a str,
    assertion: &'a str,
    voter: &'a str,
    weight: f64,
    voted_at: i64,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let key = arguments.signing.key()?;
    // clap asks for one of them.
    let voter = match (&arguments.voter, &key) {
        (Some(voter), _) => voter.clone(),
        (None, Some(key)) => key.agent(),
        (None, None) => return Err(Failure::Usage("who votes? give --voter".to_owned())),
    };
    let voted_at = arguments.voted_at.unwrap_or_else(dates::now_ms);
    let client = arguments.connection.client()?;
    let assertion = ids::whole(&client, &arguments.assertion).await?;
    let subject = match &arguments.subject {
        Some(subject) => subject.clone(),
        None => subject_of(&client, &assertion).await?,
    };
    let vote = Vote {
        subject: &subject,
        assertion: &assertion,
        voter: &voter,
        weight: arguments.weight,
        voted_at,
    };
    write::run(&arguments.connection, Kind::Vote, &vote, key.as_ref()).await
}

/// A vote lies with its claim's subject; one under another subject would be counted nowhere.
async fn subject_of(client: &Client, id: &str) -> Result<String, Failure> {
    let said = client.get_json(format!("/v1/records/{id}")).await?;
    let record = &said["result"];
    match (record["kind"].as_str(), record["subject"].as_str()) {
        (Some("assertion"), Some(subject)) => Ok(subject.to_owned()),
        (kind, _) => Err(Failure::Local(format!(
            "{id} is no claim but {}\n→ vote on a claim: `stemedb query` shows their ids",
            kind.unwrap_or("something else")
        ))),
    }
}
