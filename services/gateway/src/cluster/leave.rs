//! `POST /cluster/members/{name}/leave`: a member hands everything over and goes for good.
//!
//! Only the member itself can say that it leaves. Asked about another one, this node passes the call on to that one's own gateway.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use proto::v1;
use proto::v1::membership_client::MembershipClient;
use serde_json::json;
use tonic::Status;

use crate::app::App;
use crate::caller::Caller;
use crate::description::nodes::Leaving;
use crate::description::questions::LeaveParameters;
use crate::description::replies::Problem as Refusal;
use crate::parameters::Parameters;
use crate::problem::{PROBLEM_JSON, Problem, ok, segment};
use crate::store::within;

/// Membership notes the intent on its disk before it answers.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// Set on a call that was passed on, so that two nodes whose addresses were mixed up do not pass it back and forth.
const PASSED_ON: HeaderName = HeaderName::from_static("x-stemedb-passed-on");

/// Lets a member hand everything over and go for good.
///
/// # Errors
/// 404 for a stranger, 409 when it must not leave or is away.
#[utoipa::path(
    post,
    path = "/cluster/members/{name}/leave",
    tag = "cluster",
    operation_id = "leave",
    description = "It owns nothing from then on, and is LEFT when everything it holds is on the others. Asked again, it says the same. Any node \
        passes the call on to the member.",
    params(("name" = String, Path, description = "the member", example = "node3"), LeaveParameters),
    responses(
        (status = 200, description = "it leaves", body = Leaving, example = json!({"leaving": "node3", "staying": ["node1", "node2"], "warning": ""})),
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json"),
        (status = 409, description = "too few members would stay, or it is away", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn leave(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let given = Parameters::of_uri(&uri)?;
    given.only(&["force"])?;
    let force = given
        .parsed::<bool>("force", "true or false")?
        .unwrap_or(false);
    let name = segment(path)?;
    if *name == **app.nodes.own() {
        return own(&app, &caller, name, force).await;
    }
    if headers.contains_key(PASSED_ON) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "wrong_node",
            format!(
                "this is {}, and the call that was passed on is for {name}",
                app.nodes.own()
            ),
            "see GET /cluster/members for the addresses",
        ));
    }
    pass_on(&app, &caller, &name, force).await
}

async fn own(app: &App, caller: &Caller, name: String, force: bool) -> Result<Response, Problem> {
    let mut client = MembershipClient::new(app.membership.clone());
    let request = caller.request(v1::LeaveRequest { force });
    match within(LEAVE_MAX, client.leave(request)).await {
        Ok(reply) => Ok(ok(
            &json!({ "leaving": name, "staying": reply.staying, "warning": reply.warning }),
        )),
        Err(status) => Err(refused(&status)),
    }
}

fn refused(status: &Status) -> Problem {
    match status.code() {
        tonic::Code::FailedPrecondition => Problem::new(
            StatusCode::CONFLICT,
            "cannot_leave",
            status.message(),
            "add a node first, or ask with force=true when fewer copies are enough",
        ),
        _ => Problem::unavailable(
            "membership_unavailable",
            format!("the membership service of this node: {}", status.message()),
            "send it again; see GET /v1/health of this node",
        ),
    }
}

async fn pass_on(app: &App, caller: &Caller, name: &str, force: bool) -> Result<Response, Problem> {
    let Some(route) = app.nodes.route() else {
        return Err(Problem::not_ready("membership has not answered yet"));
    };
    let Some(member) = route.view().member(name) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_member",
            format!("no member is called {name:?}"),
            "see GET /cluster/members for the names",
        ));
    };
    match member.status() {
        v1::Status::Left => {
            return Ok(ok(
                &json!({ "leaving": name, "staying": [], "warning": "" }),
            ));
        }
        v1::Status::Down | v1::Status::Unspecified => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "member_is_down",
                format!("{name} does not answer, and only it can hand over what it holds"),
                "start it first; if it is gone for good: POST /cluster/members/{name}/forget",
            ));
        }
        v1::Status::Up | v1::Status::Suspect => {}
    }
    let path = format!("/cluster/members/{name}/leave?force={force}");
    let key = caller.api_key.as_ref().map(|key| key.as_bytes());
    let passed_on = [(PASSED_ON, HeaderValue::from_static("1"))];
    let asked = app
        .web
        .post(&member.admin_addr, &path, key, passed_on)
        .await;
    let (status, body) = asked.map_err(|why| {
        Problem::unavailable(
            "member_unreachable",
            format!("the gateway of {name} at {}: {why}", member.admin_addr),
            format!("send it there: POST http://{}{path}", member.admin_addr),
        )
    })?;
    let form = if status.is_success() {
        "application/json"
    } else {
        PROBLEM_JSON
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let form = HeaderValue::from_static(form);
    response.headers_mut().insert(CONTENT_TYPE, form);
    Ok(response)
}
