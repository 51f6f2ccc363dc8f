//! The records that clients send: each is made from its number, so that no two are the same.

use assertion::{Kind, Record};
use serde_json::{Value, json};

/// Claims about a subject: with two pages' worth of numbers to one subject, a page of a thousand shows them all.
const SUBJECTS: u64 = 64;
const OF_A_SUBJECT: u64 = 80;

/// One in so many is a vote, or says something about a source.
const VOTE_EVERY: u64 = 20;
const SOURCE_EVERY: u64 = 50;

/// Few enough that claims of the same source and the same value meet.
const SOURCES: u64 = 17;
const VALUES: u64 = 7;
const VOTERS: u64 = 5;

const PREDICATES: [&str; 2] = ["boils_at", "melts_at"];
const CLASSES: [&str; 6] = [
    "regulatory",
    "clinical",
    "observational",
    "expert",
    "community",
    "anecdotal",
];

/// A record as it is sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// `assertion`, `vote` or `source`.
    pub kind: &'static str,
    /// Path that takes it.
    pub path: &'static str,
    /// What it is about; of a source its uri.
    pub subject: String,
    /// Of a claim.
    pub predicate: String,
    /// Of a claim: text that no other record has.
    pub note: String,
    /// The body.
    pub body: String,
    /// The id that its bytes give it.
    pub id: String,
}

/// The subject that a number's claim is about.
pub fn subject(number: u64) -> String {
    format!(
        "chaos:{}/{}",
        number / (SUBJECTS * OF_A_SUBJECT),
        number % SUBJECTS
    )
}

/// The predicate that a number's claim has.
pub fn predicate(number: u64) -> &'static str {
    let odd = number / SUBJECTS % 2 == 1;
    PREDICATES[usize::from(odd)]
}

/// What a number sends at a moment; `earlier` is a claim that was sent before, to vote on.
pub fn outgoing(number: u64, at: u64, earlier: Option<&Outgoing>) -> Outgoing {
    match earlier {
        Some(claim) if number % VOTE_EVERY == 7 => vote(number, at, claim),
        _ if number % SOURCE_EVERY == 13 => source(number, at),
        _ => claim(number, at),
    }
}

/// A claim.
pub fn claim(number: u64, at: u64) -> Outgoing {
    let class = usize::try_from(number / 3 % 6).unwrap_or_default();
    let (subject, predicate) = (subject(number), predicate(number));
    let body = json!({
        "kind": "assertion", "subject": subject, "predicate": predicate,
        "object": {"type": "number", "value": 300 + number / 5 % VALUES},
        "source": {"uri": uri(number), "class": CLASSES[class]},
        "confidence": 0.5, "asserted_at": at, "note": format!("number {number}"),
    });
    finish("assertion", "/v1/assert", subject, predicate, &body)
}

fn vote(number: u64, at: u64, claim: &Outgoing) -> Outgoing {
    let body = json!({
        "kind": "vote", "subject": claim.subject, "assertion": claim.id,
        "voter": format!("voter {}", number % VOTERS), "weight": 0.5, "voted_at": at,
    });
    finish("vote", "/v1/vote", claim.subject.clone(), "", &body)
}

fn source(number: u64, at: u64) -> Outgoing {
    let uri = uri(number);
    let body = json!({
        "kind": "source", "uri": uri, "class": "expert", "retracted": number % 4 == 1, "recorded_at": at,
    });
    finish("source", "/v1/sources", uri, "", &body)
}

fn uri(number: u64) -> String {
    format!("chaos:source/{}", number % SOURCES)
}

fn finish(
    kind: &'static str,
    path: &'static str,
    subject: String,
    predicate: &str,
    given: &Value,
) -> Outgoing {
    let body = given.to_string();
    Outgoing {
        id: id(&body).expect("the workload makes sound records"),
        kind,
        path,
        subject,
        predicate: predicate.to_owned(),
        note: given["note"].as_str().unwrap_or_default().to_owned(),
        body,
    }
}

/// The id that the bytes of a record as JSON give it.
///
/// # Errors
/// When it is no record, or says it has another id.
pub fn id(json: &str) -> Result<String, String> {
    let given: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let kind = match given["kind"].as_str() {
        Some("vote") => Kind::Vote,
        Some("epoch") => Kind::Epoch,
        Some("source") => Kind::Source,
        _ => Kind::Assertion,
    };
    // No clock: the time is in the record, and how far ahead it may be is not asked here.
    let now = i64::MAX;
    let record =
        Record::from_client_json_as(kind, json.as_bytes(), now).map_err(|why| why.to_string())?;
    Ok(record.id().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_make_records_that_differ() {
        let first = claim(1, 1000);
        let ids: BTreeSet<String> = (0..500)
            .map(|number| outgoing(number, 1000 + number, Some(&first)).id)
            .collect();
        assert_eq!(ids.len(), 500);
    }

    #[test]
    fn a_page_shows_all_of_a_subject() {
        let of_it = (0..100_000).filter(|number| subject(*number) == "chaos:2/5");
        assert_eq!(of_it.count() as u64, OF_A_SUBJECT);
    }

    #[test]
    fn an_id_that_is_not_of_the_bytes_is_refused() {
        let claim = claim(1, 1000);
        let wrong = claim
            .body
            .replacen('{', &format!("{{\"id\":\"{}\",", "0".repeat(64)), 1);
        assert!(id(&wrong).is_err());
        assert_eq!(id(&claim.body).unwrap(), claim.id);
    }
}
