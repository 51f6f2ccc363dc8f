//! The doors of a pod: what the containers open, the image declares, the Services lead to and the NetworkPolicy lets in.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{SERVICES, SET, named, pod, service};
use crate::house::differs;
use crate::ports::OUTWARD;
use crate::yaml::{document, documents, list, text};
use crate::{Fault, House};

/// The policy of the base.
const POLICY: &str = "k8s/base/networkpolicy.yaml";

/// Ports with their protocol, as `18183/UDP`.
type Ports = BTreeSet<String>;

/// What a service opens outward. SWIM speaks both protocols.
fn opened(service: &str) -> Ports {
    let ports = OUTWARD
        .iter()
        .find(|(name, _)| *name == service)
        .map_or(&[] as &[u32], |(_, ports)| ports);
    let mut opened: Ports = ports.iter().map(|port| format!("{port}/TCP")).collect();
    if service == "membership" {
        opened.extend(ports.iter().map(|port| format!("{port}/UDP")));
    }
    opened
}

/// What a node opens outward.
fn opened_by_all() -> Ports {
    OUTWARD
        .iter()
        .flat_map(|(service, _)| opened(service))
        .collect()
}

/// The ports of a list of objects; the protocol is TCP when none is given.
fn ports(entries: &Value, key: &str) -> Ports {
    list(entries)
        .iter()
        .map(|entry| {
            let protocol = entry["protocol"].as_str().unwrap_or("TCP");
            format!("{}/{protocol}", entry[key])
        })
        .collect()
}

/// All name the same ports, and let in whom the ports are for.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let pod = pod(house)?;
    let mut faults = check_image(house)?;
    for container in list(&pod["containers"]) {
        let name = text(&container["name"]);
        faults.extend(differs(
            SET,
            format!("ports of {name}"),
            &json!(ports(&container["ports"], "containerPort")),
            &json!(opened(name)),
        ));
    }
    for (name, wanted) in [
        ("stemedb-headless", opened_by_all()),
        ("stemedb-gateway", opened("gateway")),
    ] {
        faults.extend(check_service(&service(house, name)?, &wanted, &pod));
    }
    faults.extend(check_policy(&document(house.need(POLICY)?)?));
    faults.extend(check_more_policies(house)?);
    Ok(faults)
}

/// EXPOSE of the image.
fn check_image(house: &House) -> Result<Vec<Fault>, Fault> {
    let docker = house.need("Dockerfile")?;
    let exposed: Ports = docker
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("EXPOSE "))
        .flat_map(str::split_whitespace)
        .map(str::to_uppercase)
        .collect();
    let wanted = json!(opened_by_all());
    Ok(differs(&docker.path, "EXPOSE", &json!(exposed), &wanted)
        .into_iter()
        .collect())
}

/// A Service has its ports, and each leads to the container port of that number.
fn check_service(service: &Value, wanted: &Ports, pod: &Value) -> Vec<Fault> {
    let name = text(&service["metadata"]["name"]);
    let entries = &service["spec"]["ports"];
    let mut faults = Vec::new();
    faults.extend(differs(
        SERVICES,
        format!("ports of {name}"),
        &json!(ports(entries, "port")),
        &json!(wanted),
    ));
    for entry in list(entries) {
        let target = list(&pod["containers"])
            .iter()
            .map(|container| named(&container["ports"], text(&entry["targetPort"])))
            .find(|port| !port.is_null())
            .unwrap_or(&Value::Null);
        let found = ports(&json!([target]), "containerPort");
        let said = ports(&json!([entry]), "port");
        faults.extend(differs(
            SERVICES,
            format!("targetPort of {} in {name}", entry["name"]),
            &json!(found),
            &json!(said),
        ));
    }
    faults
}

/// 18180 for everybody, 18181 from inside, gRPC and SWIM among the pods, in and out; nothing else gets in.
fn check_policy(policy: &Value) -> Vec<Fault> {
    let peers: Ports = ["store", "membership"]
        .iter()
        .flat_map(|service| opened(service))
        .collect();
    let (_, gateway) = OUTWARD[0];
    let pods =
        json!([{ "podSelector": { "matchLabels": { "app.kubernetes.io/name": "stemedb" } } }]);
    let inside = json!([
        { "podSelector": {} },
        { "namespaceSelector": { "matchLabels": { "stemedb-admin": "allowed" } } },
    ]);
    let rule = |from: &Value, ports: &Ports| json!({ "from": from, "ports": ports });
    let wanted = json!([
        rule(&Value::Null, &Ports::from([format!("{}/TCP", gateway[0])])),
        rule(&inside, &Ports::from([format!("{}/TCP", gateway[1])])),
        rule(&pods, &peers),
    ]);
    let said: Vec<Value> = list(&policy["spec"]["ingress"])
        .iter()
        .map(|said| rule(&said["from"], &ports(&said["ports"], "port")))
        .collect();
    let out: Vec<Value> = list(&policy["spec"]["egress"])
        .iter()
        .filter(|said| said["to"] == pods)
        .map(|said| json!(ports(&said["ports"], "port")))
        .collect();
    differs(POLICY, "what it lets in", &json!(said), &wanted)
        .into_iter()
        .chain(differs(
            POLICY,
            "what it lets out to pods",
            &json!(out),
            &json!([peers]),
        ))
        .collect()
}

/// A policy that an overlay adds lets somebody named reach a gateway, and nobody anything else.
fn check_more_policies(house: &House) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    for file in house
        .ending("yaml")
        .filter(|file| file.path.starts_with("k8s/overlays/"))
    {
        for policy in documents(file)? {
            if policy["kind"] != "NetworkPolicy" {
                continue;
            }
            for rule in list(&policy["spec"]["ingress"]) {
                let ports = ports(&rule["ports"], "port");
                let gateway = opened("gateway");
                if list(&rule["from"]).is_empty() || ports.is_empty() || !ports.is_subset(&gateway)
                {
                    faults.push(Fault::of(
                        &file.path,
                        format!(
                            "lets {} reach {ports:?}: name who, and ports of {gateway:?}",
                            rule["from"]
                        ),
                    ));
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
    fn a_port_that_one_of_them_lacks_is_found() {
        notices(
            check,
            &[
                ("Dockerfile", " 18183/udp", "", "EXPOSE"),
                (
                    SET,
                    "containerPort: 18182",
                    "containerPort: 18183",
                    "ports of store",
                ),
                (
                    SET,
                    "containerPort: 18183, protocol: UDP",
                    "containerPort: 18183",
                    "ports of membership",
                ),
                (
                    SERVICES,
                    "{ name: rpc, port: 18182, targetPort: rpc }",
                    "{ name: rpc, port: 18181, targetPort: rpc }",
                    "ports of stemedb-headless",
                ),
                (
                    SERVICES,
                    "targetPort: rpc",
                    "targetPort: grpc",
                    "targetPort of \"rpc\"",
                ),
                (
                    SERVICES,
                    "port: 18180, targetPort: api",
                    "port: 18180, targetPort: admin",
                    "targetPort of \"api\"",
                ),
                (
                    SERVICES,
                    "name: stemedb-headless",
                    "name: stemedb-pods",
                    "no Service stemedb-headless",
                ),
            ],
        );
    }

    #[test]
    fn a_door_that_is_open_to_others_is_found() {
        let more = "k8s/overlays/seed/networkpolicy.yaml";
        notices(
            check,
            &[
                (POLICY, "port: 18180,", "port: 18181,", "what it lets in"),
                (
                    POLICY,
                    "    - from:\n        - podSelector: {}\n",
                    "    - from:\n        - namespaceSelector: {}\n",
                    "what it lets in",
                ),
                (
                    POLICY,
                    "    # gRPC and SWIM: among the pods.\n    - from: &pods",
                    "    - to: &pods",
                    "what it lets in",
                ),
                (
                    POLICY,
                    "stemedb-admin: allowed",
                    "stemedb-admin: yes",
                    "what it lets in",
                ),
                (
                    POLICY,
                    "ports: *peers",
                    "ports: [{ port: 18182, protocol: TCP }]",
                    "what it lets out to pods",
                ),
                (more, "port: 18181", "port: 18182", "18182/TCP"),
                (more, "- from:", "- nobody:", "lets null reach"),
            ],
        );
    }
}
