//! What the commands that write one record have in common: it is signed here, sent, and the reply is shown.

use std::path::PathBuf;

use assertion::{Kind, Record, SigningKey};
use serde::Serialize;
use serde_json::Value;

use crate::client::{Call, Client, Reply};
use crate::connection::Connection;
use crate::dates;
use crate::failure::Failure;
use crate::keys;
use crate::output;

/// Options of every command that writes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Signing {
    /// Sign with the key in this file (`stemedb keygen` makes one)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Signing {
    /// The key, when one was given.
    pub(crate) fn key(&self) -> Result<Option<SigningKey>, Failure> {
        self.key.as_deref().map(keys::read).transpose()
    }
}

/// Sends one record, signed if there is a key, and shows what became of it.
pub(crate) async fn run(
    connection: &Connection,
    kind: Kind,
    record: &impl Serialize,
    key: Option<&SigningKey>,
) -> Result<(), Failure> {
    let client = connection.client()?;
    let reply = post(&client, kind, record, key).await?;
    let said = reply.json()?;
    if connection.json {
        output::json(&said);
    } else {
        show(&said, reply.trace_id.as_deref());
    }
    Ok(())
}

/// Sends one record of a kind.
pub(crate) async fn post(
    client: &Client,
    kind: Kind,
    record: &impl Serialize,
    key: Option<&SigningKey>,
) -> Result<Reply, Failure> {
    let json = serde_json::to_vec(record)
        .map_err(|error| Failure::Usage(format!("cannot be written as JSON: {error}")))?;
    let body = match key {
        Some(key) => signed(kind, &json, key)?,
        None => json,
    };
    let path = match kind {
        Kind::Assertion => "/v1/assert",
        Kind::Vote => "/v1/vote",
        Kind::Epoch => "/v1/epoch",
        Kind::Source => "/v1/sources",
    };
    client
        .send(&Call::post(path, "application/json", body))
        .await
}

/// A signature binds every field, so the record is completed here, by the same code as in the gateway, and what is wrong
/// with it is found here as well.
fn signed(kind: Kind, json: &[u8], key: &SigningKey) -> Result<Vec<u8>, Failure> {
    let record = Record::from_client_json_as(kind, json, dates::now_ms())?.sign(key)?;
    Ok(record.canonical().to_vec())
}

fn show(said: &Value, trace_id: Option<&str>) {
    let text = |key: &str| {
        said.get(key)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let copies = said.get("copies").and_then(Value::as_u64).unwrap_or(0);
    output::line(format!("{} {}", text("status"), text("id")));
    output::line(format!(
        "on {copies} {} ({}), shard {}",
        if copies == 1 { "node" } else { "nodes" },
        names(said, "holders"),
        said.get("shard")
            .and_then(Value::as_u64)
            .map_or("?".to_owned(), |shard| shard.to_string()),
    ));
    let pending = names(said, "pending");
    if !pending.is_empty() {
        output::line(format!(
            "not yet confirmed by {pending}: repair brings it there"
        ));
    }
    if let Some(trace_id) = trace_id {
        output::line(format!("trace id {trace_id}"));
    }
    for warning in warnings(said) {
        output::note(warning);
    }
}

/// Why the record may have no effect.
fn warnings(said: &Value) -> Vec<String> {
    let given = said["warnings"].as_array().into_iter().flatten();
    given
        .map(|warning| {
            let detail = warning["detail"].as_str().unwrap_or("?");
            let code = warning["code"].as_str().unwrap_or("?");
            format!("warning: {detail} [{code}]")
        })
        .collect()
}

fn names(said: &Value, key: &str) -> String {
    let names: Vec<&str> = said
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    names.join(", ")
}

/// Reads a number of 0 to 1. JSON has no form for infinities and what is no number: such a value would become another one.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("{text:?} is no number of 0 to 1 (2 % is 0.02)")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_signed_is_complete_and_good() {
        let key = SigningKey::from_seed(&[7; 32]);
        let claim = json!({
            "subject": "cas:7732-18-5",
            "predicate": "boiling_point_k",
            "object": { "type": "number", "value": 373.15 },
            "source": { "uri": "https://example.org/kettle", "class": "anecdotal" },
            "asserted_at": 1_700_000_000_000_i64,
        });
        let sent = signed(Kind::Assertion, claim.to_string().as_bytes(), &key).unwrap();
        let record = Record::from_canonical(&sent).unwrap();
        assert_eq!(record.signatures()[0].agent, key.agent());
        assert_eq!(record.at_ms(), 1_700_000_000_000);
        let again = signed(Kind::Assertion, claim.to_string().as_bytes(), &key).unwrap();
        assert_eq!(sent, again, "a resend is the same record");
    }

    #[test]
    fn what_cannot_be_signed_is_refused_as_the_gateway_would() {
        let key = SigningKey::from_seed(&[7; 32]);
        let error = signed(Kind::Vote, br#"{"subject":"a"}"#, &key).unwrap_err();
        assert!(matches!(error, Failure::Refused(_)));
        assert_eq!(error.to_json()["code"], "missing_field");
        assert!(error.to_string().contains("[missing_field]"), "{error}");
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let said =
            json!({ "warnings": [{ "code": "no_claim", "detail": "no claim names this source" }] });
        assert_eq!(
            warnings(&said),
            ["warning: no claim names this source [no_claim]"]
        );
        assert!(warnings(&json!({})).is_empty());
    }

    #[test]
    fn fractions_are_checked_before_anything_is_sent() {
        assert_eq!(fraction("0.25"), Ok(0.25));
        for text in ["NaN", "inf", "-0.1", "1.1", "half", "2%"] {
            let said = fraction(text).unwrap_err();
            assert_eq!(
                said,
                format!("{text:?} is no number of 0 to 1 (2 % is 0.02)")
            );
        }
    }
}
