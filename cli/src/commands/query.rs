//! `stemedb query`: what is claimed, or what a lens makes of it. `stemedb layered`: the same, tier by tier.

use clap::ArgGroup;

use crate::client::{Call, Client, encode};
use crate::commands::answer;
use crate::commands::assert::{CLASSES, LIFECYCLES};
use crate::commands::ids::{self, Ids};
use crate::commands::write;
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Every lens.
pub(crate) const LENSES: [&str; 8] = [
    "recency",
    "confidence",
    "consensus",
    "authority",
    "votes",
    "layered",
    "epoch",
    "skeptic",
];

/// Lenses that the epoch lens can have inside: all but itself.
pub(crate) const INNER: [&str; 7] = [
    "recency",
    "confidence",
    "consensus",
    "authority",
    "votes",
    "layered",
    "skeptic",
];

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How to answer; without it the claims themselves are listed
    #[arg(long, value_parser = LENSES)]
    lens: Option<String>,
    /// What the epoch lens asks about the claims that it keeps [default: recency]
    #[arg(long, value_name = "LENS", value_parser = INNER)]
    inner: Option<String>,
    #[command(flatten)]
    question: Question,
    /// Claims on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `layered`.
#[derive(Debug, clap::Args)]
#[command(after_help = LAYERED)]
pub(crate) struct Layered {
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

/// What is asked about, whatever answers.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("about").required(true).multiple(true)
    .args(["subject", "subject_prefix", "source", "predicate_of_any"]))]
struct Question {
    /// The exact subject
    subject: Option<String>,
    /// The exact predicate
    predicate: Option<String>,
    /// All subjects that begin so, in place of one subject
    #[arg(long, value_name = "PREFIX", conflicts_with = "subject")]
    subject_prefix: Option<String>,
    /// The exact predicate, where there is no subject before it
    #[arg(
        id = "predicate_of_any",
        long = "predicate",
        value_name = "PREDICATE",
        conflicts_with = "predicate"
    )]
    predicate_of_any: Option<String>,
    /// Numbers this close (relative) count as the same value
    #[arg(long, value_name = "FRACTION", value_parser = write::fraction, allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Claims of this source only
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Claims of this class only; several allowed, or a comma list
    #[arg(long, value_delimiter = ',', value_parser = CLASSES)]
    class: Vec<String>,
    /// Claims in this state only; several allowed, or a comma list [default: all but deprecated and rejected]
    #[arg(long, value_delimiter = ',', value_parser = LIFECYCLES)]
    lifecycle: Vec<String>,
    /// Claims of this epoch only
    #[arg(long, value_name = "ID", value_parser = ids::given)]
    epoch: Option<String>,
    /// Claims at least this sure
    #[arg(long, value_name = "0..1", value_parser = write::fraction, allow_negative_numbers = true)]
    min_confidence: Option<f64>,
    /// Claims asserted at or before this time
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    as_of: Option<i64>,
    /// Let confidence fade with age, the faster the weaker the class
    #[arg(long)]
    decay: bool,
    /// The moment that ages are taken at [default: now]
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true, requires = "decay")]
    evaluated_at: Option<i64>,
    /// `all` asks every live node
    #[arg(long, value_parser = ["all"])]
    consistency: Option<String>,
}

const EXAMPLES: &str = "\
Lenses:
  authority   the claim of the strongest source class, then of the highest confidence
  recency     the latest claim
  confidence  the claim its source is surest of
  consensus   the value that most sources claim
  votes       the value with the greatest weight of votes (stemedb vote)
  layered     the strongest claim of each source class, and of all
  epoch       what --inner makes of the claims whose epoch was not superseded (stemedb epoch list)
  skeptic     all values, how much weight each has, and whether they agree

Examples:
  stemedb query constant:hubble h0_km_s_mpc
  stemedb query constant:hubble h0_km_s_mpc --lens skeptic --tolerance 0.02
  stemedb query cas:7732-18-5 boiling_point_k --lens authority --as-of 2015-01-01
  stemedb query cas:7732-18-5 boiling_point_k --lens consensus --class expert,regulatory --json
  stemedb query cas:7732-18-5 boiling_point_k --lens epoch --inner skeptic
  stemedb query cas:7732-18-5 boiling_point_k --lens confidence --decay --evaluated-at 2026-01-01
  stemedb query cas:7732-18-5 --source chem-tables:boiling_point_k/WEBBOOK

Without a subject, by what else the claims have in common:
  stemedb query --source chem-tables:boiling_point_k/WEBBOOK
  stemedb query --subject-prefix cas:77 --predicate boiling_point_k
  stemedb query --predicate h0_km_s_mpc --limit 1000";

const LAYERED: &str = "\
The same as `stemedb query … --lens layered`: what the strongest claim of each source class says, and of all.

Examples:
  stemedb layered cas:7732-18-5 boiling_point_k
  stemedb layered constant:hubble h0_km_s_mpc --as-of 2015-01-01 --json";

/// Runs `query`.
pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    ids::complete(&client, &mut arguments.question.epoch).await?;
    let path = path(&arguments);
    ask(&client, path, &arguments.connection, arguments.ids).await
}

/// Runs `layered`.
pub(crate) async fn layered(mut arguments: Layered) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    ids::complete(&client, &mut arguments.question.epoch).await?;
    let mut pairs = arguments.question.parameters();
    pairs.push(("lens", "layered".to_owned()));
    let path = written(&pairs);
    ask(&client, path, &arguments.connection, arguments.ids).await
}

async fn ask(
    client: &Client,
    path: String,
    connection: &Connection,
    ids: Ids,
) -> Result<(), Failure> {
    let reply = client.send(&Call::get(path)).await?;
    let answer = reply.json()?;
    if connection.json {
        output::json(&answer);
    } else {
        answer::print(&answer, ids);
    }
    Ok(())
}

fn path(arguments: &Arguments) -> String {
    let mut pairs = arguments.question.parameters();
    let mut add = |key, value: Option<String>| pairs.extend(value.map(|value| (key, value)));
    add("lens", arguments.lens.clone());
    add("inner", arguments.inner.clone());
    add("limit", arguments.limit.map(|value| value.to_string()));
    add("cursor", arguments.cursor.clone());
    written(&pairs)
}

impl Question {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let time = |value: Option<i64>| value.map(dates::write);
        let predicate = self.predicate.as_ref().or(self.predicate_of_any.as_ref());
        let given = [
            ("subject", self.subject.clone()),
            ("subject_prefix", self.subject_prefix.clone()),
            ("predicate", predicate.cloned()),
            ("source", self.source.clone()),
            ("tolerance", number(self.tolerance)),
            ("class", list(&self.class)),
            ("lifecycle", list(&self.lifecycle)),
            ("epoch", self.epoch.clone()),
            ("min_confidence", number(self.min_confidence)),
            ("as_of", time(self.as_of)),
            ("decay", self.decay.then(|| "true".to_owned())),
            ("evaluated_at", time(self.evaluated_at)),
            ("consistency", self.consistency.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

/// The path of a question.
pub(crate) fn written(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs
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
            "/v1/query?subject=cas%3A7732-18-5&predicate=boiling_point_k&tolerance=0.001&lens=skeptic"
        );
        assert_eq!(
            asked("cas:50-00-0 --source a&b --class expert --class clinical --as-of -1287532800000 --limit 10")
                .unwrap(),
            "/v1/query?subject=cas%3A50-00-0&source=a%26b&class=expert%2Cclinical&as_of=-1287532800000&limit=10"
        );
        assert_eq!(
            asked("a --class expert,clinical --class community --lifecycle approved,rejected")
                .unwrap(),
            "/v1/query?subject=a&class=expert%2Cclinical%2Ccommunity&lifecycle=approved%2Crejected"
        );
        assert_eq!(
            asked("a b --lens epoch --inner votes --decay --evaluated-at 1970-01-02").unwrap(),
            "/v1/query?subject=a&predicate=b&decay=true&evaluated_at=1970-01-02T00%3A00%3A00.000Z&lens=epoch&inner=votes"
        );
    }

    #[test]
    fn a_question_needs_a_subject_or_what_narrows_it_as_well() {
        assert_eq!(asked("--source doi:1").unwrap(), "/v1/query?source=doi%3A1");
        assert_eq!(
            asked("--subject-prefix cas: --predicate melts").unwrap(),
            "/v1/query?subject_prefix=cas%3A&predicate=melts"
        );
        for unbounded in ["", "--lens skeptic", "--class expert"] {
            assert_eq!(asked(unbounded), None, "{unbounded}");
        }
        for twice in [
            "a --subject-prefix b",
            "a b --predicate c",
            "a --evaluated-at 1970-01-02",
        ] {
            assert_eq!(asked(twice), None, "{twice}");
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (words, said) in [
            ("--tolerance abc", "\"abc\" is no number of 0 to 1"),
            ("--tolerance 2%", "(2 % is 0.02)"),
            ("--tolerance -0.1", "\"-0.1\" is no number of 0 to 1"),
            ("--min-confidence -1", "\"-1\" is no number of 0 to 1"),
            (
                "--as-of 2015",
                "2015 looks like a year: write milliseconds since 1970, or a date such as",
            ),
            ("--as-of 1388534400", "1388534400 looks like seconds"),
        ] {
            let line = format!("query a b --lens skeptic {words}");
            let error = Line::try_parse_from(line.split(' '))
                .map(|_| ())
                .unwrap_err();
            assert!(error.to_string().contains(said), "{words}: {error}");
        }
    }

    #[test]
    fn the_usage_names_what_takes_the_place_of_a_subject() {
        let usage = <Line as clap::CommandFactory>::command()
            .render_usage()
            .to_string();
        assert!(
            usage.contains("<SUBJECT|--subject-prefix <PREFIX>|--source <URI>|--predicate <PREDICATE>> [PREDICATE]"),
            "{usage}"
        );
    }

    #[test]
    fn layers_are_a_lens() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Layered,
        }
        let line = Line::try_parse_from(["layered", "a", "b"]).unwrap();
        assert_eq!(
            line.arguments.question.parameters(),
            [("subject", "a".to_owned()), ("predicate", "b".to_owned())]
        );
    }
}
