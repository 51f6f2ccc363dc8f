//! A record: what is said, with the bytes and the id that it has everywhere.

use std::sync::Arc;

use crate::canonical;
use crate::claim::Claim;
use crate::id::RecordId;
use crate::invalid::Invalid;
use crate::limits::{AHEAD_MAX_MS, CANONICAL_MAX, JSON_MAX, TIME_MAX_MS};
use crate::model::{Assertion, Content, Epoch, Kind, SourceRecord, Vote};
use crate::read::{self, Absent};
use crate::signature::{self, Signature, SigningKey};

/// Checked content with its canonical bytes and id. There is no way to hold one whose bytes and id disagree, and no door lets
/// one in whose signatures are bad.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    id: RecordId,
    canonical: Arc<[u8]>,
    body: Arc<Body>,
}

#[derive(Debug, Clone, PartialEq)]
struct Body {
    content: Content,
    signatures: Vec<Signature>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the shard of this subject: claims, and the votes on them.
    Subject(&'a str),
    /// In the global shard, which every node owns: epochs and sources.
    Global,
}

impl Record {
    /// Client door: reads the JSON of one record of any kind, an assertion when it does not say. Stamps what may be absent
    /// (`kind`, `v`, `lifecycle`, `confidence`, its time = `now_ms`) unless the record is signed, and refuses what is dated more
    /// than five minutes ahead of `now_ms`.
    ///
    /// An `id` may be given when it is the right one, so that what the API returned can be sent again.
    pub fn from_client_json(json: &[u8], now_ms: i64) -> Result<Record, Invalid> {
        Record::from_client(json, now_ms, None)
    }

    /// The client door for one kind: a record that does not say its kind is of this one, and one of another kind is refused.
    pub fn from_client_json_as(kind: Kind, json: &[u8], now_ms: i64) -> Result<Record, Invalid> {
        Record::from_client(json, now_ms, Some(kind))
    }

    fn from_client(json: &[u8], now_ms: i64, only: Option<Kind>) -> Result<Record, Invalid> {
        // A clock beyond all times that a record can have must not stamp what no peer would read.
        let now_ms = now_ms.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        let mut fields = read::fields(json, JSON_MAX)?;
        let given_id = read::optional(&mut fields, "id", read::hash)?;
        let mut signatures = signature::read(&mut fields)?;
        let absent = match signatures.as_slice() {
            [] => Absent::Stamp {
                kind: only.unwrap_or(Kind::Assertion),
                now_ms,
            },
            _ => Absent::Signed,
        };
        let content = read::content(fields, absent, only)?;
        if content.at_ms() > now_ms.saturating_add(AHEAD_MAX_MS) {
            return Err(Invalid::new(
                match content.kind() {
                    Kind::Assertion => "asserted_in_the_future",
                    Kind::Vote | Kind::Epoch | Kind::Source => "dated_in_the_future",
                },
                content.kind().time_field(),
                "is more than five minutes ahead of this node's clock",
                "give Unix milliseconds (not seconds, not microseconds), and check the clock of the sender",
            )
            .with_limit(AHEAD_MAX_MS.unsigned_abs()));
        }
        // Verified in the order given, so that a refusal names the place that the client knows.
        signature::verify(&content, &signatures)?;
        signatures.sort_unstable_by(|one, other| one.agent.cmp(&other.agent));
        let record = Record::seal(content, signatures)?;
        match given_id {
            Some(given) if given != record.id.to_string() => Err(Invalid::new(
                "id_mismatch",
                "id",
                format!("is not the id of this record, which is {}", record.id),
                "leave the id out, or send the record as it was returned",
            )),
            _ => Ok(record),
        }
    }

    /// Peer door (push, repair, restore): takes exactly the bytes that this crate would write, and nothing else. No clock,
    /// no policy: every node judges alike.
    pub fn from_canonical(bytes: &[u8]) -> Result<Record, Invalid> {
        let record = Record::from_stored(bytes)?;
        signature::verify(&record.body.content, &record.body.signatures)?;
        Ok(record)
    }

    /// What a store reads of its own: canonical bytes that came through a door before they were written. Signatures were
    /// verified there, and the id, for the caller to compare, says that these are the same bytes: verifying a lens's claims at
    /// every read would cost a hundred times the lens.
    pub fn from_stored(bytes: &[u8]) -> Result<Record, Invalid> {
        let mut fields = read::fields(bytes, CANONICAL_MAX)?;
        let mut signatures = signature::read(&mut fields)?;
        signatures.sort_unstable_by(|one, other| one.agent.cmp(&other.agent));
        let record = Record::seal(read::content(fields, Absent::Refuse, None)?, signatures)?;
        if *record.canonical != *bytes {
            return Err(Invalid::new(
                "not_canonical",
                "$",
                "is a record, but not in canonical form",
                "send RFC 8785 bytes as docs/canonical-form.md describes",
            ));
        }
        Ok(record)
    }

    /// An unsigned record from its parts, checked as at the peer door.
    pub fn from_content(content: impl Into<Content>) -> Result<Record, Invalid> {
        Record::from_canonical(&canonical::record(&content.into(), &[]))
    }

    /// The record with this key's signature added, or put in the place of an earlier one. It is another record: the signatures
    /// are part of the canonical bytes.
    ///
    /// # Errors
    /// When it would have too many signatures or too many bytes, or is somebody else's vote.
    pub fn sign(self, key: &SigningKey) -> Result<Record, Invalid> {
        let Body {
            content,
            mut signatures,
        } = Arc::unwrap_or_clone(self.body);
        let added = key.sign(&content);
        match signatures.binary_search_by(|known| known.agent.cmp(&added.agent)) {
            Ok(place) => signatures[place] = added,
            Err(place) => signatures.insert(place, added),
        }
        Record::from_canonical(&canonical::record(&content, &signatures))
    }

    fn seal(content: Content, signatures: Vec<Signature>) -> Result<Record, Invalid> {
        let canonical = canonical::record(&content, &signatures);
        if canonical.len() > CANONICAL_MAX {
            return Err(Invalid::new(
                "record_too_large",
                "$",
                format!(
                    "has {} canonical bytes, the limit is {CANONICAL_MAX}",
                    canonical.len()
                ),
                "shorten its text or note",
            )
            .with_limit(CANONICAL_MAX as u64));
        }
        Ok(Record {
            id: RecordId::of(&canonical),
            canonical: canonical.into(),
            body: Arc::new(Body {
                content,
                signatures,
            }),
        })
    }

    /// BLAKE3 of the canonical bytes.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// RFC 8785 JSON.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.body.content.kind()
    }

    /// What it says.
    pub fn content(&self) -> &Content {
        &self.body.content
    }

    /// Who stands behind it, in ascending order of agent. All of them are good.
    pub fn signatures(&self) -> &[Signature] {
        &self.body.signatures
    }

    /// The claim that it is, if it is one.
    pub fn assertion(&self) -> Option<&Assertion> {
        match &self.body.content {
            Content::Assertion(claim) => Some(claim),
            _ => None,
        }
    }

    /// The same as lenses see it.
    pub fn claim(&self) -> Option<Claim<'_>> {
        self.assertion()
            .map(|claim| Claim::of(self.id, &self.canonical, claim))
    }

    /// The vote that it is, if it is one.
    pub fn vote(&self) -> Option<&Vote> {
        match &self.body.content {
            Content::Vote(vote) => Some(vote),
            _ => None,
        }
    }

    /// The epoch that it is, if it is one.
    pub fn epoch(&self) -> Option<&Epoch> {
        match &self.body.content {
            Content::Epoch(epoch) => Some(epoch),
            _ => None,
        }
    }

    /// The source that it is about, if it is about one.
    pub fn source(&self) -> Option<&SourceRecord> {
        match &self.body.content {
            Content::Source(source) => Some(source),
            _ => None,
        }
    }

    /// Its time, Unix milliseconds: `asserted_at`, `voted_at`, `started_at` or `recorded_at`.
    pub fn at_ms(&self) -> i64 {
        self.body.content.at_ms()
    }

    /// What decides its shard.
    pub fn place(&self) -> Place<'_> {
        match &self.body.content {
            Content::Assertion(claim) => Place::Subject(&claim.subject),
            Content::Vote(vote) => Place::Subject(&vote.subject),
            Content::Epoch(_) | Content::Source(_) => Place::Global,
        }
    }

    /// What it is found by: its kind; its subject, name or uri; its predicate, or the id of the assertion that a vote is on; and
    /// its time.
    pub fn topic(&self) -> (Kind, &str, &str, i64) {
        let (about, detail) = match &self.body.content {
            Content::Assertion(claim) => (&claim.subject, claim.predicate.as_str()),
            Content::Vote(vote) => (&vote.subject, vote.assertion.as_str()),
            Content::Epoch(epoch) => (&epoch.name, ""),
            Content::Source(source) => (&source.uri, ""),
        };
        (self.kind(), about, detail, self.at_ms())
    }

    /// What a signature of this record signs: `stemedb.sign.v1`, a line break, and the canonical bytes without signatures.
    pub fn signing_bytes(&self) -> Vec<u8> {
        signature::signing_bytes(&self.body.content)
    }

    /// Its public JSON form: the canonical object with `id` as first member.
    pub fn public_json(&self) -> Vec<u8> {
        public_json(&self.id, &self.canonical)
    }
}

/// The public JSON form of canonical bytes: the object with `id` as first member. Without that member the canonical bytes
/// are back.
pub fn public_json(id: &RecordId, canonical: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(canonical.len() + 72);
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id.to_string().as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(canonical.strip_prefix(b"{").unwrap_or(canonical));
    out
}
