//! What is looked at beside claims (sources, votes, epochs), put together from all live nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use assertion::Record;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proto::v1;
use tonic::Status;

use super::union::{Heard, checked};
use super::{Reader, refusal};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::{Name, Route};
use crate::store::{Fault, Store};

/// Asks all live nodes, again and again for one answer. A node that fails once is not asked again: it counts as missing.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    reader: &'a Reader,
    caller: &'a Caller,
    stores: Vec<(Store, Duration)>,
    failed: BTreeSet<Name>,
    absent: BTreeSet<Name>,
}

impl<'a> Context<'a> {
    /// Over the nodes that may answer.
    pub(crate) fn new(reader: &'a Reader, caller: &'a Caller, route: &Route) -> Context<'a> {
        Context {
            stores: reader.stores(route),
            reader,
            caller,
            failed: BTreeSet::new(),
            absent: BTreeSet::new(),
        }
    }

    /// Hands every record that some node knows to `take`; one that several know comes several times. A page of each node is
    /// in memory at a time.
    ///
    /// # Errors
    /// What `take` finds, and what a store says that no other one would answer.
    pub(crate) async fn ask(
        &mut self,
        request: &v1::ContextRequest,
        mut take: impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let caller = self.caller;
        let stores = self.stores.iter();
        let mut calls: FuturesUnordered<_> = stores
            .map(|(store, limit)| page(store.clone(), *limit, caller, request.clone()))
            .collect();
        while let Some((store, limit, mut request, reply)) = calls.next().await {
            let node = store.node();
            match reply {
                Ok(reply) => {
                    if reply.counts_as_absent {
                        self.absent.insert(Name::clone(node));
                    }
                    for found in &reply.records {
                        take(&checked(found)?)?;
                    }
                    if !reply.cursor.is_empty() {
                        request.cursor = reply.cursor;
                        calls.push(page(store, limit, caller, request));
                    }
                }
                Err(status) => {
                    if Fault::of(&status) == Fault::Gone {
                        self.reader.lost(node);
                    }
                    tracing::debug!(%node, %status, "a node does not say what it knows beside claims");
                    if let Some(problem) = refusal(&status) {
                        return Err(problem);
                    }
                    self.failed.insert(Name::clone(node));
                }
            }
        }
        drop(calls);
        let failed = &self.failed;
        self.stores
            .retain(|(store, _)| !failed.contains(store.node()));
        Ok(())
    }

    /// Takes away the nodes that did not answer everything, and notes those that may have lost some of it.
    pub(crate) fn correct(&self, heard: &mut Heard) {
        heard.retain(|node, _| !self.failed.contains(node));
        for node in &self.absent {
            if let Some(said) = heard.get_mut(node) {
                said.counts_as_absent = true;
            }
        }
    }

    /// The nodes that answered everything so far, and hold what they acknowledged.
    pub(crate) fn whole(&self) -> impl Iterator<Item = &Name> {
        self.stores
            .iter()
            .map(|(store, _)| store.node())
            .filter(|node| !self.absent.contains(*node))
    }
}

async fn page(
    store: Store,
    limit: Duration,
    caller: &Caller,
    request: v1::ContextRequest,
) -> (
    Store,
    Duration,
    v1::ContextRequest,
    Result<v1::ContextReply, Status>,
) {
    let reply = store.context(request.clone(), caller, limit).await;
    (store, limit, request, reply)
}
