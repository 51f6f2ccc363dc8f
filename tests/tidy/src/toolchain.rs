//! One Rust version: the toolchain file, the manifest, the image's builder, and every text that names one.

use crate::{Fault, House, SourceFile};

/// Where the version is written in full.
const TOOLCHAIN: &str = "rust-toolchain.toml";

/// What was true of a version then stays there.
const HISTORY: &str = "CHANGELOG.md";

/// The builder image, the manifest and the documents name the version of the toolchain file, or its beginning.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let channel = quoted(house.need(TOOLCHAIN)?, "channel = ")?;
    let mut named = vec![(
        "Cargo.toml",
        quoted(house.need("Cargo.toml")?, "rust-version = ")?,
    )];
    let builder = "ARG BUILDER=rust:";
    let docker = house.need("Dockerfile")?;
    if !docker.text.contains(builder) {
        return Err(Fault::of(&docker.path, format!("no `{builder}…`")));
    }
    let read = ["md", "yaml", "yml", "sh", "Dockerfile"];
    for file in &house.files {
        if read.contains(&file.ending()) || file.path == docker.path {
            named.extend(
                versions(&file.text)
                    .into_iter()
                    .map(|version| (file.path.as_str(), version)),
            );
        }
    }
    Ok(named
        .into_iter()
        .filter(|(path, version)| *path != HISTORY && !names(version, channel))
        .map(|(path, version)| {
            Fault::of(
                path,
                format!("Rust {version}, but {TOOLCHAIN} says {channel}"),
            )
        })
        .collect())
}

/// What stands in quotes after a key.
fn quoted<'a>(file: &'a SourceFile, key: &str) -> Result<&'a str, Fault> {
    file.text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.split('"').nth(1))
        .ok_or_else(|| Fault::of(&file.path, format!("no `{key}\"…\"`")))
}

/// `1.95` names 1.95.0; `1` and `1.9` do not.
fn names(version: &str, channel: &str) -> bool {
    let rest = channel.strip_prefix(version);
    version.contains('.') && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Versions after `rust:` and `Rust `.
fn versions(text: &str) -> Vec<&str> {
    ["rust:", "Rust "]
        .iter()
        .flat_map(|word| text.split(word).skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
        })
        .filter(|version| !version.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn a_version_is_named_by_its_beginning() {
        assert!(names("1.95", "1.95.0") && names("1.95.0", "1.95.0"));
        assert!(!names("1", "1.95.0") && !names("1.9", "1.95.0") && !names("1.95.1", "1.95.0"));
        let text = "Rust 1.95. FROM rust:1.90-slim, rust:latest, in Rust and C";
        assert_eq!(versions(text), ["1.90", "1.95"]);
    }

    #[test]
    fn another_version_is_found() {
        notices(
            check,
            &[
                (TOOLCHAIN, "channel = \"1.", "channel = \"2.", "says 2."),
                (
                    "Cargo.toml",
                    "rust-version = \"",
                    "rust-version = \"1.2.3\" # \"",
                    "Rust 1.2.3",
                ),
                (
                    "Dockerfile",
                    "BUILDER=rust:",
                    "BUILDER=rust:1.2-",
                    "Rust 1.2,",
                ),
                (
                    "Dockerfile",
                    "BUILDER=rust:",
                    "BUILDER=debian:",
                    "no `ARG BUILDER=rust:",
                ),
                ("docs/operations.md", "/rust:", "/rust:1.2 ", "Rust 1.2,"),
            ],
        );
    }
}
