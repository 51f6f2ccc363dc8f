//! docs/operations.md and docs/configuration.md say of compose and the manifests what is there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::compose::{self, NODES, published, published_beside, services};
use crate::drains::SERVICES;
use crate::k8s::{self, base, named, pod, set};
use crate::ports::OUTWARD;
use crate::yaml::{document, documents, list, text};
use crate::{Fault, House, SourceFile, variables};

/// The page.
const PAGE: &str = "docs/operations.md";

/// Services of compose beside the nodes, by the row that gives their ports.
const BESIDE: [(&str, &[&str]); 2] = [
    ("| traces", &["jaeger"]),
    ("| metrics", &["prometheus", "grafana"]),
];

/// Ports, names, variables and times of the page are those of the files.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let page = house.need(PAGE)?;
    let file = house.need(compose::PATH)?;
    let compose = document(file)?;
    let mut faults = check_ports(page, &compose);
    faults.extend(check_nodes(page, &compose));
    faults.extend(check_variables(house, page, file)?);
    faults.extend(check_names(house, page, &compose)?);
    faults.extend(check_sentences(house, page)?);
    faults.extend(check_keys(house)?);
    Ok(faults)
}

/// Numbers after `localhost:`.
fn local_ports(text: &str) -> Vec<u32> {
    text.split("localhost:")
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().ok()
        })
        .collect()
}

/// The table gives each port that compose publishes for people, and no line names another.
fn check_ports(page: &SourceFile, compose: &Value) -> Vec<Fault> {
    let of_nodes = |index: usize| (1..=NODES).map(move |node| published(node)[index].0);
    let mut rows: Vec<(&str, Vec<u32>)> = vec![
        ("| public API", of_nodes(0).collect()),
        ("| cluster and admin API", of_nodes(1).collect()),
    ];
    let mut all: BTreeSet<u32> = rows.iter().flat_map(|(_, ports)| ports.clone()).collect();
    for (row, names) in BESIDE {
        let ports = names.iter().map(|name| published_beside(compose, name));
        // Of several, the first is the one for people.
        rows.push((
            row,
            ports
                .clone()
                .filter_map(|ports| ports.first().copied())
                .collect(),
        ));
        all.extend(ports.flatten());
    }
    let mut faults = Vec::new();
    for (start, wanted) in rows {
        let row = page.text.lines().find(|line| line.starts_with(start));
        let said = local_ports(row.unwrap_or_default());
        if said != wanted {
            faults.push(Fault::of(
                PAGE,
                format!("row `{start}` gives {said:?}; compose publishes {wanted:?}"),
            ));
        }
    }
    for (index, line) in page.text.lines().enumerate() {
        for port in local_ports(line).iter().filter(|port| !all.contains(port)) {
            faults.push(Fault::at(
                page,
                index + 1,
                format!("compose publishes no {port}"),
            ));
        }
    }
    faults
}

/// Names as they stand in a text: letters, digits, hyphens.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .map(|word| word.trim_end_matches('-'))
}

/// Nodes and their services are those of compose, and the four of a node are named.
fn check_nodes(page: &SourceFile, compose: &Value) -> Vec<Fault> {
    let known = services(compose);
    let numbered = |word: &&str| {
        word.strip_prefix("node")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let said: BTreeSet<&str> = words(&page.text).filter(numbered).collect();
    let strange = said
        .iter()
        .filter(|word| !known.iter().any(|name| name == *word))
        .map(|word| Fault::of(PAGE, format!("compose has no {word}")));
    let missing = SERVICES
        .iter()
        .map(|service| format!("node1-{service}"))
        .filter(|name| !said.contains(name.as_str()))
        .map(|name| Fault::of(PAGE, format!("{name} is not named")));
    strange.chain(missing).collect()
}

/// What compose takes from the environment of whoever runs it is explained on one of the pages.
fn check_variables(
    house: &House,
    page: &SourceFile,
    compose: &SourceFile,
) -> Result<Vec<Fault>, Fault> {
    let settings = house.need(variables::PAGE)?;
    let taken: BTreeSet<&str> = compose
        .text
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split([':', '-', '}']).next())
        .collect();
    Ok(taken
        .into_iter()
        .filter(|name| !page.text.contains(name) && !settings.text.contains(name))
        .map(|name| {
            Fault::of(
                PAGE,
                format!("{name}, which compose takes, is explained nowhere"),
            )
        })
        .collect())
}

/// Names that begin with `stemedb-` are binaries, objects of the manifests, pods or labels.
fn check_names(house: &House, page: &SourceFile, compose: &Value) -> Result<Vec<Fault>, Fault> {
    let set = set(house)?;
    let replicas = set["replicas"].as_u64().unwrap_or_default();
    let mut known: BTreeSet<String> = SERVICES
        .iter()
        .map(|service| format!("stemedb-{service}"))
        .chain((0..replicas).map(|pod| format!("stemedb-{pod}")))
        .collect();
    let mut objects = Vec::new();
    for service in documents(house.need(k8s::SERVICES)?)? {
        objects.push(text(&service["metadata"]["name"]).to_owned());
    }
    let policy = document(house.need("k8s/base/networkpolicy.yaml")?)?;
    for rule in list(&policy["spec"]["ingress"]) {
        for from in list(&rule["from"]) {
            let labels = from["namespaceSelector"]["matchLabels"].as_object();
            objects.extend(labels.into_iter().flatten().map(|(label, _)| label.clone()));
        }
    }
    known.extend(objects.iter().cloned());
    let base = document(house.need("k8s/base/kustomization.yaml")?)?;
    let maps = list(&base["configMapGenerator"]).iter();
    known.extend(maps.map(|map| text(&map["name"]).to_owned()));
    known.extend(services(compose));
    let said: BTreeSet<&str> = words(&page.text)
        .filter(|word| word.starts_with("stemedb-"))
        .collect();
    let strange = said
        .iter()
        .filter(|word| !known.contains(**word))
        .map(|word| Fault::of(PAGE, format!("nothing is called {word}")));
    let missing = objects
        .iter()
        .filter(|name| !said.contains(name.as_str()))
        .map(|name| Fault::of(PAGE, format!("{name} is not named")));
    Ok(strange.chain(missing).collect())
}

/// What the page must say, made of what the manifests say.
fn check_sentences(house: &House, page: &SourceFile) -> Result<Vec<Fault>, Fault> {
    let pod = pod(house)?;
    let namespace = text(&base(house)?["namespace"]).to_owned();
    let secret = &named(&pod["volumes"], "secret")["secret"];
    let gateway = &named(&pod["containers"], "gateway")["lifecycle"]["preStop"];
    let list = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let (public, admin) = (OUTWARD[0].1[0], OUTWARD[0].1[1]);
    let (store, swim) = (OUTWARD[1].1[0], OUTWARD[2].1[0]);
    let sentences = [
        format!("containers {}", list(&SERVICES)),
        format!("create namespace {namespace}"),
        format!(
            "create secret generic {} --namespace {namespace} --from-literal={}=",
            text(&secret["secretName"]),
            text(&secret["items"][0]["key"])
        ),
        format!("stop sending to it ({} s)", gateway["sleep"]["seconds"]),
        format!("{} s are enough", pod["terminationGracePeriodSeconds"]),
        format!("port {public} for the public API"),
        format!("{admin} for that and the cluster and admin API"),
        format!("lets {admin} be reached from the namespace `{namespace}`"),
        format!("{store} and {swim} only among the pods"),
        format!("service/stemedb-gateway {public} {admin}"),
        format!("--url http://127.0.0.1:{admin}"),
        "--profile metrics".to_owned(),
    ];
    // Prose is wrapped.
    let flat: Vec<&str> = page.text.split_whitespace().collect();
    let flat = flat.join(" ");
    Ok(sentences
        .into_iter()
        .filter(|sentence| !flat.contains(sentence))
        .map(|sentence| Fault::of(PAGE, format!("does not say `{sentence}`, as it is")))
        .collect())
}

/// `section.name` in a document is a setting, when the section is one of settings.
fn check_keys(house: &House) -> Result<Vec<Fault>, Fault> {
    let known = k8s::settings::known_keys(house)?;
    let sections: BTreeSet<&str> = known
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0))
        .collect();
    let mut faults = Vec::new();
    for file in house
        .ending("md")
        .filter(|file| file.path.starts_with("docs/"))
    {
        for (index, line) in file.text.lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2) {
                let key = word.split_once('.').is_some_and(|(section, name)| {
                    sections.contains(section)
                        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                });
                if key && !known.contains(word) {
                    faults.push(Fault::at(file, index + 1, format!("{word} is no setting")));
                }
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
    fn another_port_or_name_is_found() {
        let file = compose::PATH;
        notices(
            check,
            &[
                (
                    PAGE,
                    "`localhost:18281`",
                    "`localhost:18283`",
                    "row `| cluster and admin API`",
                ),
                (
                    PAGE,
                    "`localhost:16686`",
                    "`localhost:16687`",
                    "row `| traces`",
                ),
                (
                    file,
                    "127.0.0.1:9090:",
                    "127.0.0.1:9091:",
                    "row `| metrics`",
                ),
                (
                    PAGE,
                    "curl -s localhost:18180",
                    "curl -s localhost:8080",
                    "compose publishes no 8080",
                ),
                (
                    PAGE,
                    "kill node2-store",
                    "kill node2-shop",
                    "compose has no node2-shop",
                ),
                (
                    PAGE,
                    "start node2-store",
                    "start node4-store",
                    "compose has no node4-store",
                ),
                (
                    file,
                    "${STEMEDB_LOG:",
                    "${DETAIL:",
                    "DETAIL, which compose takes",
                ),
                (
                    PAGE,
                    "`stemedb-store live`",
                    "`stemedb-shop live`",
                    "nothing is called stemedb-shop",
                ),
                (
                    k8s::SERVICES,
                    "name: stemedb-headless",
                    "name: stemedb-pods",
                    "stemedb-pods is not named",
                ),
                (
                    "k8s/base/networkpolicy.yaml",
                    "stemedb-admin: allowed",
                    "stemedb-operator: allowed",
                    "stemedb-operator is not named",
                ),
                (
                    PAGE,
                    "`replication.rebalance_delay_s`",
                    "`replication.rebalance_delay`",
                    "replication.rebalance_delay is no setting",
                ),
            ],
        );
    }

    #[test]
    fn another_time_or_place_is_found() {
        let base = "k8s/base/kustomization.yaml";
        notices(
            check,
            &[
                (
                    k8s::SET,
                    "preStop: { sleep: { seconds: 5 } }",
                    "preStop: { sleep: { seconds: 4 } }",
                    "stop sending to it (4 s)",
                ),
                (
                    k8s::SET,
                    "terminationGracePeriodSeconds: ",
                    "terminationGracePeriodSeconds: 60 # ",
                    "60 s are enough",
                ),
                (
                    k8s::SET,
                    "secretName: stemedb",
                    "secretName: keys",
                    "create secret generic keys",
                ),
                (
                    base,
                    "namespace: stemedb",
                    "namespace: claims",
                    "create namespace claims",
                ),
                (
                    PAGE,
                    "18182 and 18183 only",
                    "18183 only",
                    "18182 and 18183 only among the pods",
                ),
                (
                    PAGE,
                    "containers `gateway`, ",
                    "containers ",
                    "containers `gateway`",
                ),
            ],
        );
    }
}
