//! `stemedb assert`: one claim.

use assertion::Kind;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::commands::ids;
use crate::commands::write::{self, Signing};
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

/// Types of a value.
pub(crate) const TYPES: [&str; 4] = ["text", "number", "boolean", "reference"];

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
    #[arg(long = "type", value_name = "TYPE", value_parser = TYPES)]
    kind: Option<String>,
    /// How sure the source is, 0 to 1 [default: 1]
    #[arg(long, value_name = "0..1", value_parser = write::fraction, allow_negative_numbers = true)]
    confidence: Option<f64>,
    /// [default: proposed]
    #[arg(long, value_parser = LIFECYCLES)]
    lifecycle: Option<String>,
    /// When it was asserted: 2018-07-17, 2018-07-17T10:30:00Z or Unix milliseconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = dates::parse, allow_hyphen_values = true)]
    asserted_at: Option<i64>,
    /// The epoch it belongs to, by its id or the first 8 digits of it or more
    #[arg(long, value_name = "ID", value_parser = ids::given)]
    epoch: Option<String>,
    /// The claim it comes from, by its id or the first 8 digits of it or more
    #[arg(long, value_name = "ID", value_parser = ids::given)]
    parent: Option<String>,
    /// Words about it: uncertainty, method, page
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Values:
  373.15, -40, 6.022e23    numbers, sent digit by digit as typed. What an IEEE double does not hold exactly as it is written
                           (9007199254740993, 1e400) is refused, never rounded and never turned into text
  true, false              booleans
  boils, 1,5, 2018-07-17   anything else is text
  --type text              42 as text; --type reference: the subject of other claims; --type number refuses what is none

Examples:
  stemedb assert cas:7732-18-5 boiling_point_k 373.15 --source https://example.org/kettle --class anecdotal
  stemedb assert constant:hubble h0_km_s_mpc 67.4 --source doi:10.1051/0004-6361/201833910 --class observational \\
      --confidence 0.95 --asserted-at 2018-07-17 --note '± 0.5'
  stemedb assert cas:7732-18-5 state liquid --source https://example.org/kettle --class anecdotal --key stemedb.key

The same claim with the same --asserted-at is one record, and the reply to the second says `present`. Without
--asserted-at it is claimed now: a claim made again later is a second one. With --key it carries your signature, which binds
every field.";

/// Runs the command.
pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let key = arguments.signing.key()?;
    let client = arguments.connection.client()?;
    ids::complete(&client, &mut arguments.epoch).await?;
    ids::complete(&client, &mut arguments.parent).await?;
    let claim = claim(&arguments, dates::now_ms())?;
    if let Some(hint) = taken_for_text(&arguments.value, arguments.kind.as_deref()) {
        output::note(hint);
    }
    write::run(&arguments.connection, Kind::Assertion, &claim, key.as_ref()).await
}

/// A claim as it is sent. What was not given is left to the gateway, all but the time: it is stamped here, so that a second
/// try sends the same record.
#[derive(Debug, Serialize)]
pub(crate) struct Claim<'a> {
    pub(crate) subject: &'a str,
    pub(crate) predicate: &'a str,
    pub(crate) object: Object<'a>,
    pub(crate) source: Source<'a>,
    pub(crate) asserted_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'a str>,
}

/// Where a claim comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Source<'a> {
    pub(crate) uri: &'a str,
    pub(crate) class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<&'a str>,
}

/// A value with its type. The value is JSON text: a number has the digits that were typed.
#[derive(Debug, Serialize)]
pub(crate) struct Object<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    value: Box<RawValue>,
}

fn claim(arguments: &Arguments, now_ms: i64) -> Result<Claim<'_>, Failure> {
    Ok(Claim {
        subject: &arguments.subject,
        predicate: &arguments.predicate,
        object: Object::read(&arguments.value, arguments.kind.as_deref())?,
        source: Source {
            uri: &arguments.source,
            class: &arguments.class,
            hash: arguments.source_hash.as_deref(),
        },
        asserted_at: arguments.asserted_at.unwrap_or(now_ms),
        confidence: arguments.confidence,
        lifecycle: arguments.lifecycle.as_deref(),
        epoch: arguments.epoch.as_deref(),
        parent: arguments.parent.as_deref(),
        note: arguments.note.as_deref(),
    })
}

impl<'a> Object<'a> {
    /// A value as it was typed, of the type that it looks like unless one is given.
    ///
    /// # Errors
    /// When it is not of that type.
    pub(crate) fn read(value: &str, kind: Option<&'a str>) -> Result<Object<'a>, Failure> {
        let looks = looks(value);
        let kind = kind.unwrap_or(looks);
        if matches!(kind, "number" | "boolean") && kind != looks {
            return Err(Failure::Usage(format!(
                "{value:?} is no {kind}\n→ write numbers as JSON does (373.15, -40, 6.022e23), booleans as true or false"
            )));
        }
        let value = match kind {
            "number" | "boolean" => RawValue::from_string(value.to_owned()),
            _ => to_raw_value(value),
        };
        let value = value.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Object { kind, value })
    }
}

/// What a value is when nobody says what it is.
pub(crate) fn looks(value: &str) -> &'static str {
    match value {
        "true" | "false" => "boolean",
        _ if is_number(value) => "number",
        _ => "text",
    }
}

/// What to know about a value that is text although it was perhaps meant as a number.
fn taken_for_text(value: &str, kind: Option<&str>) -> Option<String> {
    let meant = value.trim().parse::<f64>().ok()?;
    if kind.is_some() || looks(value) != "text" {
        return None;
    }
    let number = match meant.is_finite() {
        true => format!("a number is written as JSON does: {meant}"),
        false => "no claim has such a number".to_owned(),
    };
    Some(format!(
        "note: {value:?} is stored as text; {number}; if text is meant, say --type text"
    ))
}

/// Whether a text is a number by the grammar of JSON, whatever its size: that 1e400 is too large is for the gateway to say.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

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

    fn sent(words: &[&str], now_ms: i64) -> Value {
        serde_json::to_value(claim(&parse(words), now_ms).unwrap()).unwrap()
    }

    #[test]
    fn a_claim_is_stamped_and_bare() {
        assert_eq!(
            sent(&["373.15"], 1_700_000_000_000),
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
            (&["1,5"], json!({ "type": "text", "value": "1,5" })),
            (&[" 1"], json!({ "type": "text", "value": " 1" })),
            (&["01"], json!({ "type": "text", "value": "01" })),
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
            assert_eq!(sent(words, 0)["object"], expected, "{words:?}");
        }
        for (value, kind) in [("hot", "number"), ("1", "boolean"), ("true", "number")] {
            assert!(matches!(
                Object::read(value, Some(kind)),
                Err(Failure::Usage(_))
            ));
        }
    }

    #[test]
    fn what_was_perhaps_meant_as_a_number_is_told() {
        for value in [".5", "5.", "+1", "01", " 1", "NaN", "-inf"] {
            let said = taken_for_text(value, None).unwrap();
            assert!(said.starts_with(&format!("note: {value:?} is stored as text")));
            assert_eq!(taken_for_text(value, Some("text")), None);
        }
        let said = taken_for_text(".5", None).unwrap();
        assert!(said.contains("as JSON does: 0.5; if text"), "{said}");
        for value in ["0.5", "1e400", "boils", "1,5", "true", ""] {
            assert_eq!(taken_for_text(value, None), None, "{value}");
        }
    }

    #[test]
    fn a_confidence_below_zero_is_out_of_range_and_no_flag() {
        let words = "assert a b 1 --source u --class expert --confidence -0.5";
        let error = Line::try_parse_from(words.split(' '))
            .map(|_| ())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("\"-0.5\" is no number of 0 to 1"),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_sent_digit_by_digit() {
        for digits in [
            "9007199254740993",
            "1e400",
            "-1E-400",
            "1.50",
            "0.1000000000000000055511151231257827",
        ] {
            let object = Object::read(digits, None).unwrap();
            assert_eq!(
                serde_json::to_string(&object).unwrap(),
                format!("{{\"type\":\"number\",\"value\":{digits}}}")
            );
        }
    }

    #[test]
    fn what_is_given_is_sent() {
        let record = sent(
            &[
                "1",
                "--confidence",
                "0.5",
                "--note",
                "± 1",
                "--asserted-at",
                "1929-03-15",
            ],
            0,
        );
        assert_eq!(record["confidence"], json!(0.5));
        assert_eq!(record["asserted_at"], json!(-1_287_532_800_000_i64));
        assert_eq!(record["note"], json!("± 1"));
    }
}
