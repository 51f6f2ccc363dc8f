//! YAML as values: documents, anchors, and merge keys (`<<`), which Compose and kustomize understand and parsers leave be.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Number, Value};

use crate::{Fault, SourceFile};

/// What a merge key is called.
const MERGE: &str = "<<";

/// All documents of a file.
pub(crate) fn documents(file: &SourceFile) -> Result<Vec<Value>, Fault> {
    let nodes = Yaml::load_from_str(&file.text)
        .map_err(|error| Fault::of(&file.path, format!("not YAML: {error}")))?;
    nodes
        .iter()
        .map(|node| value(node).map_err(|what| Fault::of(&file.path, what)))
        .collect()
}

/// The first document of a file; most have one.
pub(crate) fn document(file: &SourceFile) -> Result<Value, Fault> {
    Ok(documents(file)?.into_iter().next().unwrap_or_default())
}

/// The entries of a list; none when it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty when it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn value(node: &Yaml<'_>) -> Result<Value, String> {
    match node {
        Yaml::Value(scalar) => Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(whole) => Value::from(*whole),
            Scalar::FloatingPoint(number) => {
                Number::from_f64(number.into_inner()).map_or(Value::Null, Value::Number)
            }
            Scalar::String(text) => Value::from(text.as_ref()),
        }),
        Yaml::Sequence(entries) => entries.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let mut own = Map::new();
            let mut merged = Vec::new();
            for (key, entry) in entries {
                let entry = value(entry)?;
                match key.as_str() {
                    Some(MERGE) => merged.push(entry),
                    Some(key) => drop(own.insert(key.to_owned(), entry)),
                    None => return Err(format!("a key that is no text: {key:?}")),
                }
            }
            for source in merged {
                merge(&mut own, source)?;
            }
            Ok(Value::Object(own))
        }
        Yaml::Tagged(_, inner) => value(inner),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            Err(format!("a value that cannot be read: {node:?}"))
        }
    }
}

/// Adds what is not there yet: own keys win, and of several sources the first.
fn merge(own: &mut Map<String, Value>, source: Value) -> Result<(), String> {
    match source {
        Value::Object(entries) => {
            for (key, entry) in entries {
                own.entry(key).or_insert(entry);
            }
            Ok(())
        }
        Value::Array(sources) => sources
            .into_iter()
            .try_for_each(|source| merge(own, source)),
        other => Err(format!("{MERGE} wants mappings, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Vec<Value>, Fault> {
        documents(&SourceFile::new("x.yaml", text))
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let text = "a: &a { x: 1, y: [2.5, ~] }\nb: &b\n  <<: *a\n  x: 3\nc: { <<: [{ z: no }, *b], w: \"0\" }\n---\nd\n";
        assert_eq!(
            read(text).unwrap(),
            [
                json!({
                    "a": { "x": 1, "y": [2.5, null] },
                    "b": { "x": 3, "y": [2.5, null] },
                    "c": { "z": "no", "x": 3, "y": [2.5, null], "w": "0" },
                }),
                json!("d"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        for text in ["a: [", "a: 1\na: 2", "<<: 1", "1: a", "a: *b"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
