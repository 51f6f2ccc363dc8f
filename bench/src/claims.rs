//! The real claims, as they are and as new ones that nobody has seen before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use assertion::Record;
use bytes::Bytes;

/// More than the file holds: all of it.
const ALL: usize = 1_000_000;

/// Neighbours in the file are about one subject and lie in one shard; steps of this size scatter them. A prime that does not
/// divide the number of claims.
const STRIDE: usize = 7_919;

/// What precedes the last number of every line.
const TIME: &str = "\"asserted_at\":";

/// All claims of `bench/data`.
#[derive(Debug)]
pub struct Claims {
    lines: Vec<Bytes>,
    issued: AtomicU64,
}

/// A claim with its bytes and its name.
#[derive(Debug)]
pub struct Claim {
    /// JSON for `POST /v1/assert`.
    pub line: Bytes,
    /// What a store makes of it.
    pub record: Record,
}

impl Claims {
    /// Reads them.
    pub fn read() -> Claims {
        let lines = e2e::claims::lines(0, ALL);
        Claims {
            lines: lines.into_iter().map(Bytes::from).collect(),
            issued: AtomicU64::new(0),
        }
    }

    /// The lines as they are.
    pub fn lines(&self) -> &[Bytes] {
        &self.lines
    }

    /// One of them, counted so that neighbours lie apart.
    ///
    /// # Errors
    /// When it is no record.
    pub fn scattered(&self, number: usize) -> Result<Record, String> {
        parse(&self.lines[(number * STRIDE) % self.lines.len()])
    }

    /// All of them as records.
    ///
    /// # Errors
    /// When one is none.
    pub fn records(&self) -> Result<Vec<Record>, String> {
        self.lines.iter().map(|line| parse(line)).collect()
    }

    /// A claim like the others, with a time of its own: no two are the same record.
    pub fn fresh(&self) -> Bytes {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let count = self.lines.len();
        let place = usize::try_from(number).unwrap_or(usize::MAX) % count;
        let line = &self.lines[(place * STRIDE) % count];
        later(
            line,
            1 + i64::try_from(number).unwrap_or(i64::MAX) / count as i64,
        )
    }

    /// The same with its record.
    ///
    /// # Errors
    /// When it is none.
    pub fn fresh_claim(&self) -> Result<Claim, String> {
        let line = self.fresh();
        let record = parse(&line)?;
        Ok(Claim { line, record })
    }

    /// Distinct (subject, predicate), scattered.
    ///
    /// # Errors
    /// When a line is no record.
    pub fn questions(&self) -> Result<Vec<(String, String)>, String> {
        let mut seen = BTreeSet::new();
        let mut questions = Vec::new();
        for step in 0..self.lines.len() {
            let record = self.scattered(step)?;
            let claim = record.assertion().ok_or("a line is no claim")?;
            let question = (claim.subject.clone(), claim.predicate.clone());
            if seen.insert(question.clone()) {
                questions.push(question);
            }
        }
        Ok(questions)
    }
}

/// A line as a record.
///
/// # Errors
/// When it is none.
pub fn parse(line: &[u8]) -> Result<Record, String> {
    Record::from_client_json(line, unix_ms()).map_err(|invalid| invalid.to_string())
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The line with a later `asserted_at`, which is its last member.
fn later(line: &Bytes, by_ms: i64) -> Bytes {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let parts = text.rsplit_once(TIME).and_then(|(before, time)| {
        let time: i64 = time.strip_suffix('}')?.parse().ok()?;
        Some((before, time))
    });
    match parts {
        Some((before, time)) => Bytes::from(format!("{before}{TIME}{}}}", time + by_ms)),
        None => line.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_claims_are_records_and_never_the_same() {
        let claims = Claims::read();
        assert!(!claims.lines().len().is_multiple_of(STRIDE));
        let mut ids: BTreeSet<_> = claims.lines()[..2_000]
            .iter()
            .map(|line| parse(line).unwrap().id())
            .collect();
        for _ in 0..3_000 {
            ids.insert(claims.fresh_claim().unwrap().record.id());
        }
        // The file repeats some of its claims.
        assert!(ids.len() > 4_900, "{}", ids.len());
    }
}
