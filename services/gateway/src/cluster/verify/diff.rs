//! `GET /cluster/diff`: the exact ids that two nodes hold differently. Nothing is repaired.

use std::sync::Arc;

use assertion::RecordId;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use futures::future::try_join;
use http::{StatusCode, Uri};
use proto::{convert, v1};
use serde_json::json;

use super::walk::Walk;
use super::weight::canonical_bytes;
use super::{Side, TURN_MAX, broken, side};
use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::Difference;
use crate::description::questions::DiffParameters;
use crate::description::replies::Problem as Refusal;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, ok};

/// Ids of each side that one reply lists: 700 KB. Who has more to look at repairs first.
const LISTED_MAX: usize = 10_000;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    only_a: Vec<RecordId>,
    only_b: Vec<RecordId>,
    /// Where each shard's ids end in the two lists.
    ends: Vec<(u32, usize, usize)>,
    more: bool,
}

impl Found {
    /// Ids of each shard that differs.
    fn by_shard(&self) -> impl Iterator<Item = (u32, &[RecordId], &[RecordId])> {
        let starts = std::iter::once((0, 0)).chain(self.ends.iter().map(|(_, a, b)| (*a, *b)));
        let shards = self.ends.iter().zip(starts);
        shards.map(|((shard, a, b), (from_a, from_b))| {
            (*shard, &self.only_a[from_a..*a], &self.only_b[from_b..*b])
        })
    }
}

/// Compares two nodes.
///
/// # Errors
/// 404 for a name that nobody has; 503 while one of the two does not answer.
#[utoipa::path(
    get,
    path = "/cluster/diff",
    tag = "cluster",
    operation_id = "diff",
    description = "The ids that two nodes hold differently, of shards that both own: what was stored before the call, id by id. Writes in flight are among them. With `bytes=true` also how long these records are.",
    params(DiffParameters),
    responses(
        (status = 200, description = "compared", body = Difference, example = json!({"a": "node1", "b": "node2", "equal": false, "shards": 86,
        "only_a": ["1f6a61d9a0c7b0f1d5e0cb1b5d9a9a3c9d0f6f0f9dd9a6a3d5b6a1c9e7f0a1b2"], "only_b": [],
        "by_shard": [{"shard": 77, "only_a": 1, "only_b": 0, "bytes_a": null, "bytes_b": null}], "more": false})),
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn diff(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    const WANTED: &str = "the name of a node";
    let given = Parameters::of_uri(&uri)?;
    given.only(&["a", "b", "bytes"])?;
    let weigh = given
        .parsed::<bool>("bytes", "true or false")?
        .unwrap_or(false);
    let named = |name: &'static str| {
        let node = given.one(name)?;
        let node = node.ok_or_else(|| bad_value(name, "", WANTED))?;
        Ok::<String, Problem>(node.to_owned())
    };
    let (a, b) = (named("a")?, named("b")?);
    let turn = tokio::time::timeout(TURN_MAX, app.places.verifications.acquire());
    let Ok(Ok(_turn)) = turn.await else {
        return Err(Problem::overloaded("another comparison of all nodes runs"));
    };
    let route = app.readiness.formed()?;
    let (of_a, of_b) = try_join(asked(&app, &a, &caller), asked(&app, &b, &caller)).await?;
    let owned = |side: &Side, shard| route.owners(shard).contains(side.node());
    let shards: Vec<u32> = (0..=route.view().num_shards())
        .filter(|shard| owned(&of_a, *shard) && owned(&of_b, *shard))
        .collect();
    let mut found = Found::default();
    for shard in &shards {
        let place = *shard as usize;
        if of_a.roots.get(place) != of_b.roots.get(place) && !found.more {
            compare(*shard, &of_a, &of_b, &caller, &mut found).await?;
        }
    }
    let mut by_shard = Vec::new();
    for (shard, only_a, only_b) in found.by_shard() {
        let (mut bytes_a, mut bytes_b) = (None, None);
        if weigh {
            bytes_a = Some(canonical_bytes(&of_a, only_a, &caller).await?);
            bytes_b = Some(canonical_bytes(&of_b, only_b, &caller).await?);
        }
        by_shard.push(json!({
            "shard": shard,
            "only_a": only_a.len(),
            "only_b": only_b.len(),
            "bytes_a": bytes_a,
            "bytes_b": bytes_b,
        }));
    }
    let listed = |ids: &[RecordId]| ids.iter().map(RecordId::to_string).collect::<Vec<_>>();
    Ok(ok(&json!({
        "a": a,
        "b": b,
        "equal": found.only_a.is_empty() && found.only_b.is_empty(),
        "shards": shards.len(),
        "only_a": listed(&found.only_a),
        "only_b": listed(&found.only_b),
        "by_shard": by_shard,
        "more": found.more,
    })))
}

async fn asked(app: &App, name: &str, caller: &Caller) -> Result<Side, Problem> {
    let route = app.readiness.formed()?;
    let lane = app.nodes.lane(name).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_member",
            format!("nobody here is called {name}"),
            "see GET /cluster/members for the names",
        )
    })?;
    let shards: Vec<u32> = (0..=route.view().num_shards()).collect();
    let request = v1::CompareRequest {
        shards: convert::shard_bits(&shards),
        ..v1::CompareRequest::default()
    };
    let side = side(&route, lane.store().clone(), request, shards.len(), caller).await;
    side.map_err(|why| broken(name, &why))
}

async fn compare(
    shard: u32,
    a: &Side,
    b: &Side,
    caller: &Caller,
    found: &mut Found,
) -> Result<(), Problem> {
    let before = (found.only_a.len(), found.only_b.len());
    let mut walk = Walk::start(shard, &[a, b], caller).await?;
    while let Some((id, holders)) = walk.step().await? {
        if holders.len() == 2 {
            continue;
        }
        let list = match holders.contains(&0) {
            true => &mut found.only_a,
            false => &mut found.only_b,
        };
        if list.len() == LISTED_MAX {
            found.more = true;
            break;
        }
        list.push(RecordId::from_bytes(id));
    }
    let after = (found.only_a.len(), found.only_b.len());
    if after != before {
        found.ends.push((shard, after.0, after.1));
    }
    Ok(())
}
