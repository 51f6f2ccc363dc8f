//! `GET /cluster/placement`: who owns how much, and what would move if members came or went. Nothing moves by asking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use proto::view::ClusterView;
use serde_json::{Value, json};
use shard::{Placement, Share, movement};

use super::verify::{sides, weight};
use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::Placed;
use crate::description::questions::PlacementParameters;
use crate::parameters::{Parameters, bad_value};
use crate::problem::{Problem, ok};
use crate::route::Route;

/// Members of a plan. Working out a placement takes longer with every one of them, and plans are for the next few steps.
const MEMBERS_MAX: usize = 32;

/// Longest name of a node that might join.
const NAME_MAX: usize = 128;

/// Shows the placement, or what would become of it.
///
/// # Errors
/// 422 for names that cannot join or leave, 503 while the node is not ready.
#[utoipa::path(
    get,
    path = "/cluster/placement",
    tag = "cluster",
    operation_id = "placement",
    description = "Who owns how much. With `join` or `leave`: also what would move, counted by what the nodes hold now.",
    params(PlacementParameters),
    responses(
        (status = 200, description = "worked out", body = Placed, example = json!({"node": "node1", "num_shards": 256, "replication_factor": 2, "join": ["node4"], "leave": [],
        "nodes": [{"id": "node1", "shards": 171, "shards_after": 128, "records": 19978, "records_after": 14950, "records_in": 0, "records_out": 5028, "bytes_in": 0}],
        "records_moved": 15012, "bytes_moved": 9007200, "unreachable": []}))
    )
)]
pub async fn placement(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let given = Parameters::of_uri(&uri)?;
    given.only(&["join", "leave"])?;
    let route = app.readiness.formed()?;
    let (join, leave) = (given.list("join")?, given.list("leave")?);
    let members = planned(&route, &join, &leave)?;
    let (sides, away) = sides(&app, &route, &caller).await;
    let view = Arc::clone(route.view());
    // Some milliseconds of arithmetic.
    let after = tokio::task::spawn_blocking(move || {
        Placement::new(members, view.num_shards(), view.replication_factor())
    });
    let after = after
        .await
        .map_err(|_| Problem::internal("the placement was not worked out"))?;
    let view = route.view();
    let counts: Vec<u64> = (0..=view.num_shards() as usize)
        .map(|shard| sides.iter().map(|side| side.count(shard)).max())
        .map(Option::unwrap_or_default)
        .collect();
    let shares = movement(view.placement(), &after, &counts);
    let record_bytes = match shares.values().any(|share| share.records_in > 0) {
        true => weight::mean(&sides, view.num_shards() + 1, &caller).await?,
        false => 0.0,
    };
    let mut said = report(view, &shares, record_bytes);
    said["node"] = json!(&**app.nodes.own());
    said["join"] = json!(join);
    said["leave"] = json!(leave);
    let away = away.iter();
    let away: Vec<Value> = away
        .map(|(name, why)| json!({ "id": name, "reason": why }))
        .collect();
    said["unreachable"] = away.into();
    Ok(ok(&said))
}

/// The members after the plan.
fn planned(route: &Route, join: &[String], leave: &[String]) -> Result<BTreeSet<String>, Problem> {
    let view = route.view();
    let now = view.placement().members().iter();
    let owners: BTreeSet<String> = now.map(|name| name.to_string()).collect();
    let mut members = owners.clone();
    for name in leave {
        if !members.remove(name) {
            return Err(cannot_leave(view, name, &owners));
        }
    }
    for name in join {
        let sound = !name.is_empty() && name.len() <= NAME_MAX;
        if !sound || view.known_names().contains(name) || !members.insert(name.clone()) {
            return Err(bad_value(
                "join",
                name,
                "names that no member has, each once",
            ));
        }
    }
    if members.is_empty() {
        return Err(bad_value(
            "leave",
            &leave.join(","),
            "a plan that leaves somebody",
        ));
    }
    if members.len() > MEMBERS_MAX {
        let most = format!("at most {MEMBERS_MAX} members in all");
        return Err(bad_value("join", &join.join(","), &most).limit(MEMBERS_MAX as u64));
    }
    Ok(members)
}

/// Why a name is none of a member that can leave, and which ones are.
fn cannot_leave(view: &ClusterView, name: &str, owners: &BTreeSet<String>) -> Problem {
    let shown: String = name.chars().take(NAME_MAX).collect();
    let node = view.node();
    let what = if owners.contains(name) {
        "is named twice".to_owned()
    } else if view.known_names().contains(name) {
        format!("is a member, but owns no shards as this node, {node}, sees it")
    } else {
        format!("is not a member known to this node, {node}")
    };
    // The one is wrong whatever the cluster is like.
    let code = match owners.contains(name) {
        true => "bad_value",
        false => "not_an_owner",
    };
    let known: Vec<&str> = owners.iter().map(String::as_str).collect();
    Problem::unprocessable(
        code,
        format!("`{shown}` {what}"),
        format!(
            "name each node once; those that own shards are {}",
            known.join(", ")
        ),
    )
    .at("leave")
}

fn report(view: &ClusterView, shares: &BTreeMap<String, Share>, record_bytes: f64) -> Value {
    let bytes = |records: u64| (records as f64 * record_bytes).round() as u64;
    let moved: u64 = shares.values().map(|share| share.records_in).sum();
    let nodes: Vec<Value> = shares
        .iter()
        .map(|(name, share)| {
            json!({
                "id": name,
                "shards": share.shards,
                "shards_after": share.shards_after,
                "records": share.records,
                "records_after": share.records_after,
                "records_in": share.records_in,
                "records_out": share.records_out,
                "bytes_in": bytes(share.records_in),
            })
        })
        .collect();
    json!({
        "num_shards": view.num_shards(),
        "replication_factor": view.replication_factor(),
        "nodes": nodes,
        "records_moved": moved,
        "bytes_moved": bytes(moved),
    })
}
