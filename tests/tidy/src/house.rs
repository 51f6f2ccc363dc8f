//! The tree as text: what the rules read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories that are not source: build output, version control, the data of a local cluster.
const SKIPPED: [&str; 3] = ["target", ".git", "stemedb-data"];

/// File endings that are read as text.
const TEXT: [&str; 10] = [
    "rs", "toml", "md", "proto", "yaml", "yml", "sh", "sql", "json", "conf",
];

/// One file of the tree.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path from the root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A file made up by a test.
    pub fn new(path: &str, text: &str) -> SourceFile {
        SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The part after the last dot of the name.
    pub fn ending(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, ending)| ending)
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Path from the root.
    pub path: String,
    /// 1-based; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Fault {
    /// A fault at a line.
    pub fn at(file: &SourceFile, line: usize, what: impl Into<String>) -> Fault {
        Fault {
            path: file.path.clone(),
            line,
            what: what.into(),
        }
    }

    /// A fault of a whole file.
    pub fn of(path: &str, what: impl Into<String>) -> Fault {
        Fault {
            path: path.to_owned(),
            line: 0,
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// All text files of the tree, by path.
#[derive(Debug, Default)]
pub struct House {
    /// Where the tree is.
    pub root: PathBuf,
    /// Sorted by path.
    pub files: Vec<SourceFile>,
}

impl House {
    /// Reads the workspace that this crate belongs to.
    ///
    /// # Errors
    /// When a directory or a text file cannot be read.
    pub fn read() -> io::Result<House> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        collect(&root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(House { root, files })
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files with an ending.
    pub fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files
            .iter()
            .filter(move |file| file.ending() == ending)
    }
}

fn collect(root: &Path, below: &str, files: &mut Vec<SourceFile>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&name) {
            match fs::read_to_string(entry.path()) {
                Ok(text) => files.push(SourceFile { path, text }),
                // A file saved anew by an editor between the listing and the reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    match ending {
        Some(ending) => TEXT.contains(&ending),
        // Dockerfile, .ci/run and their like.
        None => !name.eq_ignore_ascii_case("license"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_and_build_output_is_not_read() {
        let house = House::read().unwrap();
        assert!(house.file("Cargo.toml").is_some());
        assert!(house.file("tests/tidy/src/house.rs").is_some());
        assert!(
            house
                .files
                .iter()
                .all(|file| !file.path.starts_with("target/"))
        );
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let file = SourceFile::new("cli/src/main.rs", "");
        let fault = Fault::at(&file, 7, "too long");
        assert_eq!(fault.to_string(), "cli/src/main.rs:7: too long");
    }
}
