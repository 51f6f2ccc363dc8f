//! `GET /cluster/members` and `POST /cluster/members/{name}/forget`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use assertion::hex;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::future::join_all;
use http::{StatusCode, Uri};
use proto::v1;
use proto::v1::membership_client::MembershipClient;
use proto::view::ClusterView;
use serde_json::{Map, Value, json};
use shard::Placement;
use sidecar::settings::SERVICES;

use crate::api::health;
use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::{Forgotten, Members};
use crate::description::replies::Problem as Refusal;
use crate::parameters::Parameters;
use crate::problem::{Problem, ok, segment};
use crate::store::within;

/// Membership writes its book before it answers.
const FORGET_MAX: Duration = Duration::from_secs(5);

/// Everybody this node knows, and those that left since it started.
///
/// # Errors
/// 503 before membership answered once.
#[utoipa::path(
    get,
    path = "/cluster/members",
    tag = "cluster",
    operation_id = "members",
    description = "Everybody this node knows, with what it last heard of them.",
    responses(
        (status = 200, description = "found", body = Members, example = json!({"node": "node1", "cluster_id": "73beb380", "num_shards": 256, "replication_factor": 2, "counted_replication_factor": 2,
        "placement": ["node1"], "waiting_for": "", "refused": [], "members": [{"id": "node1", "status": "UP", "phase": "serving", "since_ms": 1795637763791_i64, "api_addr": "127.0.0.1:18180",
        "admin_addr": "127.0.0.1:18181", "rpc_addr": "127.0.0.1:18182", "swim_addr": "127.0.0.1:18183", "incarnation": 1795637763754_i64,
        "version": "0.1.0", "replication_factor": 2, "store_id": "0cc959023b9f310cc959023b9f310000", "owned_shards": 256, "answers": true,
        "services": {"gateway": "ok", "store": "ok", "membership": "ok", "antientropy": "ok"}}]}))
    )
)]
pub async fn members(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let Some(route) = app.nodes.route() else {
        return Err(Problem::not_ready("membership has not answered yet"));
    };
    let view = route.view();
    let slots = view.placement().slots();
    let members = view.message().members.iter();
    let services = join_all(members.clone().map(|member| services(&app, member))).await;
    let members: Vec<Value> = members
        .zip(services)
        .map(|(member, services)| {
            json!({
                "id": member.name,
                "status": status(member),
                "phase": phase(member),
                "since_ms": member.since_ms,
                "api_addr": member.api_addr,
                "admin_addr": member.admin_addr,
                "rpc_addr": member.rpc_addr,
                "swim_addr": member.swim_addr,
                "incarnation": member.incarnation,
                "version": member.version,
                "replication_factor": member.replication_factor,
                "store_id": hex::write(&member.store_id),
                "owned_shards": slots.get(member.name.as_str()).copied().unwrap_or(0),
                "answers": !route.out().contains(member.name.as_str()),
                "services": services,
            })
        })
        .collect();
    let message = view.message();
    Ok(ok(&json!({
        "node": view.node(),
        "cluster_id": view.cluster_id(),
        "num_shards": view.num_shards(),
        "replication_factor": view.replication_factor(),
        "counted_replication_factor": view.counted_replication_factor(),
        "placement": message.placement,
        "waiting_for": message.waiting_for,
        "refused": message.refused,
        "members": members,
    })))
}

/// Declares a member that is DOWN gone for good.
///
/// # Errors
/// 404 for a stranger, 409 while it is up.
#[utoipa::path(
    post,
    path = "/cluster/members/{name}/forget",
    tag = "cluster",
    operation_id = "forget",
    description = "Says what may be lost with it.",
    params(("name" = String, Path, description = "the member", example = "node3")),
    responses(
        (status = 200, description = "forgotten", body = Forgotten, example = json!({"forgotten": "node3", "warning": "what only node3 had is lost", "shards_at_risk": []})),
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json"),
        (status = 409, description = "it is up", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn forget(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let name = segment(path)?;
    let at_risk = app.nodes.route();
    let at_risk = at_risk.map_or(Vec::new(), |route| without_owner(route.view(), &name));
    let mut client = MembershipClient::new(app.membership.clone());
    let request = v1::ForgetRequest { name: name.clone() };
    match within(FORGET_MAX, client.forget(caller.request(request))).await {
        Ok(reply) => Ok(ok(
            &json!({ "forgotten": name, "warning": reply.warning, "shards_at_risk": at_risk }),
        )),
        Err(status) => Err(match status.code() {
            tonic::Code::NotFound => Problem::new(
                StatusCode::NOT_FOUND,
                "no_such_member",
                status.message(),
                "see GET /cluster/members for the names",
            ),
            tonic::Code::FailedPrecondition => Problem::new(
                StatusCode::CONFLICT,
                "member_is_up",
                status.message(),
                "stop the node first; one that is only unreachable comes back by itself",
            ),
            _ => Problem::unavailable(
                "membership_unavailable",
                format!("the membership service of this node: {}", status.message()),
                "ask another node, or see GET /v1/health of this one",
            ),
        }),
    }
}

/// The shards whose owners are all away when this member is: what is in them is lost if none of them comes back.
fn without_owner(view: &ClusterView, name: &str) -> Vec<u32> {
    let owners = view.placement().members().iter();
    let mut members: BTreeSet<String> = owners.map(|owner| owner.to_string()).collect();
    if members.contains(name) || view.member(name).is_some() {
        members.insert(name.to_owned());
    }
    // Records may still have fewer copies than they shall.
    let copies = view.counted_replication_factor().max(1);
    let before = Placement::new(members, view.num_shards(), copies);
    let live: BTreeSet<&str> = view.live().map(|member| member.name.as_str()).collect();
    (0..view.num_shards())
        .filter(|shard| before.owns(name, *shard))
        .filter(|shard| {
            let mut owners = before.owners(*shard).iter();
            !owners.any(|owner| **owner != *name && live.contains(&**owner))
        })
        .collect()
}

fn status(member: &v1::Member) -> &'static str {
    match member.status() {
        v1::Status::Up => "UP",
        v1::Status::Suspect => "SUSPECT",
        v1::Status::Down => "DOWN",
        v1::Status::Left => "LEFT",
        v1::Status::Unspecified => "UNKNOWN",
    }
}

fn phase(member: &v1::Member) -> &'static str {
    match member.phase() {
        v1::Phase::Joining => "joining",
        v1::Phase::Serving => "serving",
        v1::Phase::Stopping => "stopping",
        v1::Phase::Draining => "draining",
        v1::Phase::Leaving => "leaving",
        v1::Phase::Left => "left",
        v1::Phase::Unspecified => "unknown",
    }
}

/// How a member's four services are. Its own gateway knows best.
async fn services(app: &App, member: &v1::Member) -> Map<String, Value> {
    if *member.name == **app.nodes.own() {
        return health::services(app);
    }
    let asked = match member.status() {
        v1::Status::Up | v1::Status::Suspect if !member.api_addr.is_empty() => {
            app.web.get(&member.api_addr, "/v1/health").await
        }
        _ => Err("the node is away".to_owned()),
    };
    let told = asked.and_then(|(_, body)| {
        let said: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let services = said.get("services").and_then(Value::as_object);
        let services = services.ok_or_else(|| "its gateway does not say".to_owned())?;
        let known = |(name, _): &(&String, &Value)| SERVICES.contains(&name.as_str());
        let named = services.iter().filter(known);
        Ok(named
            .map(|(name, how)| (name.clone(), how.clone()))
            .collect())
    });
    told.unwrap_or_else(|why| {
        let unknown = |service: &str| match service {
            "gateway" => why.clone(),
            _ => "unknown: its gateway does not answer".to_owned(),
        };
        SERVICES
            .iter()
            .map(|service| ((*service).to_owned(), unknown(service).into()))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_at_risk_when_all_their_owners_are_away() {
        let mut message = crate::route::tests::view(3, 2).message().clone();
        message.members[2].set_status(v1::Status::Down);
        let view = ClusterView::new(message.clone(), None);
        assert_eq!(without_owner(&view, "node3"), Vec::<u32>::new());
        // Both owners are dead, whether they still own anything or not.
        message.members[1].set_status(v1::Status::Down);
        let shared: Vec<u32> = (0..16)
            .filter(|shard| {
                view.placement().owns("node2", *shard) && view.placement().owns("node3", *shard)
            })
            .collect();
        assert!(!shared.is_empty());
        let view = ClusterView::new(message, None);
        assert_eq!(without_owner(&view, "node3"), shared);
        assert_eq!(without_owner(&view, "node9"), Vec::<u32>::new());
    }
}
