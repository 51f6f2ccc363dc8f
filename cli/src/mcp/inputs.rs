//! What the tools take. The names, the comments and the choices are what a model reads of them.

use assertion::moment::NotAMoment;
use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reading::Input;
use crate::commands::assert::Object;
use crate::commands::ids;
use crate::dates;

/// How a source came to what it says, strongest first.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    /// Standards bodies and regulators.
    Regulatory,
    /// Controlled measurement.
    Clinical,
    /// Observation.
    Observational,
    /// An expert's judgement, a handbook, a review.
    Expert,
    /// What a community keeps, such as a wiki.
    Community,
    /// One voice: a post, a note, what you noticed yourself.
    Anecdotal,
}

/// How far a claim has come.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(super) enum Lifecycle {
    Proposed,
    UnderReview,
    Approved,
    Deprecated,
    Rejected,
}

/// What a value is.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(super) enum ValueType {
    Text,
    Number,
    Boolean,
    /// The subject of other claims.
    Reference,
}

/// How contradictory claims become one answer.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(super) enum Lens {
    /// The claim of the strongest source class, then of the highest confidence.
    Authority,
    /// The claim asserted last.
    Recency,
    /// The claim with the highest confidence.
    Confidence,
    /// The value that most distinct sources give.
    Consensus,
    /// The value with the greatest weight of votes.
    Votes,
    /// The strongest claim of each source class, and of all.
    Layered,
    /// What `inner` makes of claims whose epoch was not superseded.
    Epoch,
    /// All values with their weights.
    Skeptic,
}

/// A JSON value of a claim.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(untagged, expecting = "give a string, a number, true or false")]
pub(super) enum Given {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

/// A moment, read once.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars", with = "String")]
#[serde(try_from = "String")]
pub(super) struct Moment(pub(super) i64);

impl TryFrom<String> for Moment {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Moment, NotAMoment> {
        dates::parse(&text).map(Moment)
    }
}

/// An id, or the beginning of one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars", with = "String")]
#[serde(try_from = "String")]
pub(super) struct Id(pub(super) String);

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Id, String> {
        ids::given(&text).map(Id)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct AssertInput {
    /// What the claim is about, as a stable name: `cas:7732-18-5`, `constant:hubble`, `person:ada_lovelace`.
    pub(super) subject: String,
    /// Which property of it, with its unit: `boiling_point_k`, `born_on`.
    pub(super) predicate: String,
    /// The value. A JSON number is a number, a JSON boolean a boolean, a string text, unless `type` says otherwise. A number with
    /// more than 15 digits: give it as a string with `type` number, so that no digit changes.
    pub(super) value: Given,
    /// What the value is, when it is not what it looks like: `number` reads a string digit by digit, `reference` names another
    /// subject.
    #[serde(rename = "type")]
    pub(super) value_type: Option<ValueType>,
    /// The URI of the source that says so: `https://…`, `doi:…`, `arxiv:…`.
    pub(super) source: String,
    /// What kind of source that is.
    pub(super) class: Class,
    /// How sure the source is, 0 to 1. Without it, 1.
    pub(super) confidence: Option<f64>,
    /// How far the claim has come. Without it, proposed.
    pub(super) lifecycle: Option<Lifecycle>,
    /// When the source said so: `2018-07-17`, `2018-07-17T10:30:00Z` or Unix milliseconds. Without it, now.
    pub(super) asserted_at: Option<Moment>,
    /// The id of the epoch that the claim belongs to.
    pub(super) epoch: Option<Id>,
    /// The id of the claim that this one is derived from.
    pub(super) parent: Option<Id>,
    /// Words about it: uncertainty, method, page.
    pub(super) note: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct QueryInput {
    /// The exact subject. Without it give `subject_prefix`, `source` or `predicate`.
    pub(super) subject: Option<String>,
    /// The start of the subjects asked about, in place of `subject`; with a lens `predicate` is needed as well.
    pub(super) subject_prefix: Option<String>,
    /// The exact predicate.
    pub(super) predicate: Option<String>,
    /// Claims of this source URI only.
    pub(super) source: Option<String>,
    /// How to answer. Without it the claims themselves are listed, newest first.
    pub(super) lens: Option<Lens>,
    /// With the epoch lens: the lens that answers about the claims it keeps. Without it, recency.
    pub(super) inner: Option<Lens>,
    /// With a lens: numbers this close, relative to each other, are one value; 0.001 is a thousandth.
    pub(super) tolerance: Option<f64>,
    /// Claims of these source classes only.
    pub(super) class: Option<Vec<Class>>,
    /// Claims in these states only. Without it, all but deprecated and rejected.
    pub(super) lifecycle: Option<Vec<Lifecycle>>,
    /// Claims of the epoch with this id only.
    pub(super) epoch: Option<Id>,
    /// Claims that state at least this confidence, 0 to 1.
    pub(super) min_confidence: Option<f64>,
    /// What was claimed by then: `2015-01-01`, `2015-01-01T10:30:00Z` or Unix milliseconds.
    pub(super) as_of: Option<Moment>,
    /// With a lens: let confidence fade with age, the faster the weaker the class.
    pub(super) decay: Option<bool>,
    /// Without a lens: claims on a page, 1 to 1000. Without it, 100.
    pub(super) limit: Option<u16>,
    /// The `cursor` of the page before.
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct SkepticInput {
    /// The exact subject.
    pub(super) subject: String,
    /// The exact predicate. Values of different predicates are no contradiction: leave it out only for a subject with one.
    pub(super) predicate: Option<String>,
    /// Numbers this close, relative to each other, are one value; 0.001 is a thousandth.
    pub(super) tolerance: Option<f64>,
    /// What was claimed by then: `2015-01-01`, `2015-01-01T10:30:00Z` or Unix milliseconds.
    pub(super) as_of: Option<Moment>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct TraceInput {
    /// The id of the record, as every answer has it: 64 hex digits, or the first 8 or more.
    pub(super) id: Id,
}

pub(super) type Pairs = Vec<(&'static str, String)>;

impl Input for AssertInput {
    fn sound() -> Value {
        json!({ "subject": "s", "predicate": "p", "value": 1, "source": "u", "class": "expert" })
    }

    fn contradiction(&self) -> Option<(&'static str, String)> {
        let kind = self.kind();
        let wrong = Object::read(&self.value.text(), kind.as_deref()).err()?;
        Some(("value", wrong.to_string()))
    }
}

impl AssertInput {
    /// The type to read the value as, where its looks do not decide.
    pub(super) fn kind(&self) -> Option<String> {
        self.value_type.map(name).or(match self.value {
            // A string that looks like a number is text here: JSON has a form for numbers.
            Given::Text(_) => Some("text".to_owned()),
            Given::Number(_) | Given::Boolean(_) => None,
        })
    }
}

impl Given {
    /// As it is written.
    pub(super) fn text(&self) -> String {
        match self {
            Given::Text(text) => text.clone(),
            Given::Number(number) => number.to_string(),
            Given::Boolean(truth) => truth.to_string(),
        }
    }
}

impl Input for QueryInput {
    fn sound() -> Value {
        json!({})
    }
}

impl Input for SkepticInput {
    fn sound() -> Value {
        json!({ "subject": "s" })
    }
}

impl Input for TraceInput {
    fn sound() -> Value {
        json!({ "id": "0a1b2c3d" })
    }
}

impl QueryInput {
    /// The question as the API reads it, about the epoch with this whole id.
    pub(super) fn parameters(&self, epoch: Option<String>) -> Pairs {
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        given([
            ("subject", self.subject.clone()),
            ("subject_prefix", self.subject_prefix.clone()),
            ("predicate", self.predicate.clone()),
            ("source", self.source.clone()),
            ("lens", self.lens.map(name)),
            ("inner", self.inner.map(name)),
            ("tolerance", number(self.tolerance)),
            ("class", list(self.class.as_deref())),
            ("lifecycle", list(self.lifecycle.as_deref())),
            ("epoch", epoch),
            ("min_confidence", number(self.min_confidence)),
            ("as_of", self.as_of.map(|Moment(at)| dates::write(at))),
            (
                "decay",
                self.decay.filter(|on| *on).map(|on| on.to_string()),
            ),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor.clone()),
        ])
    }
}

impl SkepticInput {
    /// The question as the API reads it.
    pub(super) fn parameters(&self) -> Pairs {
        given([
            ("subject", Some(self.subject.clone())),
            ("predicate", self.predicate.clone()),
            ("lens", Some(name(Lens::Skeptic))),
            ("tolerance", self.tolerance.map(|value| value.to_string())),
            ("as_of", self.as_of.map(|Moment(at)| dates::write(at))),
        ])
    }
}

fn given<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Pairs {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// The name of a choice on the wire.
pub(super) fn name(choice: impl Serialize) -> String {
    // The choices above have no fields: each is written as its name.
    match serde_json::to_value(choice) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

fn list<T: Serialize + Copy>(choices: Option<&[T]>) -> Option<String> {
    let names: Vec<String> = choices?.iter().map(|choice| name(*choice)).collect();
    (!names.is_empty()).then(|| names.join(","))
}
