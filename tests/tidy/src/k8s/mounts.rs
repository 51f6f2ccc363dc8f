//! What the containers find where: settings, secret and data, the same for all who have them.

use serde_json::json;

use super::{BASE, SET, named, names, set};
use crate::compose::data_directory;
use crate::drains::SERVICES;
use crate::house::differs;
use crate::yaml::{documents, list, text};
use crate::{Fault, House};

/// The file that a ConfigMap holds.
pub(crate) const FILE: &str = "config.toml";

/// The ConfigMap of `OTEL_` variables.
const TRACES: &str = "stemedb-traces";

/// Where a container finds its things.
#[derive(Debug)]
pub(crate) struct Mounts {
    /// Name of the ConfigMap.
    pub(crate) map: String,
    /// Path of the settings file.
    pub(crate) config: String,
    /// Name of the Secret.
    pub(crate) secret: String,
    /// Key in it.
    pub(crate) key: String,
    /// Path of the file with the secret.
    pub(crate) secret_file: String,
    /// Directory of the data.
    pub(crate) data: String,
}

impl Mounts {
    /// As the store has them, which has all.
    pub(crate) fn read(house: &House) -> Result<Mounts, Fault> {
        let pod = super::pod(house)?;
        let store = &named(&pod["containers"], "store")["volumeMounts"];
        let path = |volume: &str| text(&named(store, volume)["mountPath"]);
        let secret = &named(&pod["volumes"], "secret")["secret"];
        let item = &secret["items"][0];
        Ok(Mounts {
            map: text(&named(&pod["volumes"], "config")["configMap"]["name"]).to_owned(),
            config: format!("{}/{FILE}", path("config")),
            secret: text(&secret["secretName"]).to_owned(),
            key: text(&item["key"]).to_owned(),
            secret_file: format!("{}/{}", path("secret"), text(&item["path"])),
            data: path("data").to_owned(),
        })
    }
}

/// Containers have what they need where they look for it, and the Secret is made under the name that is mounted.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let mounts = Mounts::read(house)?;
    let mut faults = check_containers(house, &mounts)?;
    faults.extend(check_secrets(house, &mounts)?);
    Ok(faults)
}

/// Every container has the same mounts, but that only who writes has the data; and is told where its settings are.
fn check_containers(house: &House, mounts: &Mounts) -> Result<Vec<Fault>, Fault> {
    let set = set(house)?;
    let containers = &set["template"]["spec"]["containers"];
    let mut faults = Vec::new();
    for service in SERVICES {
        let container = named(containers, service);
        let wanted: &[&str] = match service {
            "store" | "membership" => &["config", "secret", "data"],
            _ => &["config", "secret"],
        };
        for (what, said, wanted) in [
            (
                "volumes",
                json!(names(&container["volumeMounts"])),
                json!(wanted),
            ),
            (
                "STEMEDB_CONFIG",
                named(&container["env"], "STEMEDB_CONFIG")["value"].clone(),
                json!(mounts.config),
            ),
            // Made by the kustomization; whoever lacks it sends no traces.
            (
                "envFrom",
                container["envFrom"].clone(),
                json!([{ "configMapRef": { "name": TRACES } }]),
            ),
        ] {
            faults.extend(differs(SET, format!("{what} of {service}"), &said, &wanted));
        }
        for mount in list(&container["volumeMounts"]) {
            let store = &named(containers, "store")["volumeMounts"];
            let same = named(store, text(&mount["name"]));
            faults.extend(differs(SET, format!("a mount of {service}"), mount, same));
        }
    }
    let claim = &set["volumeClaimTemplates"][0]["metadata"]["name"];
    faults.extend(differs(SET, "the claimed volume", claim, &json!("data")));
    let image = json!(data_directory(house)?);
    faults.extend(differs(
        SET,
        "the mount of data",
        &json!(mounts.data),
        &image,
    ));
    Ok(faults)
}

/// Whoever makes the Secret makes the one that is mounted: an overlay's generator, an ExternalSecret.
fn check_secrets(house: &House, mounts: &Mounts) -> Result<Vec<Fault>, Fault> {
    let wanted = json!([mounts.secret, mounts.key]);
    let mut made = Vec::new();
    for file in house
        .ending("yaml")
        .filter(|file| file.path.starts_with("k8s/") && !file.path.starts_with(BASE))
    {
        for document in documents(file)? {
            for generator in list(&document["secretGenerator"]) {
                let literal = text(&generator["literals"][0]);
                let key = literal.split('=').next().unwrap_or_default();
                made.push((&file.path, json!([generator["name"], key])));
            }
            if document["kind"] == "ExternalSecret" {
                let spec = &document["spec"];
                made.push((
                    &file.path,
                    json!([spec["target"]["name"], spec["data"][0]["secretKey"]]),
                ));
            }
        }
    }
    Ok(made
        .iter()
        .filter_map(|(path, said)| differs(path, "the Secret and its key", said, &wanted))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn a_thing_that_is_not_where_it_is_looked_for_is_found() {
        notices(
            check,
            &[
                (
                    SET,
                    "value: /etc/stemedb/config.toml",
                    "value: /etc/config.toml",
                    "STEMEDB_CONFIG of gateway",
                ),
                (
                    SET,
                    "mountPath: /data",
                    "mountPath: /var",
                    "the mount of data",
                ),
                (
                    SET,
                    "            - *secret\n            - *data\n",
                    "            - *secret\n",
                    "volumes of membership",
                ),
                (
                    SET,
                    "        name: data\n",
                    "        name: disk\n",
                    "the claimed volume",
                ),
                (
                    "k8s/overlays/dev/kustomization.yaml",
                    "cluster-secret=",
                    "secret=",
                    "the Secret and its key",
                ),
                (
                    "k8s/overlays/seed/externalsecret.yaml",
                    "secretKey: cluster-secret",
                    "secretKey: secret",
                    "the Secret and its key",
                ),
            ],
        );
    }
}
