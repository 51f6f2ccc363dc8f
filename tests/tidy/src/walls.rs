//! Who may import whom (ARCHITECTURE.md, "The house").

use std::collections::BTreeMap;

use crate::{Fault, SourceFile};

/// Kinds of dependency tables of a manifest.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Pure crates and the workspace crates that each may use.
const PURE: [(&str, &[&str]); 4] = [
    ("assertion", &[]),
    ("lens", &["assertion"]),
    ("shard", &[]),
    ("merkle", &[]),
];

/// The only crates from the registry that pure crates may use: none of them has a clock, a socket or a disk.
const PURE_EXTERNAL: [&str; 8] = [
    "blake3",
    "ed25519-dalek",
    "libm",
    "ryu-js",
    "serde",
    "serde_json",
    "thiserror",
    "bytes",
];

/// Services: libraries that never know each other.
const SERVICES: [&str; 4] = [
    "stemedb-antientropy",
    "stemedb-gateway",
    "stemedb-membership",
    "stemedb-store",
];

/// Crates of tests/, and the bench: nothing imports them, but that the bench and chaos run the nodes of e2e.
const TESTS: [&str; 6] = ["chaos", "e2e", "fuzz", "sim", "tidy", "bench"];

/// Registry crates that stay in one room: (how the name starts, who may have it, why).
const ROOMS: [(&str, &[&str], &str); 7] = [
    ("sqlx", &["stemedb-store"], "only the store touches SQLite"),
    (
        "axum",
        &["stemedb-gateway", "sidecar"],
        "HTTP belongs to the gateway; sidecar serves every service's /metrics with it",
    ),
    (
        "memberlist",
        &["stemedb-membership"],
        "SWIM is membership's",
    ),
    (
        "openraft",
        &["stemedb-store"],
        "the admin log is the store's",
    ),
    ("opentelemetry", &["sidecar"], "telemetry is assembled once"),
    (
        "tracing-opentelemetry",
        &["sidecar"],
        "telemetry is assembled once",
    ),
    (
        "opentelemetry-http",
        &["sidecar"],
        "telemetry is assembled once",
    ),
];

/// A workspace crate as its manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Path of the manifest.
    pub path: String,
    /// Package name.
    pub name: String,
    /// Dependency names by table.
    pub uses: BTreeMap<&'static str, Vec<String>>,
    /// Whether it takes the lints of the workspace.
    pub workspace_lints: bool,
}

/// Reads a manifest; `None` for one without a package (the workspace's own).
///
/// # Errors
/// When it is not TOML.
pub fn parse(file: &SourceFile) -> Result<Option<Manifest>, Fault> {
    let table: toml::Table = file
        .text
        .parse()
        .map_err(|error| Fault::of(&file.path, format!("not TOML: {error}")))?;
    let Some(package) = table.get("package").and_then(toml::Value::as_table) else {
        return Ok(None);
    };
    let name = package
        .get("name")
        .and_then(toml::Value::as_str)
        .ok_or_else(|| Fault::of(&file.path, "a package without a name"))?;
    let mut uses = BTreeMap::new();
    for kind in TABLES {
        let mut names: Vec<String> = dependencies(&table, kind);
        if let Some(targets) = table.get("target").and_then(toml::Value::as_table) {
            for target in targets.values().filter_map(toml::Value::as_table) {
                names.extend(dependencies(target, kind));
            }
        }
        uses.insert(kind, names);
    }
    let workspace_lints = table
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool)
        .unwrap_or(false);
    Ok(Some(Manifest {
        path: file.path.clone(),
        name: name.to_owned(),
        uses,
        workspace_lints,
    }))
}

fn dependencies(table: &toml::Table, kind: &str) -> Vec<String> {
    let Some(entries) = table.get(kind).and_then(toml::Value::as_table) else {
        return Vec::new();
    };
    // A renamed dependency counts under its real name.
    let real = |key: &String, value: &toml::Value| {
        value
            .get("package")
            .and_then(toml::Value::as_str)
            .unwrap_or(key)
            .to_owned()
    };
    entries
        .iter()
        .map(|(key, value)| real(key, value))
        .collect()
}

/// Holds every wall over all manifests of the workspace.
pub fn check(manifests: &[Manifest]) -> Vec<Fault> {
    let ours: Vec<&str> = manifests
        .iter()
        .map(|manifest| manifest.name.as_str())
        .collect();
    let mut faults = Vec::new();
    for manifest in manifests {
        if !manifest.workspace_lints {
            faults.push(Fault::of(
                &manifest.path,
                "take the workspace's lints: [lints] workspace = true",
            ));
        }
        for (kind, names) in &manifest.uses {
            for name in names {
                let refused = if ours.contains(&name.as_str()) {
                    inward(&manifest.name, name)
                } else {
                    outward(manifest, kind, name)
                };
                if let Some(why) = refused {
                    faults.push(Fault::of(
                        &manifest.path,
                        format!("{kind} names {name}: {why}"),
                    ));
                }
            }
        }
    }
    faults
}

/// Why a workspace crate may not use another, tests included.
fn inward(user: &str, used: &str) -> Option<String> {
    if TESTS.contains(&used) {
        let clusters = ["bench", "chaos"].contains(&user) && used == "e2e";
        return (!clusters).then(|| "nothing imports tests/ or bench/".into());
    }
    if let Some((_, allowed)) = PURE.iter().find(|(name, _)| *name == user) {
        return (!allowed.contains(&used))
            .then(|| format!("{user} is pure and may use {allowed:?} of ours"));
    }
    let pure = PURE.iter().any(|(name, _)| *name == used);
    match user {
        "sidecar" => Some("sidecar has no domain word and uses no crate of the workspace".into()),
        "proto" => (!pure).then(|| "proto uses pure crates only".into()),
        service if SERVICES.contains(&service) => (!pure && used != "proto" && used != "sidecar")
            .then(|| "services use proto, sidecar and pure crates, never each other".into()),
        _ => None,
    }
}

/// Why a crate may not use one from the registry.
fn outward(manifest: &Manifest, kind: &str, used: &str) -> Option<String> {
    // Tests look at services from outside and may use the same crates to do it: an OTLP receiver, a reading of the file.
    if TESTS.contains(&manifest.name.as_str()) {
        return None;
    }
    let pure = PURE.iter().any(|(name, _)| *name == manifest.name);
    if pure && kind == "dependencies" && !PURE_EXTERNAL.contains(&used) {
        return Some(format!("a pure crate may use {PURE_EXTERNAL:?}"));
    }
    // The sender side of OTLP is a room; its message types in a test of what was sent are not.
    if used == "opentelemetry-proto" && kind == "dev-dependencies" {
        return None;
    }
    let (_, owners, why) = ROOMS.iter().find(|(start, _, _)| used.starts_with(start))?;
    (!owners.contains(&manifest.name.as_str())).then(|| format!("{why}; it stays in {owners:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, kind: &str, used: &str) -> Manifest {
        let text = format!(
            "[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n[{kind}]\n{used}.workspace = true\n"
        );
        parse(&SourceFile::new("x/Cargo.toml", &text))
            .unwrap()
            .unwrap()
    }

    fn faults(name: &str, kind: &str, used: &str) -> usize {
        let empty = |name: &str| {
            let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n");
            parse(&SourceFile::new("y/Cargo.toml", &text))
                .unwrap()
                .unwrap()
        };
        let mut all: Vec<Manifest> = [
            "assertion",
            "merkle",
            "proto",
            "sidecar",
            "stemedb-store",
            "e2e",
        ]
        .into_iter()
        .filter(|other| *other != name)
        .map(empty)
        .collect();
        all.push(manifest(name, kind, used));
        check(&all).len()
    }

    #[test]
    fn what_the_walls_forbid_is_found() {
        assert_eq!(faults("merkle", "dependencies", "assertion"), 1);
        assert_eq!(faults("lens", "dependencies", "tokio"), 1);
        assert_eq!(faults("sidecar", "dependencies", "proto"), 1);
        assert_eq!(faults("proto", "dependencies", "sidecar"), 1);
        assert_eq!(
            faults("stemedb-gateway", "dependencies", "stemedb-store"),
            1
        );
        assert_eq!(
            faults("stemedb-gateway", "dev-dependencies", "stemedb-store"),
            1
        );
        assert_eq!(faults("stemedb-gateway", "dependencies", "sqlx"), 1);
        assert_eq!(faults("stemedb-store", "dependencies", "axum"), 1);
        assert_eq!(faults("stemedb-store", "dependencies", "memberlist"), 1);
        assert_eq!(
            faults("stemedb-store", "dependencies", "opentelemetry_sdk"),
            1
        );
        assert_eq!(
            faults("stemedb-cli", "dependencies", "opentelemetry-http"),
            1
        );
        assert_eq!(faults("stemedb-cli", "dependencies", "e2e"), 1);
        assert_eq!(faults("sim", "dependencies", "e2e"), 1);
    }

    #[test]
    fn what_the_walls_allow_passes() {
        assert_eq!(faults("lens", "dependencies", "assertion"), 0);
        assert_eq!(faults("lens", "dev-dependencies", "proptest"), 0);
        assert_eq!(faults("stemedb-gateway", "dependencies", "axum"), 0);
        assert_eq!(faults("sidecar", "dependencies", "axum"), 0);
        assert_eq!(faults("stemedb-gateway", "dependencies", "proto"), 0);
        assert_eq!(faults("stemedb-cli", "dependencies", "stemedb-store"), 0);
        assert_eq!(faults("e2e", "dev-dependencies", "opentelemetry-proto"), 0);
        assert_eq!(faults("bench", "dependencies", "e2e"), 0);
        assert_eq!(faults("chaos", "dependencies", "e2e"), 0);
    }

    #[test]
    fn a_renamed_dependency_counts_under_its_real_name() {
        let text = "[package]\nname = \"stemedb-gateway\"\n[lints]\nworkspace = true\n[dependencies]\nrows = { package = \"sqlx\", version = \"0.9\" }\n";
        let manifest = parse(&SourceFile::new("x/Cargo.toml", text))
            .unwrap()
            .unwrap();
        assert_eq!(check(&[manifest]).len(), 1);
    }

    #[test]
    fn lints_are_taken_from_the_workspace() {
        let manifest = parse(&SourceFile::new(
            "x/Cargo.toml",
            "[package]\nname = \"proto\"\n",
        ))
        .unwrap()
        .unwrap();
        assert_eq!(check(&[manifest]).len(), 1);
    }
}
