//! Each rule finds what it is for, and leaves alone what it is not for.

use std::path::PathBuf;

use super::*;

fn house(files: &[(&str, &str)]) -> House {
    House {
        root: PathBuf::new(),
        files: files
            .iter()
            .map(|(path, text)| SourceFile::new(path, text))
            .collect(),
    }
}

#[test]
fn long_files_are_found() {
    let long = "\n".repeat(LINES_MAX + 1);
    let files = [
        SourceFile::new("cli/src/main.rs", &long),
        SourceFile::new("cli/src/lib.rs", "\n"),
        SourceFile::new("Cargo.lock", &long),
        SourceFile::new(
            "services/store/src/main.rs",
            &"\n".repeat(MAIN_LINES_MAX + 1),
        ),
    ];
    let faults = sizes(&files);
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn unfinished_work_and_empty_names_are_found() {
    let word = format!("// {}{}: later", "TO", "DO");
    let files = [
        SourceFile::new("cli/src/lib.rs", &word),
        SourceFile::new("cli/src/utils.rs", ""),
        SourceFile::new("cli/src/copy.rs", &format!("let {}{}S = 1;", "TO", "DO")),
    ];
    let faults = words(&files);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(faults[0].line, 1);
}

#[test]
fn machine_paths_are_found() {
    let [work, root, temporary, _] = machine_paths();
    let tree = house(&[
        ("cli/src/a.rs", &format!("const A: &str = \"{work}main\";")),
        ("docs/b.md", &format!("see {root}notes")),
        ("cli/src/c.rs", &format!("let c = \"{temporary}c\";")),
        (
            "cli/src/d.rs",
            &format!("#[cfg(test)]\nmod tests {{\n let d = \"{temporary}d\";\n}}"),
        ),
        (
            "tests/e2e/tests/e.rs",
            &format!("let e = \"{temporary}e\";"),
        ),
        ("docs/f.md", &format!("[frame](frame{work}) and .{root}x")),
    ]);
    let faults = paths(&tree);
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn ignored_and_sleeping_tests_are_found() {
    let ignored = format!("#[test]\n#[{}]\nfn one() {{}}", "ignore");
    let sleeping = format!("fn two() {{ {}(one_second); }}", "sleep");
    let polling = format!("fn three() {{ {}(short); // between polls\n}}", "sleep");
    let tree = house(&[
        ("cli/src/a.rs", &ignored),
        ("tests/e2e/tests/b.rs", &sleeping),
        ("tests/e2e/tests/c.rs", &polling),
        ("cli/src/d.rs", &sleeping),
        ("cli/src/lib.rs", "#[cfg(test)]\nmod e;\nmod d;"),
        ("cli/src/e.rs", &sleeping),
    ]);
    let faults = tests_run_and_do_not_wait(&tree);
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        ["cli/src/a.rs", "tests/e2e/tests/b.rs", "cli/src/e.rs"]
    );
}

#[test]
fn lints_without_a_reason_are_found() {
    let bare = "fn a() {}\n#[allow(dead_code)]\nfn b() {}";
    let reasoned = "#[allow(\n    dead_code,\n    reason = \"kept for its test\"\n)]\nfn b() {}";
    let files = [
        SourceFile::new("a.rs", bare),
        SourceFile::new("b.rs", reasoned),
    ];
    let faults = allowances(&files);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].path.as_str(), faults[0].line), ("a.rs", 2));
}

#[test]
fn impure_code_in_a_pure_crate_is_found() {
    let tree = house(&[
        (
            "crates/shard/src/lib.rs",
            "use std::time::Instant;\n// std::fs is for others\n",
        ),
        (
            "crates/shard/src/ranges.rs",
            "#[cfg(test)]\nmod tests {\n use std::fs;\n}",
        ),
        ("crates/sidecar/src/clock.rs", "use std::time::SystemTime;"),
    ]);
    let faults = purity(&tree);
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn missing_rooms_are_found() {
    let tree = house(&[("services/store/src/lib.rs", "")]);
    assert_eq!(rooms(&tree).len(), 4 * ROOMS.len() - 1);
}
