//! One owner answers for its shard, when it can prove that it has all of it.

use std::sync::atomic::Ordering;

use assertion::Place;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use proto::v1;
use serde_json::value::RawValue;
use tonic::Status;

use super::marks::Marks;
use super::pages::page_json;
use super::{Answer, CALL_MAX, HEDGE, LENS_CALL_MAX, Question, Reader, refusal};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::{Fault, Store};

/// A call to one store.
pub(super) type Call<R> = BoxFuture<'static, Result<R, Status>>;

impl Reader {
    /// Asks the owners one after the other, the next one also when one is slow. `None`: none of them is complete.
    pub(super) async fn ask_owners(
        &self,
        question: &Question,
        subject: &str,
        caller: &Caller,
        route: &Route,
    ) -> Result<Option<Answer>, Problem> {
        let owners = self.candidates(route.shard_of(Place::Subject(subject)), route);
        let limit = match question.lens {
            Some(_) => LENS_CALL_MAX,
            None => CALL_MAX,
        };
        let ask = |store: Store| -> Call<v1::QueryReply> {
            let (caller, query) = (caller.clone(), question.to_wire());
            Box::pin(async move { store.query(query, &caller, limit).await })
        };
        self.first_complete(owners, ask, |node, reply| judge(question, node, reply))
            .await
    }

    /// Asks nodes one after the other until `judge` takes what one says for the answer.
    pub(super) async fn first_complete<R>(
        &self,
        nodes: Vec<Name>,
        ask: impl Fn(Store) -> Call<R>,
        judge: impl Fn(&Name, R) -> Result<Option<Answer>, Problem>,
    ) -> Result<Option<Answer>, Problem> {
        let mut rest = nodes.into_iter();
        let mut asked = FuturesUnordered::new();
        // Asks the next one that has an address, if there is one.
        let mut next = |asked: &FuturesUnordered<_>| {
            let next = rest.find_map(|node| Some((self.nodes.lane(&node)?, node)));
            if let Some((lane, node)) = next {
                let call = ask(lane.store().clone());
                asked.push(async move { (node, call.await) });
            }
            rest.len()
        };
        let mut left = next(&asked);
        while !asked.is_empty() {
            tokio::select! {
                Some((node, reply)) = asked.next() => {
                    let judged = match reply {
                        Ok(reply) => judge(&node, reply)?,
                        Err(status) => self.fault(&node, &status)?,
                    };
                    if judged.is_some() {
                        return Ok(judged);
                    }
                    left = next(&asked);
                }
                () = tokio::time::sleep(HEDGE), if left > 0 => {
                    left = next(&asked);
                }
            }
        }
        Ok(None)
    }

    /// The owners of a shard whose turn it is first; those that do not answer last. Of the global shard, which all own, the
    /// own node is the nearest.
    pub(super) fn candidates(&self, shard: u32, route: &Route) -> Vec<Name> {
        let mut owners = route.owners(shard).to_vec();
        if !owners.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % owners.len();
            owners.rotate_left(turn);
        }
        let far = |owner: &Name| route.is_global(shard) && owner != self.nodes.own();
        owners.sort_by_key(|owner| (route.out().contains(owner), far(owner)));
        owners
    }

    /// What a failed call means: nothing, when another node may answer.
    fn fault(&self, node: &Name, status: &Status) -> Result<Option<Answer>, Problem> {
        if Fault::of(status) == Fault::Gone {
            self.lost(node);
        }
        tracing::debug!(%node, %status, "an owner did not answer");
        refusal(status).map_or(Ok(None), Err)
    }

    pub(super) fn lost(&self, node: &Name) {
        if let Some(lane) = self.nodes.lane(node) {
            lane.lost();
        }
    }
}

fn judge(
    question: &Question,
    node: &Name,
    reply: v1::QueryReply,
) -> Result<Option<Answer>, Problem> {
    if !reply.complete || !reply.missing.is_empty() {
        return Ok(None);
    }
    let result = if question.lens.is_some() {
        // The bytes are spliced into the reply: they must be one JSON value and nothing else.
        let json = serde_json::from_slice::<&RawValue>(&reply.result_json);
        json.map_err(|error| Problem::internal(&format!("{node} sent no JSON: {error}")))?;
        reply.result_json
    } else {
        page_json(&reply.records, &Marks::read(&reply.marks)?, &reply.cursor)?
    };
    Ok(Some(proved(result, node, reply.proved_through_ms)))
}

/// The answer of one node that can prove it.
pub(super) fn proved(result: Bytes, node: &Name, proved_through_ms: i64) -> Answer {
    Answer {
        result,
        complete: true,
        proved_through: Some(proved_through_ms).filter(|ms| *ms != 0),
        node: node.to_string(),
        union: None,
    }
}
