//! The manifests: pods, ports, settings and images agree with the code, with the image and among themselves.
//!
//! What is read is the base and what the overlays change of it, not what kustomize makes of both:
//! `tests/deploy/manifests.sh` renders them and needs more than a Rust toolchain.

use serde_json::Value;

use crate::yaml::{document, documents, list, text};
use crate::{Fault, House};

pub mod images;
pub mod mounts;
pub mod pods;
pub mod ports;
pub mod settings;

/// The kustomization that others build on.
pub(crate) const BASE: &str = "k8s/base";

/// The one StatefulSet.
pub(crate) const SET: &str = "k8s/base/statefulset.yaml";

/// Services.
pub(crate) const SERVICES: &str = "k8s/base/services.yaml";

/// Directories with a kustomization, by path: the base, then the overlays.
pub(crate) fn kustomizations(house: &House) -> Result<Vec<(String, Value)>, Fault> {
    house
        .ending("yaml")
        .filter_map(|file| Some((file, file.path.strip_suffix("/kustomization.yaml")?)))
        .map(|(file, directory)| Ok((directory.to_owned(), document(file)?)))
        .collect()
}

/// The kustomization of the base.
pub(crate) fn base(house: &House) -> Result<Value, Fault> {
    document(house.need(&format!("{BASE}/kustomization.yaml"))?)
}

/// The specification of the StatefulSet.
pub(crate) fn set(house: &House) -> Result<Value, Fault> {
    Ok(document(house.need(SET)?)?["spec"].take())
}

/// The specification of the pods in it.
pub(crate) fn pod(house: &House) -> Result<Value, Fault> {
    Ok(set(house)?["template"]["spec"].take())
}

/// The object of a list that has this name; null when none has.
pub(crate) fn named<'a>(entries: &'a Value, name: &str) -> &'a Value {
    list(entries)
        .iter()
        .find(|entry| text(&entry["name"]) == name)
        .unwrap_or(&Value::Null)
}

/// The names in a list of objects.
pub(crate) fn names(entries: &Value) -> Vec<&str> {
    list(entries)
        .iter()
        .map(|entry| text(&entry["name"]))
        .collect()
}

/// A Service of the base.
pub(crate) fn service(house: &House, name: &str) -> Result<Value, Fault> {
    documents(house.need(SERVICES)?)?
        .into_iter()
        .find(|service| text(&service["metadata"]["name"]) == name)
        .ok_or_else(|| Fault::of(SERVICES, format!("no Service {name}")))
}
