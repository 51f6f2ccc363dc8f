//! What a claim says.

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
