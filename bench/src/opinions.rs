//! What lenses look at beside claims, made from the real ones: votes on them, epochs, and records of their sources.

use std::collections::BTreeSet;

use assertion::{Assertion, Content, Epoch, Record, RecordId, SourceRecord, Vote};
use bytes::Bytes;

use crate::claims::Claims;

/// Claims that are voted on, and voters of each. Row 12 asks about these first.
const VOTED: usize = 10_000;
const VOTERS: usize = 2;

/// Epochs, each of which supersedes the one before, and claims that belong to them.
const EPOCHS: usize = 20;
const DATED: usize = 2_000;

/// When the first of them began; the others follow by a second each. Later than all claims.
const BEGAN_MS: i64 = 1_700_000_000_000;

/// Votes, epochs, claims of those epochs, and a record of every source, as lines for `POST /v1/assert/batch`.
///
/// # Errors
/// When a line is no record.
pub fn beside(claims: &Claims) -> Result<Vec<Bytes>, String> {
    let mut records = Vec::new();
    for number in 0..VOTED {
        let on = claims.scattered(number)?;
        for voter in 0..VOTERS {
            records.push(vote(&on, voter, number)?);
        }
    }
    let mut epochs: Vec<RecordId> = Vec::new();
    for number in 0..EPOCHS {
        let epoch = record(Epoch {
            name: format!("bench {number}"),
            supersedes: epochs.last().map(RecordId::to_string).into_iter().collect(),
            reason: None,
            started_at: later(number),
        })?;
        epochs.push(epoch.id());
        records.push(epoch);
    }
    for number in 0..DATED {
        let like = claims.scattered(number)?;
        let claim = like.assertion().ok_or("a line is no claim")?;
        records.push(record(Assertion {
            epoch: Some(epochs[number % EPOCHS].to_string()),
            ..claim.clone()
        })?);
    }
    let mut seen = BTreeSet::new();
    for claim in claims.records()?.iter().filter_map(Record::assertion) {
        let source = &claim.source;
        if seen.insert(source.uri.clone()) {
            records.push(record(SourceRecord {
                uri: source.uri.clone(),
                class: source.class,
                title: None,
                retracted: None,
                recorded_at: BEGAN_MS,
            })?);
        }
    }
    Ok(records
        .iter()
        .map(|record| Bytes::copy_from_slice(record.canonical()))
        .collect())
}

/// A vote on a claim; the number tells it from others.
///
/// # Errors
/// When it is no vote on a claim.
pub fn vote(on: &Record, voter: usize, number: usize) -> Result<Record, String> {
    let claim = on.assertion().ok_or("a vote on what is no claim")?;
    record(Vote {
        subject: claim.subject.clone(),
        assertion: on.id().to_string(),
        voter: format!("bench:{voter}"),
        weight: if voter == 0 { 1.0 } else { 0.5 },
        voted_at: later(number),
    })
}

fn later(number: usize) -> i64 {
    BEGAN_MS + 1_000 * i64::try_from(number).unwrap_or(0)
}

fn record(content: impl Into<Content>) -> Result<Record, String> {
    Record::from_content(content).map_err(|invalid| invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_the_claims_is_records_of_every_kind() {
        let lines = beside(&Claims::read()).unwrap();
        let count = |part: &str| {
            let with = |line: &&Bytes| std::str::from_utf8(line).unwrap().contains(part);
            lines.iter().filter(with).count()
        };
        assert_eq!(count("\"kind\":\"vote\""), VOTED * VOTERS);
        assert_eq!(count("\"kind\":\"epoch\""), EPOCHS);
        assert_eq!(count("\"kind\":\"assertion\""), DATED);
        assert!(count("\"kind\":\"source\"") > 10);
        let distinct: BTreeSet<&Bytes> = lines.iter().collect();
        // The file repeats some of its claims.
        assert!(distinct.len() + 100 > lines.len());
    }
}
