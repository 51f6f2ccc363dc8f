//! How much of a database is in use.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use e2e::node::Node;

/// Bytes of a database file that say how large it is (SQLite's file format, section 1.3).
const HEADER_BYTES: usize = 100;

/// Pages of a database at its last checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    page_bytes: u32,
    pages: u32,
    /// Left by deleted rows; the next rows get them first.
    pub(super) free: u32,
}

impl Space {
    pub(super) fn of(node: &Node) -> Space {
        let file = File::open(node.directory().join("store.db")).expect("the database is there");
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)
            .expect("a database has a header");
        let number = |at: usize| {
            let bytes = header[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        let page_bytes = u16::from_be_bytes([header[16], header[17]]);
        Space {
            // 1 stands for 65,536.
            page_bytes: match page_bytes {
                1 => 65_536,
                bytes => bytes.into(),
            },
            pages: number(28),
            free: number(36),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |pages: u32| f64::from(pages) * f64::from(self.page_bytes) / f64::from(1 << 20);
        write!(
            f,
            "{:.1} MiB, {:.1} of them free",
            mib(self.pages),
            mib(self.free)
        )
    }
}

/// Of all nodes, for people.
pub(super) fn figures(nodes: &[Node]) -> String {
    let of = |node: &Node| format!("{} {}", node.name, Space::of(node));
    let each: Vec<String> = nodes.iter().map(of).collect();
    each.join("; ")
}
