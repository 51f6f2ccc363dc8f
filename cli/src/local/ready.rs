//! Waiting until processes are ready and a cluster has formed.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use indicatif::ProgressBar;
use serde_json::Value;

use super::cluster::Node;
use super::process::{Process, State};
use crate::client::{Call, Client, GatewayUrl};
use crate::failure::Failure;
use crate::output;

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);

/// An order is on the node's disk before it is answered.
const ORDER: Duration = Duration::from_secs(10);

/// A cluster that has not formed by then will not: SWIM needs a second or two.
const FORMATION_DEADLINE: Duration = Duration::from_secs(120);

/// Off a terminal progress is a line, this often at most.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Whether a process says that it is ready.
async fn is_ready(process: &Process) -> Result<(), String> {
    if process.state().pid().is_none() {
        return Err(process.state().describe());
    }
    let channel =
        sidecar::grpc::local_channel(process.launch.health).map_err(|error| error.to_string())?;
    match tokio::time::timeout(LOOK, sidecar::health::check(channel)).await {
        Ok(answer) => answer,
        Err(_) => Err("does not answer".to_owned()),
    }
}

/// Until when something is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    began: Instant,
    most: Duration,
}

impl Patience {
    /// From now on for so long.
    pub(crate) fn new(most: Duration) -> Patience {
        Patience {
            began: Instant::now(),
            most,
        }
    }

    fn is_over(self) -> bool {
        self.began.elapsed() > self.most
    }

    /// How long it has been had, for people.
    fn had(self) -> String {
        output::seconds(self.began.elapsed().as_secs_f64())
    }
}

/// Waits until all processes are ready. `Err` names those that are not, or that ended.
pub(crate) async fn wait(processes: &[Arc<Process>], patience: Patience) -> Result<(), String> {
    loop {
        let waiting = not_ready(processes).await;
        if waiting.is_empty() {
            return Ok(());
        }
        let ended = processes
            .iter()
            .find(|process| process.state().pid().is_none() && !process.state().starts_again());
        if ended.is_some() || patience.is_over() {
            let logs: Vec<String> = waiting
                .iter()
                .map(|(process, why)| {
                    let Process {
                        node,
                        service,
                        launch,
                        ..
                    } = &**process;
                    format!(
                        "  {node}/{service} {why}; its log: {}",
                        launch.log.display()
                    )
                })
                .collect();
            return Err(format!(
                "not ready after {}:\n{}",
                patience.had(),
                logs.join("\n")
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn not_ready(processes: &[Arc<Process>]) -> Vec<(Arc<Process>, String)> {
    let looks = join_all(processes.iter().map(|process| is_ready(process))).await;
    let pairs = processes.iter().zip(looks);
    pairs
        .filter_map(|(process, look)| look.err().map(|why| (Arc::clone(process), why)))
        .collect()
}

/// Waits until every process that lives is ready and the cluster has formed; shows how far it is.
///
/// A process that ended is not waited for, as long as one node is whole.
pub(crate) async fn cluster(nodes: &[Node]) -> Result<(), String> {
    let shown = Shown::new();
    let began = Instant::now();
    let processes: Vec<Arc<Process>> = nodes
        .iter()
        .flat_map(|node| node.processes.iter().cloned())
        .collect();
    let mut shown = shown;
    loop {
        let whole: Vec<&Node> = nodes.iter().filter(|node| alive(node)).collect();
        if whole.is_empty() {
            return Err(
                "no node has all its processes; see the logs above\n→ stemedb config check"
                    .to_owned(),
            );
        }
        let waiting = not_ready(&processes).await;
        let alive_waiting = waiting
            .iter()
            .filter(|(process, _)| process.state().pid().is_some())
            .count();
        let stage = if alive_waiting > 0 {
            Some(starting(&processes, &waiting))
        } else {
            formation(&whole).await
        };
        let Some(stage) = stage else { return Ok(()) };
        if began.elapsed() > FORMATION_DEADLINE {
            return Err(format!(
                "after {} still {stage}\n→ the logs are in <data-dir>/<node>/log",
                output::seconds(began.elapsed().as_secs_f64())
            ));
        }
        shown.say(stage);
        tokio::time::sleep(POLL).await;
    }
}

fn alive(node: &Node) -> bool {
    node.processes
        .iter()
        .all(|process| process.state().pid().is_some())
}

fn starting(processes: &[Arc<Process>], waiting: &[(Arc<Process>, String)]) -> String {
    /// More names than this are a list, not a line.
    const NAMED_MAX: usize = 4;
    let mut names: Vec<String> = waiting
        .iter()
        .map(|(process, _)| format!("{}/{}", process.node, process.service))
        .collect();
    if names.len() > NAMED_MAX {
        names.truncate(NAMED_MAX);
        names.push("…".to_owned());
    }
    let ready = processes.len() - waiting.len();
    format!(
        "{ready} of {} processes ready (waiting for {})",
        processes.len(),
        names.join(", ")
    )
}

/// What is still missing in the eyes of the gateways; None when nothing is.
async fn formation(whole: &[&Node]) -> Option<String> {
    let names: BTreeSet<&str> = whole.iter().map(|node| node.plan.name.as_str()).collect();
    for node in whole {
        let Ok((client, url)) = client(node) else {
            return Some("without a client".to_owned());
        };
        let waiting = |what: String| Some(format!("forming: {}: {what}", node.plan.name));
        match client.ask_one(&url, &Call::get("/v1/health")).await {
            Ok((200, _)) => {}
            Ok((_, body)) => return waiting(reasons(&body)),
            Err(why) => return waiting(why),
        }
        let members = match client.ask_one(&url, &Call::get("/cluster/members")).await {
            Ok((200, body)) => serde_json::from_slice::<Value>(&body).unwrap_or_default(),
            Ok((status, _)) => return waiting(format!("HTTP {status}")),
            Err(why) => return waiting(why),
        };
        let up = up_members(&members, |_| true);
        let missing: Vec<&str> = names.difference(&up).copied().collect();
        if !missing.is_empty() {
            return waiting(format!("does not see {}", missing.join(", ")));
        }
        // Until then shards still move, and a node may answer for one whose newest records went to others.
        let placed = up_members(&members, |member| member["phase"] != "joining");
        let joining: Vec<&str> = names.difference(&placed).copied().collect();
        if !joining.is_empty() {
            return waiting(format!("{} still joining", joining.join(", ")));
        }
    }
    let (node, others) = whole.split_first()?;
    let uncounted = uncounted(node).await?;
    let waited_for = |name: &&str| uncounted.iter().any(|missing| missing == name);
    let names: Vec<&str> = names.into_iter().filter(waited_for).collect();
    (!others.is_empty() && !names.is_empty())
        .then(|| format!("forming: comparing {} with the others", names.join(", ")))
}

/// What a node says of a member: status, phase, shards.
async fn member(asked: &Node, name: &str) -> Result<Value, String> {
    let (client, url) = client(asked).map_err(|failure| failure.to_string())?;
    let (status, body) = client.ask_one(&url, &Call::get("/cluster/members")).await?;
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(members) = said["members"].as_array() else {
        return Err(format!("HTTP {status}"));
    };
    let mut found = members.iter().filter(|member| member["id"] == *name);
    let found = found
        .next()
        .cloned()
        .ok_or_else(|| format!("does not know {name} yet"))?;
    let waiting = said["waiting_for"].as_str().unwrap_or_default();
    if waiting.is_empty() {
        return Ok(found);
    }
    Err(format!("waits for {waiting}"))
}

fn owns_shards(member: &Value) -> bool {
    member["owned_shards"]
        .as_u64()
        .is_some_and(|shards| shards > 0)
}

/// Waits until a node owns shards, which it does once the others' stores know of it.
pub(crate) async fn joined(node: &Node, patience: Patience) -> Result<(), String> {
    let name = &node.plan.name;
    loop {
        let why = match member(node, name).await {
            Ok(own) if owns_shards(&own) => return Ok(()),
            Ok(own) => format!("it owns no shards yet ({})", word(&own, "phase")),
            Err(why) => format!("it {why}"),
        };
        if patience.is_over() {
            return Err(format!(
                "{name} runs, but has not joined after {}: {why}",
                patience.had()
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until every other node that runs whole sees a node as that sees itself: only then does a question about it have the
/// same answer wherever it is asked. Who does not run, or is paused, cannot know of it.
pub(crate) async fn seen(
    node: &Node,
    others: impl Fn() -> Vec<Node>,
    patience: Patience,
) -> Result<(), String> {
    let name = &node.plan.name;
    loop {
        let mut others = others();
        others.retain(|other| other.plan.name != *name && runs_whole(other));
        if others.is_empty() {
            return Ok(());
        }
        let unseen = match member(node, name).await {
            Ok(own) => unseen(name, &own, &others).await,
            Err(why) => vec![format!("  {name} {why}")],
        };
        if unseen.is_empty() {
            return Ok(());
        }
        if patience.is_over() {
            return Err(format!(
                "{name} runs, but not all nodes see it as a member after {}:\n{}\n→ it may still come: see `stemedb status`, or give the order again",
                patience.had(),
                unseen.join("\n")
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A line about each node that sees another state of a member than that itself does.
async fn unseen(name: &str, own: &Value, others: &[Node]) -> Vec<String> {
    if let Some(why) = differs(own, own) {
        return vec![format!("  {name} {why}")];
    }
    let asked = others.iter().map(|other| async move {
        let why = match member(other, name).await {
            Ok(seen) => differs(&seen, own)?,
            Err(why) => why,
        };
        Some(format!("  {} {why}", other.plan.name))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// How what is seen of a member is not what it says of itself, or is nobody yet who can be asked.
fn differs(seen: &Value, own: &Value) -> Option<String> {
    let (status, phase) = (word(seen, "status"), word(seen, "phase"));
    let counts = status == "UP"
        && !matches!(phase, "joining" | "stopping")
        && phase == word(own, "phase")
        && owns_shards(seen) == owns_shards(own);
    let shards = output::count(seen["owned_shards"].as_u64().unwrap_or(0), "shard");
    (!counts).then(|| format!("sees it {status}, {phase}, with {shards}"))
}

fn word<'a>(member: &'a Value, key: &str) -> &'a str {
    member[key].as_str().unwrap_or("unknown")
}

fn runs_whole(node: &Node) -> bool {
    let mut states = node.processes.iter().map(|process| process.state());
    states.all(|state| matches!(state, State::Running(_)))
}

/// Asks a node to leave and waits until it has LEFT.
pub(crate) async fn left(node: &Node, force: bool, deadline: Duration) -> Result<(), Failure> {
    let name = &node.plan.name;
    let url: GatewayUrl = node.plan.admin().parse().map_err(Failure::Usage)?;
    let order = Client::new(vec![url], None, ORDER)?;
    let path = format!("/cluster/members/{name}/leave?force={force}");
    let began = Instant::now();
    if !has_left(node).await {
        order
            .send(&Call::post(path, "application/json", ""))
            .await?;
    }
    while !has_left(node).await {
        if began.elapsed() > deadline {
            return Err(Failure::Local(format!(
                "{name} still hands over after {}; it goes on: give the order again, or look at `stemedb status`",
                output::seconds(began.elapsed().as_secs_f64())
            )));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn has_left(node: &Node) -> bool {
    let own = member(node, &node.plan.name).await;
    own.is_ok_and(|own| own["status"] == "LEFT")
}

/// Nodes whose stores do not count yet: a new store may be an old one that lost its disk, until it has compared all its
/// shards with everybody. What is written before goes to more nodes than it must.
async fn uncounted(node: &Node) -> Option<Vec<String>> {
    let (client, url) = client(node).ok()?;
    let question = Call::get("/v1/query?subject=constant:hubble&limit=1&consistency=all");
    let (_, body) = client.ask_one(&url, &question).await.ok()?;
    let said: Value = serde_json::from_slice(&body).ok()?;
    let missing = said["meta"]["union"]["missing"].as_array()?;
    let names = missing.iter().filter_map(Value::as_str);
    Some(names.map(str::to_owned).collect())
}

fn client(node: &Node) -> Result<(Client, GatewayUrl), Failure> {
    let url: GatewayUrl = node.plan.admin().parse().map_err(Failure::Usage)?;
    Ok((Client::new(vec![url.clone()], None, LOOK)?, url))
}

/// The names of members that are UP and as wanted.
fn up_members(members: &Value, wanted: impl Fn(&Value) -> bool) -> BTreeSet<&str> {
    let all = members["members"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .filter(|member| member["status"] == "UP" && wanted(member))
        .filter_map(|member| member["id"].as_str())
        .collect()
}

/// What a gateway that is not ready says of itself.
fn reasons(body: &[u8]) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let reasons: Vec<&str> = said["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match (reasons.is_empty(), said["detail"].as_str()) {
        (false, _) => reasons.join(", "),
        (true, Some(detail)) => detail.to_owned(),
        (true, None) => "not ready".to_owned(),
    }
}

/// Progress: one changing line at a terminal, a line now and then elsewhere.
struct Shown {
    spinner: Option<ProgressBar>,
    last: Option<(Instant, String)>,
}

impl Shown {
    fn new() -> Shown {
        let spinner = io::stderr().is_terminal().then(ProgressBar::new_spinner);
        Shown {
            spinner,
            last: None,
        }
    }

    fn say(&mut self, text: String) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text);
            spinner.tick();
            return;
        }
        let due = self
            .last
            .as_ref()
            .is_none_or(|(at, said)| *said != text && at.elapsed() >= LINE_EVERY);
        if due {
            output::note(&text);
            self.last = Some((Instant::now(), text));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_is_seen_once_it_is_seen_as_it_sees_itself() {
        let member = |status: &str, phase: &str, shards: u32| json!({ "status": status, "phase": phase, "owned_shards": shards });
        let own = member("UP", "serving", 128);
        assert_eq!(differs(&own, &own), None);
        // Views of one placement differ while somebody else comes or goes.
        assert_eq!(differs(&member("UP", "serving", 171), &own), None);
        for (seen, said) in [
            (
                member("UP", "joining", 0),
                "sees it UP, joining, with 0 shards",
            ),
            (
                member("SUSPECT", "serving", 128),
                "sees it SUSPECT, serving, with 128 shards",
            ),
            (
                member("UP", "serving", 0),
                "sees it UP, serving, with 0 shards",
            ),
        ] {
            assert_eq!(differs(&seen, &own).as_deref(), Some(said));
        }
        let joining = member("UP", "joining", 0);
        assert!(
            differs(&joining, &joining).is_some(),
            "although all agree on it"
        );
        let leaving = member("UP", "leaving", 0);
        assert_eq!(differs(&leaving, &leaving), None, "it goes on with that");
    }
}
