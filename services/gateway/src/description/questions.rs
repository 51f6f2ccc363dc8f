//! Parameters, by URL and by body (docs/api.md tells what they are for).

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::records::{Lifecycle, SourceClass};

/// Durability of a write.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// One node.
    Local,
    /// Every owner.
    All,
}

/// How a write is to be taken.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WriteParameters {
    /// Without it, min(replication factor, known nodes) copies.
    #[param(inline)]
    pub durability: Option<Durability>,
}

/// Lenses.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lens {
    /// The claim asserted last.
    Recency,
    /// The claim with the highest confidence.
    Confidence,
    /// The value that most distinct sources give.
    Consensus,
    /// The claim of the strongest source.
    Authority,
    /// The value with the greatest weight of votes.
    Votes,
    /// The strongest claim of each tier, and of all.
    Layered,
    /// What `inner` makes of the claims whose epoch was not superseded.
    Epoch,
    /// All values with their weights.
    Skeptic,
}

/// A moment. Numbers from 1900 to 2100 are refused, for they are meant as years: a date says these milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Moment {
    /// Unix milliseconds.
    #[schema(examples(1531785600000_i64))]
    Milliseconds(i64),
    /// A day, or a second of it, in UTC.
    #[schema(examples("2018-07-17", "2018-07-17T10:30:00Z"))]
    Date(String),
}

/// A question. By URL, lists are given several times or with commas.
#[derive(Debug, Serialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The exact subject.
    #[param(example = "cas:7732-18-5")]
    pub subject: Option<String>,
    /// The start of the subject; not with `subject`. With a lens it needs `predicate`.
    pub subject_prefix: Option<String>,
    /// The exact predicate.
    #[param(example = "boiling_point_k")]
    pub predicate: Option<String>,
    /// The exact source uri.
    pub source: Option<String>,
    /// Source classes.
    pub class: Option<Vec<SourceClass>>,
    /// Lifecycles; without it all but `rejected` and `deprecated`.
    pub lifecycle: Option<Vec<Lifecycle>>,
    /// Id of the epoch that claims belong to.
    pub epoch: Option<String>,
    /// Claims that state at least this, 0 to 1.
    pub min_confidence: Option<f64>,
    /// Records dated at or before this moment.
    pub as_of: Option<Moment>,
    /// Without it the claims themselves are listed.
    #[param(example = "authority")]
    pub lens: Option<Lens>,
    /// With `lens=epoch`: the lens inside it.
    pub inner: Option<Lens>,
    /// With a lens: numbers this close (relative, 0 to 1) are one value.
    pub tolerance: Option<f64>,
    /// With a lens: confidence halves with age.
    pub decay: Option<bool>,
    /// With `decay`: the moment that ages are taken at; without it now.
    pub evaluated_at: Option<Moment>,
    /// Without a lens: claims on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Without a lens: where the page before ended.
    pub cursor: Option<String>,
    /// `all`: ask all live nodes, whatever one of them can prove.
    pub consistency: Option<String>,
    /// Ids of records that the answer has to know of; waits up to 2 s for them.
    pub include: Option<Vec<String>>,
}

/// One question, or several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Questions {
    /// Several, at most 100.
    Several(SeveralQuestions),
    /// One.
    One(Box<Question>),
}

/// Several questions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeveralQuestions {
    /// Questions as the one above; what is wrong with one of them is said in its place among the results.
    #[schema(value_type = Vec<Object>, max_items = 100)]
    pub queries: Vec<Question>,
}

/// Which subjects.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubjectsParameters {
    /// The start of the subjects; without it all.
    #[param(example = "cas:")]
    pub prefix: Option<String>,
    /// Subjects on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// The last subject of the page before.
    pub cursor: Option<String>,
}

/// What is wanted of the feed.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedParameters {
    /// `now` (without it), `start`, or a token. The header `Last-Event-ID` goes first.
    #[param(example = "start")]
    pub from: Option<String>,
    /// `now`: the feed ends when everything that was stored at its start has been sent.
    #[param(example = "now")]
    pub until: Option<String>,
    /// Kinds of records.
    pub kind: Option<Vec<Kind>>,
    /// The exact subject; name of an epoch, uri of a source.
    pub subject: Option<String>,
    /// The start of it; not with `subject`.
    pub subject_prefix: Option<String>,
    /// The exact predicate.
    pub predicate: Option<String>,
    /// The exact source uri.
    pub source: Option<String>,
}

/// Kinds of records.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A claim.
    Assertion,
    /// A vote.
    Vote,
    /// An epoch.
    Epoch,
    /// A source.
    Source,
}

/// How fast repair may be.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RateParameters {
    /// Bytes of records per second; 0: no limit.
    #[param(example = 2_000_000, maximum = 1_099_511_627_776_i64)]
    pub bytes_per_s: u64,
}

/// Which two nodes are compared.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DiffParameters {
    /// One node.
    #[param(example = "node1")]
    pub a: String,
    /// Another one.
    #[param(example = "node2")]
    pub b: String,
    /// Weigh the records as well.
    pub bytes: Option<bool>,
}

/// What repair is asked to do.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SyncParameters {
    /// Count what is missing, and move nothing.
    pub dry_run: Option<bool>,
    /// Names of peers; without it all.
    pub peer: Option<Vec<String>>,
}

/// Where a scrub begins.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScrubParameters {
    /// Names of nodes; without it all.
    pub node: Option<Vec<String>>,
}

/// How a member leaves.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LeaveParameters {
    /// Also when fewer members stay than records shall have copies.
    pub force: Option<bool>,
}

/// Members that might come or go.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlacementParameters {
    /// Names that would join.
    pub join: Option<Vec<String>>,
    /// Members that would leave.
    pub leave: Option<Vec<String>>,
}
