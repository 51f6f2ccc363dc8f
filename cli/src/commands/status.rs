//! `stemedb status`: every gateway, the services behind it, and how repair stands.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::client::{Call, Client, GatewayUrl};
use crate::commands::members::services;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Asks every --url for its own health and its view of the members. Ends 0 only if every gateway is ready and
no node raises an alarm.

Examples:
  stemedb status
  stemedb status --url http://node1:18181,http://node2:18181,http://node3:18181 --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let gateways: Vec<Gateway> =
        join_all(client.gateways().iter().map(|url| look(&client, url))).await;
    if arguments.connection.json {
        let all: Vec<Value> = gateways.iter().map(Gateway::to_json).collect();
        output::json(&json!({ "gateways": all }));
    } else {
        show(&gateways);
    }
    let urls = |wrong: fn(&Gateway) -> bool| {
        let wrong = gateways.iter().filter(|gateway| wrong(gateway));
        let urls: Vec<String> = wrong.map(|gateway| gateway.url.to_string()).collect();
        urls.join(", ")
    };
    let not_ready = urls(|gateway| !gateway.ready);
    let alarmed = urls(|gateway| alarms(&gateway.health).next().is_some());
    match (not_ready.is_empty(), alarmed.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(Failure::Outcome(format!("not ready: {not_ready}"))),
        (true, false) => Err(Failure::Outcome(format!("alarms at {alarmed}"))),
    }
}

struct Gateway {
    url: GatewayUrl,
    ready: bool,
    /// The body of its health, or why there is none.
    health: Value,
    /// Its members, or null.
    members: Value,
    /// How repair stands with every peer, or null.
    tasks: Value,
}

impl Gateway {
    fn to_json(&self) -> Value {
        json!({ "url": self.url.to_string(), "ready": self.ready, "health": self.health, "members": self.members, "tasks": self.tasks })
    }
}

async fn look(client: &Client, url: &GatewayUrl) -> Gateway {
    let health = Call::get("/v1/health");
    // All at once: one that hangs costs its time limit once.
    let (health, members, tasks) = tokio::join!(
        client.ask_one(url, &health),
        part(client, url, "/cluster/members", "members"),
        part(client, url, "/cluster/tasks", "tasks")
    );
    let (ready, health) = match health {
        Ok((status, body)) => (
            status == 200,
            serde_json::from_slice(&body).unwrap_or_default(),
        ),
        Err(why) => (false, json!({ "detail": why })),
    };
    Gateway {
        url: url.clone(),
        ready,
        health,
        members,
        tasks,
    }
}

/// One part of an answer; null where there is none, as on the public port.
async fn part(client: &Client, url: &GatewayUrl, path: &str, key: &str) -> Value {
    match client.ask_one(url, &Call::get(path)).await {
        Ok((200, body)) => serde_json::from_slice::<Value>(&body).unwrap_or_default()[key].take(),
        _ => Value::Null,
    }
}

fn show(gateways: &[Gateway]) {
    let mut table = output::table([
        "GATEWAY", "NODE", "READY", "SERVICES", "SEES", "REPAIR", "WHY NOT",
    ]);
    for gateway in gateways {
        table.add_row([
            gateway.url.to_string(),
            gateway.health["node"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            if gateway.ready { "yes" } else { "NO" }.to_owned(),
            services(&gateway.health["services"]),
            sees(&gateway.members),
            repair(&gateway.tasks),
            reasons(gateway),
        ]);
    }
    output::print(&table);
    for gateway in gateways {
        let node = gateway.health["node"].as_str().unwrap_or_default();
        for alarm in alarms(&gateway.health) {
            output::line(format!("ALARM {node}: {alarm}"));
        }
    }
}

/// What a node wants an operator to know.
fn alarms(health: &Value) -> impl Iterator<Item = &str> {
    let alarms = health["alarms"].as_array().into_iter().flatten();
    alarms.filter_map(|alarm| alarm["message"].as_str())
}

/// `3 UP`, `2 UP, 1 DOWN`.
fn sees(members: &Value) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for status in members
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| member["status"].as_str())
    {
        match counts.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => counts.push((status, 1)),
        }
    }
    counts.sort_by(|a, b| b.0.cmp(a.0));
    let parts: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    parts.join(", ")
}

/// `in step`, or how far behind which peers.
fn repair(tasks: &Value) -> String {
    let Some(tasks) = tasks.as_array() else {
        return String::new();
    };
    let behind: Vec<String> = tasks
        .iter()
        .filter_map(|task| {
            let lag = task["lag_seconds"].as_f64().filter(|lag| *lag > 0.0)?;
            let peer = task["peer"].as_str().unwrap_or_default();
            Some(format!("{lag:.0} s behind {peer}"))
        })
        .collect();
    if behind.is_empty() {
        return "in step".to_owned();
    }
    behind.join(", ")
}

fn reasons(gateway: &Gateway) -> String {
    if gateway.ready {
        return String::new();
    }
    let listed: Vec<&str> = gateway.health["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match (listed.is_empty(), gateway.health["detail"].as_str()) {
        (false, _) => listed.join(", "),
        (true, Some(detail)) => detail.to_owned(),
        (true, None) => "not ready".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_by_status() {
        let members = json!([{ "status": "UP" }, { "status": "DOWN" }, { "status": "UP" }]);
        assert_eq!(sees(&members), "2 UP, 1 DOWN");
        assert_eq!(sees(&Value::Null), "");
    }

    #[test]
    fn alarms_are_what_health_says() {
        let health =
            json!({ "alarms": [{ "code": "database_malformed", "message": "page 7 is torn" }] });
        assert!(alarms(&health).eq(["page 7 is torn"]));
        assert_eq!(alarms(&json!({ "alarms": [] })).next(), None);
        assert_eq!(alarms(&Value::Null).next(), None);
    }

    #[test]
    fn repair_names_the_peers_that_it_is_behind() {
        let tasks = json!([{ "peer": "node2", "lag_seconds": 0.0 }, { "peer": "node3", "lag_seconds": 41.7 }]);
        assert_eq!(repair(&tasks), "42 s behind node3");
        assert_eq!(repair(&json!([])), "in step");
        assert_eq!(repair(&Value::Null), "");
    }
}
