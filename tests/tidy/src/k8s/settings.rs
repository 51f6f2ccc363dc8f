//! The settings files of the manifests: keys that exist, paths that are mounted, as many nodes as there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::mounts::{FILE, Mounts};
use super::{base, kustomizations, named, set};
use crate::house::differs;
use crate::ports::OUTWARD;
use crate::yaml::text;
use crate::{Fault, House};

/// Where the settings are declared.
const TABLE: &str = "crates/sidecar/src/settings/table.rs";

/// Every key is a setting, every path a mount, and the nodes are those of the StatefulSet.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let mounts = Mounts::read(house)?;
    let known = known_keys(house)?;
    let mut faults = Vec::new();
    for (directory, kustomization) in kustomizations(house)? {
        let path = format!("{directory}/{FILE}");
        let file = house.need(&path)?;
        let settings: toml::Table = file
            .text
            .parse()
            .map_err(|error| Fault::of(&path, format!("not TOML: {error}")))?;
        let settings = json!(settings);
        faults.extend(check_keys(&path, &settings, &known));
        faults.extend(check_paths(&path, &settings, &mounts));
        faults.extend(check_nodes(house, &path, &settings, &kustomization)?);
        let map = named(&kustomization["configMapGenerator"], &mounts.map);
        faults.extend(differs(
            &format!("{directory}/kustomization.yaml"),
            format!("files of ConfigMap {}", mounts.map),
            &map["files"],
            &json!([FILE]),
        ));
    }
    Ok(faults)
}

/// `section.name` of every entry of the settings table.
pub(crate) fn known_keys(house: &House) -> Result<BTreeSet<String>, Fault> {
    let table = house.need(TABLE)?;
    let keys: BTreeSet<String> = table
        .text
        .split("entry(")
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect();
    match keys.is_empty() {
        true => Err(Fault::of(
            TABLE,
            "no `entry(\"section.name\", …`, which tests/tidy reads",
        )),
        false => Ok(keys),
    }
}

fn check_keys(path: &str, settings: &Value, known: &BTreeSet<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (section, entries) in settings.as_object().into_iter().flatten() {
        for name in entries
            .as_object()
            .into_iter()
            .flat_map(|entries| entries.keys())
        {
            let key = format!("{section}.{name}");
            if !known.contains(&key) {
                faults.push(Fault::of(path, format!("{key} is no setting")));
            }
        }
    }
    faults
}

fn check_paths(path: &str, settings: &Value, mounts: &Mounts) -> Vec<Fault> {
    [
        ("/cluster/secret_file", &mounts.secret_file),
        ("/storage/data_dir", &mounts.data),
    ]
    .iter()
    .filter_map(|(key, wanted)| {
        let said = settings.pointer(key).unwrap_or(&Value::Null);
        differs(path, key, said, &json!(wanted))
    })
    .collect()
}

/// The seeds are the pods by name, and a cluster forms of all of them; a node that is alone has none.
fn check_nodes(
    house: &House,
    path: &str,
    settings: &Value,
    kustomization: &Value,
) -> Result<Vec<Fault>, Fault> {
    let set = set(house)?;
    let name = "stemedb";
    let changed = &named(&kustomization["replicas"], name)["count"];
    let replicas = changed.as_u64().or(set["replicas"].as_u64()).unwrap_or(1);
    let cluster = &settings["cluster"];
    if cluster["enabled"] == json!(false) {
        let alone = [
            (
                "replicas beside cluster.enabled = false",
                json!(replicas),
                json!(1),
            ),
            ("cluster.seeds", cluster["seeds"].clone(), Value::Null),
        ];
        return Ok(alone
            .iter()
            .filter_map(|(what, said, wanted)| differs(path, what, said, wanted))
            .collect());
    }
    let (_, store) = OUTWARD[1];
    let namespace = text(&base(house)?["namespace"]).to_owned();
    let seeds: Vec<String> = (0..replicas)
        .map(|pod| {
            let service = text(&set["serviceName"]);
            format!(
                "{name}-{pod}.{service}.{namespace}.svc.cluster.local:{}",
                store[0]
            )
        })
        .collect();
    let mut faults: Vec<Fault> = [
        ("seeds", json!(seeds)),
        ("bootstrap_expect", json!(replicas)),
    ]
    .iter()
    .filter_map(|(key, wanted)| differs(path, format!("cluster.{key}"), &cluster[*key], wanted))
    .collect();
    let factor = settings["replication"]["factor"].as_u64().unwrap_or(2);
    if factor > replicas {
        faults.push(Fault::of(
            path,
            format!("replication.factor is {factor} with {replicas} nodes"),
        ));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;
    use crate::k8s::SET;

    const SETTINGS: &str = "k8s/base/config.toml";
    const SEED: &str = "k8s/overlays/seed/config.toml";
    const DEV: &str = "k8s/overlays/dev/config.toml";

    #[test]
    fn a_key_that_is_no_setting_is_found() {
        notices(
            check,
            &[
                (
                    SETTINGS,
                    "num_shards",
                    "shards",
                    "cluster.shards is no setting",
                ),
                (DEV, "[storage]", "[store]", "store.data_dir is no setting"),
                (
                    TABLE,
                    "\"log.format\"",
                    "\"log.shape\"",
                    "log.format is no setting",
                ),
                (
                    TABLE,
                    "entry(\n        \"log.filter\"",
                    "entry(\n        \"log.level\"",
                    "log.filter is no setting",
                ),
            ],
        );
    }

    #[test]
    fn a_path_that_is_not_mounted_is_found() {
        notices(
            check,
            &[
                (
                    SETTINGS,
                    "/run/secrets/stemedb/",
                    "/run/secrets/",
                    "/cluster/secret_file",
                ),
                (
                    SEED,
                    "data_dir = \"/data\"",
                    "data_dir = \"/stemedb\"",
                    "/storage/data_dir",
                ),
                (
                    SET,
                    "path: cluster-secret }",
                    "path: secret }",
                    "/cluster/secret_file",
                ),
                (
                    "k8s/base/kustomization.yaml",
                    "name: stemedb-config",
                    "name: settings",
                    "files of ConfigMap",
                ),
            ],
        );
    }

    #[test]
    fn another_number_of_nodes_is_found() {
        notices(
            check,
            &[
                (SET, "replicas: 3", "replicas: 4", "cluster.seeds"),
                (
                    SET,
                    "serviceName: stemedb-headless",
                    "serviceName: stemedb",
                    "cluster.seeds",
                ),
                (
                    "k8s/base/kustomization.yaml",
                    "namespace: stemedb",
                    "namespace: other",
                    "cluster.seeds",
                ),
                (
                    SETTINGS,
                    "stemedb-2.stemedb-headless",
                    "stemedb-3.stemedb-headless",
                    "cluster.seeds",
                ),
                (
                    SETTINGS,
                    "bootstrap_expect = 3",
                    "bootstrap_expect = 2",
                    "cluster.bootstrap_expect",
                ),
                (
                    SEED,
                    "factor = 2",
                    "factor = 4",
                    "replication.factor is 4 with 3 nodes",
                ),
                (
                    "k8s/overlays/dev/kustomization.yaml",
                    "count: 1",
                    "count: 2",
                    "replicas beside",
                ),
                (DEV, "enabled = false", "enabled = true", "cluster.seeds"),
            ],
        );
    }
}
