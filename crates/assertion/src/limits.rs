//! Limits of a record (docs/canonical-form.md). Every node and version judges alike, so none of them is a setting.

/// Longest subject, in bytes of UTF-8.
pub const SUBJECT_MAX: usize = 512;
/// Longest predicate, in bytes of UTF-8.
pub const PREDICATE_MAX: usize = 256;
/// Longest text object, in bytes of UTF-8.
pub const TEXT_MAX: usize = 64 * 1024;
/// Longest note, in bytes of UTF-8.
pub const NOTE_MAX: usize = 16 * 1024;
/// Longest source uri, in bytes of UTF-8.
pub const URI_MAX: usize = 2_048;
/// Longest name of a voter, in bytes of UTF-8. A key is 64.
pub const VOTER_MAX: usize = 256;
/// Longest name of an epoch, in bytes of UTF-8.
pub const EPOCH_NAME_MAX: usize = 256;
/// Longest reason of an epoch, in bytes of UTF-8.
pub const REASON_MAX: usize = 16 * 1024;
/// Most epochs that one epoch supersedes; a longer line is a chain of epochs.
pub const SUPERSEDES_MAX: usize = 64;
/// Longest title of a source, in bytes of UTF-8.
pub const TITLE_MAX: usize = 1_024;
/// Most signatures of one record: each costs every node that takes the record a tenth of a millisecond.
pub const SIGNATURES_MAX: usize = 16;
/// Longest canonical form, in bytes. The longest text and note fit even when every byte needs a two-byte escape; control
/// characters, which need six, do not.
pub const CANONICAL_MAX: usize = 256 * 1024;
/// Longest JSON text of one record that is looked at. Whitespace and escapes may make it longer than its canonical form.
pub const JSON_MAX: usize = 1024 * 1024;
/// Times beyond this are not exact in an f64, and numbers in JSON are f64.
pub const TIME_MAX_MS: i64 = 1 << 53;
/// How far ahead of the taker's clock a client may date a record.
pub const AHEAD_MAX_MS: i64 = 5 * 60 * 1_000;
