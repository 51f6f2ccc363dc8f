//! Replies to writes and reads (docs/api.md tells what they say).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::questions::Lens;
use super::records::{Assertion, Claimed, Epoch, Record, SourceRecord};

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
    /// Why it may have no effect. Of single records only.
    #[schema(nullable = false)]
    pub warnings: Option<Vec<Warning>>,
}

/// Why a record that is stored may have no effect.
#[derive(Debug, Serialize, ToSchema)]
pub struct Warning {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub detail: String,
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
    /// When the question does not name one subject and one predicate: how many different ones the claims considered have.
    #[schema(nullable = false)]
    pub mixes: Option<Mixes>,
    /// Claims left out, by reason.
    pub left_out: LeftOut,
    /// BLAKE3 of the sorted ids of everything considered.
    pub set_digest: String,
}

/// Different properties and things that an answer mixes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Mixes {
    /// Predicates, counted up to 1,000.
    pub predicates: u64,
    /// Subjects, counted up to 1,000.
    pub subjects: u64,
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
    /// What is known of some of them besides, by their ids.
    pub marks: BTreeMap<String, Mark>,
    /// Where the next page starts.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// Why lenses leave a claim out, whatever it says itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Mark {
    /// True: its source is retracted. No lens counts it.
    #[schema(nullable = false)]
    pub retracted: Option<bool>,
    /// Ids of epochs that supersede its epoch, at most 10. Lens `epoch` does not count it.
    #[schema(nullable = false)]
    pub superseded_by: Option<Vec<String>>,
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
    /// Ids of epochs that supersede that one, or the record itself when it is an epoch; at most 10.
    pub superseded_by: Vec<String>,
    /// The latest record of its source.
    #[schema(required)]
    pub source: Option<SourceRecord>,
    /// Votes on it.
    pub votes: Option<Votes>,
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
    /// At that end: known members that did not answer at the start, or may have lost what they had.
    #[schema(nullable = false)]
    pub missing: Option<Vec<String>>,
    /// At that end: those are so few that every acknowledged record was sent.
    #[schema(nullable = false)]
    pub complete: Option<bool>,
    /// Why there is no more. Of events, the data of `event: problem`.
    #[schema(nullable = false)]
    pub error: Option<Problem>,
}
