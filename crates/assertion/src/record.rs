//! A record: a claim with the bytes and the id that it has everywhere.

use std::borrow::Cow;
use std::sync::Arc;

use crate::canonical;
use crate::fields::{Field, Fields};
use crate::id::{RecordId, is_hex64};
use crate::invalid::Invalid;
use crate::limits::{
    AHEAD_MAX_MS, CANONICAL_MAX, JSON_MAX, NOTE_MAX, PREDICATE_MAX, SUBJECT_MAX, TEXT_MAX,
    TIME_MAX_MS, URI_MAX,
};
use crate::model::{Assertion, Kind, Lifecycle, Object, Source};

/// A checked claim with its canonical bytes and id. There is no way to hold one whose bytes and id disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    id: RecordId,
    canonical: Arc<[u8]>,
    assertion: Arc<Assertion>,
}

impl Record {
    /// Client door: reads the JSON of one record, stamps what may be absent (`kind`, `v`, `lifecycle`, `confidence`,
    /// `asserted_at` = `now_ms`), and refuses claims dated more than five minutes ahead of `now_ms`.
    ///
    /// An `id` may be given when it is the right one, so that what the API returned can be sent again.
    pub fn from_client_json(json: &[u8], now_ms: i64) -> Result<Record, Invalid> {
        // A clock beyond all times that a record can have must not stamp what no peer would read.
        let now_ms = now_ms.clamp(-TIME_MAX_MS, TIME_MAX_MS);
        let mut fields = read(json, JSON_MAX)?;
        let given_id = fields.take("id").map(|field| hash(&field)).transpose()?;
        let claim = assertion(fields, Some(now_ms))?;
        if claim.asserted_at > now_ms.saturating_add(AHEAD_MAX_MS) {
            return Err(Invalid::new(
                "asserted_in_the_future",
                "asserted_at",
                "is more than five minutes ahead of this node's clock",
                "give Unix milliseconds (not seconds, not microseconds), and check the clock of the sender",
            )
            .with_limit(AHEAD_MAX_MS.unsigned_abs()));
        }
        let record = Record::seal(claim)?;
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
        let record = Record::seal(assertion(read(bytes, CANONICAL_MAX)?, None)?)?;
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

    /// A record from its parts, checked as at the peer door.
    pub fn from_assertion(claim: Assertion) -> Result<Record, Invalid> {
        Record::from_canonical(&canonical::assertion(&claim))
    }

    fn seal(claim: Assertion) -> Result<Record, Invalid> {
        let canonical = canonical::assertion(&claim);
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
            assertion: Arc::new(claim),
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
        Kind::Assertion
    }

    /// What it says.
    pub fn assertion(&self) -> &Assertion {
        &self.assertion
    }

    /// What it is about; decides its shard.
    pub fn subject(&self) -> &str {
        &self.assertion.subject
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

fn read(bytes: &[u8], max: usize) -> Result<Fields<'_>, Invalid> {
    if bytes.len() > max {
        return Err(Invalid::new(
            "record_too_large",
            "$",
            format!("has {} bytes of JSON, the limit is {max}", bytes.len()),
            "shorten its text or note",
        )
        .with_limit(max as u64));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Invalid::new(
            "invalid_utf8",
            "$",
            format!("is not UTF-8 from byte {} on", error.valid_up_to()),
            "send UTF-8",
        )
    })?;
    Fields::read(text, "")
}

/// Reads the fields of a claim. With `stamp`, what may be absent is filled in; without, it must be there.
fn assertion(mut fields: Fields<'_>, stamp: Option<i64>) -> Result<Assertion, Invalid> {
    form(&mut fields, stamp.is_some())?;
    unsigned(&mut fields)?;
    let claim = Assertion {
        subject: fields
            .require("subject")?
            .string(1, SUBJECT_MAX)?
            .into_owned(),
        predicate: fields
            .require("predicate")?
            .string(1, PREDICATE_MAX)?
            .into_owned(),
        object: object(&fields.require("object")?)?,
        source: source(&fields.require("source")?)?,
        confidence: match given(&mut fields, "confidence", stamp)? {
            Some(field) => confidence(&field)?,
            None => 1.0,
        },
        lifecycle: match given(&mut fields, "lifecycle", stamp)? {
            Some(field) => one_of(&field)?,
            None => Lifecycle::Proposed,
        },
        asserted_at: match (given(&mut fields, "asserted_at", stamp)?, stamp) {
            (Some(field), _) => field.integer(-TIME_MAX_MS, TIME_MAX_MS)?,
            (None, now) => now.unwrap_or_default(),
        },
        epoch: fields.take("epoch").map(|field| hash(&field)).transpose()?,
        parent: fields
            .take("parent")
            .map(|field| hash(&field))
            .transpose()?,
        note: fields
            .take("note")
            .map(|field| field.string(0, NOTE_MAX).map(Cow::into_owned))
            .transpose()?,
    };
    fields.finish()?;
    Ok(claim)
}

/// `kind` and `v`: only what this version reads.
fn form(fields: &mut Fields<'_>, may_be_absent: bool) -> Result<(), Invalid> {
    let stamp = may_be_absent.then_some(0);
    if let Some(field) = given(fields, "kind", stamp)? {
        let kind: Kind = one_of(&field)?;
        if kind != Kind::Assertion {
            return Err(Invalid::new(
                "kind_not_supported",
                field.path(),
                format!("is {kind}, which this version does not take"),
                "send assertions",
            ));
        }
    }
    if let Some(field) = given(fields, "v", stamp)?
        && field.number()?.to_bits() != 1.0_f64.to_bits()
    {
        return Err(Invalid::new(
            "version_not_supported",
            field.path(),
            "is not 1, the only version of this record",
            "send \"v\": 1 or leave it out",
        ));
    }
    Ok(())
}

/// Signatures come with a later version. An empty list is no signature, and is left out of the canonical form.
fn unsigned(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    match fields.take("signatures") {
        Some(field) if !field.is_empty_list() => Err(Invalid::new(
            "signatures_not_supported",
            field.path(),
            "is given, but this version does not take signed records",
            "send the record without signatures",
        )),
        _ => Ok(()),
    }
}

fn given<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    stamp: Option<i64>,
) -> Result<Option<Field<'a>>, Invalid> {
    match stamp {
        Some(_) => Ok(fields.take(name)),
        None => fields.require(name).map(Some),
    }
}

fn object(field: &Field<'_>) -> Result<Object, Invalid> {
    let mut fields = field.object("object.")?;
    let kind = fields.require("type")?;
    let value = fields.require("value")?;
    fields.finish()?;
    match &*kind.string(1, 32)? {
        "text" => Ok(Object::Text(value.string(0, TEXT_MAX)?.into_owned())),
        "number" => Ok(Object::Number(value.number()?)),
        "boolean" => Ok(Object::Boolean(value.boolean()?)),
        "reference" => Ok(Object::Reference(
            value.string(1, SUBJECT_MAX)?.into_owned(),
        )),
        _ => Err(Invalid::new(
            "unknown_name",
            kind.path(),
            "is not a type of object",
            "use one of text, number, boolean, reference",
        )),
    }
}

fn source(field: &Field<'_>) -> Result<Source, Invalid> {
    let mut fields = field.object("source.")?;
    let source = Source {
        uri: fields.require("uri")?.string(1, URI_MAX)?.into_owned(),
        class: one_of(&fields.require("class")?)?,
        hash: fields.take("hash").map(|field| hash(&field)).transpose()?,
    };
    fields.finish()?;
    Ok(source)
}

fn confidence(field: &Field<'_>) -> Result<f64, Invalid> {
    let value = field.number()?;
    if !(0.0..=1.0).contains(&value) {
        return Err(Invalid::new(
            "out_of_range",
            field.path(),
            "is not between 0 and 1",
            "give a number of 0 to 1",
        ));
    }
    Ok(value)
}

fn hash(field: &Field<'_>) -> Result<String, Invalid> {
    let text = field.string(1, 64)?;
    if is_hex64(&text) {
        return Ok(text.into_owned());
    }
    Err(Invalid::new(
        "not_a_hash",
        field.path(),
        "is not 64 lowercase hex digits",
        "give the hash as 64 lowercase hex digits",
    ))
}

fn one_of<T: std::str::FromStr<Err = crate::UnknownName>>(field: &Field<'_>) -> Result<T, Invalid> {
    field
        .string(1, 64)?
        .parse()
        .map_err(|error: crate::UnknownName| {
            Invalid::new(
                "unknown_name",
                field.path(),
                error.to_string(),
                format!("use one of {}", error.accepted()),
            )
        })
}
