//! What is found out beside a write: from the nearest store, or from all at once, and not asked twice.

use std::collections::BTreeSet;
use std::time::Duration;

use assertion::{Lifecycle, Place};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lens::Selection;
use proto::{convert, v1};

use super::Reader;
use super::union::Asked;
use crate::caller::Caller;
use crate::route::Name;
use crate::store::Store;

impl Reader {
    /// The store of an owner: this node's when it is one. `None`: no owner answers.
    pub(crate) fn nearest(&self, place: Place<'_>) -> Option<Store> {
        let route = self.readiness.formed().ok()?;
        let owners = route.owners(route.shard_of(place)).iter();
        let answering = owners.filter(|owner| !route.out().contains(*owner));
        let nearest = answering.min_by_key(|owner| *owner != self.nodes.own())?;
        Some(self.nodes.lane(nearest)?.store().clone())
    }

    /// Whether a claim names this source. `None`: it cannot be told, for nodes that may hold one do not say.
    pub(crate) async fn is_named(
        &self,
        uri: &str,
        caller: &Caller,
        limit: Duration,
    ) -> Option<bool> {
        let route = self.readiness.formed().ok()?;
        let selection = Selection {
            source: Some(uri.to_owned()),
            lifecycles: Lifecycle::ALL.to_vec(),
            ..Selection::default()
        };
        let query = v1::QueryRequest {
            selection: Some(convert::selection_to_wire(&selection)),
            limit: 1,
            ..v1::QueryRequest::default()
        };
        let asked = Asked::now();
        let mut calls: FuturesUnordered<_> = self
            .stores(&route)
            .into_iter()
            .map(|(store, _)| {
                let query = query.clone();
                async move {
                    let reply = store.query(query, caller, limit).await;
                    (Name::clone(store.node()), reply)
                }
            })
            .collect();
        let mut counted = BTreeSet::new();
        while let Some((node, reply)) = calls.next().await {
            match reply {
                Ok(reply) if !reply.records.is_empty() => return Some(true),
                Ok(reply) if reply.cursor.is_empty() && !reply.counts_as_absent => {
                    counted.insert(node.to_string());
                }
                _ => {}
            }
        }
        let missing = self.missing(&counted, &route);
        self.are_few(&missing, &route, asked).then_some(false)
    }
}
