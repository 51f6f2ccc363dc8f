//! The tools: what a model can do, described for a model, each one call of the HTTP API.

use std::sync::Arc;

use assertion::{Kind, SigningKey};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::schemars::JsonSchema;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Client;
use crate::commands::assert::{Claim, Object, Source};
use crate::commands::query::written;
use crate::commands::write;
use crate::dates;
use crate::failure::Failure;

/// What a model reads before the tools.
const INSTRUCTIONS: &str = "\
StemeDB keeps claims with their sources, contradictions included, and never overwrites one. A claim is (subject, predicate, \
value) said by a source. Ask `skeptic` first: it shows every value that is claimed and whether the sources agree. Ask `query` \
with a lens for one answer, and say which lens and which source it came from. Use `assert` for what you found, with the source \
where you found it, never with a guess; record a value that contradicts others just the same. `trace` shows where a record comes \
from. An answer whose meta.complete is false may lack claims. Errors say what to do next.";

/// The tools of one cluster.
#[derive(Clone)]
pub(super) struct Tools {
    client: Client,
    key: Option<Arc<SigningKey>>,
}

impl Tools {
    /// Tools that ask through this client, and sign what is asserted if there is a key.
    pub(super) fn new(client: Client, key: Option<SigningKey>) -> Tools {
        Tools {
            client,
            key: key.map(Arc::new),
        }
    }
}

/// How a source came to what it says, strongest first.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
enum Class {
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
enum Lifecycle {
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
enum ValueType {
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
enum Lens {
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
#[serde(untagged)]
enum Given {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct AssertInput {
    /// What the claim is about, as a stable name: `cas:7732-18-5`, `constant:hubble`, `person:ada_lovelace`.
    subject: String,
    /// Which property of it, with its unit: `boiling_point_k`, `born_on`.
    predicate: String,
    /// The value. A JSON number is a number, a JSON boolean a boolean, a string text, unless `type` says otherwise. A number with
    /// more than 15 digits: give it as a string with `type` number, so that no digit changes.
    value: Given,
    /// What the value is, when it is not what it looks like: `number` reads a string digit by digit, `reference` names another
    /// subject.
    #[serde(rename = "type")]
    value_type: Option<ValueType>,
    /// The URI of the source that says so: `https://…`, `doi:…`, `arxiv:…`.
    source: String,
    /// What kind of source that is.
    class: Class,
    /// How sure the source is, 0 to 1. Without it, 1.
    confidence: Option<f64>,
    /// How far the claim has come. Without it, proposed.
    lifecycle: Option<Lifecycle>,
    /// When the source said so: `2018-07-17`, `2018-07-17T10:30:00Z` or Unix milliseconds. Without it, now.
    asserted_at: Option<String>,
    /// The id of the epoch that the claim belongs to.
    epoch: Option<String>,
    /// The id of the claim that this one is derived from.
    parent: Option<String>,
    /// Words about it: uncertainty, method, page.
    note: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct QueryInput {
    /// The exact subject. Without it give `subject_prefix`, `source` or `predicate`.
    subject: Option<String>,
    /// The start of the subjects asked about, in place of `subject`; with a lens `predicate` is needed as well.
    subject_prefix: Option<String>,
    /// The exact predicate.
    predicate: Option<String>,
    /// Claims of this source URI only.
    source: Option<String>,
    /// How to answer. Without it the claims themselves are listed, newest first.
    lens: Option<Lens>,
    /// With the epoch lens: the lens that answers about the claims it keeps. Without it, recency.
    inner: Option<Lens>,
    /// With a lens: numbers this close, relative to each other, are one value; 0.001 is a thousandth.
    tolerance: Option<f64>,
    /// Claims of these source classes only.
    class: Option<Vec<Class>>,
    /// Claims in these states only. Without it, all but deprecated and rejected.
    lifecycle: Option<Vec<Lifecycle>>,
    /// Claims of the epoch with this id only.
    epoch: Option<String>,
    /// Claims that state at least this confidence, 0 to 1.
    min_confidence: Option<f64>,
    /// What was claimed by then: `2015-01-01`, `2015-01-01T10:30:00Z` or Unix milliseconds.
    as_of: Option<String>,
    /// With a lens: let confidence fade with age, the faster the weaker the class.
    decay: Option<bool>,
    /// Without a lens: claims on a page, 1 to 1000. Without it, 100.
    limit: Option<u16>,
    /// The `cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct SkepticInput {
    /// The exact subject.
    subject: String,
    /// The exact predicate. Values of different predicates are no contradiction: leave it out only for a subject with one.
    predicate: Option<String>,
    /// Numbers this close, relative to each other, are one value; 0.001 is a thousandth.
    tolerance: Option<f64>,
    /// What was claimed by then: `2015-01-01`, `2015-01-01T10:30:00Z` or Unix milliseconds.
    as_of: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct TraceInput {
    /// The id of the record, 64 hex digits, as every answer has it.
    id: String,
}

#[tool_router]
impl Tools {
    #[tool(
        name = "assert",
        description = "Stores one claim: what a source says about a subject. Nothing is overwritten: a claim that contradicts others \
            is kept beside them. Returns the claim's id, and how many nodes have it on disk. Give asserted_at when the source is \
            dated; the same claim with the same time is stored once.",
        annotations(
            title = "Store a claim",
            read_only_hint = false,
            destructive_hint = false,
            open_world_hint = false
        )
    )]
    async fn assert(&self, Parameters(input): Parameters<AssertInput>) -> CallToolResult {
        told(self.store(&input).await)
    }

    #[tool(
        name = "query",
        description = "Lists claims, or answers through a lens. Without `lens`: the matching claims, newest first, in pages. With \
            one: the winning claim, its value and confidence, how many claims and values there are, and the conflict score \
            (0 all agree, 1 all weigh the same). Needs a subject, or subject_prefix, source or predicate.",
        annotations(title = "Ask", read_only_hint = true, open_world_hint = false)
    )]
    async fn query(&self, Parameters(input): Parameters<QueryInput>) -> CallToolResult {
        told(match input.parameters() {
            Ok(pairs) => self.client.get_json(written(&pairs)).await,
            Err(failure) => Err(failure),
        })
    }

    #[tool(
        name = "skeptic",
        description = "Shows the disagreement about one property: every value that is claimed with its share of the weight, its \
            sources and its strongest claim, and the verdict: unanimous, agreed (one value outweighs the others) or contested. Ask \
            this before you rely on a value; give tolerance when values are measurements.",
        annotations(
            title = "How contested is it?",
            read_only_hint = true,
            open_world_hint = false
        )
    )]
    async fn skeptic(&self, Parameters(input): Parameters<SkepticInput>) -> CallToolResult {
        told(match input.parameters() {
            Ok(pairs) => self.client.get_json(written(&pairs)).await,
            Err(failure) => Err(failure),
        })
    }

    #[tool(
        name = "trace",
        description = "Shows where a record comes from, by its id: the record, the claims that it was derived from, its epoch, what \
            is known of its source (and whether it was retracted), the votes on it, who signed it, and which nodes hold it.",
        annotations(
            title = "Where does it come from?",
            read_only_hint = true,
            open_world_hint = false
        )
    )]
    async fn trace(&self, Parameters(input): Parameters<TraceInput>) -> CallToolResult {
        told(match write::id(&input.id) {
            Ok(id) => self.client.get_json(format!("/v1/trace/{id}")).await,
            Err(wrong) => Err(Failure::Usage(wrong)),
        })
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("stemedb", env!("CARGO_PKG_VERSION")).with_title("StemeDB"),
            )
            .with_instructions(INSTRUCTIONS)
    }
}

impl Tools {
    async fn store(&self, input: &AssertInput) -> Result<Value, Failure> {
        let value_type = input.value_type.map(name).or(match input.value {
            // A string that looks like a number is text here: JSON has a form for numbers.
            Given::Text(_) => Some("text".to_owned()),
            Given::Number(_) | Given::Boolean(_) => None,
        });
        let value = match &input.value {
            Given::Text(text) => text.clone(),
            Given::Number(number) => number.to_string(),
            Given::Boolean(truth) => truth.to_string(),
        };
        let (class, lifecycle) = (name(input.class), input.lifecycle.map(name));
        let claim = Claim {
            subject: &input.subject,
            predicate: &input.predicate,
            object: Object::read(&value, value_type.as_deref())?,
            source: Source {
                uri: &input.source,
                class: &class,
                hash: None,
            },
            asserted_at: time(input.asserted_at.as_deref())?.unwrap_or_else(dates::now_ms),
            confidence: input.confidence,
            lifecycle: lifecycle.as_deref(),
            epoch: input.epoch.as_deref(),
            parent: input.parent.as_deref(),
            note: input.note.as_deref(),
        };
        let key = self.key.as_deref();
        write::post(&self.client, Kind::Assertion, &claim, key)
            .await?
            .json()
    }
}

type Pairs = Vec<(&'static str, String)>;

impl QueryInput {
    fn parameters(&self) -> Result<Pairs, Failure> {
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        Ok(given([
            ("subject", self.subject.clone()),
            ("subject_prefix", self.subject_prefix.clone()),
            ("predicate", self.predicate.clone()),
            ("source", self.source.clone()),
            ("lens", self.lens.map(name)),
            ("inner", self.inner.map(name)),
            ("tolerance", number(self.tolerance)),
            ("class", list(self.class.as_deref())),
            ("lifecycle", list(self.lifecycle.as_deref())),
            ("epoch", self.epoch.clone()),
            ("min_confidence", number(self.min_confidence)),
            (
                "as_of",
                time(self.as_of.as_deref())?.map(|at| at.to_string()),
            ),
            (
                "decay",
                self.decay.filter(|on| *on).map(|on| on.to_string()),
            ),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor.clone()),
        ]))
    }
}

impl SkepticInput {
    fn parameters(&self) -> Result<Pairs, Failure> {
        Ok(given([
            ("subject", Some(self.subject.clone())),
            ("predicate", self.predicate.clone()),
            ("lens", Some(name(Lens::Skeptic))),
            ("tolerance", self.tolerance.map(|value| value.to_string())),
            (
                "as_of",
                time(self.as_of.as_deref())?.map(|at| at.to_string()),
            ),
        ]))
    }
}

fn given<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Pairs {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// The name of a choice on the wire.
fn name(choice: impl Serialize) -> String {
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

fn time(text: Option<&str>) -> Result<Option<i64>, Failure> {
    text.map(dates::parse).transpose().map_err(Failure::Usage)
}

/// The answer as it came, or the failure as a tool's error: what is wrong and what to do next.
fn told(outcome: Result<Value, Failure>) -> CallToolResult {
    match outcome {
        Ok(answer) => CallToolResult::structured(answer),
        Err(failure) => {
            let mut result = CallToolResult::error(vec![ContentBlock::text(failure.to_string())]);
            result.structured_content = Some(failure.to_json());
            result
        }
    }
}
