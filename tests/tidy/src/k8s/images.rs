//! One image: the same name in compose and pods, the workspace's version as its tag, a binary for every service in it.

use serde_json::{Value, json};

use super::{SET, kustomizations, named, pod};
use crate::compose;
use crate::drains::SERVICES;
use crate::house::differs;
use crate::yaml::{document, list};
use crate::{Fault, House};

/// What compose builds and pods run.
const IMAGE: &str = "stemedb";

/// Tags that are no version: the kustomization and why.
const OTHER_TAGS: [(&str, &str, &str); 1] = [(
    "k8s/overlays/dev",
    "dev",
    "built on the spot and loaded into a laptop's cluster; a version would promise more",
)];

/// The image's name, tags and binaries are the same wherever they are said.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let pod = pod(house)?;
    let compose = document(house.need(compose::PATH)?)?;
    let version = json!(version(house)?);
    let mut faults = Vec::new();
    for container in list(&pod["containers"]) {
        let what = format!("image of {}", container["name"]);
        faults.extend(differs(SET, what, &container["image"], &json!(IMAGE)));
    }
    for service in SERVICES {
        let name = format!("node1-{service}");
        let said = &compose["services"][&name]["image"];
        faults.extend(differs(
            compose::PATH,
            format!("image of {name}"),
            said,
            &json!(IMAGE),
        ));
    }
    for (directory, kustomization) in kustomizations(house)? {
        let other = OTHER_TAGS.iter().find(|(path, ..)| *path == directory);
        let wanted = other.map_or(version.clone(), |(_, tag, _)| json!(tag));
        let said = &named(&kustomization["images"], IMAGE)["newTag"];
        let path = format!("{directory}/kustomization.yaml");
        faults.extend(differs(&path, format!("tag of {IMAGE}"), said, &wanted));
    }
    faults.extend(check_binaries(house)?);
    Ok(faults)
}

/// The version of the workspace.
fn version(house: &House) -> Result<String, Fault> {
    let manifest = house.need("Cargo.toml")?;
    let table: toml::Table = manifest
        .text
        .parse()
        .map_err(|error| Fault::of(&manifest.path, format!("not TOML: {error}")))?;
    let version = json!(table)["workspace"]["package"]["version"].take();
    match version {
        Value::String(version) => Ok(version),
        _ => Err(Fault::of(&manifest.path, "no workspace.package.version")),
    }
}

/// The image has a name for each service that the code knows, which are the services of these rules.
fn check_binaries(house: &House) -> Result<Vec<Fault>, Fault> {
    let docker = format!("for service in {}; do", SERVICES.join(" "));
    let code = format!("SERVICES: [&str; 4] = {SERVICES:?};");
    let mut faults = Vec::new();
    for (path, words) in [
        ("Dockerfile", docker),
        ("crates/sidecar/src/settings.rs", code),
    ] {
        if !house.need(path)?.text.contains(&words) {
            faults.push(Fault::of(path, format!("no `{words}`")));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn another_image_is_found() {
        let dev = "k8s/overlays/dev/kustomization.yaml";
        notices(
            check,
            &[
                (
                    SET,
                    "image: stemedb\n",
                    "image: stemedb:1\n",
                    "image of \"gateway\"",
                ),
                (
                    compose::PATH,
                    "image: stemedb\n",
                    "image: stemedb:1\n",
                    "image of node1-store",
                ),
                (
                    "Cargo.toml",
                    "\nversion = \"",
                    "\nversion = \"9.",
                    "tag of stemedb",
                ),
                (
                    "k8s/base/kustomization.yaml",
                    "newTag: ",
                    "newTag: 9.",
                    "tag of stemedb",
                ),
                (
                    "k8s/overlays/seed/kustomization.yaml",
                    "newTag: ",
                    "newTag: 9.",
                    "tag of stemedb",
                ),
                (dev, "newTag: dev", "newTag: latest", "not \"dev\""),
                (
                    "Dockerfile",
                    "in gateway store",
                    "in gateway",
                    "no `for service in gateway store",
                ),
                (
                    "crates/sidecar/src/settings.rs",
                    "[\"gateway\", ",
                    "[\"door\", ",
                    "no `SERVICES",
                ),
            ],
        );
    }
}
