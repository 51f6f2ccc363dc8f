//! Why something is not a record, in a form that an API can pass on.

use thiserror::Error;

/// A refused record: a stable code, where it is, and what to do (RFC 9457 members are filled from it).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {detail} ({code}); {next_step}")]
pub struct Invalid {
    /// Stable, for programs; listed in docs/canonical-form.md.
    pub code: &'static str,
    /// The field, dotted: `source.uri`. `$` is the record itself.
    pub path: String,
    /// What is wrong, for people.
    pub detail: String,
    /// The limit that was passed, in the unit that `detail` names.
    pub limit: Option<u64>,
    /// What to do about it.
    pub next_step: String,
}

impl Invalid {
    pub(crate) fn new(
        code: &'static str,
        path: impl Into<String>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Invalid {
        Invalid {
            code,
            path: path.into(),
            detail: detail.into(),
            limit: None,
            next_step: next_step.into(),
        }
    }

    pub(crate) fn with_limit(mut self, limit: u64) -> Invalid {
        self.limit = Some(limit);
        self
    }

    /// The same, met in an item of a list: `signature` in the second of `signatures` is `signatures[1].signature`.
    pub(crate) fn within(mut self, list: &str, position: usize) -> Invalid {
        self.path = match self.path.as_str() {
            path if path == "$" || path == list => format!("{list}[{position}]"),
            path => format!("{list}[{position}].{path}"),
        };
        self
    }

    pub(crate) fn repeated(path: String) -> Invalid {
        Invalid::new("repeated", path, "is there twice", "give it once")
    }

    pub(crate) fn missing(path: String) -> Invalid {
        Invalid::new("missing_field", path, "is missing", "add it")
    }
}
