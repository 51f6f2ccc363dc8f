//! The book of members: what outlives a SWIM process. It is kept on disk, and exchanged whole between members.
//!
//! SWIM forgets the dead within seconds; the cluster must not: a member that is DOWN still may hold the second copy of an
//! acknowledged record, and a node that joins while it is away has to know of it. The book is a map that merges: per name
//! the higher incarnation wins, and at the same incarnation *gone* wins over *not gone*. So merging is commutative,
//! associative and idempotent, and a forgotten member comes back only under a new incarnation.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::metadata::{ClusterId, InvalidMetadata, Metadata, hex, unhex};

/// Most members a cluster can have, those that are gone counted apart. Far above any cluster this is built for; it bounds
/// what a hostile peer can make a node remember.
pub const MEMBERS_MAX: usize = 256;

/// Most bytes of a book that are looked at: [`MEMBERS_MAX`] members and as many gone ones, with room.
pub const BOOK_BYTES_MAX: usize = 1024 * 1024;

/// Longest node name that is taken from a peer (a DNS label in Kubernetes is 63).
pub const NAME_MAX: usize = 128;

/// The form written here.
const VERSION: u32 = 1;

/// How a member went for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// It said so itself before it went.
    Left,
    /// An operator declared it gone.
    Forgotten,
}

/// One member, as far as it outlives processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The highest incarnation seen.
    pub incarnation: u64,
    /// Its last description.
    pub metadata: Metadata,
    /// Its last SWIM address.
    pub address: SocketAddr,
    /// Set when it went for good in this incarnation.
    pub gone: Option<Gone>,
    /// Its store has served at some time: it had a share of the shards.
    pub served: bool,
    /// Milliseconds since it stopped serving, when the book was written; absent while it serves.
    pub stopped_for_ms: Option<u64>,
}

/// All members one node knows of, and those that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Who wrote it; empty: not said.
    pub writer: String,
    /// The cluster of the node that wrote it.
    pub cluster_id: Option<ClusterId>,
    /// Its number of shards.
    pub num_shards: u32,
    /// The members by name.
    pub members: BTreeMap<String, Entry>,
}

/// Bytes that are not a book.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBook {
    /// More than the limit.
    #[error("a book of {0} bytes; at most {BOOK_BYTES_MAX} are taken")]
    Size(usize),
    /// Not the expected JSON.
    #[error("not a book: {0}")]
    Form(#[from] serde_json::Error),
    /// A form that is not known here.
    #[error("book form {0}; form {VERSION} is known here: upgrade the older of the two")]
    Version(u32),
    /// More members than are taken.
    #[error("a book of {0} members; at most {most} are taken", most = 2 * MEMBERS_MAX)]
    Members(usize),
    /// A member with values that cannot be.
    #[error("member {name:?}: {detail}")]
    Member {
        /// Its name as given, cut.
        name: String,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Serialize, Deserialize)]
struct BookForm {
    v: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    writer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    num_shards: u32,
    members: Vec<EntryForm>,
}

#[derive(Serialize, Deserialize)]
struct EntryForm {
    name: String,
    incarnation: u64,
    metadata: String,
    address: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<GoneForm>,
    #[serde(default)]
    served: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped_for_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GoneForm {
    Left,
    Forgotten,
}

impl Book {
    /// JSON, members by name.
    pub fn to_json(&self) -> Vec<u8> {
        let form = BookForm {
            v: VERSION,
            writer: self.writer.clone(),
            cluster_id: self.cluster_id.map(|id| id.to_string()),
            num_shards: self.num_shards,
            members: self.members.iter().map(entry_form).collect(),
        };
        serde_json::to_vec(&form).expect("a book has only string keys and plain values")
    }

    /// Reads what a peer or the disk gave.
    ///
    /// # Errors
    /// For anything but a well-formed book of a known form and bounded size.
    pub fn from_json(bytes: &[u8]) -> Result<Book, InvalidBook> {
        if bytes.len() > BOOK_BYTES_MAX {
            return Err(InvalidBook::Size(bytes.len()));
        }
        let form: BookForm = serde_json::from_slice(bytes)?;
        if form.v != VERSION {
            return Err(InvalidBook::Version(form.v));
        }
        if form.members.len() > 2 * MEMBERS_MAX {
            return Err(InvalidBook::Members(form.members.len()));
        }
        let cluster_id = match form.cluster_id {
            None => None,
            Some(text) => Some(text.parse().map_err(|detail| member_fault("", &detail))?),
        };
        let members = form
            .members
            .into_iter()
            .map(|form| entry(&form).map(|entry| (form.name, entry)))
            .collect::<Result<_, _>>()?;
        if !form.writer.is_empty() && !valid_name(&form.writer) {
            return Err(member_fault(&form.writer, &"is not a node name"));
        }
        Ok(Book {
            writer: form.writer,
            cluster_id,
            num_shards: form.num_shards,
            members,
        })
    }
}

/// A node name as it may stand in an id, a book and a file: not empty, bounded, one printable word.
pub fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name
            .chars()
            .all(|c| !c.is_control() && !c.is_whitespace() && c != '/')
}

fn entry_form((name, entry): (&String, &Entry)) -> EntryForm {
    EntryForm {
        name: name.clone(),
        incarnation: entry.incarnation,
        metadata: hex(&entry.metadata.encode()),
        address: entry.address,
        gone: entry.gone.map(|gone| match gone {
            Gone::Left => GoneForm::Left,
            Gone::Forgotten => GoneForm::Forgotten,
        }),
        served: entry.served,
        stopped_for_ms: entry.stopped_for_ms,
    }
}

fn entry(form: &EntryForm) -> Result<Entry, InvalidBook> {
    if !valid_name(&form.name) {
        return Err(member_fault(&form.name, &"is not a node name"));
    }
    let bytes = unhex(&form.metadata)
        .ok_or_else(|| member_fault(&form.name, &"metadata is not lowercase hex"))?;
    let metadata = Metadata::decode(&bytes)
        .map_err(|detail: InvalidMetadata| member_fault(&form.name, &detail))?;
    Ok(Entry {
        incarnation: form.incarnation,
        metadata,
        address: form.address,
        gone: form.gone.as_ref().map(|gone| match gone {
            GoneForm::Left => Gone::Left,
            GoneForm::Forgotten => Gone::Forgotten,
        }),
        served: form.served,
        stopped_for_ms: form.stopped_for_ms,
    })
}

fn member_fault(name: &str, detail: &dyn std::fmt::Display) -> InvalidBook {
    InvalidBook::Member {
        name: name.chars().take(NAME_MAX).collect(),
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::metadata;

    fn book() -> Book {
        let entry = Entry {
            incarnation: 17,
            metadata: metadata("node2", 17),
            address: "10.0.0.2:18183".parse().unwrap(),
            gone: None,
            served: true,
            stopped_for_ms: Some(250),
        };
        let left = Entry {
            gone: Some(Gone::Left),
            stopped_for_ms: None,
            ..entry.clone()
        };
        Book {
            writer: "node2".into(),
            cluster_id: Some(ClusterId::from_bytes([5; 16])),
            num_shards: 256,
            members: [("node2".to_owned(), entry), ("node3".to_owned(), left)].into(),
        }
    }

    #[test]
    fn a_book_reads_back() {
        let read = Book::from_json(&book().to_json()).unwrap();
        assert_eq!(read, book());
    }

    #[test]
    fn hostile_books_are_refused() {
        let json = String::from_utf8(book().to_json()).unwrap();
        let cases = [
            json.replace("\"v\":1", "\"v\":2"),
            json.replace("node2", "no de"),
            json.replace("node2", "a/b"),
            json.replace("node2", &"n".repeat(NAME_MAX + 1)),
            json.replace("\"metadata\":\"01", "\"metadata\":\"0X"),
            json.replace("\"metadata\":\"01", "\"metadata\":\"09"),
            json.replace("10.0.0.2:18183", "somewhere"),
            json.replace("05050505", "zz050505"),
            "[".repeat(100_000),
            " ".repeat(BOOK_BYTES_MAX + 1),
            String::new(),
        ];
        for case in cases {
            let outcome = Book::from_json(case.as_bytes());
            assert!(outcome.is_err(), "{:.80}", case);
        }
    }

    #[test]
    fn a_book_of_too_many_members_is_refused() {
        let mut big = book();
        let entry = big.members["node2"].clone();
        for number in 0..=2 * MEMBERS_MAX {
            big.members.insert(format!("extra{number}"), entry.clone());
        }
        assert!(matches!(
            Book::from_json(&big.to_json()),
            Err(InvalidBook::Members(_))
        ));
    }
}
