//! compose.yaml: three nodes of four containers, alike but for their number, and agreeing with the code and the image.

use serde_json::{Value, json};

use crate::drains::{Drains, SERVICES};
use crate::house::differs;
use crate::ports::{OUTWARD, STEP};
use crate::yaml::{document, list, text};
use crate::{Fault, House};

/// The file.
pub(crate) const PATH: &str = "compose.yaml";

/// Nodes that it has.
pub(crate) const NODES: u32 = 3;

/// Who writes to the node's volume; nobody else sees it.
const WRITERS: [&str; 2] = ["store", "membership"];

/// Every node has its five services, and every one of them is what it is called.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let file = house.need(PATH)?;
    let compose = document(file)?;
    let drains = Drains::read(house)?;
    let data = data_directory(house)?;
    let mut faults = check_names(&compose);
    for node in 1..=NODES {
        faults.extend(check_network(&compose, node));
        for service in SERVICES {
            faults.extend(check_service(&compose, node, service, &data, &drains));
        }
    }
    faults.extend(check_reasons(&file.text, &drains));
    Ok(faults)
}

/// The directory that the image gives to the store.
pub(crate) fn data_directory(house: &House) -> Result<String, Fault> {
    let docker = house.need("Dockerfile")?;
    docker
        .text
        .lines()
        .find_map(|line| line.strip_prefix("ENV STEMEDB_DATA_DIR="))
        .map(str::to_owned)
        .ok_or_else(|| Fault::of(&docker.path, "no line `ENV STEMEDB_DATA_DIR=…`"))
}

/// The names of a node's services are all there, and no others begin like them.
fn check_names(compose: &Value) -> Vec<Fault> {
    let mut wanted: Vec<String> = Vec::new();
    for node in 1..=NODES {
        wanted.push(format!("node{node}"));
        wanted.extend(SERVICES.map(|service| format!("node{node}-{service}")));
    }
    wanted.sort();
    let mut said: Vec<String> = services(compose)
        .into_iter()
        .filter(|name| name.starts_with("node"))
        .collect();
    said.sort();
    differs(
        PATH,
        "the list of nodes and services",
        &json!(said),
        &json!(wanted),
    )
    .into_iter()
    .collect()
}

/// The names of all services.
pub(crate) fn services(compose: &Value) -> Vec<String> {
    let services = compose["services"].as_object();
    services.map_or_else(Vec::new, |services| services.keys().cloned().collect())
}

/// Ports that a node's gateway publishes: on this machine, and in the container.
pub(crate) fn published(node: u32) -> Vec<(u32, u32)> {
    let (_, ports) = OUTWARD[0];
    ports
        .iter()
        .map(|port| (port + STEP * (node - 1), *port))
        .collect()
}

/// The container that holds a node's network: its name, its ports, for this machine only.
fn check_network(compose: &Value, node: u32) -> Vec<Fault> {
    let name = format!("node{node}");
    let service = &compose["services"][&name];
    let ports: Vec<String> = published(node)
        .iter()
        .map(|(here, inside)| format!("127.0.0.1:{here}:{inside}"))
        .collect();
    let mut faults = Vec::new();
    for (key, wanted) in [("hostname", json!(name)), ("ports", json!(ports))] {
        faults.extend(differs(
            PATH,
            format!("{key} of {name}"),
            &service[key],
            &wanted,
        ));
    }
    let volumes = compose["volumes"].as_object();
    if !volumes.is_some_and(|volumes| volumes.contains_key(&name)) {
        faults.push(Fault::of(PATH, format!("no volume {name}")));
    }
    faults
}

/// One service of one node: its binary, its probe, its network, its volume, its settings, its time to end.
fn check_service(
    compose: &Value,
    node: u32,
    service: &str,
    data: &str,
    drains: &Drains,
) -> Vec<Fault> {
    let name = format!("node{node}-{service}");
    let entry = &compose["services"][&name];
    let binary = format!("stemedb-{service}");
    let volumes = match WRITERS.contains(&service) {
        true => json!([format!("node{node}:{data}")]),
        false => Value::Null,
    };
    let seeds: Vec<String> = (1..=NODES).map(|node| format!("node{node}")).collect();
    let wanted = [
        ("/command", json!([binary])),
        ("/entrypoint", Value::Null),
        ("/healthcheck/test", json!(["CMD", binary, "health"])),
        ("/network_mode", json!(format!("service:node{node}"))),
        // Whoever shares a network has no ports of his own.
        ("/ports", Value::Null),
        ("/volumes", volumes),
        ("/environment/STEMEDB_SEED_NODES", json!(seeds.join(","))),
    ];
    let mut faults = check_sampling(&name, &entry["environment"]);
    for (place, wanted) in wanted {
        let said = entry.pointer(place).unwrap_or(&Value::Null);
        faults.extend(differs(PATH, format!("{place} of {name}"), said, &wanted));
    }
    let end = drains.end(service);
    for (place, least, why) in [
        ("/stop_grace_period", end, "it takes to end"),
        (
            "/healthcheck/timeout",
            drains.probe,
            "its probe waits itself",
        ),
    ] {
        let said = text(entry.pointer(place).unwrap_or(&Value::Null));
        match seconds(said) {
            Some(seconds) if seconds * 1000 > least => {}
            Some(_) => faults.push(Fault::of(
                PATH,
                format!("{place} of {name} is {said}, but {why} up to {least} ms"),
            )),
            None => faults.push(Fault::of(
                PATH,
                format!("{place} of {name} is {said:?}; write it as `15s`"),
            )),
        }
    }
    faults
}

/// How many traces are taken is passed on as it is set, and only if it is: the services take an empty word for a wrong one.
fn check_sampling(name: &str, environment: &Value) -> Vec<Fault> {
    let passes_on = |variable: &&str| environment.get(variable).is_some_and(Value::is_null);
    ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"]
        .iter()
        .filter(|variable| !passes_on(variable))
        .map(|variable| {
            Fault::of(
                PATH,
                format!("{name} is not given {variable}; write it without a value"),
            )
        })
        .collect()
}

fn seconds(duration: &str) -> Option<u64> {
    duration.strip_suffix('s')?.parse().ok()
}

/// The comment on the grace period gives the store's times as they are.
fn check_reasons(text: &str, drains: &Drains) -> Vec<Fault> {
    let reasons = [
        format!("last commit ({} s)", drains.work("store") / 1000),
        format!("last spans ({} s)", drains.spans / 1000),
    ];
    reasons
        .into_iter()
        .filter(|reason| !text.contains(reason))
        .map(|reason| {
            Fault::of(
                PATH,
                format!("nothing says `{reason}`, as it is in the code"),
            )
        })
        .collect()
}

/// What is published on this machine by services that are no nodes: traces, metrics, dashboards.
pub(crate) fn published_beside(compose: &Value, service: &str) -> Vec<u32> {
    list(&compose["services"][service]["ports"])
        .iter()
        .filter_map(|port| text(port).split(':').nth(1)?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn whatever_differs_between_nodes_is_found() {
        notices(
            check,
            &[
                (
                    PATH,
                    "  node2-store:",
                    "  node2-shop:",
                    "the list of nodes and services",
                ),
                (
                    PATH,
                    "    OTEL_TRACES_SAMPLER:\n",
                    "    OTEL_TRACES_SAMPLER: ${OTEL_TRACES_SAMPLER-}\n",
                    "is not given OTEL_TRACES_SAMPLER",
                ),
                (
                    PATH,
                    "hostname: node3",
                    "hostname: node2",
                    "hostname of node3",
                ),
                (PATH, "127.0.0.1:18281:", "0.0.0.0:18281:", "ports of node2"),
                (
                    PATH,
                    "127.0.0.1:18380:",
                    "127.0.0.1:18480:",
                    "ports of node3",
                ),
                (
                    PATH,
                    "network_mode: service:node2",
                    "network_mode: service:node1",
                    "/network_mode of node2-store",
                ),
                (
                    PATH,
                    "volumes: [\"node3:/data\"]",
                    "volumes: [\"node2:/data\"]",
                    "/volumes of node3-store",
                ),
                (
                    PATH,
                    "volumes: [\"node1:/data\"]",
                    "volumes: [\"node1:/store\"]",
                    "/volumes of node1-store",
                ),
                (
                    PATH,
                    "volumes:\n  node1:\n",
                    "volumes:\n",
                    "no volume node1",
                ),
            ],
        );
    }

    #[test]
    fn a_service_that_is_not_what_it_is_called_is_found() {
        notices(
            check,
            &[
                (
                    PATH,
                    "command: [stemedb-store]",
                    "command: [stemedb-membership]",
                    "/command of node1-store",
                ),
                (
                    PATH,
                    "command: [stemedb-store]",
                    "command: [stemedb-store]\n  entrypoint: [sh]",
                    "/entrypoint of node2-store",
                ),
                (
                    PATH,
                    "stemedb-gateway, health",
                    "stemedb-gateway, live",
                    "/healthcheck/test of node1-gateway",
                ),
                (
                    PATH,
                    "stemedb-antientropy, health",
                    "stemedb-store, health",
                    "/healthcheck/test of node3-antientropy",
                ),
                (
                    PATH,
                    "command: [stemedb-store]",
                    "command: [stemedb-store]\n  ports: [\"1:1\"]",
                    "/ports of node1-store",
                ),
                (
                    PATH,
                    "command: [stemedb-gateway]",
                    "command: [stemedb-gateway]\n  volumes: [\"node1:/data\"]",
                    "/volumes of node1-gateway",
                ),
                (
                    PATH,
                    "STEMEDB_SEED_NODES: node1,",
                    "STEMEDB_SEED_NODES: ",
                    "STEMEDB_SEED_NODES of node1-store",
                ),
                (
                    "Dockerfile",
                    "ENV STEMEDB_DATA_DIR=",
                    "ENV STEMEDB_DATA_DIR=/elsewhere",
                    "/volumes of node1-store",
                ),
            ],
        );
    }

    #[test]
    fn a_time_that_is_too_short_is_found() {
        let grace = "const GRACE: Duration = Duration::from_";
        notices(
            check,
            &[
                (
                    PATH,
                    "stop_grace_period: ",
                    "stop_grace_period: 10s # ",
                    "/stop_grace_period of node1-store is 10s",
                ),
                (
                    PATH,
                    "stop_grace_period: ",
                    "stop_grace_period: 1m # ",
                    "write it as",
                ),
                (
                    PATH,
                    "  timeout: ",
                    "  timeout: 2s # ",
                    "/healthcheck/timeout of node1-gateway is 2s",
                ),
                (
                    "services/store/src/lib.rs",
                    grace,
                    &format!("{grace}secs(30); // "),
                    "last commit (30 s)",
                ),
            ],
        );
    }
}
