//! The search for damage on all nodes: how it stands, what it found, and to begin it now.

use std::sync::Arc;
use std::time::Duration;

use assertion::hex;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use futures::future::join_all;
use http::{StatusCode, Uri};
use proto::v1;
use serde_json::{Value, json};

use crate::app::App;
use crate::caller::Caller;
use crate::description::damage::Scrubs;
use crate::description::questions::ScrubParameters;
use crate::description::replies::Problem as Refusal;
use crate::parameters::Parameters;
use crate::problem::{Problem, ok};

/// A store looks at numbers in memory.
const SCRUB_MAX: Duration = Duration::from_secs(2);

/// How it stands on every known node.
///
/// # Errors
/// 503 before the cluster has formed.
#[utoipa::path(
    get,
    path = "/cluster/scrub",
    tag = "cluster",
    operation_id = "scrubs",
    description = "How the search for damage stands on every node, and what it found since the node started.",
    responses(
        (status = 200, description = "the nodes", body = Scrubs, example = json!({"node": "node1", "nodes": [{"id": "node1", "state": "topics", "begun_at": 1795637791342_i64,
        "ended_at": 1795551391001_i64, "rows": 62000, "rows_to_do": 38000, "percent": 62.0, "passes": 1, "error": "", "found_rows": 1, "mended_lines": 2, "mended_roots": 0,
        "quarantined": 1, "waited_for": [{"id": "57c1be6a27dd64a8e3a5d4f7e1b9c0a2d3e4f5061728394a5b6c7d8e9f001122", "shard": 87, "noticed_at": 1795637792000_i64,
        "reason": "its bytes are those of another record"}], "alarms": [{"code": "quarantined_rows", "message": "1 damaged records were taken out", "since": 1795637792000_i64}]}],
        "unreachable": []}))
    )
)]
pub async fn scrubs(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of_uri(&uri)?.only(&[])?;
    let names = known(&app)?;
    Ok(ok(&ask(&app, &caller, names, false).await))
}

/// Begins a pass on the named nodes, or on all.
///
/// # Errors
/// 404 for a stranger, 503 before the cluster has formed.
#[utoipa::path(
    post,
    path = "/cluster/scrub",
    tag = "cluster",
    operation_id = "scrub",
    description = "Begins a pass over all rows now, on the named nodes or on all; one that runs goes on faster.",
    params(ScrubParameters),
    responses(
        (status = 200, description = "begun", body = Scrubs, example = json!({"node": "node1", "nodes": [{"id": "node2", "state": "records", "begun_at": 0,
        "ended_at": 0, "rows": 0, "rows_to_do": 100000, "percent": 0.0, "passes": 0, "error": "", "found_rows": 0, "mended_lines": 0, "mended_roots": 0,
        "quarantined": 0, "waited_for": [], "alarms": []}], "unreachable": []})),
        (status = 404, description = "nobody has this name", body = Refusal, content_type = "application/problem+json")
    )
)]
pub async fn scrub(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let given = Parameters::of_uri(&uri)?;
    given.only(&["node"])?;
    let known = known(&app)?;
    let mut wanted = given.list("node")?;
    wanted.sort_unstable();
    wanted.dedup();
    if let Some(stranger) = wanted.iter().find(|name| !known.contains(name)) {
        let refused = Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_node",
            format!("nobody is called {stranger}"),
            "see GET /cluster/members for the names",
        );
        return Err(refused.at("node"));
    }
    let names = if wanted.is_empty() { known } else { wanted };
    Ok(ok(&ask(&app, &caller, names, true).await))
}

fn known(app: &App) -> Result<Vec<String>, Problem> {
    let route = app.readiness.formed()?;
    Ok(route.view().known_names().into_iter().collect())
}

async fn ask(app: &App, caller: &Caller, names: Vec<String>, start: bool) -> Value {
    let asked = names.into_iter().map(|name| async move {
        let said = match app.nodes.lane(&name) {
            Some(lane) => lane
                .store()
                .scrub(v1::ScrubRequest { start }, caller, SCRUB_MAX)
                .await
                .map_err(|status| status.message().to_owned()),
            None => Err("its address is not known".to_owned()),
        };
        (name, said)
    });
    let (mut nodes, mut unreachable) = (Vec::new(), Vec::new());
    for (name, said) in join_all(asked).await {
        match said {
            Ok(said) => nodes.push(node(&name, &said)),
            Err(reason) => unreachable.push(json!({ "id": name, "reason": reason })),
        }
    }
    json!({ "node": app.nodes.own().to_string(), "nodes": nodes, "unreachable": unreachable })
}

fn node(name: &str, said: &v1::ScrubReply) -> Value {
    let all = said.rows + said.rows_to_do;
    let percent = match all {
        0 => 0.0,
        all => (said.rows as f64 / all as f64 * 1_000.0).round() / 10.0,
    };
    let waited_for = said.waited_for.iter().map(|row| {
        json!({
            "id": hex::write(&row.id),
            "shard": row.shard,
            "noticed_at": row.noticed_at_ms,
            "reason": row.reason,
        })
    });
    json!({
        "id": name,
        "state": said.state,
        "begun_at": said.begun_at_ms,
        "ended_at": said.ended_at_ms,
        "rows": said.rows,
        "rows_to_do": said.rows_to_do,
        "percent": percent,
        "passes": said.passes,
        "error": said.error,
        "found_rows": said.found_rows,
        "mended_lines": said.mended_lines,
        "mended_roots": said.mended_roots,
        "quarantined": said.quarantined,
        "waited_for": waited_for.collect::<Vec<Value>>(),
        "alarms": alarms(&said.alarms),
    })
}

/// Alarms as they are shown.
pub fn alarms(alarms: &[v1::Alarm]) -> Vec<Value> {
    let shown = alarms.iter().map(
        |alarm| json!({ "code": alarm.code, "message": alarm.message, "since": alarm.since_ms }),
    );
    shown.collect()
}
