//! Defaults, then the file, then the environment; every fault found at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::table::{COMMAND_VARIABLES, Entry, Kind, OTHER_VARIABLES, TABLE};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was said.
    Default,
    /// config.toml.
    File,
    /// The environment.
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
        })
    }
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key or variable.
    pub name: String,
    /// What is wrong and what is accepted.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

/// The merged texts, by key.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, (String, Origin)>,
    pub(super) faults: Vec<Fault>,
}

impl Layers {
    pub(super) fn merge(
        toml_text: Option<&str>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Layers {
        let mut layers = Layers {
            values: TABLE
                .iter()
                .map(|entry| (entry.key, (entry.default.to_owned(), Origin::Default)))
                .collect(),
            faults: Vec::new(),
        };
        if let Some(text) = toml_text {
            layers.read_file(text);
        }
        for (name, value) in environment.filter(|(name, _)| name.starts_with("STEMEDB_")) {
            layers.read_variable(&name, value);
        }
        for entry in TABLE {
            layers.check(entry);
        }
        layers
    }

    /// The text of a setting; empty: not given.
    pub(super) fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(text, _)| text)
    }

    pub(super) fn origin(&self, key: &str) -> Origin {
        self.values
            .get(key)
            .map_or(Origin::Default, |(_, origin)| *origin)
    }

    pub(super) fn whole(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or_default()
    }

    pub(super) fn fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faults.push(Fault {
            name: name.to_owned(),
            problem: problem.into(),
        });
    }

    fn read_file(&mut self, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.fault("config file", format!("is not TOML: {error}")),
        };
        for (section, inner) in table {
            let toml::Value::Table(inner) = inner else {
                self.fault(
                    &section,
                    "is not a section; write it as [section] with keys below",
                );
                continue;
            };
            for (name, value) in inner {
                let key = format!("{section}.{name}");
                let Some(entry) = TABLE.iter().find(|entry| entry.key == key) else {
                    self.fault(&key, unknown(&key, TABLE.iter().map(|entry| entry.key)));
                    continue;
                };
                match as_text(&value) {
                    Some(text) => drop(self.values.insert(entry.key, (text, Origin::File))),
                    None => self.fault(&key, "is a table or a date; give a plain value"),
                }
            }
        }
    }

    fn read_variable(&mut self, name: &str, value: String) {
        let mut others = OTHER_VARIABLES.iter().chain(COMMAND_VARIABLES);
        if others.any(|(known, _)| *known == name) {
            return;
        }
        match TABLE.iter().find(|entry| entry.env == name) {
            Some(entry) => drop(self.values.insert(entry.key, (value, Origin::Environment))),
            None => self.fault(name, unknown(name, TABLE.iter().map(|entry| entry.env))),
        }
    }

    fn check(&mut self, entry: &Entry) {
        let text = self.text(entry.key);
        if let Err(accepted) = accepts(entry.kind, text) {
            let shown = if entry.kind == Kind::Secret {
                "(secret)"
            } else {
                text
            };
            let problem = format!(
                "`{shown}` (from {}) is not {accepted}",
                self.origin(entry.key)
            );
            self.fault(&format!("{} / {}", entry.key, entry.env), problem);
        }
    }
}

fn accepts(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::Secret | Kind::List => Ok(()),
        Kind::Flag => match text {
            "true" | "false" => Ok(()),
            _ => Err("true or false".into()),
        },
        Kind::Whole { min, max } => match text.parse::<u64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(()),
            _ => Err(format!("a whole number of {min} to {max}")),
        },
        Kind::Address => match text.parse::<SocketAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("an address such as 0.0.0.0:18180".into()),
        },
        Kind::Choice(choices) if choices.contains(&text) => Ok(()),
        Kind::Choice(choices) => Err(format!("one of: {}", choices.join(", "))),
    }
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(as_text).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// "Is not a setting", with the nearest name there is.
fn unknown(given: &str, known: impl Iterator<Item = &'static str>) -> String {
    let shared = |name: &str| {
        name.bytes()
            .zip(given.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    match known.max_by_key(|name| shared(name)) {
        Some(nearest) => {
            format!("is not a setting; did you mean {nearest}? (`stemedb config check` lists all)")
        }
        None => "is not a setting".to_owned(),
    }
}
