//! `stemedb assert`: one claim.

use serde_json::{Map, Value, json};

use crate::client::Call;
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::output;

/// Source classes, strongest first.
pub(crate) const CLASSES: [&str; 6] = [
    "regulatory",
    "clinical",
    "observational",
    "expert",
    "community",
    "anecdotal",
];

/// Lifecycles of a claim.
pub(crate) const LIFECYCLES: [&str; 5] = [
    "proposed",
    "under_review",
    "approved",
    "deprecated",
    "rejected",
];

/// Arguments of `assert`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What the claim is about
    subject: String,
    /// Which property of it
    predicate: String,
    /// The value; a JSON number is a number, true and false are booleans, anything else is text
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Who says so: a DOI, a URL, any URI
    #[arg(long, value_name = "URI")]
    source: String,
    /// What kind of source that is
    #[arg(long, value_parser = CLASSES)]
    class: String,
    /// BLAKE3 of the source document, 64 hex digits
    #[arg(long, value_name = "HASH")]
    source_hash: Option<String>,
    /// Read the value as this, whatever it looks like
    #[arg(long = "type", value_name = "TYPE", value_parser = ["text", "number", "boolean", "reference"])]
    kind: Option<String>,
    /// How sure the source is, 0 to 1 [default: 1]
    #[arg(long)]
    confidence: Option<f64>,
    /// [default: proposed]
    #[arg(long, value_parser = LIFECYCLES)]
    lifecycle: Option<String>,
    /// When it was asserted: 2018-07-17, 2018-07-17T10:30:00Z or Unix milliseconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    asserted_at: Option<i64>,
    /// The epoch it belongs to, an id
    #[arg(long, value_name = "ID")]
    epoch: Option<String>,
    /// The claim it comes from, an id
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Words about it: uncertainty, method, page
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  stemedb assert cas:7732-18-5 boiling_point_k 373.15 --source https://example.org/kettle --class anecdotal
  stemedb assert constant:hubble h0_km_s_mpc 67.4 --source doi:10.1051/0004-6361/201833910 --class observational \\
      --confidence 0.95 --asserted-at 2018-07-17 --note '± 0.5'

The same claim with the same --asserted-at is one record, and the reply to the second says `present`. Without
--asserted-at it is claimed now: a claim made again later is a second one.";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let record = record(&arguments, dates::now_ms())?;
    let reply = client
        .send(&Call::post(
            "/v1/assert",
            "application/json",
            record.to_string(),
        ))
        .await?;
    let said = reply.json()?;
    if arguments.connection.json {
        output::json(&said);
        return Ok(());
    }
    let text = |key: &str| {
        said.get(key)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let holders: Vec<&str> = said
        .get("holders")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let copies = said.get("copies").and_then(Value::as_u64).unwrap_or(0);
    output::line(format!("{} {}", text("status"), text("id")));
    output::line(format!(
        "on {copies} {} ({}), shard {}",
        if copies == 1 { "node" } else { "nodes" },
        holders.join(", "),
        said.get("shard")
            .and_then(Value::as_u64)
            .map_or("?".to_owned(), |shard| shard.to_string()),
    ));
    if let Some(trace_id) = &reply.trace_id {
        output::line(format!("trace {trace_id}"));
    }
    Ok(())
}

/// The record as JSON. Values that were not given are left to the gateway, all but the time: it is stamped here, so that a
/// second try sends the same record.
fn record(arguments: &Arguments, now_ms: i64) -> Result<Value, Failure> {
    let mut source = Map::new();
    source.insert("uri".to_owned(), json!(arguments.source));
    source.insert("class".to_owned(), json!(arguments.class));
    insert(&mut source, "hash", &arguments.source_hash);
    let mut record = Map::new();
    record.insert("subject".to_owned(), json!(arguments.subject));
    record.insert("predicate".to_owned(), json!(arguments.predicate));
    record.insert(
        "object".to_owned(),
        object(&arguments.value, arguments.kind.as_deref())?,
    );
    record.insert("source".to_owned(), Value::Object(source));
    record.insert(
        "asserted_at".to_owned(),
        json!(arguments.asserted_at.unwrap_or(now_ms)),
    );
    insert(&mut record, "confidence", &arguments.confidence);
    insert(&mut record, "lifecycle", &arguments.lifecycle);
    insert(&mut record, "epoch", &arguments.epoch);
    insert(&mut record, "parent", &arguments.parent);
    insert(&mut record, "note", &arguments.note);
    Ok(Value::Object(record))
}

fn insert<T: serde::Serialize>(map: &mut Map<String, Value>, key: &str, value: &Option<T>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), json!(value));
    }
}

fn object(value: &str, kind: Option<&str>) -> Result<Value, Failure> {
    let parsed: Option<Value> = serde_json::from_str(value).ok();
    let kind = kind.unwrap_or(match &parsed {
        Some(Value::Number(_)) => "number",
        Some(Value::Bool(_)) => "boolean",
        _ => "text",
    });
    let value = match (kind, parsed) {
        ("number", Some(Value::Number(number))) => exact(value, number)?,
        ("boolean", Some(Value::Bool(truth))) => Value::Bool(truth),
        ("number" | "boolean", _) => return Err(Failure::Usage(format!("{value:?} is no {kind}"))),
        _ => Value::String(value.to_owned()),
    };
    Ok(json!({ "type": kind, "value": value }))
}

/// Sends the number that was typed or none: 9007199254740993 would become another number on the way.
fn exact(text: &str, number: serde_json::Number) -> Result<Value, Failure> {
    // An integer beyond 2^53 keeps its digits here and is judged by the gateway; a fraction is a double by now.
    if text.len() > DIGITS_EXACT && number.is_f64() {
        return Err(Failure::Usage(format!(
            "{text} has more digits than a number keeps\n→ give at most {DIGITS_EXACT} characters, or --type text"
        )));
    }
    Ok(Value::Number(number))
}

/// 17 significant digits name every double; with sign, point and exponent that is 24 characters.
const DIGITS_EXACT: usize = 24;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &[&str]) -> Arguments {
        let fixed = ["assert", "cas:7732-18-5", "boiling_point_k"];
        let source = [
            "--source",
            "https://example.org/kettle",
            "--class",
            "anecdotal",
        ];
        Line::try_parse_from(fixed.iter().chain(words).chain(&source))
            .unwrap()
            .arguments
    }

    #[test]
    fn a_claim_is_stamped_and_bare() {
        let record = record(&parse(&["373.15"]), 1_700_000_000_000).unwrap();
        assert_eq!(
            record,
            json!({
                "subject": "cas:7732-18-5",
                "predicate": "boiling_point_k",
                "object": { "type": "number", "value": 373.15 },
                "source": { "uri": "https://example.org/kettle", "class": "anecdotal" },
                "asserted_at": 1_700_000_000_000_i64,
            })
        );
    }

    #[test]
    fn values_are_read_as_what_they_look_like_unless_told_otherwise() {
        let cases = [
            (&["-40"][..], json!({ "type": "number", "value": -40 })),
            (&["true"], json!({ "type": "boolean", "value": true })),
            (&["boils"], json!({ "type": "text", "value": "boils" })),
            (
                &["42", "--type", "text"],
                json!({ "type": "text", "value": "42" }),
            ),
            (
                &["cas:67-56-1", "--type", "reference"],
                json!({ "type": "reference", "value": "cas:67-56-1" }),
            ),
        ];
        for (words, expected) in cases {
            assert_eq!(
                record(&parse(words), 0).unwrap()["object"],
                expected,
                "{words:?}"
            );
        }
        assert!(matches!(
            object("hot", Some("number")),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            object("0.1000000000000000055511151231257827", None),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn what_is_given_is_sent() {
        let record = record(
            &parse(&[
                "1",
                "--confidence",
                "0.5",
                "--note",
                "± 1",
                "--asserted-at",
                "1929-03-15",
            ]),
            0,
        )
        .unwrap();
        assert_eq!(record["confidence"], json!(0.5));
        assert_eq!(record["asserted_at"], json!(-1_287_532_800_000_i64));
        assert_eq!(record["note"], json!("± 1"));
    }
}
