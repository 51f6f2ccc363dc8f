//! A question as a URL has it, and the records that the page's questions are about.

use std::collections::BTreeSet;
use std::fs;

use assertion::Record;
use lens::{Options, Parameters, Selection};

use super::{DEMO, OWN, path, questions};

/// When the page's records are read: after all of them were said.
const READ_AT_MS: i64 = 1_767_225_600_000;

/// A question, from its parameters in a URL. Those that the page has no use for are not known.
///
/// # Errors
/// When a parameter is unknown, or no lens can be asked this.
pub fn parameters(question: &str) -> Result<Parameters, String> {
    let mut lens = None;
    let (mut options, mut selection) = (Options::default(), Selection::default());
    for part in question.split('&') {
        let (name, value) = part.split_once('=').ok_or(format!("{part}: no value"))?;
        let wrong = || format!("{part}: not understood");
        let text = || Some(value.to_owned());
        match name {
            "lens" => lens = Some(value.parse().map_err(|_| wrong())?),
            "subject" => selection.subject = text(),
            "predicate" => selection.predicate = text(),
            "epoch" => selection.epoch = text(),
            "as_of" => selection.as_of = Some(value.parse().map_err(|_| wrong())?),
            "tolerance" => options.tolerance = Some(value.parse().map_err(|_| wrong())?),
            "decay" => options.decay = value == "true",
            "evaluated_at" => options.evaluated_at = Some(value.parse().map_err(|_| wrong())?),
            "inner" => options.inner = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    let lens = lens.ok_or(format!("{question}: no lens"))?;
    Parameters::new(lens, options, selection).map_err(|error| format!("{question}: {error}"))
}

/// The lines of the real claims that the page asks about.
pub fn lines(page: &str) -> Vec<String> {
    let subjects: BTreeSet<String> = questions(page)
        .iter()
        .filter_map(|question| {
            let subject = question.split('&').next()?.strip_prefix("subject=")?;
            Some(format!("{{\"subject\":\"{subject}\","))
        })
        .collect();
    let mut lines = crate::claims::lines(0, usize::MAX);
    // Every line begins with its subject.
    lines.retain(|line| subjects.iter().any(|subject| line.starts_with(subject)));
    lines
}

/// All records that the page asks about: the demo set, the page's own, and the real claims about its subjects.
///
/// # Errors
/// When a file cannot be read, or a line is no record.
pub fn records(page: &str) -> Result<Vec<Record>, String> {
    let mut all = lines(page);
    for name in [DEMO, OWN] {
        let text = fs::read_to_string(path(name)).map_err(|error| format!("{name}: {error}"))?;
        all.extend(text.lines().map(str::to_owned));
    }
    let record = |line: &String| Record::from_client_json(line.as_bytes(), READ_AT_MS);
    let records = all
        .iter()
        .map(|line| record(line).map_err(|error| format!("{line}: {error}")));
    records.collect()
}
