//! The tables of the page.

use std::collections::BTreeMap;

use assertion::{Assertion, Record, RecordId};
use serde_json::Value;

use super::answers::{answer, day, said_by, value};

/// How the head of a table of claims begins.
pub(super) const CLAIMS: &str = "| claim |";

const CLAIMS_HEAD: &str =
    "| claim | class | confidence | asserted | source | beside it |\n|---|---|---|---|---|---|";

/// Characters of a set digest: enough to see which answers looked at the same records.
const DIGEST_CHARACTERS: usize = 8;

/// A row of a table of lenses, as people wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// `lens=…` and what is asked beside it.
    pub(super) asked: &'a str,
    why: &'a str,
}

/// What a line opens a question about.
pub(super) fn question(line: &str) -> Option<&str> {
    let inside = line.strip_prefix('`')?.strip_suffix('`')?;
    inside.starts_with("subject=").then_some(inside)
}

/// The row that a line is.
pub(super) fn row(line: &str) -> Option<Row<'_>> {
    let cells = line.strip_prefix("| `lens=")?.strip_suffix(" |")?;
    let (asked, rest) = cells.split_once('`')?;
    let start = line.len() - cells.len() - " |".len() - "lens=".len();
    let why = rest.rsplit(" | ").next()?;
    Some(Row {
        asked: &line[start..start + "lens=".len() + asked.len()],
        why: why.trim_start_matches('|').trim(),
    })
}

/// A row with its answer.
pub(super) fn answered(row: &Row<'_>, result: &str) -> Result<String, String> {
    let result: Value = serde_json::from_str(result).map_err(|error| error.to_string())?;
    let digest = result["set_digest"].as_str().unwrap_or_default();
    Ok(format!(
        "| `{}` | {} | {} | `{}` | {} |",
        row.asked,
        answer(&result),
        said_by(&result),
        &digest[..DIGEST_CHARACTERS.min(digest.len())],
        row.why
    ))
}

/// The claims that a question is about, in the order of their dates, with what the other records say about each.
pub(super) fn claims(about: &str, records: &[Record]) -> Result<String, String> {
    let asked = super::parameters(&format!("{about}&lens=recency"))?;
    let asked = asked.selection();
    let beside = Beside::of(records);
    let mut lines = BTreeMap::new();
    for record in records {
        let Some(claim) = record.assertion() else {
            continue;
        };
        let about = asked.covers_subject(&claim.subject)
            && asked.predicate.as_ref() == Some(&claim.predicate);
        if about {
            lines.insert(
                (claim.asserted_at, record.id()),
                line(record, claim, &beside),
            );
        }
    }
    if lines.is_empty() {
        return Err(format!("{about}: nobody claims anything"));
    }
    let lines: Vec<String> = lines.into_values().collect();
    Ok(format!("{CLAIMS_HEAD}\n{}", lines.join("\n")))
}

fn line(record: &Record, claim: &Assertion, beside: &Beside) -> String {
    let json: Value = serde_json::from_slice(&record.public_json()).unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {} | {} |",
        value(&json["object"]),
        claim.source.class.name(),
        json["confidence"],
        day(claim.asserted_at),
        claim.source.uri,
        beside.what(record.id(), claim)
    )
}

/// What there is beside claims.
struct Beside {
    votes: BTreeMap<(String, String), (i64, f64)>,
    epochs: BTreeMap<String, String>,
    retracted: BTreeMap<String, i64>,
}

impl Beside {
    fn of(records: &[Record]) -> Beside {
        let (mut votes, mut epochs, mut retracted) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for record in records {
            if let Some(vote) = record.vote() {
                let latest = votes
                    .entry((vote.assertion.clone(), vote.voter.clone()))
                    .or_insert((vote.voted_at, vote.weight));
                if vote.voted_at > latest.0 {
                    *latest = (vote.voted_at, vote.weight);
                }
            } else if let Some(epoch) = record.epoch() {
                epochs.insert(record.id().to_string(), epoch.name.clone());
            } else if let Some(source) = record.source()
                && source.retracted == Some(true)
            {
                retracted.insert(source.uri.clone(), source.recorded_at);
            }
        }
        Beside {
            votes,
            epochs,
            retracted,
        }
    }

    fn what(&self, id: RecordId, claim: &Assertion) -> String {
        let id = id.to_string();
        let votes = self.votes.iter().filter(|((on, _), _)| *on == id);
        let votes = votes.map(|((_, voter), (_, weight))| format!("vote of {voter}: {weight}"));
        let epoch = claim.epoch.as_ref().and_then(|id| self.epochs.get(id));
        let retracted = self.retracted.get(&claim.source.uri);
        let retracted = retracted.map(|at| format!("source retracted {}", day(*at)));
        let all: Vec<String> = epoch
            .map(|name| format!("epoch {name}"))
            .into_iter()
            .chain(retracted)
            .chain(votes)
            .collect();
        all.join("; ")
    }
}

/// The page as it grows.
#[derive(Debug, Default)]
pub(super) struct Kept {
    text: String,
    in_claims: bool,
}

impl Kept {
    pub(super) fn line(&mut self, line: &str) {
        self.in_claims = false;
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A table whose old rows, which follow, are dropped.
    pub(super) fn claims(&mut self, table: String) {
        self.line(&table);
        self.in_claims = true;
    }

    /// A line that is kept, unless it is an old row of claims.
    pub(super) fn other(&mut self, line: &str) {
        if !(self.in_claims && line.starts_with('|')) {
            self.line(line);
        }
    }

    pub(super) fn text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_what_people_wrote() {
        let wanted = Row {
            asked: "lens=skeptic&tolerance=0.01",
            why: "three groups.",
        };
        for line in [
            "| `lens=skeptic&tolerance=0.01` | three groups. |",
            "| `lens=skeptic&tolerance=0.01` | x | y | `z` | three groups. |",
        ] {
            assert_eq!(row(line).as_ref(), Some(&wanted));
        }
        assert_eq!(row("| lens | answer |"), None);
        assert_eq!(
            question("`subject=a&predicate=b`"),
            Some("subject=a&predicate=b")
        );
        assert_eq!(question("`lens=recency`"), None);
    }
}
