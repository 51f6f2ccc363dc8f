//! What records say.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The forms of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A source says that a predicate of a subject has an object.
    Assertion,
    /// Somebody's weight behind an assertion.
    Vote,
    /// A named period of knowledge that supersedes others.
    Epoch,
    /// What is known of a source itself.
    Source,
}

/// A name that is not one of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown {what} `{given}`: use one of {accepted}")]
pub struct UnknownName {
    what: &'static str,
    given: String,
    accepted: String,
}

impl UnknownName {
    /// The names that are accepted, comma-separated.
    pub fn accepted(&self) -> &str {
        &self.accepted
    }
}

/// A closed set of names: the enum, its names in order, and both conversions.
macro_rules! named {
    ($type:ident, $what:literal, [$($variant:ident => $name:literal),+ $(,)?]) => {
        impl $type {
            /// All of them, in order.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<$type, UnknownName> {
                match text {
                    $($name => Ok($type::$variant),)+
                    _ => Err(UnknownName {
                        what: $what,
                        given: text.chars().take(64).collect(),
                        accepted: [$($name),+].join(", "),
                    }),
                }
            }
        }
    };
}

named!(Kind, "kind", [
    Assertion => "assertion", Vote => "vote", Epoch => "epoch", Source => "source",
]);

/// How strong a source is. The order is the tier: lower is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceClass {
    /// Tier 0: standards bodies, regulators.
    Regulatory,
    /// Tier 1: controlled measurement.
    Clinical,
    /// Tier 2: observation.
    Observational,
    /// Tier 3: compiled by experts.
    Expert,
    /// Tier 4: compiled by a community.
    Community,
    /// Tier 5: somebody said so.
    Anecdotal,
}

named!(SourceClass, "source class", [
    Regulatory => "regulatory", Clinical => "clinical", Observational => "observational",
    Expert => "expert", Community => "community", Anecdotal => "anecdotal",
]);

impl SourceClass {
    /// 0 (strongest) to 5.
    pub const fn tier(self) -> u8 {
        self as u8
    }
}

/// Where a claim stands in its life, as its source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lifecycle {
    /// Put forward; the default.
    Proposed,
    /// Being looked at.
    UnderReview,
    /// Accepted.
    Approved,
    /// Was true once; lenses leave it out unless asked.
    Deprecated,
    /// Refuted; lenses leave it out unless asked.
    Rejected,
}

named!(Lifecycle, "lifecycle", [
    Proposed => "proposed", UnderReview => "under_review", Approved => "approved",
    Deprecated => "deprecated", Rejected => "rejected",
]);

/// What is claimed.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// Words.
    Text(String),
    /// A finite number; -0 is 0.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// Another subject.
    Reference(String),
}

impl Object {
    /// The name of its type on the wire.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Object::Text(_) => "text",
            Object::Number(_) => "number",
            Object::Boolean(_) => "boolean",
            Object::Reference(_) => "reference",
        }
    }
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Names the source.
    pub uri: String,
    /// Its strength.
    pub class: SourceClass,
    /// Hash of what was read there, 64 lowercase hex digits.
    pub hash: Option<String>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// What it is about, 1–512 bytes.
    pub subject: String,
    /// Which property, 1–256 bytes.
    pub predicate: String,
    /// The claimed value.
    pub object: Object,
    /// Who claims it.
    pub source: Source,
    /// 0 to 1.
    pub confidence: f64,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Unix milliseconds, as claimed; may be negative.
    pub asserted_at: i64,
    /// Id of the epoch it belongs to.
    pub epoch: Option<String>,
    /// Id of the claim it follows.
    pub parent: Option<String>,
    /// Remarks, at most 16 KiB.
    pub note: Option<String>,
}

/// Somebody's weight behind a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// The subject of the claim, 1–512 bytes: a vote lies in the shard of what it is about.
    pub subject: String,
    /// Id of the claim.
    pub assertion: String,
    /// Who votes, 1–256 bytes. When the vote is signed, one of its agents.
    pub voter: String,
    /// Above 0, at most 1.
    pub weight: f64,
    /// Unix milliseconds, as claimed; may be negative.
    pub voted_at: i64,
}

/// A named period of knowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// What it is called, 1–256 bytes.
    pub name: String,
    /// Ids of the epochs that it replaces: ascending, each once, at most 64.
    pub supersedes: Vec<String>,
    /// Why, at most 16 KiB.
    pub reason: Option<String>,
    /// Unix milliseconds, as claimed; may be negative.
    pub started_at: i64,
}

/// What is known of a source itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// Names the source, 1–2,048 bytes.
    pub uri: String,
    /// Its strength.
    pub class: SourceClass,
    /// What people call it, at most 1 KiB.
    pub title: Option<String>,
    /// Whether its claims are withdrawn.
    pub retracted: Option<bool>,
    /// Unix milliseconds, as claimed; may be negative.
    pub recorded_at: i64,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A claim.
    Assertion(Assertion),
    /// A vote on a claim.
    Vote(Vote),
    /// An epoch.
    Epoch(Epoch),
    /// A source.
    Source(SourceRecord),
}

impl Content {
    /// Which of the four it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Content::Assertion(_) => Kind::Assertion,
            Content::Vote(_) => Kind::Vote,
            Content::Epoch(_) => Kind::Epoch,
            Content::Source(_) => Kind::Source,
        }
    }

    /// Its time, Unix milliseconds: `asserted_at`, `voted_at`, `started_at` or `recorded_at`.
    pub const fn at_ms(&self) -> i64 {
        match self {
            Content::Assertion(claim) => claim.asserted_at,
            Content::Vote(vote) => vote.voted_at,
            Content::Epoch(epoch) => epoch.started_at,
            Content::Source(source) => source.recorded_at,
        }
    }
}

impl Kind {
    /// The name of the field that holds the time of such a record.
    pub const fn time_field(self) -> &'static str {
        match self {
            Kind::Assertion => "asserted_at",
            Kind::Vote => "voted_at",
            Kind::Epoch => "started_at",
            Kind::Source => "recorded_at",
        }
    }
}

impl From<Assertion> for Content {
    fn from(claim: Assertion) -> Content {
        Content::Assertion(claim)
    }
}

impl From<Vote> for Content {
    fn from(vote: Vote) -> Content {
        Content::Vote(vote)
    }
}

impl From<Epoch> for Content {
    fn from(epoch: Epoch) -> Content {
        Content::Epoch(epoch)
    }
}

impl From<SourceRecord> for Content {
    fn from(source: SourceRecord) -> Content {
        Content::Source(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_follow_the_order_of_the_classes() {
        assert_eq!(SourceClass::Regulatory.tier(), 0);
        assert_eq!(SourceClass::Anecdotal.tier(), 5);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = "gossip".parse::<SourceClass>().unwrap_err();
        assert!(
            error.to_string().contains("regulatory, clinical"),
            "{error}"
        );
    }
}
