//! `stemedb query`: what is claimed, or what a lens makes of it.

use crate::client::{Call, encode};
use crate::commands::answer;
use crate::commands::assert::{CLASSES, LIFECYCLES};
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Lenses that this version can ask for.
const LENSES: [&str; 5] = ["recency", "confidence", "consensus", "authority", "skeptic"];

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The exact subject
    subject: String,
    /// The exact predicate
    predicate: Option<String>,
    /// How to answer; without it the claims themselves are listed
    #[arg(long, value_parser = LENSES)]
    lens: Option<String>,
    /// Numbers this close (relative) count as the same value
    #[arg(long, value_name = "FRACTION")]
    tolerance: Option<f64>,
    /// Claims of this source only
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Claims of this class only (several allowed)
    #[arg(long, value_parser = CLASSES)]
    class: Vec<String>,
    /// Claims in this state only (several allowed) [default: all but deprecated and rejected]
    #[arg(long, value_parser = LIFECYCLES)]
    lifecycle: Vec<String>,
    /// Claims at least this sure
    #[arg(long, value_name = "0..1")]
    min_confidence: Option<f64>,
    /// Claims asserted at or before this time
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    as_of: Option<i64>,
    /// `all` asks every live node
    #[arg(long, value_parser = ["all"])]
    consistency: Option<String>,
    /// Claims on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Lenses:
  authority   the claim of the strongest source class, then of the highest confidence
  recency     the latest claim
  confidence  the claim its source is surest of
  consensus   the value that most sources claim
  skeptic     all values, how much weight each has, and whether they agree

Examples:
  stemedb query constant:hubble h0_km_s_mpc
  stemedb query constant:hubble h0_km_s_mpc --lens skeptic --tolerance 0.02
  stemedb query cas:7732-18-5 boiling_point_k --lens authority --as-of 2015-01-01
  stemedb query cas:7732-18-5 boiling_point_k --lens consensus --class expert --class regulatory --json
  stemedb query cas:7732-18-5 --source chem-tables:boiling_point_k/WEBBOOK";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let reply = client.send(&Call::get(path(&arguments))).await?;
    let answer = reply.json()?;
    if arguments.connection.json {
        output::json(&answer);
    } else {
        answer::print(&answer);
    }
    Ok(())
}

fn path(arguments: &Arguments) -> String {
    let mut parameters: Vec<(&str, String)> = Vec::new();
    let mut add = |key, value: Option<String>| parameters.extend(value.map(|value| (key, value)));
    add("subject", Some(arguments.subject.clone()));
    add("predicate", arguments.predicate.clone());
    add("source", arguments.source.clone());
    add("lens", arguments.lens.clone());
    add(
        "tolerance",
        arguments.tolerance.map(|value| value.to_string()),
    );
    add("class", list(&arguments.class));
    add("lifecycle", list(&arguments.lifecycle));
    add(
        "min_confidence",
        arguments.min_confidence.map(|value| value.to_string()),
    );
    add("as_of", arguments.as_of.map(|value| value.to_string()));
    add("consistency", arguments.consistency.clone());
    add("limit", arguments.limit.map(|value| value.to_string()));
    add("cursor", arguments.cursor.clone());
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    format!("/v1/query?{}", pairs.join("&"))
}

fn list(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(","))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn asked(words: &str) -> Option<String> {
        let line = Line::try_parse_from(format!("query {words}").split_whitespace());
        line.ok().map(|line| path(&line.arguments))
    }

    #[test]
    fn the_question_is_written_as_the_api_reads_it() {
        assert_eq!(
            asked("cas:7732-18-5 boiling_point_k --lens skeptic --tolerance 0.001").unwrap(),
            "/v1/query?subject=cas%3A7732-18-5&predicate=boiling_point_k&lens=skeptic&tolerance=0.001"
        );
        assert_eq!(
            asked("cas:50-00-0 --source a&b --class expert --class clinical --as-of -5 --limit 10")
                .unwrap(),
            "/v1/query?subject=cas%3A50-00-0&source=a%26b&class=expert%2Cclinical&as_of=-5&limit=10"
        );
    }

    #[test]
    fn a_question_about_everything_is_not_sent() {
        assert_eq!(asked("--lens skeptic"), None);
    }
}
