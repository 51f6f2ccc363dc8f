//! Records as clients send and get them (docs/canonical-form.md has every rule).

use serde::Serialize;
use utoipa::ToSchema;

/// A record of any kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Record {
    /// A claim.
    Assertion(Assertion),
    /// A vote.
    Vote(Vote),
    /// An epoch.
    Epoch(Epoch),
    /// A source.
    Source(SourceRecord),
}

/// A claim.
#[derive(Debug, Serialize, ToSchema)]
pub struct Assertion {
    /// BLAKE3 of the canonical form, 64 hex digits. In replies; may be sent back.
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// `assertion`, stamped when it is absent.
    #[schema(pattern = "^assertion$", nullable = false)]
    pub kind: Option<String>,
    /// Version of the form: 1, stamped when it is absent.
    #[schema(nullable = false)]
    pub v: Option<u8>,
    /// What it is about, 1 to 512 bytes.
    pub subject: String,
    /// Which property of it, 1 to 256 bytes.
    pub predicate: String,
    /// What is claimed.
    pub object: Claimed,
    /// Who says so.
    pub source: Source,
    /// How sure the source is, stamped 1 when it is absent.
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    pub confidence: Option<f64>,
    /// Stamped `proposed` when it is absent.
    #[schema(nullable = false)]
    pub lifecycle: Option<Lifecycle>,
    /// Unix milliseconds, stamped with now when it is absent.
    #[schema(nullable = false)]
    pub asserted_at: Option<i64>,
    /// Id of the epoch that it belongs to.
    #[schema(nullable = false)]
    pub epoch: Option<String>,
    /// Id of the claim that it follows.
    #[schema(nullable = false)]
    pub parent: Option<String>,
    /// Remarks, at most 16 KiB.
    #[schema(nullable = false)]
    pub note: Option<String>,
    /// Who stands behind it. A signed record is sent complete.
    #[schema(nullable = false)]
    pub signatures: Option<Vec<Signature>>,
}

/// A value.
#[derive(Debug, Serialize, ToSchema)]
pub struct Claimed {
    /// What it is.
    pub r#type: ObjectType,
    /// Text, a number, true or false, or the subject that is referred to.
    pub value: serde_json::Value,
}

/// Types of values.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectType {
    /// Text, at most 64 KiB.
    Text,
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// A subject.
    Reference,
}

/// Who says so.
#[derive(Debug, Serialize, ToSchema)]
pub struct Source {
    /// Names the source, 1 to 2,048 bytes.
    pub uri: String,
    /// Its strength.
    pub class: SourceClass,
    /// Of what was read, 64 hex digits.
    #[schema(nullable = false)]
    pub hash: Option<String>,
}

/// Classes of sources, the strongest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceClass {
    /// Tier 0.
    Regulatory,
    /// Tier 1.
    Clinical,
    /// Tier 2.
    Observational,
    /// Tier 3.
    Expert,
    /// Tier 4.
    Community,
    /// Tier 5.
    Anecdotal,
}

/// How far a claim is. Lenses leave out the last two unless they are asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// New.
    Proposed,
    /// Looked at.
    UnderReview,
    /// Taken.
    Approved,
    /// Taken no more.
    Deprecated,
    /// Not taken.
    Rejected,
}

/// A signature.
#[derive(Debug, Serialize, ToSchema)]
pub struct Signature {
    /// Ed25519 public key, 64 hex digits.
    pub agent: String,
    /// 128 hex digits.
    pub signature: String,
}

/// A vote on a claim.
#[derive(Debug, Serialize, ToSchema)]
pub struct Vote {
    /// In replies; may be sent back.
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// `vote`, stamped when it is absent.
    #[schema(pattern = "^vote$", nullable = false)]
    pub kind: Option<String>,
    /// 1, stamped when it is absent.
    #[schema(nullable = false)]
    pub v: Option<u8>,
    /// The subject of the claim.
    pub subject: String,
    /// Id of the claim.
    pub assertion: String,
    /// Who votes, 1 to 256 bytes; of a signed vote one of its agents.
    pub voter: String,
    /// Above 0, at most 1.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub weight: f64,
    /// Unix milliseconds, stamped with now when it is absent.
    #[schema(nullable = false)]
    pub voted_at: Option<i64>,
    /// Who stands behind it.
    #[schema(nullable = false)]
    pub signatures: Option<Vec<Signature>>,
}

/// A named period of knowledge.
#[derive(Debug, Serialize, ToSchema)]
pub struct Epoch {
    /// In replies; may be sent back.
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// `epoch`, stamped when it is absent.
    #[schema(pattern = "^epoch$", nullable = false)]
    pub kind: Option<String>,
    /// 1, stamped when it is absent.
    #[schema(nullable = false)]
    pub v: Option<u8>,
    /// What it is called, 1 to 256 bytes.
    pub name: String,
    /// Ids of the epochs that it replaces, at most 64.
    #[schema(nullable = false)]
    pub supersedes: Option<Vec<String>>,
    /// Why, at most 16 KiB.
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Unix milliseconds, stamped with now when it is absent.
    #[schema(nullable = false)]
    pub started_at: Option<i64>,
    /// Who stands behind it.
    #[schema(nullable = false)]
    pub signatures: Option<Vec<Signature>>,
}

/// What is known of a source itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceRecord {
    /// In replies; may be sent back.
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// `source`, stamped when it is absent.
    #[schema(pattern = "^source$", nullable = false)]
    pub kind: Option<String>,
    /// 1, stamped when it is absent.
    #[schema(nullable = false)]
    pub v: Option<u8>,
    /// Names the source, 1 to 2,048 bytes.
    pub uri: String,
    /// Its strength.
    pub class: SourceClass,
    /// What people call it, at most 1 KiB.
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// Whether lenses leave out its claims.
    #[schema(nullable = false)]
    pub retracted: Option<bool>,
    /// Unix milliseconds, stamped with now when it is absent.
    #[schema(nullable = false)]
    pub recorded_at: Option<i64>,
    /// Who stands behind it.
    #[schema(nullable = false)]
    pub signatures: Option<Vec<Signature>>,
}
