//! Reads what a tool is called with: all of it, or everything that is wrong with it at once. A model that is told one fault at a time
//! calls once for each.

use std::borrow::Cow;

use rmcp::schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Problem};

type Object = Map<String, Value>;

/// What a tool takes.
pub(super) trait Input: DeserializeOwned {
    /// Arguments that are sound, and no more than there have to be: each one given is tried among these.
    fn sound() -> Value;

    /// What is wrong with arguments that are sound one by one.
    fn contradiction(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// What a tool was called with, described to the model as `T`.
#[derive(Debug)]
pub(super) struct Told<T>(Result<T, Vec<Fault>>);

/// An argument, and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    name: String,
    detail: String,
}

impl<T> Told<T> {
    /// The arguments.
    ///
    /// # Errors
    /// With every fault in them.
    pub(super) fn sound(self) -> Result<T, Failure> {
        self.0.map_err(|faults| refusal(&faults))
    }
}

impl<'de, T: Input> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Told<T>, D::Error> {
        Object::deserialize(deserializer).map(|given| Told(read(given)))
    }
}

impl<T: JsonSchema> JsonSchema for Told<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

fn read<T: Input>(given: Object) -> Result<T, Vec<Fault>> {
    let faults = faults::<T>(&given);
    if !faults.is_empty() {
        return Err(faults);
    }
    let fault = |name: &str, detail| {
        vec![Fault {
            name: name.to_owned(),
            detail,
        }]
    };
    let input: T = serde_json::from_value(Value::Object(given))
        .map_err(|error| fault("arguments", error.to_string()))?;
    match input.contradiction() {
        Some((name, detail)) => Err(fault(name, detail)),
        None => Ok(input),
    }
}

/// Tries each argument among sound ones, and misses those that have to be there.
fn faults<T: Input>(given: &Object) -> Vec<Fault> {
    let sound = match T::sound() {
        Value::Object(sound) => sound,
        _ => Object::new(),
    };
    let missing = sound.keys().filter(|name| !given.contains_key(*name));
    let mut faults: Vec<Fault> = missing
        .map(|name| Fault {
            name: name.clone(),
            detail: "is missing".to_owned(),
        })
        .collect();
    for (name, value) in given {
        let mut tried = sound.clone();
        tried.insert(name.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<T>(Value::Object(tried)) {
            faults.push(Fault {
                name: name.clone(),
                detail: error.to_string(),
            });
        }
    }
    faults
}

fn refusal(faults: &[Fault]) -> Failure {
    let told: Vec<String> = faults
        .iter()
        .map(|fault| format!("`{}`: {}", fault.name, fault.detail))
        .collect();
    let errors: Vec<Value> = faults
        .iter()
        .map(|fault| json!({ "path": fault.name, "detail": fault.detail }))
        .collect();
    Failure::Refused(Problem {
        status: 0,
        body: json!({
            "title": "bad arguments",
            "code": "bad_arguments",
            "detail": told.join("\n"),
            "errors": errors,
            "next_step": "mend all of these; the tool's description says what each one is",
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::inputs::{AssertInput, QueryInput, TraceInput};
    use super::*;

    fn wrong<T: Input>(given: Value) -> Vec<String> {
        let told: Told<T> = serde_json::from_value(given).unwrap();
        let faults = told.0.err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.name).collect()
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let given = json!({
            "subject": 5, "predicate": "p", "value": [1], "class": "hearsay", "confidence": "high",
            "asserted_at": "yesterday", "parent": "8f21", "colour": "blue",
        });
        let mut names = wrong::<AssertInput>(given);
        names.sort();
        let expected = [
            "asserted_at",
            "class",
            "colour",
            "confidence",
            "parent",
            "source",
            "subject",
            "value",
        ];
        assert_eq!(names, expected);
        let given = json!({ "lens": "crystal ball", "class": ["expert", "oracle"], "limit": -1, "as_of": "2018-07-17" });
        let mut names = wrong::<QueryInput>(given);
        names.sort();
        assert_eq!(names, ["class", "lens", "limit"]);
        assert_eq!(wrong::<TraceInput>(json!({})), ["id"]);
    }

    #[test]
    fn a_value_and_its_type_have_to_go_together() {
        let claim = |value: Value, kind: &str| json!({ "subject": "s", "predicate": "p", "value": value, "type": kind, "source": "u", "class": "expert" });
        assert_eq!(
            wrong::<AssertInput>(claim(json!("hot"), "number")),
            ["value"]
        );
        assert!(wrong::<AssertInput>(claim(json!("1.50"), "number")).is_empty());
        assert!(wrong::<AssertInput>(claim(json!(true), "text")).is_empty());
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        let told: Told<TraceInput> =
            serde_json::from_value(json!({ "id": "8f21", "depth": 2 })).unwrap();
        let said = told
            .sound()
            .err()
            .map(|failure| failure.to_string())
            .unwrap_or_default();
        assert!(
            said.contains("`id`: \"8f21\" is no id") && said.contains("`depth`: unknown field"),
            "{said}"
        );
        assert!(said.ends_with("says what each one is"), "{said}");
    }
}
