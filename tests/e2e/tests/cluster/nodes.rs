//! What tests that kill wait for.

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, FORMATION, statuses};
use e2e::eventually;
use e2e::http::{Http, Reply};
use e2e::node::Node;

use crate::stage;

/// SWIM notices a dead node, and every other node hears of it (protocol, section 8).
const DOWN: Duration = Duration::from_secs(5);

/// Waits until all others say that a node is DOWN, and prints how long after `killed` that was: at most [`DOWN`] where times count.
pub(crate) async fn down_everywhere(cluster: &Cluster, http: &Http, dead: &str, killed: Instant) {
    for node in cluster.nodes.iter().filter(|node| node.name != dead) {
        eventually(
            &format!("{} says that {dead} is DOWN", node.name),
            FORMATION,
            || async {
                let statuses = statuses(http, node).await?;
                let down = statuses
                    .iter()
                    .any(|(name, status)| name == dead && status == "DOWN");
                down.then_some(()).ok_or_else(|| format!("{statuses:?}"))
            },
        )
        .await;
    }
    let took = killed.elapsed();
    stage::figure(&format!(
        "DOWN at all others {:.1} s after a kill",
        took.as_secs_f64()
    ));
    assert!(took <= DOWN || !stage::times_count(), "{took:?}");
}

/// Waits for a reply that is as wanted.
pub(crate) async fn reply(
    what: &str,
    deadline: Duration,
    http: &Http,
    url: &str,
    wanted: impl Fn(&Reply) -> bool,
) -> Reply {
    let wanted = &wanted;
    eventually(what, deadline, || async move {
        let reply = http.get(url).await?;
        if wanted(&reply) {
            return Ok(reply);
        }
        Err(format!("{} {}", reply.status, reply.text()))
    })
    .await
}

/// What one node says of another in `/cluster/members`.
pub(crate) async fn phase(http: &Http, of: &str, at: &Node) -> Result<String, String> {
    let said = http.get(&at.admin("/cluster/members")).await?.json();
    let members = said["members"].as_array().into_iter().flatten();
    let mut phases = members
        .filter(|member| member["id"] == of)
        .map(|member| &member["phase"]);
    let phase = phases.next().and_then(|phase| phase.as_str());
    phase.map(str::to_owned).ok_or_else(|| said.to_string())
}
