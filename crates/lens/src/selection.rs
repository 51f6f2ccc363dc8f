//! Which claims a question is about.

use assertion::{Assertion, Lifecycle, SourceClass};

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
    /// Claims with at least this confidence.
    pub min_confidence: Option<f64>,
    /// Claims asserted at or before this Unix millisecond.
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
    pub fn matches(&self, claim: &Assertion) -> Match {
        if !self.is_about(claim) {
            return Match::No;
        }
        let wanted = (self.lifecycles.is_empty() || self.lifecycles.contains(&claim.lifecycle))
            && equals(self.source.as_deref(), &claim.source.uri)
            && (self.classes.is_empty() || self.classes.contains(&claim.source.class))
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

    fn is_about(&self, claim: &Assertion) -> bool {
        equals(self.subject.as_deref(), &claim.subject)
            && equals(self.predicate.as_deref(), &claim.predicate)
            && self
                .subject_prefix
                .as_deref()
                .is_none_or(|prefix| claim.subject.starts_with(prefix))
            && self.as_of.is_none_or(|latest| claim.asserted_at <= latest)
    }
}

fn equals(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}
