//! Several nodes, and what can be seen of them from outside.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::eventually;
use crate::http::Http;
use crate::node::Node;
use crate::{place, ports};

/// Twelve processes of a development build on two busy cores.
pub const FORMATION: Duration = Duration::from_secs(60);

/// Repair runs every second, and a comparison of all nodes takes seconds in a development build on a busy machine.
pub const REPAIR: Duration = Duration::from_secs(60);

/// Lines of each log in the message of a failure.
const TAIL_LINES: usize = 12;

/// A cluster of real processes in a directory of its own; everything ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// By number.
    pub nodes: Vec<Node>,
    settings: Vec<(String, String)>,
    directory: TempDir,
}

impl Cluster {
    /// Plans a cluster; starts nothing.
    ///
    /// # Panics
    /// When there is no place for it.
    pub fn plan(count: usize, settings: &[(&str, &str)]) -> Cluster {
        let directory = place::make();
        let nodes = (1..=count)
            .map(|number| Node::new(&format!("node{number}"), ports::block(), directory.path()))
            .collect();
        Cluster::of(nodes, directory, settings)
    }

    /// Nodes that were made elsewhere, told of each other; starts nothing.
    pub fn of(mut nodes: Vec<Node>, directory: TempDir, settings: &[(&str, &str)]) -> Cluster {
        let count = nodes.len();
        let seeds: Vec<String> = nodes.iter().map(Node::swim).collect();
        for node in &mut nodes {
            node.set("STEMEDB_SEED_NODES", &seeds.join(","));
            node.set("STEMEDB_BOOTSTRAP_EXPECT", &count.to_string());
            for (key, value) in settings {
                node.set(key, value);
            }
        }
        let settings = settings.iter();
        let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Cluster {
            nodes,
            settings: settings.collect(),
            directory,
        }
    }

    /// Plans one more node, which joins through those that are there; starts nothing.
    ///
    /// # Panics
    /// When there is no place for it.
    pub fn plan_one_more(&mut self) -> &Node {
        let name = format!("node{}", self.nodes.len() + 1);
        let mut node = Node::new(&name, ports::block(), self.directory.path());
        let seeds: Vec<String> = self.nodes.iter().map(Node::swim).collect();
        node.set("STEMEDB_SEED_NODES", &seeds.join(","));
        for (key, value) in &self.settings {
            node.set(key, value);
        }
        self.nodes.push(node);
        &self.nodes[self.nodes.len() - 1]
    }

    /// Tells every node where the others are now, for its next start.
    pub fn introduce(&mut self) {
        let seeds: Vec<String> = self.nodes.iter().map(Node::swim).collect();
        for node in &mut self.nodes {
            node.set("STEMEDB_SEED_NODES", &seeds.join(","));
        }
    }

    /// Starts all nodes and waits until they form a cluster.
    pub async fn start(count: usize, settings: &[(&str, &str)]) -> Cluster {
        let cluster = Cluster::plan(count, settings);
        cluster.nodes.iter().for_each(Node::start);
        cluster.formed().await;
        cluster
    }

    /// A node by its number, from 1.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// The directory of the cluster, for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// URLs of the public ports, as a comma list.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(|node| node.api("")).collect();
        urls.join(",")
    }

    /// Waits until every node is ready, sees every node UP, and finds that every store counts: one that started empty brings
    /// in whatever the others have until then, also what is none of its business.
    pub async fn formed(&self) {
        let http = Http::new();
        for node in &self.nodes {
            self.ready(&http, node).await;
            eventually(&format!("{} sees all UP", node.name), FORMATION, || async {
                let statuses = statuses(&http, node).await?;
                let up = statuses.iter().filter(|(_, status)| status == "UP").count();
                (up == self.nodes.len())
                    .then_some(())
                    .ok_or_else(|| format!("{statuses:?}"))
            })
            .await;
            self.counted(&http, node).await;
        }
    }

    /// Waits until no store that a node asks is missing or counts as absent.
    async fn counted(&self, http: &Http, node: &Node) {
        let url = node.api("/v1/query?subject=e2e:nothing&consistency=all");
        eventually(
            &format!("all stores count at {}", node.name),
            FORMATION,
            || async {
                let reply = http.get(&url).await?;
                let missing = &reply.json()["meta"]["union"]["missing"];
                let none = missing.as_array().is_some_and(Vec::is_empty);
                none.then_some(()).ok_or_else(|| reply.text())
            },
        )
        .await;
    }

    /// Waits until a node is ready.
    pub async fn ready(&self, http: &Http, node: &Node) {
        eventually(&format!("{} is ready", node.name), FORMATION, || async {
            let reply = http.get(&node.api("/v1/health")).await?;
            (reply.status == 200)
                .then_some(())
                .ok_or_else(|| reply.text())
        })
        .await;
    }

    /// Waits until `verify` says equal and nothing is on fewer nodes than it shall be; returns what it said.
    pub async fn equal(&self, http: &Http) -> Value {
        self.whole(http, REPAIR, false).await
    }

    /// Waits until all nodes are equal, nothing is on fewer nodes than it shall be and, when it is to be home, nothing on more;
    /// returns what `verify` said.
    pub async fn whole(&self, http: &Http, deadline: Duration, home: bool) -> Value {
        eventually("all nodes are equal", deadline, || async {
            let said = self.verify(http).await?;
            let equal = said["equal"] == true && said["under_replicated"] == 0;
            let good = equal && (!home || said["foreign"] == 0);
            good.then(|| said.clone()).ok_or_else(|| said.to_string())
        })
        .await
    }

    /// `/cluster/verify` of the first node.
    ///
    /// # Errors
    /// When it is not answered.
    pub async fn verify(&self, http: &Http) -> Result<Value, String> {
        let reply = http.get(&self.node(1).admin("/cluster/verify")).await?;
        if reply.status == 200 {
            Ok(reply.json())
        } else {
            Err(reply.text())
        }
    }

    /// The same, as soon as the stores have the time for it.
    pub async fn verified(&self, http: &Http) -> Value {
        eventually("a comparison", REPAIR, || self.verify(http)).await
    }
}

/// Names and statuses of the members as one node sees them.
///
/// # Errors
/// When it does not say.
pub async fn statuses(http: &Http, node: &Node) -> Result<Vec<(String, String)>, String> {
    let reply = http.get(&node.admin("/cluster/members")).await?;
    if reply.status != 200 {
        return Err(reply.text());
    }
    let said = reply.json();
    let members = said["members"].as_array().ok_or_else(|| reply.text())?;
    let text = |member: &Value, key: &str| member[key].as_str().unwrap_or_default().to_owned();
    Ok(members
        .iter()
        .map(|member| (text(member, "id"), text(member, "status")))
        .collect())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.explain();
    }
}

impl Cluster {
    /// Prints the ends of all logs when the test is failing.
    #[allow(clippy::print_stderr, reason = "what a failing test says")]
    pub fn explain(&self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("{}", node.tails(TAIL_LINES));
            }
        }
    }
}
