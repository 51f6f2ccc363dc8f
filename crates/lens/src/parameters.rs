//! A lens and what it is asked.

use std::fmt;
use std::str::FromStr;

use assertion::limits::TIME_MAX_MS;
use assertion::{Kind, RecordId, write_number, write_string};
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
    /// The value with the greatest weight of votes.
    Votes,
    /// The strongest claim of each tier, and of all.
    Layered,
    /// What another lens makes of the claims whose epoch was not superseded.
    Epoch,
    /// All values with their weights: how contested is it?
    Skeptic,
}

/// A question that no lens can be asked. The text is what is wrong, a colon, and what to do.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidParameters {
    /// Not a lens.
    #[error(
        "unknown lens `{0}`: use one of recency, confidence, consensus, authority, votes, layered, epoch, skeptic"
    )]
    UnknownLens(String),
    /// Tolerance out of range.
    #[error(
        "tolerance {0} is out of range: give a number of 0 to 1 (0.001 groups values within 0.1 %)"
    )]
    Tolerance(f64),
    /// Confidence out of range.
    #[error("min_confidence {0} is out of range: give a number of 0 to 1")]
    MinConfidence(f64),
    /// A time that no record can have: which parameter, and what it was.
    #[error("{0} {1} is out of range: give Unix milliseconds within ±2^53")]
    Time(&'static str, i64),
    /// Not the id of an epoch.
    #[error("epoch is not an id: give the 64 lowercase hex digits that POST /v1/epoch returned")]
    Epoch,
    /// `inner` with a lens that has none inside.
    #[error("inner is not used by lens {0}: leave it out, or ask lens=epoch")]
    InnerUnused(Lens),
    /// The epoch lens inside itself.
    #[error("inner is the epoch lens itself: give any other lens")]
    InnerEpoch,
    /// Decay without the moment that ages are taken at.
    #[error("evaluated_at is missing, which decay needs: give Unix milliseconds")]
    EvaluatedAtMissing,
    /// A moment for ages that nothing looks at.
    #[error("evaluated_at is not used without decay: leave it out, or add decay=true")]
    EvaluatedAtUnused,
    /// Subject and prefix.
    #[error("subject_prefix is not used with subject: leave one of them out")]
    PrefixUnused,
    /// Subjects of a prefix with all their predicates: values of different things are no contradiction.
    #[error("subject_prefix needs a predicate with a lens: add predicate=, or leave out lens")]
    PrefixWithoutPredicate,
}

impl InvalidParameters {
    /// The name of the parameter that is to blame.
    pub const fn parameter(&self) -> &'static str {
        match self {
            InvalidParameters::UnknownLens(_) => "lens",
            InvalidParameters::Tolerance(_) => "tolerance",
            InvalidParameters::MinConfidence(_) => "min_confidence",
            InvalidParameters::Time(name, _) => name,
            InvalidParameters::Epoch => "epoch",
            InvalidParameters::InnerUnused(_) | InvalidParameters::InnerEpoch => "inner",
            InvalidParameters::EvaluatedAtMissing | InvalidParameters::EvaluatedAtUnused => {
                "evaluated_at"
            }
            InvalidParameters::PrefixUnused | InvalidParameters::PrefixWithoutPredicate => {
                "subject_prefix"
            }
        }
    }
}

impl Lens {
    /// All of them.
    pub const ALL: [Lens; 8] = [
        Lens::Recency,
        Lens::Confidence,
        Lens::Consensus,
        Lens::Authority,
        Lens::Votes,
        Lens::Layered,
        Lens::Epoch,
        Lens::Skeptic,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Lens::Recency => "recency",
            Lens::Confidence => "confidence",
            Lens::Consensus => "consensus",
            Lens::Authority => "authority",
            Lens::Votes => "votes",
            Lens::Layered => "layered",
            Lens::Epoch => "epoch",
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

/// How a lens is to look at the claims. Default: as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// Relative tolerance: numbers within it are one value. Between 0 and 1.
    pub tolerance: Option<f64>,
    /// Confidences halve with age.
    pub decay: bool,
    /// The Unix millisecond that ages are taken at; needed with `decay`, and only then.
    pub evaluated_at: Option<i64>,
    /// What the epoch lens asks about the claims that it keeps; without it, recency. Of no other lens.
    pub inner: Option<Lens>,
}

/// Everything that decides an answer besides the records. Echoed in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub(crate) lens: Lens,
    pub(crate) options: Options,
    pub(crate) selection: Selection,
}

impl Parameters {
    /// Checks and normalises.
    ///
    /// # Errors
    /// What is out of range, missing, or not used by the lens, by the parameter's name.
    pub fn new(
        lens: Lens,
        options: Options,
        mut selection: Selection,
    ) -> Result<Parameters, InvalidParameters> {
        options.check(lens)?;
        check_selection(&selection)?;
        selection.normalise();
        Ok(Parameters {
            lens,
            options,
            selection,
        })
    }

    /// The lens.
    pub fn lens(&self) -> Lens {
        self.lens
    }

    /// How it looks at the claims.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The claims it looks at.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Whether records of this kind can change the answer: what else need not be read.
    pub fn considers(&self, kind: Kind) -> bool {
        match kind {
            Kind::Assertion | Kind::Source => true,
            Kind::Vote => self.judge() == Lens::Votes,
            Kind::Epoch => self.lens == Lens::Epoch,
        }
    }

    /// The lens that picks: the one inside the epoch lens.
    pub(crate) fn judge(&self) -> Lens {
        match self.lens {
            Lens::Epoch => self.options.inner.unwrap_or(Lens::Recency),
            lens => lens,
        }
    }

    /// The echo: every parameter, null when it was not given, in one order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Selection {
            subject,
            subject_prefix,
            predicate,
            source,
            classes,
            lifecycles,
            epoch,
            min_confidence,
            as_of,
        } = &self.selection;
        let Options {
            tolerance,
            decay,
            evaluated_at,
            inner,
        } = &self.options;
        out.extend_from_slice(b"{\"subject\":");
        text(out, subject.as_deref());
        out.extend_from_slice(b",\"subject_prefix\":");
        text(out, subject_prefix.as_deref());
        out.extend_from_slice(b",\"predicate\":");
        text(out, predicate.as_deref());
        out.extend_from_slice(b",\"source\":");
        text(out, source.as_deref());
        out.extend_from_slice(b",\"class\":");
        names(out, classes.iter().map(|class| class.name()));
        out.extend_from_slice(b",\"lifecycle\":");
        names(out, lifecycles.iter().map(|state| state.name()));
        out.extend_from_slice(b",\"epoch\":");
        text(out, epoch.as_deref());
        out.extend_from_slice(b",\"min_confidence\":");
        number(out, *min_confidence);
        out.extend_from_slice(b",\"as_of\":");
        time(out, *as_of);
        out.extend_from_slice(b",\"tolerance\":");
        number(out, *tolerance);
        out.extend_from_slice(b",\"decay\":");
        out.extend_from_slice(if *decay { b"true" } else { b"null" });
        out.extend_from_slice(b",\"evaluated_at\":");
        time(out, *evaluated_at);
        out.extend_from_slice(b",\"inner\":");
        text(out, inner.map(Lens::name));
        out.push(b'}');
    }
}

impl Options {
    fn check(&self, lens: Lens) -> Result<(), InvalidParameters> {
        if let Some(tolerance) = self.tolerance
            && !(0.0..=1.0).contains(&tolerance)
        {
            return Err(InvalidParameters::Tolerance(tolerance));
        }
        match (self.decay, self.evaluated_at) {
            (true, None) => return Err(InvalidParameters::EvaluatedAtMissing),
            (false, Some(_)) => return Err(InvalidParameters::EvaluatedAtUnused),
            (_, moment) => check_time("evaluated_at", moment)?,
        }
        match (lens, self.inner) {
            (Lens::Epoch, Some(Lens::Epoch)) => Err(InvalidParameters::InnerEpoch),
            (Lens::Epoch, _) | (_, None) => Ok(()),
            (lens, Some(_)) => Err(InvalidParameters::InnerUnused(lens)),
        }
    }
}

fn check_selection(selection: &Selection) -> Result<(), InvalidParameters> {
    if let Some(least) = selection.min_confidence
        && !(0.0..=1.0).contains(&least)
    {
        return Err(InvalidParameters::MinConfidence(least));
    }
    check_time("as_of", selection.as_of)?;
    if let Some(epoch) = &selection.epoch
        && epoch.parse::<RecordId>().is_err()
    {
        return Err(InvalidParameters::Epoch);
    }
    match selection {
        Selection {
            subject: Some(_),
            subject_prefix: Some(_),
            ..
        } => Err(InvalidParameters::PrefixUnused),
        Selection {
            subject_prefix: Some(_),
            predicate: None,
            ..
        } => Err(InvalidParameters::PrefixWithoutPredicate),
        _ => Ok(()),
    }
}

fn check_time(name: &'static str, moment: Option<i64>) -> Result<(), InvalidParameters> {
    match moment {
        Some(moment) if !(-TIME_MAX_MS..=TIME_MAX_MS).contains(&moment) => {
            Err(InvalidParameters::Time(name, moment))
        }
        _ => Ok(()),
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

fn time(out: &mut Vec<u8>, value: Option<i64>) {
    match value {
        Some(value) => out.extend_from_slice(value.to_string().as_bytes()),
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
