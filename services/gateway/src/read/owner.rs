//! One owner answers for its shard, when it can prove that it has all of it.

use std::sync::atomic::Ordering;

use assertion::Place;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use proto::v1;
use serde_json::value::RawValue;
use tonic::Status;

use super::pages::page_json;
use super::{Answer, CALL_MAX, HEDGE, Question, Reader, refusal};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::Fault;

type Asked = FuturesUnordered<BoxFuture<'static, (Name, Result<v1::QueryReply, Status>)>>;

impl Reader {
    /// Asks the owners one after the other, the next one also when one is slow. `None`: none of them is complete.
    pub(super) async fn ask_owners(
        &self,
        question: &Question,
        subject: &str,
        caller: &Caller,
        route: &Route,
    ) -> Result<Option<Answer>, Problem> {
        let mut rest = self.candidates(subject, route).into_iter();
        let mut asked: Asked = FuturesUnordered::new();
        self.ask_next(&mut rest, &asked, question, caller);
        while !asked.is_empty() {
            tokio::select! {
                Some((node, reply)) = asked.next() => {
                    if let Some(answer) = self.judge(question, &node, reply)? {
                        return Ok(Some(answer));
                    }
                    self.ask_next(&mut rest, &asked, question, caller);
                }
                () = tokio::time::sleep(HEDGE), if rest.len() > 0 => {
                    self.ask_next(&mut rest, &asked, question, caller);
                }
            }
        }
        Ok(None)
    }

    /// The owners whose turn it is first; those that do not answer last.
    fn candidates(&self, subject: &str, route: &Route) -> Vec<Name> {
        let shard = route.shard_of(Place::Subject(subject));
        let mut owners = route.owners(shard).to_vec();
        if !owners.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % owners.len();
            owners.rotate_left(turn);
        }
        owners.sort_by_key(|owner| route.out().contains(owner));
        owners
    }

    /// Asks the next owner that has an address, if there is one.
    fn ask_next(
        &self,
        rest: &mut impl Iterator<Item = Name>,
        asked: &Asked,
        question: &Question,
        caller: &Caller,
    ) {
        let next = rest.find_map(|node| Some((self.nodes.lane(&node)?, node)));
        if let Some((lane, node)) = next {
            let (store, caller, query) = (lane.store().clone(), caller.clone(), question.to_wire());
            let call = async move { (node, store.query(query, &caller, CALL_MAX).await) };
            asked.push(Box::pin(call));
        }
    }

    fn judge(
        &self,
        question: &Question,
        node: &Name,
        reply: Result<v1::QueryReply, Status>,
    ) -> Result<Option<Answer>, Problem> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(status) => {
                if Fault::of(&status) == Fault::Gone {
                    self.lost(node);
                }
                tracing::debug!(%node, %status, "an owner did not answer");
                return refusal(&status).map_or(Ok(None), Err);
            }
        };
        if !reply.complete || !reply.missing.is_empty() {
            return Ok(None);
        }
        let result = if question.lens.is_some() {
            // The bytes are spliced into the reply: they must be one JSON value and nothing else.
            let json = serde_json::from_slice::<&RawValue>(&reply.result_json);
            json.map_err(|error| Problem::internal(&format!("{node} sent no JSON: {error}")))?;
            reply.result_json
        } else {
            page_json(&reply.records, &reply.cursor)?
        };
        Ok(Some(Answer {
            result,
            complete: true,
            proved_through: Some(reply.proved_through_ms).filter(|ms| *ms != 0),
            node: node.to_string(),
            union: None,
        }))
    }

    pub(super) fn lost(&self, node: &Name) {
        if let Some(lane) = self.nodes.lane(node) {
            lane.lost();
        }
    }
}
