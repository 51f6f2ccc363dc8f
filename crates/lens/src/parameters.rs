//! A lens and what it is asked.

use std::fmt;
use std::str::FromStr;

use assertion::{write_number, write_string};
use thiserror::Error;

use crate::selection::Selection;

/// The ways to answer (docs/lenses.md has the definitions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lens {
    /// The claim asserted last.
    Recency,
    /// The claim with the highest confidence.
    Confidence,
    /// The value that most distinct source uris give.
    Consensus,
    /// The claim of the strongest source.
    Authority,
    /// All values with their weights: how contested is it?
    Skeptic,
}

/// A question that no lens can be asked.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidParameters {
    /// Not a lens.
    #[error("unknown lens `{0}`: use one of recency, confidence, consensus, authority, skeptic")]
    UnknownLens(String),
    /// Tolerance out of range.
    #[error(
        "tolerance {0} is out of range: give a number of 0 to 1 (0.001 groups values within 0.1 %)"
    )]
    Tolerance(f64),
    /// Confidence out of range.
    #[error("min_confidence {0} is out of range: give a number of 0 to 1")]
    MinConfidence(f64),
}

impl Lens {
    /// All of them.
    pub const ALL: [Lens; 5] = [
        Lens::Recency,
        Lens::Confidence,
        Lens::Consensus,
        Lens::Authority,
        Lens::Skeptic,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Lens::Recency => "recency",
            Lens::Confidence => "confidence",
            Lens::Consensus => "consensus",
            Lens::Authority => "authority",
            Lens::Skeptic => "skeptic",
        }
    }
}

impl fmt::Display for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lens {
    type Err = InvalidParameters;

    fn from_str(text: &str) -> Result<Lens, InvalidParameters> {
        Lens::ALL
            .into_iter()
            .find(|lens| lens.name() == text)
            .ok_or_else(|| InvalidParameters::UnknownLens(text.chars().take(64).collect()))
    }
}

/// Everything that decides an answer besides the records. Echoed in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// The lens.
    pub lens: Lens,
    /// Relative tolerance: numbers within it are one value. Between 0 and 1.
    pub tolerance: Option<f64>,
    /// The claims it looks at.
    pub selection: Selection,
}

impl Parameters {
    /// Checks and normalises.
    pub fn new(
        lens: Lens,
        tolerance: Option<f64>,
        mut selection: Selection,
    ) -> Result<Parameters, InvalidParameters> {
        if let Some(tolerance) = tolerance
            && !(0.0..=1.0).contains(&tolerance)
        {
            return Err(InvalidParameters::Tolerance(tolerance));
        }
        if let Some(least) = selection.min_confidence
            && !(0.0..=1.0).contains(&least)
        {
            return Err(InvalidParameters::MinConfidence(least));
        }
        selection.normalise();
        Ok(Parameters {
            lens,
            tolerance,
            selection,
        })
    }

    /// The echo: every parameter, null when it was not given, in one order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let selection = &self.selection;
        out.extend_from_slice(b"{\"subject\":");
        text(out, selection.subject.as_deref());
        out.extend_from_slice(b",\"subject_prefix\":");
        text(out, selection.subject_prefix.as_deref());
        out.extend_from_slice(b",\"predicate\":");
        text(out, selection.predicate.as_deref());
        out.extend_from_slice(b",\"source\":");
        text(out, selection.source.as_deref());
        out.extend_from_slice(b",\"class\":");
        names(out, selection.classes.iter().map(|class| class.name()));
        out.extend_from_slice(b",\"lifecycle\":");
        names(out, selection.lifecycles.iter().map(|state| state.name()));
        out.extend_from_slice(b",\"min_confidence\":");
        number(out, selection.min_confidence);
        out.extend_from_slice(b",\"as_of\":");
        match selection.as_of {
            Some(time) => out.extend_from_slice(time.to_string().as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"tolerance\":");
        number(out, self.tolerance);
        out.push(b'}');
    }
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => write_string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => write_number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn names(out: &mut Vec<u8>, mut names: impl Iterator<Item = &'static str>) {
    let Some(first) = names.next() else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'[');
    write_string(out, first);
    for name in names {
        out.push(b',');
        write_string(out, name);
    }
    out.push(b']');
}
