//! Which claims a question is about.

use assertion::{Claim, Lifecycle, SourceClass};

/// Filters of a question. Empty: everything but what was rejected or deprecated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// The exact subject.
    pub subject: Option<String>,
    /// The start of the subject.
    pub subject_prefix: Option<String>,
    /// The exact predicate.
    pub predicate: Option<String>,
    /// The exact source uri.
    pub source: Option<String>,
    /// Source classes; empty: all.
    pub classes: Vec<SourceClass>,
    /// Lifecycles; empty: all but rejected and deprecated.
    pub lifecycles: Vec<Lifecycle>,
    /// The id of the epoch that claims belong to, 64 lowercase hex digits.
    pub epoch: Option<String>,
    /// Claims that state at least this confidence, whatever decay leaves of it.
    pub min_confidence: Option<f64>,
    /// Records dated at or before this Unix millisecond, each kind by its own time.
    pub as_of: Option<i64>,
}

/// How a claim stands to a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Considered.
    Yes,
    /// Everything the question asks for, but rejected or deprecated, and the question does not ask for lifecycles.
    Withdrawn,
    /// Of the subject and predicate, but left out by a filter of the question.
    Filtered,
    /// About something else, or later than `as_of`: not counted at all.
    No,
}

impl Selection {
    /// Puts the lists into one order, so that equal questions are equal values.
    pub fn normalise(&mut self) {
        self.classes.sort_unstable();
        self.classes.dedup();
        self.lifecycles.sort_unstable();
        self.lifecycles.dedup();
    }

    /// Judges one claim.
    pub fn matches(&self, claim: &Claim<'_>) -> Match {
        let about = self.covers_subject(&claim.subject)
            && equals(self.predicate.as_deref(), &claim.predicate)
            && self.covers_time(claim.asserted_at);
        if !about {
            return Match::No;
        }
        let wanted = (self.lifecycles.is_empty() || self.lifecycles.contains(&claim.lifecycle))
            && self.covers_source(&claim.uri)
            && (self.classes.is_empty() || self.classes.contains(&claim.class))
            && (self.epoch.is_none() || self.epoch.as_deref() == claim.epoch)
            && self
                .min_confidence
                .is_none_or(|least| claim.confidence >= least);
        let withdrawn = self.lifecycles.is_empty()
            && matches!(claim.lifecycle, Lifecycle::Rejected | Lifecycle::Deprecated);
        match (wanted, withdrawn) {
            (true, false) => Match::Yes,
            (true, true) => Match::Withdrawn,
            (false, _) => Match::Filtered,
        }
    }

    /// Whether the question is about this subject.
    pub fn covers_subject(&self, subject: &str) -> bool {
        equals(self.subject.as_deref(), subject)
            && self
                .subject_prefix
                .as_deref()
                .is_none_or(|prefix| subject.starts_with(prefix))
    }

    /// Whether the question takes claims of this source uri.
    pub fn covers_source(&self, uri: &str) -> bool {
        equals(self.source.as_deref(), uri)
    }

    /// Whether a record of this time is seen.
    pub fn covers_time(&self, at_ms: i64) -> bool {
        self.as_of.is_none_or(|latest| at_ms <= latest)
    }
}

fn equals(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}
