//! `GET /cluster/verify`: do all nodes hold what they shall hold?
//!
//! What was stored before the call is compared. Most shards are through after one message to each node: their owners'
//! roots are equal and nobody else holds anything. Where only the owners are equal, what others hold is looked up at an
//! owner. The rest is walked id by id, in order, over all nodes at once, so that memory does not grow with the shard.

pub mod diff;
mod walk;
pub(super) mod weight;

use std::sync::Arc;
use std::time::Duration;

use assertion::RecordId;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Uri;
use proto::{convert, v1};
use serde_json::{Value, json};
use tonic::Status;

use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::Verification;
use crate::parameters::Parameters;
use crate::problem::{Problem, ok};
use crate::route::{Name, Route};
use crate::store::Store;

use walk::{Counts, Terms};

/// How long a store may take to say who it is. A frozen one is found out sooner, by its connection.
const DESCRIBE_MAX: Duration = Duration::from_secs(10);

/// The same for a node that does not answer writes.
const OUT_DESCRIBE_MAX: Duration = Duration::from_secs(2);

/// How long a store may take for its roots: the first time after its start it works them out.
const COMPARE_MAX: Duration = Duration::from_secs(20);

/// How long a store may take to list a few ids.
const LIST_MAX: Duration = Duration::from_secs(5);

/// How long a call waits for the one before it.
const TURN_MAX: Duration = Duration::from_secs(20);

/// Shards compared at a time. Each may hold a page of ids of every node, a mebibyte each.
const SHARDS_AT_ONCE: usize = 8;

/// A node that answers, and what it had when it was asked.
#[derive(Debug)]
pub(super) struct Side {
    store: Store,
    /// Rows up to this arrival sequence were there before the call.
    cut: u64,
    pub(super) records: u64,
    roots: Vec<[u8; 32]>,
    counts: Vec<u64>,
}

impl Side {
    fn node(&self) -> &Name {
        self.store.node()
    }

    /// The first ids of a shard, at most so many.
    async fn first_ids(
        &self,
        shard: u32,
        limit: u32,
        caller: &Caller,
    ) -> Result<Vec<RecordId>, Status> {
        let request = v1::ListIdsRequest {
            shard,
            max_sequence: self.cut,
            after: Bytes::new(),
            limit,
        };
        let reply = self.store.list_ids(request, caller, LIST_MAX).await?;
        let (ids, _) = reply.ids.as_chunks::<32>();
        Ok(ids.iter().copied().map(RecordId::from_bytes).collect())
    }

    pub(super) fn count(&self, shard: usize) -> u64 {
        self.counts.get(shard).copied().unwrap_or(0)
    }
}

/// Compares all nodes.
///
/// # Errors
/// 503 while the node is not ready, another comparison runs, or a store breaks off.
#[utoipa::path(
    get,
    path = "/cluster/verify",
    tag = "cluster",
    operation_id = "verify",
    description = "Compares what was stored before the call, on all nodes.",
    responses(
        (status = 200, description = "compared", body = Verification, example = json!({"equal": true, "reason": null, "distinct_records": 30000, "under_replicated": 0,
        "missing_at_owners": 0, "foreign": 0, "nodes": [{"id": "node1", "records": 30000, "shards": 256, "foreign": 0}], "unreachable": []}))
    )
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let turn = tokio::time::timeout(TURN_MAX, app.places.verifications.acquire());
    let Ok(Ok(_turn)) = turn.await else {
        return Err(Problem::overloaded("another comparison of all nodes runs"));
    };
    let route = app.readiness.formed()?;
    let (sides, away) = sides(&app, &route, &caller).await;
    let counts = compare(&route, &sides, &caller).await?;
    Ok(ok(&report(&route, &sides, &away, &counts)))
}

/// Asks every known member; who does not answer, and why, comes second.
pub(super) async fn sides(
    app: &App,
    route: &Route,
    caller: &Caller,
) -> (Vec<Side>, Vec<(String, String)>) {
    let shards: Vec<u32> = (0..=route.view().num_shards()).collect();
    let request = v1::CompareRequest {
        shards: convert::shard_bits(&shards),
        ..v1::CompareRequest::default()
    };
    let known = route.view().known_names().into_iter();
    let asked = known.map(|name| {
        let (lane, request, count) = (app.nodes.lane(&name), request.clone(), shards.len());
        async move {
            let side = match lane {
                Some(lane) => side(route, lane.store().clone(), request, count, caller).await,
                None => Err("its address is not known".to_owned()),
            };
            (name, side)
        }
    });
    let mut sides = Vec::new();
    let mut away = Vec::new();
    for (name, side) in join_all(asked).await {
        match side {
            Ok(side) => sides.push(side),
            Err(why) => away.push((name, why)),
        }
    }
    (sides, away)
}

async fn side(
    route: &Route,
    store: Store,
    request: v1::CompareRequest,
    shards: usize,
    caller: &Caller,
) -> Result<Side, String> {
    let limit = match route.out().contains(store.node()) {
        true => OUT_DESCRIBE_MAX,
        false => DESCRIBE_MAX,
    };
    let described = store.describe(caller, limit).await;
    let described = described.map_err(|status| status.message().to_owned())?;
    let compared = store.compare(request, caller, COMPARE_MAX).await;
    let compared = compared.map_err(|status| status.message().to_owned())?;
    let (roots, rest) = compared.roots.as_chunks::<32>();
    if roots.len() != shards || compared.counts.len() != shards || !rest.is_empty() {
        return Err("its store has another number of shards".to_owned());
    }
    Ok(Side {
        cut: described.sequence,
        records: described.records,
        roots: roots.to_vec(),
        counts: compared.counts,
        store,
    })
}

/// A comparison in which a node, which is named, does not answer.
fn broken(node: &str, why: &str) -> Problem {
    Problem::unavailable(
        "comparison_broken",
        format!("{node} does not answer: {why}"),
        "ask again; GET /cluster/members shows who is there",
    )
    .with("node", node)
}

/// Goes over all shards, several at a time.
async fn compare(route: &Route, sides: &[Side], caller: &Caller) -> Result<Counts, Problem> {
    let terms = Terms::new(route.copies_needed(), caller);
    let shards: Vec<_> = (0..=route.view().num_shards())
        .map(|shard| compare_shard(route, sides, shard, &terms))
        .collect();
    let shards = futures::stream::iter(shards).buffer_unordered(SHARDS_AT_ONCE);
    let add = |sum: Counts, counts: Counts| std::future::ready(Ok(sum.and(counts)));
    shards.try_fold(Counts::default(), add).await
}

/// One shard, with as little work as it takes.
async fn compare_shard(
    route: &Route,
    sides: &[Side],
    shard: u32,
    terms: &Terms<'_>,
) -> Result<Counts, Problem> {
    let place = shard as usize;
    let owns = |side: &&Side| route.owners(shard).contains(side.node());
    let (owners, mut others): (Vec<&Side>, Vec<&Side>) = sides.iter().partition(owns);
    others.retain(|side| side.count(place) > 0);
    let equal = owners
        .windows(2)
        .all(|pair| pair[0].roots.get(place) == pair[1].roots.get(place));
    let enough = owners.len() >= terms.needed();
    let (true, Some(owner)) = (equal && (enough || others.is_empty()), owners.first()) else {
        return walk::shard(shard, &owners, &others, terms).await;
    };
    let foreign = match &others[..] {
        [] => Some(0),
        others => walk::foreign(shard, owner, others, terms).await?,
    };
    match foreign {
        Some(foreign) => Ok(Counts {
            distinct: owner.count(place),
            under_replicated: if enough { 0 } else { owner.count(place) },
            foreign,
            ..Counts::default()
        }),
        None => walk::shard(shard, &owners, &others, terms).await,
    }
}

/// Rows of a node in shards that it does not own.
fn foreign(route: &Route, side: &Side) -> u64 {
    (0..=route.view().num_shards())
        .filter(|shard| !route.owners(*shard).contains(side.node()))
        .map(|shard| side.count(shard as usize))
        .sum()
}

fn report(route: &Route, sides: &[Side], away: &[(String, String)], counts: &Counts) -> Value {
    let slots = route.view().placement().slots();
    let nodes: Vec<Value> = sides
        .iter()
        .map(|side| {
            json!({
                "id": &**side.node(),
                "records": side.records,
                "shards": slots.get(&**side.node()).copied().unwrap_or(0),
                "foreign": foreign(route, side),
            })
        })
        .collect();
    let unreachable: Vec<Value> = away
        .iter()
        .map(|(name, why)| json!({ "id": name, "reason": why }))
        .collect();
    let reason = match (away.first(), &counts.first_missing) {
        (Some((name, why)), _) => Some(format!("{name} does not answer: {why}")),
        (None, Some((id, node))) => Some(match counts.missing {
            1 => format!("1 record is missing at an owner: {id} at {node}"),
            missing => {
                format!("{missing} records are missing at an owner, the first is {id} at {node}")
            }
        }),
        (None, None) => None,
    };
    json!({
        "equal": reason.is_none(),
        "reason": reason,
        "distinct_records": counts.distinct,
        "under_replicated": counts.under_replicated,
        "missing_at_owners": counts.missing,
        "foreign": counts.foreign,
        "nodes": nodes,
        "unreachable": unreachable,
    })
}
