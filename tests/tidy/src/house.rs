//! The tree as text: what the rules read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Directories that are not source: build output, version control, the data of a local cluster.
const SKIPPED: [&str; 3] = ["target", ".git", "stemedb-data"];

/// Files that tools lay into directories of their own making: caches, and environments of Python.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

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

/// A fault when what a file says is not what it should say.
pub(crate) fn differs(
    path: &str,
    what: impl fmt::Display,
    said: &Value,
    wanted: &Value,
) -> Option<Fault> {
    (said != wanted).then(|| Fault::of(path, format!("{what} is {said}, not {wanted}")))
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

    /// The same, for a rule that has nothing to hold without it.
    pub(crate) fn need(&self, path: &str) -> Result<&SourceFile, Fault> {
        self.file(path)
            .ok_or_else(|| Fault::of(path, "missing, or not read as text"))
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
            let made = MARKS.iter().any(|mark| entry.path().join(mark).exists());
            if !made && !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&name) {
            match fs::read_to_string(entry.path()) {
                Ok(text) => files.push(SourceFile { path, text }),
                // A file saved anew by an editor between the listing and the reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
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

/// A place of the tree to break: path, text that is there, text instead, words of the fault to expect.
#[cfg(test)]
pub(crate) type Breakage<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Each breakage of the tree, on its own, gives a fault that was not there before.
#[cfg(test)]
pub(crate) fn notices(check: fn(&House) -> Vec<Fault>, breakages: &[Breakage<'_>]) {
    let mut house = House::read().unwrap();
    let before = check(&house);
    for (path, there, instead, words) in breakages {
        let at = house.files.iter().position(|file| file.path == *path);
        let at = at.unwrap_or_else(|| panic!("{path} is not there to be broken"));
        let whole = house.files[at].text.clone();
        house.files[at].text = whole.replacen(there, instead, 1);
        assert_ne!(house.files[at].text, whole, "{path} has no {there:?}");
        let faults = check(&house);
        assert!(
            faults
                .iter()
                .any(|fault| fault.what.contains(words) && !before.contains(fault)),
            "{path}: {there:?} became {instead:?}, and nobody said {words:?}: {faults:#?}"
        );
        house.files[at].text = whole;
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
    fn what_tools_made_is_not_read() {
        let root = std::env::temp_dir().join(format!("stemedb-tidy-{}", std::process::id()));
        for (directory, file) in [
            ("cache", "CACHEDIR.TAG"),
            ("venv", "pyvenv.cfg"),
            ("ours", "a.md"),
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
            fs::write(root.join(directory).join(file), "").unwrap();
            fs::write(root.join(directory).join("b.toml"), "").unwrap();
        }
        let mut files = Vec::new();
        let read = collect(&root, "", &mut files);
        fs::remove_dir_all(&root).unwrap();
        read.unwrap();
        let mut paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
        paths.sort();
        assert_eq!(paths, ["ours/a.md", "ours/b.toml"]);
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let file = SourceFile::new("cli/src/main.rs", "");
        let fault = Fault::at(&file, 7, "too long");
        assert_eq!(fault.to_string(), "cli/src/main.rs:7: too long");
    }
}
