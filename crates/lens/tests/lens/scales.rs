//! The same six boiling points with the temperature scales they were measured on, votes, and a retraction: what each lens makes
//! of records of every kind, to the byte.

use assertion::Record;
use lens::{Lens, Options, Parameters, Selection, resolve};
use serde_json::Value;

use crate::made::digest;

/// Records by name, and questions with the names of what is considered and the exact `result`.
const SCALES: &str = include_str!("../../vectors/scales.json");

/// Reads a member of a question that may be absent.
fn given<'a, T>(
    question: &'a Value,
    name: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Option<T> {
    question.get(name).map(|value| read(value).unwrap())
}

fn asked(question: &Value) -> Parameters {
    let text = |name| given(question, name, Value::as_str).map(str::to_owned);
    let lens = |name| given(question, name, |value| value.as_str()?.parse::<Lens>().ok());
    let options = Options {
        tolerance: given(question, "tolerance", Value::as_f64),
        decay: given(question, "decay", Value::as_bool).unwrap_or(false),
        evaluated_at: given(question, "evaluated_at", Value::as_i64),
        inner: lens("inner"),
    };
    let selection = Selection {
        subject: text("subject"),
        predicate: text("predicate"),
        epoch: text("epoch"),
        as_of: given(question, "as_of", Value::as_i64),
        ..Selection::default()
    };
    Parameters::new(lens("lens").unwrap(), options, selection).unwrap()
}

#[test]
fn results_over_every_kind_are_what_they_always_were_to_the_byte() {
    let vectors: Value = serde_json::from_str(SCALES).unwrap();
    let named: Vec<(&str, Record)> = vectors["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| {
            let canonical = vector["canonical"].as_str().unwrap();
            let record = Record::from_canonical(canonical.as_bytes()).unwrap();
            assert_eq!(record.id().to_string(), vector["id"]);
            (vector["name"].as_str().unwrap(), record)
        })
        .collect();
    let records: Vec<&Record> = named.iter().map(|(_, record)| record).collect();
    for case in vectors["results"].as_array().unwrap() {
        let question = &case["question"];
        let answer = resolve(asked(question), records.iter().copied()).unwrap();
        let json = answer.to_json();
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            case["result"].as_str().unwrap(),
            "{question}"
        );
        let names: Vec<&str> = case["considered"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let considered = named.iter().filter(|(name, _)| names.contains(name));
        assert_eq!(
            blake3::Hash::from_bytes(answer.set_digest())
                .to_hex()
                .as_str(),
            digest(considered.map(|(_, record)| record)),
            "{question}"
        );
    }
}
