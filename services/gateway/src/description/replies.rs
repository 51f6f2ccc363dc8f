//! Replies, and the parameters of questions (docs/api.md tells what they are for).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::records::{Assertion, Claimed, Epoch, Lifecycle, Record, SourceClass, SourceRecord};

/// Why something is not done (RFC 9457). Further members say what the client should know, as `id` and the stamped time of a
/// record that may be stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"type": "urn:stemedb:problem:out_of_range", "title": "Unprocessable Entity", "status": 422,
    "code": "out_of_range", "detail": "confidence is not between 0 and 1", "path": "confidence",
    "next_step": "give a number of 0 to 1"}))]
pub struct Problem {
    /// `urn:stemedb:problem:` and the code.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
    /// The field or parameter.
    #[schema(nullable = false)]
    pub path: Option<String>,
    /// The limit that was passed.
    #[schema(nullable = false)]
    pub limit: Option<u64>,
    /// What to do about it.
    pub next_step: String,
}

/// How a record ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// On the disks of enough nodes, new on one of them.
    Stored,
    /// All of them had it.
    Present,
    /// On fewer disks at the deadline.
    Accepted,
}

/// Where a record is. Its time comes back under its own name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub status: Outcome,
    /// Its shard.
    pub shard: u32,
    /// Nodes that have it on disk for sure.
    pub copies: usize,
    /// Their names.
    pub holders: Vec<String>,
    /// Of epochs and sources: known members that have not confirmed it.
    #[schema(nullable = false)]
    pub pending: Option<Vec<String>>,
    /// Of a claim.
    #[schema(nullable = false)]
    pub asserted_at: Option<i64>,
    /// Of a vote.
    #[schema(nullable = false)]
    pub voted_at: Option<i64>,
    /// Of an epoch.
    #[schema(nullable = false)]
    pub started_at: Option<i64>,
    /// Of a source.
    #[schema(nullable = false)]
    pub recorded_at: Option<i64>,
}

/// What became of a record of an array.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BatchResult {
    /// It is on a disk.
    Written(Written),
    /// It may not be.
    Failed(Failed),
}

/// A record that nobody confirmed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failed {
    /// Its id.
    pub id: String,
    /// Why.
    pub error: Problem,
}

/// An array that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Batch {
    /// A result for each record, in order.
    pub results: Vec<BatchResult>,
    /// How many ended how.
    pub summary: Summary,
}

/// How many records ended how.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    /// Records; of a stream, lines that are not blank.
    pub lines: u64,
    /// New.
    pub stored: u64,
    /// Known.
    pub present: u64,
    /// On too few nodes so far.
    pub accepted: u64,
    /// Refused; they will be refused again.
    pub refused: u64,
    /// Not confirmed; worth another try.
    pub failed: u64,
}

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

/// A question. By URL, lists are given several times or with commas.
#[derive(Debug, Serialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
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
    /// Records dated at or before this Unix millisecond.
    pub as_of: Option<i64>,
    /// Without it the claims themselves are listed.
    #[param(example = "authority")]
    pub lens: Option<Lens>,
    /// With `lens=epoch`: the lens inside it.
    pub inner: Option<Lens>,
    /// With a lens: numbers this close (relative, 0 to 1) are one value.
    pub tolerance: Option<f64>,
    /// With a lens: confidence halves with age.
    pub decay: Option<bool>,
    /// With `decay`: the Unix millisecond that ages are taken at; without it now.
    pub evaluated_at: Option<i64>,
    /// Without a lens: claims on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Without a lens: where the page before ended.
    pub cursor: Option<String>,
    /// `all`: ask all live nodes, whatever one of them can prove.
    pub consistency: Option<String>,
    /// Ids of records that the answer has to know of; waits up to 2 s for them.
    pub include: Option<Vec<String>>,
}

/// What an answer is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// Nothing that was acknowledged before `proved_through` is missing.
    pub complete: bool,
    /// Unix milliseconds.
    #[schema(required)]
    pub proved_through: Option<i64>,
    /// Who answered.
    pub node: String,
    /// The trace of the request.
    pub trace_id: String,
    /// When all live nodes answered together.
    #[schema(nullable = false)]
    pub union: Option<Union>,
}

/// Who answered together.
#[derive(Debug, Serialize, ToSchema)]
pub struct Union {
    /// Nodes that answered.
    pub answered: Vec<String>,
    /// Known members that did not, or may have lost what they had.
    pub missing: Vec<String>,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    /// What was found.
    pub result: AnswerResult,
    /// What it is worth.
    pub meta: Meta,
}

/// What a question brings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AnswerResult {
    /// With a lens.
    Lens(Box<LensResult>),
    /// Without one.
    Page(Page),
}

/// What a lens makes of the claims. The same bytes from every node that holds the same records; docs/lenses.md has the members
/// of each lens.
#[derive(Debug, Serialize, ToSchema)]
pub struct LensResult {
    /// The lens.
    pub lens: Lens,
    /// Every parameter, null when it was not given.
    pub parameters: BTreeMap<String, Value>,
    /// The winning claim; not of the skeptic.
    pub winner: Option<Assertion>,
    /// Its value, or the heaviest one.
    #[schema(required)]
    pub value: Option<Claimed>,
    /// Claims considered.
    pub candidates: u64,
    /// 0: one value; 1: all weigh the same.
    pub conflict_score: f64,
    /// How many groups of values there are; of the skeptic, the groups.
    pub groups: Value,
    /// Claims left out, by reason.
    pub left_out: LeftOut,
    /// BLAKE3 of the sorted ids of everything considered.
    pub set_digest: String,
}

/// Claims left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOut {
    /// Rejected or deprecated.
    pub withdrawn: u64,
    /// Of a superseded epoch.
    pub superseded: u64,
    /// Of a retracted source.
    pub retracted: u64,
    /// By a filter of the question.
    pub filtered: u64,
}

/// A page of claims, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page {
    /// The claims.
    pub records: Vec<Assertion>,
    /// Where the next page starts.
    #[schema(required)]
    pub cursor: Option<String>,
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
pub struct SeveralQuestions {
    /// The questions.
    pub queries: Vec<Question>,
}

/// One answer, or several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Answers {
    /// To several questions, in order.
    Several(SeveralAnswers),
    /// To one.
    One(Box<Answer>),
}

/// Several answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeveralAnswers {
    /// The answers.
    pub results: Vec<AnswerOrError>,
}

/// An answer, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AnswerOrError {
    /// An answer.
    Answer(Box<Answer>),
    /// None.
    Refused(Refused),
}

/// Why there is no answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    /// Why.
    pub error: Problem,
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

/// A page of subjects.
#[derive(Debug, Serialize, ToSchema)]
pub struct Subjects {
    /// What was found.
    pub result: SubjectsPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Subjects in ascending order of their bytes.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectsPage {
    /// The subjects.
    pub subjects: Vec<Subject>,
    /// The last of them; null on the last page.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// A subject.
#[derive(Debug, Serialize, ToSchema)]
pub struct Subject {
    /// The subject.
    pub subject: String,
    /// Claims about it, counted up to 10,000.
    pub records: u64,
}

/// A record.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordAnswer {
    /// The record.
    pub result: Record,
    /// What the answer is worth.
    pub meta: Meta,
}

/// What is said beside provenance.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainMeta {
    /// Nothing acknowledged is hidden at the missing nodes.
    pub complete: bool,
    /// Known members that did not answer.
    pub missing: Vec<String>,
    /// This node.
    pub node: String,
    /// The trace of the request.
    pub trace_id: String,
}

/// Who holds a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicasAnswer {
    /// Who.
    pub result: Replicas,
    /// What the answer is worth.
    pub meta: PlainMeta,
}

/// Copies of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replicas {
    /// Its id.
    pub id: String,
    /// Its shard.
    pub shard: u32,
    /// Who shall hold it.
    pub owners: Vec<String>,
    /// How many do.
    pub copies: usize,
    /// Those that do.
    pub replicas: Vec<Replica>,
}

/// A copy.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replica {
    /// Its node.
    pub node: String,
    /// Whether that is an owner.
    pub owner: bool,
    /// Unix milliseconds, that node's clock.
    pub received_at: i64,
    /// `push` or `repair`.
    pub arrival: String,
    /// Its place in the node's order of arrival.
    pub sequence: u64,
    /// The row that repair copied it from.
    #[schema(required)]
    pub origin: Option<Origin>,
    /// The trace of the write.
    #[schema(required)]
    pub trace_id: Option<String>,
}

/// A row of a store.
#[derive(Debug, Serialize, ToSchema)]
pub struct Origin {
    /// The store.
    pub store_id: String,
    /// Its place there.
    pub sequence: u64,
}

/// Where a record comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceAnswer {
    /// What is known.
    pub result: Trace,
    /// What the answer is worth.
    pub meta: PlainMeta,
}

/// What is known of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct Trace {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: Record,
    /// The claims that it follows, the nearest first, at most 32.
    pub parents: Vec<Record>,
    /// The epoch that it names.
    #[schema(required)]
    pub epoch: Option<Epoch>,
    /// The latest record of its source.
    #[schema(required)]
    pub source: Option<SourceRecord>,
    /// Votes on it.
    pub votes: Votes,
    /// Agents that signed it.
    pub signatures: Vec<String>,
    /// Its copies.
    pub replicas: Vec<Replica>,
}

/// Votes that count: the latest of each voter.
#[derive(Debug, Serialize, ToSchema)]
pub struct Votes {
    /// How many.
    pub count: u64,
    /// What they weigh together.
    pub weight: f64,
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

/// What a line of the feed, or the data of an event, holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedLine {
    /// The place behind it. Of events, their id.
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// The record.
    #[schema(nullable = false)]
    pub record: Option<Record>,
    /// Its shard.
    #[schema(nullable = false)]
    pub shard: Option<u32>,
    /// True: the end of a feed with `until=now`.
    #[schema(nullable = false)]
    pub caught_up: Option<bool>,
    /// At that end: known members that did not answer at the start.
    #[schema(nullable = false)]
    pub missing: Option<Vec<String>>,
    /// Why there is no more. Of events, the data of `event: problem`.
    #[schema(nullable = false)]
    pub error: Option<Problem>,
}

/// How a node is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ready`, `not_ready` or `draining`.
    pub status: String,
    /// The node.
    pub node: String,
    /// Why it is not ready.
    #[schema(nullable = false)]
    pub reasons: Option<Vec<String>>,
    /// Its services: `ok`, or why not.
    pub services: BTreeMap<String, String>,
}

/// That a process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    /// `live`.
    pub status: String,
    /// The node.
    pub node: String,
}

/// Everybody a node knows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Members {
    /// Who says so.
    pub node: String,
    /// The cluster, once it has formed.
    #[schema(required)]
    pub cluster_id: Option<String>,
    /// Its shards.
    pub num_shards: u32,
    /// Copies that every record shall have.
    pub replication_factor: u32,
    /// Members that own shards.
    pub placement: Vec<String>,
    /// Why the cluster has not formed.
    pub waiting_for: String,
    /// Members refused at join, and why.
    pub refused: Vec<String>,
    /// The members.
    pub members: Vec<Member>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// UP, SUSPECT, DOWN or LEFT.
    pub status: String,
    /// What it says of itself.
    pub phase: String,
    /// Unix milliseconds since when it has this status.
    pub since_ms: i64,
    /// host:port for clients.
    pub api_addr: String,
    /// host:port for operators.
    pub admin_addr: String,
    /// host:port of its store.
    pub rpc_addr: String,
    /// host:port of membership.
    pub swim_addr: String,
    /// Higher wins.
    pub incarnation: u64,
    /// Software version.
    pub version: String,
    /// Its store.
    pub store_id: String,
    /// Shards that it owns.
    pub owned_shards: u32,
    /// Whether this gateway's writes go to its store.
    pub answers: bool,
    /// Its services: `ok`, or why not.
    pub services: BTreeMap<String, String>,
}

/// A member that was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgotten {
    /// Its name.
    pub forgotten: String,
    /// What may be lost with it.
    pub warning: String,
}

/// Whether all nodes hold what they shall hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verification {
    /// Every owner of every shard holds every record of it, and nobody is unreachable.
    pub equal: bool,
    /// Why not.
    #[schema(required)]
    pub reason: Option<String>,
    /// Records, each once.
    pub distinct_records: u64,
    /// Records on fewer nodes than there shall be.
    pub under_replicated: u64,
    /// Records that an owner lacks.
    pub missing_at_owners: u64,
    /// Rows at nodes that do not own them.
    pub foreign: u64,
    /// The nodes that answered.
    pub nodes: Vec<VerifiedNode>,
    /// The others.
    pub unreachable: Vec<Unreachable>,
}

/// A node that answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerifiedNode {
    /// Its name.
    pub id: String,
    /// Records it holds.
    pub records: u64,
    /// Shards it owns.
    pub shards: u32,
}

/// A node that did not.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unreachable {
    /// Its name.
    pub id: String,
    /// Why.
    pub reason: String,
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

/// What repair did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Synced {
    /// This node.
    pub node: String,
    /// Whether it only counted.
    pub dry_run: bool,
    /// Peer by peer.
    pub peers: Vec<PeerSynced>,
}

/// What repair did with one peer.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeerSynced {
    /// Its name.
    pub peer: String,
    /// Records copied from it.
    pub pulled: u64,
    /// Records copied to it.
    pub pushed: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Calls to its store.
    pub round_trips: u32,
    /// Milliseconds.
    pub took_ms: u64,
    /// Empty when it went well.
    pub error: String,
}

/// How repair stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tasks {
    /// This node.
    pub node: String,
    /// Peer by peer.
    pub tasks: Vec<Task>,
}

/// How repair stands with one peer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Task {
    /// Its name.
    pub peer: String,
    /// idle, comparing, descending, moving, waiting.
    pub state: String,
    /// Seconds.
    pub lag_seconds: f64,
    /// Unix milliseconds.
    #[schema(required)]
    pub last_success: Option<i64>,
    /// Empty when it went well.
    pub last_error: String,
    /// Records copied from it since the start.
    pub pulled: u64,
    /// Records copied to it since the start.
    pub pushed: u64,
    /// Ids that the local store refused.
    pub refused: u64,
    /// Sessions that ended.
    pub sessions: u64,
}
