//! Who asks whom for metrics and traces: Prometheus, Grafana and the services find each other by names and ports that exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::compose::{self, NODES, published_beside, services};
use crate::house::differs;
use crate::k8s::{SET, set};
use crate::ports::OUTWARD;
use crate::yaml::{document, list, text};
use crate::{Fault, House};

/// What Prometheus of the profile `metrics` asks.
const SCRAPES: &str = "ops/prometheus/prometheus.yml";

/// What Grafana asks.
const SOURCES: &str = "ops/grafana/provisioning/datasources/stemedb.yaml";

/// Where Grafana looks for dashboards.
const PROVIDERS: &str = "ops/grafana/provisioning/dashboards/stemedb.yaml";

/// Where the gateway answers; Prometheus asks there when nothing else is said.
const METRICS: &str = "/metrics";

/// Services of the profile `metrics`.
const PROFILE: [&str; 2] = ["prometheus", "grafana"];

/// Every address leads somewhere, every directory is mounted.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let compose = document(house.need(compose::PATH)?)?;
    let mut faults = check_targets(&document(house.need(SCRAPES)?)?);
    faults.extend(check_annotations(&set(house)?));
    let handler = house.need("services/gateway/src/scrape.rs")?;
    if !handler.text.contains(&format!("path = \"{METRICS}\"")) {
        faults.push(Fault::of(&handler.path, format!("no route {METRICS}")));
    }
    faults.extend(check_profile(house, &compose)?);
    faults.extend(check_addresses(house, &compose)?);
    faults.extend(check_sources(house)?);
    Ok(faults)
}

/// Port at which a gateway gives the metrics of its node.
fn port() -> u32 {
    OUTWARD[0].1[0]
}

/// Prometheus asks the gateway of every node of compose.
fn check_targets(scrapes: &Value) -> Vec<Fault> {
    let jobs = list(&scrapes["scrape_configs"]);
    let said: Vec<&Value> = jobs
        .iter()
        .flat_map(|job| list(&job["static_configs"]))
        .flat_map(|group| list(&group["targets"]))
        .collect();
    let nodes = (1..=NODES).map(|node| format!("node{node}:{}", port()));
    let wanted = json!(nodes.collect::<Vec<_>>());
    let mut faults = Vec::new();
    faults.extend(differs(
        SCRAPES,
        "the list of targets",
        &json!(said),
        &wanted,
    ));
    for job in jobs.iter().filter(|job| !job["metrics_path"].is_null()) {
        let path = &job["metrics_path"];
        faults.extend(differs(SCRAPES, "metrics_path", path, &json!(METRICS)));
    }
    faults
}

/// The pods say the same of themselves.
fn check_annotations(set: &Value) -> Vec<Fault> {
    let annotations = &set["template"]["metadata"]["annotations"];
    [
        ("prometheus.io/scrape", json!("true")),
        ("prometheus.io/port", json!(port().to_string())),
        ("prometheus.io/path", json!(METRICS)),
    ]
    .iter()
    .filter_map(|(key, wanted)| differs(SET, key, &annotations[*key], wanted))
    .collect()
}

/// The profile has its services, and what they mount from here is here.
fn check_profile(house: &House, compose: &Value) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    let mut inside = BTreeSet::new();
    for service in PROFILE {
        let entry = &compose["services"][service];
        let what = format!("profiles of {service}");
        faults.extend(differs(
            compose::PATH,
            what,
            &entry["profiles"],
            &json!(["metrics"]),
        ));
        for mount in list(&entry["volumes"]) {
            let mut parts = text(mount).split(':');
            let (from, to) = (parts.next().unwrap_or_default(), parts.next());
            inside.extend(to.map(str::to_owned));
            let Some(directory) = from.strip_prefix("./") else {
                continue;
            };
            let directory = format!("{directory}/");
            if !house
                .files
                .iter()
                .any(|file| file.path.starts_with(&directory))
            {
                faults.push(Fault::of(
                    compose::PATH,
                    format!("{service} mounts {directory}, where nothing is"),
                ));
            }
        }
    }
    for provider in list(&document(house.need(PROVIDERS)?)?["providers"]) {
        let path = text(&provider["options"]["path"]);
        if !inside.contains(path) {
            faults.push(Fault::of(
                PROVIDERS,
                format!("nothing is mounted at {path:?}"),
            ));
        }
    }
    Ok(faults)
}

/// `http://service:port` of data sources and of the services' traces: compose has it, and it publishes that port, which
/// is how the port is known here.
fn check_addresses(house: &House, compose: &Value) -> Result<Vec<Fault>, Fault> {
    let sources = document(house.need(SOURCES)?)?;
    let mut addresses: Vec<(&str, &str)> = list(&sources["datasources"])
        .iter()
        .map(|source| (SOURCES, text(&source["url"])))
        .collect();
    let traces = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let endpoint = text(&compose["services"]["node1-store"]["environment"][traces]);
    // `${VARIABLE-default}`.
    let default = endpoint
        .split_once('-')
        .map_or("", |(_, default)| default.trim_end_matches('}'));
    addresses.push((compose::PATH, default));
    let names = services(compose);
    let leads = |address: &str| {
        let (name, port) = address.strip_prefix("http://")?.split_once(':')?;
        let port: u32 = port.parse().ok()?;
        (names.iter().any(|known| known == name) && published_beside(compose, name).contains(&port))
            .then_some(())
    };
    Ok(addresses
        .into_iter()
        .filter(|(_, address)| leads(address).is_none())
        .map(|(path, address)| {
            Fault::of(path, format!("{address:?} leads to no service of compose"))
        })
        .collect())
}

/// Panels ask data sources that are provisioned.
fn check_sources(house: &House) -> Result<Vec<Fault>, Fault> {
    let sources = document(house.need(SOURCES)?)?;
    let known: Vec<&str> = list(&sources["datasources"])
        .iter()
        .map(|source| text(&source["uid"]))
        .collect();
    let mut faults = Vec::new();
    for file in house
        .ending("json")
        .filter(|file| file.path.starts_with("ops/grafana/dashboards/"))
    {
        let dashboard = document(file)?;
        for panel in list(&dashboard["panels"]) {
            let asked = &panel["datasource"]["uid"];
            let queries = !list(&panel["targets"]).is_empty();
            if queries && !known.contains(&text(asked)) {
                faults.push(Fault::of(
                    &file.path,
                    format!(
                        "panel {} asks source {asked}, which is not there",
                        panel["title"]
                    ),
                ));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn a_question_that_reaches_nobody_is_found() {
        let compose = compose::PATH;
        let dashboard = "ops/grafana/dashboards/stemedb.json";
        notices(
            check,
            &[
                (SCRAPES, "node3:18180", "node4:18180", "the list of targets"),
                (
                    SCRAPES,
                    "    static_configs:",
                    "    metrics_path: /\n    static_configs:",
                    "metrics_path",
                ),
                (
                    SET,
                    "port: \"18180\"",
                    "port: \"18181\"",
                    "prometheus.io/port",
                ),
                (
                    SET,
                    "prometheus.io/path: /metrics",
                    "prometheus.io/path: /",
                    "prometheus.io/path",
                ),
                (
                    "services/gateway/src/scrape.rs",
                    "path = \"/metrics\"",
                    "path = \"/v1/metrics\"",
                    "no route /metrics",
                ),
                (
                    compose,
                    "profiles: [metrics]",
                    "profiles: [all]",
                    "profiles of prometheus",
                ),
                (
                    compose,
                    "./ops/prometheus:",
                    "./ops/metrics:",
                    "mounts ops/metrics/",
                ),
                (
                    compose,
                    ":/var/lib/grafana/dashboards:",
                    ":/dashboards:",
                    "nothing is mounted at",
                ),
                (
                    compose,
                    "http://jaeger:4317}",
                    "http://jaeger:4316}",
                    "jaeger:4316",
                ),
                (
                    SOURCES,
                    "http://prometheus:",
                    "http://metrics:",
                    "http://metrics:9090",
                ),
                (
                    SOURCES,
                    "uid: prometheus",
                    "uid: metrics",
                    "asks source \"prometheus\"",
                ),
                (
                    dashboard,
                    "\"uid\": \"prometheus\"",
                    "\"uid\": \"other\"",
                    "asks source \"other\"",
                ),
            ],
        );
    }
}
