//! Answers questions: one complete owner when the question is about one subject and there is one, else all live nodes
//! together.

mod context;
pub mod list;
mod look_up;
pub(crate) mod marks;
mod merged;
mod near;
mod owner;
mod pages;
pub mod question;
mod scales;
mod subjects;
mod union;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::caller::Caller;
use crate::config::Patience;
use crate::nodes::Nodes;
use crate::problem::Problem;
use crate::readiness::Readiness;
use crate::store::{self, Fault};

pub(crate) use context::Context;
pub use look_up::{Found, Wanted};
pub use question::Question;
pub(crate) use union::{Asked, checked_bytes, no_store_answers};

/// How long a store may take for one answer: its own limit, and the way.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(3);

/// The same with a lens, over a million claims perhaps.
const LENS_CALL_MAX: Duration = Duration::from_secs(7);

/// How long an owner may be silent until the next one is asked as well. Answers take a few milliseconds.
const HEDGE: Duration = Duration::from_millis(300);

/// Unions that run at a time. Each asks every node, so more of them would feed an overload instead of working it off.
const UNIONS_MAX: usize = 4;

/// How long a union waits for its turn.
const UNION_WAIT: Duration = Duration::from_secs(1);

/// How long an answer waits for the records it has to include.
const INCLUDE_WAIT: Duration = Duration::from_secs(2);

/// Between two looks for a record that has to be included.
const INCLUDE_PAUSE: Duration = Duration::from_millis(100);

/// A store's code for a question that no store can answer.
const TOO_MUCH: &str = "too_much";

/// An answer, and what it is worth.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The `result` object as JSON text: byte for byte what the store sent, where one store answered.
    pub result: Bytes,
    /// Nothing that was acknowledged before `proved_through` is missing.
    pub complete: bool,
    /// Unix milliseconds; `None`: nothing is proved.
    pub proved_through: Option<i64>,
    /// The node whose store answered, or this one for a union.
    pub node: String,
    /// Of a union: who answered, and who was not there.
    pub union: Option<(Vec<String>, Vec<String>)>,
}

impl Answer {
    /// The reply body.
    pub fn to_body(&self, caller: &Caller) -> Bytes {
        let mut meta = json!({
            "complete": self.complete,
            "proved_through": self.proved_through,
            "node": self.node,
            "trace_id": caller.trace_id,
        });
        if let Some((answered, missing)) = &self.union {
            meta["union"] = json!({ "answered": answered, "missing": missing });
        }
        let meta = meta.to_string();
        let mut body = Vec::with_capacity(self.result.len() + meta.len() + 24);
        body.extend_from_slice(b"{\"result\":");
        body.extend_from_slice(&self.result);
        body.extend_from_slice(b",\"meta\":");
        body.extend_from_slice(meta.as_bytes());
        body.push(b'}');
        body.into()
    }
}

/// Asks stores.
#[derive(Debug)]
pub struct Reader {
    nodes: Arc<Nodes>,
    readiness: Arc<Readiness>,
    turn: AtomicUsize,
    unions: Semaphore,
    /// How long a union may take in all.
    union_max: Duration,
}

impl Reader {
    /// A reader over these nodes.
    pub fn new(nodes: Arc<Nodes>, readiness: Arc<Readiness>, patience: Patience) -> Reader {
        Reader {
            nodes,
            readiness,
            turn: AtomicUsize::new(0),
            unions: Semaphore::new(UNIONS_MAX),
            union_max: patience.union,
        }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// What the stores refuse, 503 while no store can be asked.
    pub async fn answer(&self, question: &Question, caller: &Caller) -> Result<Answer, Problem> {
        let deadline = tokio::time::Instant::now() + INCLUDE_WAIT;
        loop {
            let route = self.readiness.formed()?;
            if !question.all
                && let Some(subject) = question.subject()
                && let Some(answer) = self.ask_owners(question, subject, caller, &route).await?
            {
                return Ok(answer);
            }
            let (answer, unseen) = self.union(question, caller, &route).await?;
            if unseen.is_empty() {
                return Ok(answer);
            }
            if tokio::time::Instant::now() >= deadline {
                let unseen: Vec<Value> = unseen.iter().map(|id| id.to_string().into()).collect();
                return Err(Problem::unavailable(
                    "include_not_found",
                    "no node that answers holds all the records that the answer has to include",
                    "check the ids and that they are about this subject; ask again when the nodes that hold them are back",
                )
                .at("include")
                .with("missing", unseen));
            }
            tokio::time::sleep(INCLUDE_PAUSE).await;
        }
    }
}

/// What a store's refusal of a question means for the client. `None`: another store may answer.
pub(crate) fn refusal(status: &Status) -> Option<Problem> {
    let code = store::code(status);
    if Fault::of(status) != Fault::Refused && code != Some(TOO_MUCH) {
        return None;
    }
    let text = status.message();
    let (detail, next) = text.split_once("; ").unwrap_or((
        text,
        "narrow the question: add predicate=, class=, source=, min_confidence= or as_of=",
    ));
    let code = code.unwrap_or("refused_by_store");
    Some(Problem::unprocessable(code, detail, next))
}
