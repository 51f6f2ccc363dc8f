//! All real claims at once: how many questions are contested, and how often lenses differ.

use std::collections::HashMap;
use std::thread;

use assertion::Record;
use lens::{Answer, Lens, Options, Parameters, Selection, Verdict, resolve};

/// Lenses that pick one claim by what is in the claims. Without votes, `votes` and `layered` pick what `authority` does; without
/// epochs, `epoch` is what is inside it.
const PICKING: [Lens; 4] = [
    Lens::Recency,
    Lens::Confidence,
    Lens::Authority,
    Lens::Consensus,
];

const TOLERANCES: [f64; 4] = [0.0, 0.001, 0.01, 0.1];

/// Threads that share the work, which is seconds of it.
const THREADS: usize = 2;

/// Later than all claims.
const READ_AT_MS: i64 = 1_767_225_600_000;

/// What there is to count over the questions whose claims differ.
#[derive(Debug, Default)]
struct Counted {
    /// Per pair of [`PICKING`]: different values.
    differ: [[usize; PICKING.len()]; PICKING.len()],
    /// Per tolerance: unanimous, agreed, contested.
    verdicts: [[usize; 3]; TOLERANCES.len()],
}

/// The section of the page.
pub(super) fn text(lines: &[String]) -> Result<String, String> {
    let mut questions: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in lines {
        questions.entry(topic(line)?).or_default().push(line);
    }
    let total = questions.len();
    let alone = questions
        .values()
        .filter(|claims| claims.len() == 1)
        .count();
    questions.retain(|_, claims| {
        claims
            .iter()
            .any(|claim| object(claim) != object(claims[0]))
    });
    let differing: Vec<Vec<&str>> = questions.into_values().collect();
    let shares = differing.chunks(differing.len().div_ceil(THREADS));
    let counted = thread::scope(|scope| {
        let workers: Vec<_> = shares.map(|share| scope.spawn(|| count(share))).collect();
        let mut all = Counted::default();
        for worker in workers {
            all.add(
                &worker
                    .join()
                    .map_err(|_| "a worker panicked".to_owned())??,
            );
        }
        Ok::<Counted, String>(all)
    })?;
    Ok(format!(
        "{} claims answer {} questions. {} have one claim, {} several that say the same, and **{}** claims that differ. Of these:\n\n{}\n\n{}",
        grouped(lines.len()),
        grouped(total),
        grouped(alone),
        grouped(total - alone - differing.len()),
        grouped(differing.len()),
        counted.verdicts(),
        counted.differences(differing.len())
    ))
}

/// Subject and predicate of a line: all that precedes its object.
fn topic(line: &str) -> Result<&str, String> {
    let end = line.find(",\"object\":");
    end.map(|end| &line[..end])
        .ok_or_else(|| format!("{line}: no object"))
}

fn object(line: &str) -> &str {
    let end = line.find(",\"source\":").unwrap_or(line.len());
    &line[line.find(",\"object\":").unwrap_or(end)..end]
}

fn count(questions: &[Vec<&str>]) -> Result<Counted, String> {
    let mut counted = Counted::default();
    for lines in questions {
        let record = |line: &&str| Record::from_client_json(line.as_bytes(), READ_AT_MS);
        let records: Result<Vec<Record>, _> = lines.iter().map(record).collect();
        counted.question(&records.map_err(|error| error.to_string())?)?;
    }
    Ok(counted)
}

fn ask(lens: Lens, tolerance: Option<f64>, records: &[Record]) -> Result<Answer, String> {
    let options = Options {
        tolerance,
        ..Options::default()
    };
    let parameters = Parameters::new(lens, options, Selection::default());
    let parameters = parameters.map_err(|error| error.to_string())?;
    resolve(parameters, records).map_err(|error| error.to_string())
}

impl Counted {
    fn question(&mut self, records: &[Record]) -> Result<(), String> {
        let mut answers = Vec::new();
        for lens in PICKING {
            answers.push(ask(lens, None, records)?);
        }
        let picked = |answer: &Answer| Some(answer.winner()?.assertion()?.object.clone());
        let picked: Vec<_> = answers.iter().map(picked).collect();
        for (one, row) in self.differ.iter_mut().enumerate() {
            for (other, count) in row.iter_mut().enumerate() {
                *count += usize::from(picked[one] != picked[other]);
            }
        }
        for (tolerance, counts) in TOLERANCES.into_iter().zip(&mut self.verdicts) {
            let answer = ask(Lens::Skeptic, Some(tolerance), records)?;
            match answer.verdict() {
                Some(Verdict::Unanimous) | None => counts[0] += 1,
                Some(Verdict::Agreed) => counts[1] += 1,
                Some(Verdict::Contested) => counts[2] += 1,
            }
        }
        Ok(())
    }

    fn add(&mut self, other: &Counted) {
        let mine = self.differ.iter_mut().flatten();
        let mine = mine.chain(self.verdicts.iter_mut().flatten());
        let others = other.differ.iter().flatten();
        let others = others.chain(other.verdicts.iter().flatten());
        mine.zip(others).for_each(|(mine, other)| *mine += other);
    }

    fn verdicts(&self) -> String {
        let mut text =
            "| `lens=skeptic` | unanimous | agreed | contested |\n|---|---|---|---|".to_owned();
        for (tolerance, [unanimous, agreed, contested]) in TOLERANCES.iter().zip(&self.verdicts) {
            text.push_str(&format!(
                "\n| `tolerance={tolerance}` | {} | {} | {} |",
                grouped(*unanimous),
                grouped(*agreed),
                grouped(*contested)
            ));
        }
        text
    }

    fn differences(&self, of: usize) -> String {
        let names = PICKING.map(Lens::name);
        let mut text = format!(
            "| other value than | {} |\n|---|{}",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for (name, counts) in names.iter().zip(&self.differ) {
            let cells = counts.iter().map(|count| match count {
                0 => "–".to_owned(),
                count => format!("{:.1} %", *count as f64 / of as f64 * 100.0),
            });
            let cells: Vec<String> = cells.collect();
            text.push_str(&format!("\n| `{name}` | {} |", cells.join(" | ")));
        }
        text
    }
}

fn grouped(number: usize) -> String {
    let plain = number.to_string();
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_its_object_is() {
        let line = r#"{"subject":"s","predicate":"p","object":{"type":"number","value":1},"source":{"uri":"u"}}"#;
        assert_eq!(topic(line), Ok(r#"{"subject":"s","predicate":"p""#));
        assert_eq!(object(line), r#","object":{"type":"number","value":1}"#);
        assert!(topic("{}").is_err());
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
