//! Records: what is said (a claim, a vote, an epoch, a source), the one form it is kept in, the id that form gives it, and the
//! signatures below it.
//!
//! A record is immutable. Its canonical bytes are RFC 8785 (JCS) JSON, its [`RecordId`] is their BLAKE3-256 hash, and nothing
//! local to a node is inside: two nodes that hold the same record hold the same bytes under the same id. The rules are in
//! `docs/canonical-form.md`, worked examples as JSON in `crates/assertion/vectors`.
//!
//! There are two doors. [`Record::from_client_json`] takes any JSON layout and fills in what may be absent;
//! [`Record::from_canonical`] takes only bytes that are already canonical, and judges the same on every node and at any time.

mod canonical;
mod claim;
mod decimal;
mod fields;
pub mod hex;
mod id;
mod invalid;
pub mod limits;
mod model;
pub mod moment;
mod read;
mod record;
mod signature;

pub use canonical::{number as write_number, string as write_string};
pub use claim::{Claim, Value};
pub use id::{NotAnId, RecordId};
pub use invalid::Invalid;
pub use model::{
    Assertion, Content, Epoch, Kind, Lifecycle, Object, Source, SourceClass, SourceRecord,
    UnknownName, Vote,
};
pub use record::{Place, Record, public_json};
pub use signature::{NotASeed, Signature, SigningKey, is_agent};
