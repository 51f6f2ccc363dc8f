//! The ports are the same everywhere: 18180–18183 outward, 18191–18198 on loopback, nodes of a local cluster 100 apart.

use crate::{Fault, SourceFile};

/// Default ports by service, as a row of ARCHITECTURE.md's table must name them.
pub(crate) const OUTWARD: [(&str, &[u32]); 3] = [
    ("gateway", &[18180, 18181]),
    ("store", &[18182]),
    ("membership", &[18183]),
];

/// First port of node 1; nodes of `stemedb up` follow in steps.
pub(crate) const BASE: u32 = 18180;

/// From one node's ports to the next one's.
pub(crate) const STEP: u32 = 100;

/// Most nodes of a local cluster that a text speaks of.
const NODES: u32 = 9;

/// Offsets from a node's base that mean something: four outward, eight on loopback.
fn known(port: u32) -> bool {
    let offset = port - BASE;
    offset < NODES * STEP && matches!(offset % STEP, 0..=3 | 11..=18)
}

/// Numbers of five digits that look like one of our ports.
fn mentioned(line: &str) -> Vec<u32> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 5)
        .filter_map(|word| word.parse().ok())
        .filter(|port| (BASE..BASE + NODES * STEP).contains(port))
        .collect()
}

/// No text names a port that nothing listens on.
pub fn check_mentions(files: &[SourceFile]) -> Vec<Fault> {
    let read = ["md", "toml", "yaml", "yml", "conf", "sh"];
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| read.contains(&file.ending())) {
        for (index, line) in file.text.lines().enumerate() {
            for port in mentioned(line).into_iter().filter(|port| !known(*port)) {
                faults.push(Fault::at(
                    file,
                    index + 1,
                    format!("nothing listens on {port}"),
                ));
            }
        }
    }
    faults
}

/// The table of services names each one's ports in its row.
pub fn check_table(page: &SourceFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (service, ports) in OUTWARD {
        let row = page
            .text
            .lines()
            .find(|line| line.starts_with(&format!("| `{service}`")));
        let Some(row) = row else {
            faults.push(Fault::of(&page.path, format!("no row for {service}")));
            continue;
        };
        let found = mentioned(row);
        if found != ports {
            faults.push(Fault::of(
                &page.path,
                format!("{service} listens on {ports:?}, its row says {found:?}"),
            ));
        }
    }
    faults
}

/// The defaults in code and on the settings page. A setting's default is looked for on a line that names its variable.
pub fn check_defaults(page: &SourceFile) -> Vec<Fault> {
    let defaults = [
        ("STEMEDB_API_ADDR", 18180),
        ("STEMEDB_GATEWAY_ADDR", 18181),
        ("STEMEDB_RPC_ADDR", 18182),
        ("STEMEDB_SWIM_ADDR", 18183),
        ("STEMEDB_LOOPBACK_PORT", 18191),
    ];
    let mut faults = Vec::new();
    for (variable, port) in defaults {
        let said = page
            .text
            .lines()
            .filter(|line| line.contains(variable))
            .any(|line| mentioned(line).contains(&port));
        if !said {
            faults.push(Fault::of(
                &page.path,
                format!("{variable} defaults to {port}; no line says so"),
            ));
        }
    }
    faults
}

/// The constants of the code: `PORT_…: u16 = number;`, one for each default.
pub fn check_constants(files: &[SourceFile]) -> Vec<Fault> {
    let mut declared = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.starts_with("crates/sidecar/src/"))
    {
        for line in file
            .text
            .lines()
            .filter(|line| line.trim_start().starts_with("pub const PORT_"))
        {
            let value = line.rsplit_once('=').map_or("", |(_, value)| value);
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            declared.extend(digits.parse::<u32>().ok());
        }
    }
    declared.sort_unstable();
    let expected = [18180, 18181, 18182, 18183, 18191];
    let missing: Vec<u32> = expected
        .into_iter()
        .filter(|port| !declared.contains(port))
        .collect();
    let strange: Vec<u32> = declared
        .into_iter()
        .filter(|port| *port < BASE || !known(*port))
        .collect();
    if missing.is_empty() && strange.is_empty() {
        return Vec::new();
    }
    vec![Fault::of(
        "crates/sidecar/src",
        format!("PORT_ constants: missing {missing:?}, unexpected {strange:?}"),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_nobody_is_found() {
        let files = [SourceFile::new(
            "README.md",
            "localhost:18184 and 18280, 18191–18198, 292577",
        )];
        let faults = check_mentions(&files);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].what.contains("18184"));
    }

    #[test]
    fn a_row_with_the_wrong_port_is_found() {
        let good = "| `gateway` | 18180, 18181 |\n| `store` | 18182 |\n| `membership` | 18183 |";
        assert!(check_table(&SourceFile::new("ARCHITECTURE.md", good)).is_empty());
        let bad = good
            .replace("18183", "18182")
            .replace("| `store`", "| `shop`");
        assert_eq!(
            check_table(&SourceFile::new("ARCHITECTURE.md", &bad)).len(),
            2
        );
    }

    #[test]
    fn a_default_that_the_page_does_not_give_is_found() {
        let page = SourceFile::new(
            "docs/configuration.md",
            "| STEMEDB_API_ADDR | 0.0.0.0:18180 |",
        );
        assert_eq!(check_defaults(&page).len(), 4);
    }

    #[test]
    fn a_constant_that_differs_is_found() {
        let text = "pub const PORT_API: u16 = 18_180;\npub const PORT_ADMIN: u16 = 18181;\npub const PORT_RPC: u16 = 18182;\npub const PORT_SWIM: u16 = 18183;\npub const PORT_LOOPBACK: u16 = 18191;";
        assert!(check_constants(&[SourceFile::new("crates/sidecar/src/lib.rs", text)]).is_empty());
        let bad = text.replace("18183", "18185");
        assert_eq!(
            check_constants(&[SourceFile::new("crates/sidecar/src/lib.rs", &bad)]).len(),
            1
        );
    }
}
