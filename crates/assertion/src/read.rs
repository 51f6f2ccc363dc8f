//! From the fields of one JSON object to what they say: every rule of docs/canonical-form.md about form, for both doors.

use std::borrow::Cow;

use crate::fields::{Field, Fields};
use crate::hex;
use crate::invalid::Invalid;
use crate::limits::{
    EPOCH_NAME_MAX, NOTE_MAX, PREDICATE_MAX, REASON_MAX, SUBJECT_MAX, SUPERSEDES_MAX, TEXT_MAX,
    TIME_MAX_MS, TITLE_MAX, URI_MAX, VOTER_MAX,
};
use crate::model::{
    Assertion, Content, Epoch, Kind, Lifecycle, Object, Source, SourceRecord, Vote,
};

/// What is done about fields that a client may leave out.
#[derive(Clone, Copy)]
pub(crate) enum Absent {
    /// Client door, not signed: they are filled in, the time with `now_ms`.
    Stamp {
        /// Kind of a record that does not say.
        kind: Kind,
        /// The taker's clock.
        now_ms: i64,
    },
    /// Client door, signed: nobody may add to what was signed.
    Signed,
    /// Peer door: canonical bytes have them.
    Refuse,
}

impl Absent {
    /// Takes such a field. `None`: it is to be stamped.
    fn take<'a>(
        self,
        fields: &mut Fields<'a>,
        name: &'static str,
    ) -> Result<Option<Field<'a>>, Invalid> {
        match (fields.take(name), self) {
            (Some(field), _) => Ok(Some(field)),
            (None, Absent::Stamp { .. }) => Ok(None),
            (None, Absent::Refuse) => Err(Invalid::missing(name.to_owned())),
            (None, Absent::Signed) => Err(Invalid::new(
                "signed_incomplete",
                name,
                "is missing, and nothing may be added to a signed record",
                "sign and send the record complete",
            )),
        }
    }

    /// The time of a record of this kind.
    fn time(self, fields: &mut Fields<'_>, kind: Kind) -> Result<i64, Invalid> {
        match (self.take(fields, kind.time_field())?, self) {
            (Some(field), _) => field.integer(-TIME_MAX_MS, TIME_MAX_MS),
            (None, Absent::Stamp { now_ms, .. }) => Ok(now_ms),
            (None, _) => Err(Invalid::missing(kind.time_field().to_owned())),
        }
    }
}

/// Splits the bytes of one record into its fields.
pub(crate) fn fields(bytes: &[u8], max: usize) -> Result<Fields<'_>, Invalid> {
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

/// Reads what a record says. Its signatures are the caller's to read (before) and to verify (after).
/// With `only`, other kinds are refused.
pub(crate) fn content(
    mut fields: Fields<'_>,
    absent: Absent,
    only: Option<Kind>,
) -> Result<Content, Invalid> {
    let kind = form(&mut fields, absent)?;
    if let Some(only) = only
        && kind != only
    {
        return Err(Invalid::new(
            "kind_mismatch",
            "kind",
            format!("is {kind}, but only {only} is taken here"),
            format!("send the record where {kind} is taken"),
        ));
    }
    let content = match kind {
        Kind::Assertion => assertion(&mut fields, absent)?.into(),
        Kind::Vote => vote(&mut fields, absent)?.into(),
        Kind::Epoch => epoch(&mut fields, absent)?.into(),
        Kind::Source => source_record(&mut fields, absent)?.into(),
    };
    fields.finish()?;
    Ok(content)
}

/// `kind` and `v`.
fn form(fields: &mut Fields<'_>, absent: Absent) -> Result<Kind, Invalid> {
    let kind = match (absent.take(fields, "kind")?, absent) {
        (Some(field), _) => one_of(&field)?,
        (None, Absent::Stamp { kind, .. }) => kind,
        (None, _) => return Err(Invalid::missing("kind".to_owned())),
    };
    if let Some(field) = absent.take(fields, "v")?
        && field.number()?.to_bits() != 1.0_f64.to_bits()
    {
        return Err(Invalid::new(
            "version_not_supported",
            field.path(),
            "is not 1, the only version of this record",
            "send \"v\": 1 or leave it out",
        ));
    }
    Ok(kind)
}

fn assertion(fields: &mut Fields<'_>, absent: Absent) -> Result<Assertion, Invalid> {
    Ok(Assertion {
        subject: text(&fields.require("subject")?, 1, SUBJECT_MAX)?,
        predicate: text(&fields.require("predicate")?, 1, PREDICATE_MAX)?,
        object: object(&fields.require("object")?)?,
        source: source(&fields.require("source")?)?,
        confidence: match absent.take(fields, "confidence")? {
            Some(field) => confidence(&field)?,
            None => 1.0,
        },
        lifecycle: match absent.take(fields, "lifecycle")? {
            Some(field) => one_of(&field)?,
            None => Lifecycle::Proposed,
        },
        asserted_at: absent.time(fields, Kind::Assertion)?,
        epoch: optional(fields, "epoch", hash)?,
        parent: optional(fields, "parent", hash)?,
        note: optional(fields, "note", |field| text(field, 0, NOTE_MAX))?,
    })
}

fn vote(fields: &mut Fields<'_>, absent: Absent) -> Result<Vote, Invalid> {
    Ok(Vote {
        subject: text(&fields.require("subject")?, 1, SUBJECT_MAX)?,
        assertion: hash(&fields.require("assertion")?)?,
        voter: text(&fields.require("voter")?, 1, VOTER_MAX)?,
        weight: weight(&fields.require("weight")?)?,
        voted_at: absent.time(fields, Kind::Vote)?,
    })
}

fn epoch(fields: &mut Fields<'_>, absent: Absent) -> Result<Epoch, Invalid> {
    Ok(Epoch {
        name: text(&fields.require("name")?, 1, EPOCH_NAME_MAX)?,
        supersedes: optional(fields, "supersedes", supersedes)?.unwrap_or_default(),
        reason: optional(fields, "reason", |field| text(field, 0, REASON_MAX))?,
        started_at: absent.time(fields, Kind::Epoch)?,
    })
}

fn source_record(fields: &mut Fields<'_>, absent: Absent) -> Result<SourceRecord, Invalid> {
    Ok(SourceRecord {
        uri: text(&fields.require("uri")?, 1, URI_MAX)?,
        class: one_of(&fields.require("class")?)?,
        title: optional(fields, "title", |field| text(field, 0, TITLE_MAX))?,
        retracted: optional(fields, "retracted", Field::boolean)?,
        recorded_at: absent.time(fields, Kind::Source)?,
    })
}

#[inline]
pub(crate) fn optional<'a, T>(
    fields: &mut Fields<'a>,
    name: &'static str,
    read: impl Fn(&Field<'a>) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    fields.take(name).map(|field| read(&field)).transpose()
}

#[inline]
fn text(field: &Field<'_>, min: usize, max: usize) -> Result<String, Invalid> {
    field.string(min, max).map(Cow::into_owned)
}

/// A set of ids: a client may give it in any order, its form is ascending.
fn supersedes(field: &Field<'_>) -> Result<Vec<String>, Invalid> {
    let mut ids: Vec<String> = Vec::new();
    for (position, item) in field.list(SUPERSEDES_MAX)?.iter().enumerate() {
        let id = hash(item).map_err(|invalid| invalid.within("supersedes", position))?;
        if ids.contains(&id) {
            return Err(Invalid::repeated(format!("supersedes[{position}]")));
        }
        ids.push(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

fn weight(field: &Field<'_>) -> Result<f64, Invalid> {
    let value = field.number()?;
    if value > 0.0 && value <= 1.0 {
        return Ok(value);
    }
    Err(Invalid::new(
        "out_of_range",
        field.path(),
        "is not above 0 and at most 1",
        "give a number above 0 and at most 1",
    ))
}

fn object(field: &Field<'_>) -> Result<Object, Invalid> {
    let mut fields = field.object("object.")?;
    let kind = fields.require("type")?;
    let value = fields.require("value")?;
    fields.finish()?;
    match &*kind.string(1, 32)? {
        "text" => Ok(Object::Text(text(&value, 0, TEXT_MAX)?)),
        "number" => Ok(Object::Number(value.number()?)),
        "boolean" => Ok(Object::Boolean(value.boolean()?)),
        "reference" => Ok(Object::Reference(text(&value, 1, SUBJECT_MAX)?)),
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
        uri: text(&fields.require("uri")?, 1, URI_MAX)?,
        class: one_of(&fields.require("class")?)?,
        hash: optional(&mut fields, "hash", hash)?,
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

pub(crate) fn hash(field: &Field<'_>) -> Result<String, Invalid> {
    let text = field.string(1, 64)?;
    if hex::is(&text, 64) {
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
