//! A claim as lenses see it: the fields that decide an answer, borrowed from a record or straight from its canonical bytes.

use std::borrow::Cow;

use crate::canonical;
use crate::id::RecordId;
use crate::model::{Assertion, Lifecycle, Object, SourceClass};

/// What an answer may depend on of one claim. Nothing of it is copied unless the canonical bytes have escapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim<'a> {
    /// BLAKE3 of the canonical bytes.
    pub id: RecordId,
    /// The bytes it was read from.
    pub canonical: &'a [u8],
    /// What it is about.
    pub subject: Cow<'a, str>,
    /// Which property.
    pub predicate: Cow<'a, str>,
    /// The claimed value.
    pub value: Value<'a>,
    /// Who claims it.
    pub uri: Cow<'a, str>,
    /// Its strength.
    pub class: SourceClass,
    /// 0 to 1.
    pub confidence: f64,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Unix milliseconds, as claimed.
    pub asserted_at: i64,
    /// Id of the epoch it belongs to.
    pub epoch: Option<&'a str>,
}

/// What is claimed: [`Object`], borrowed.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Words.
    Text(Cow<'a, str>),
    /// A finite number; -0 is 0.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// Another subject.
    Reference(Cow<'a, str>),
}

impl<'a> Claim<'a> {
    pub(crate) fn of(id: RecordId, canonical: &'a [u8], claim: &'a Assertion) -> Claim<'a> {
        Claim {
            id,
            canonical,
            subject: Cow::Borrowed(&claim.subject),
            predicate: Cow::Borrowed(&claim.predicate),
            value: Value::of(&claim.object),
            uri: Cow::Borrowed(&claim.source.uri),
            class: claim.source.class,
            confidence: claim.confidence,
            lifecycle: claim.lifecycle,
            asserted_at: claim.asserted_at,
            epoch: claim.epoch.as_deref(),
        }
    }

    /// What a store reads of its own, many times a millisecond: canonical bytes of a claim that came through a door before they
    /// were written. The id, for the caller to compare, says that these are the same bytes; nothing else is checked again, and
    /// what no lens looks at is passed over. `None`: not the canonical bytes of a claim. `Record::from_stored` says what they are.
    pub fn from_stored(canonical: &'a [u8]) -> Option<Claim<'a>> {
        let mut rest = Rest(std::str::from_utf8(canonical).ok()?);
        rest.expect("{\"asserted_at\":")?;
        let asserted_at = rest.number()?;
        rest.expect(",\"confidence\":")?;
        let confidence = rest.number()?;
        let epoch = match rest.has(",\"epoch\":\"") {
            true => Some(rest.plain()?),
            false => None,
        };
        rest.expect(",\"kind\":\"assertion\",\"lifecycle\":\"")?;
        let lifecycle = rest.plain()?.parse().ok()?;
        if rest.has(",\"note\":\"") {
            rest.string()?;
        }
        rest.expect(",\"object\":{\"type\":\"")?;
        let value = rest.value()?;
        rest.expect("}")?;
        if rest.has(",\"parent\":\"") {
            rest.plain()?;
        }
        rest.expect(",\"predicate\":\"")?;
        let predicate = rest.string()?;
        if rest.has(",\"signatures\":[") {
            rest.through("}]")?;
        }
        rest.expect(",\"source\":{\"class\":\"")?;
        let class = rest.plain()?.parse().ok()?;
        if rest.has(",\"hash\":\"") {
            rest.plain()?;
        }
        rest.expect(",\"uri\":\"")?;
        let uri = rest.string()?;
        rest.expect("},\"subject\":\"")?;
        let subject = rest.string()?;
        (rest.0 == ",\"v\":1}").then(|| Claim {
            id: RecordId::of(canonical),
            canonical,
            subject,
            predicate,
            value,
            uri,
            class,
            confidence,
            lifecycle,
            asserted_at,
            epoch,
        })
    }
}

impl<'a> Value<'a> {
    pub(crate) fn of(object: &'a Object) -> Value<'a> {
        match object {
            Object::Text(text) => Value::Text(Cow::Borrowed(text)),
            Object::Number(value) => Value::Number(*value),
            Object::Boolean(value) => Value::Boolean(*value),
            Object::Reference(subject) => Value::Reference(Cow::Borrowed(subject)),
        }
    }

    /// The name of its type on the wire.
    pub(crate) const fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Number(_) => "number",
            Value::Boolean(_) => "boolean",
            Value::Reference(_) => "reference",
        }
    }

    /// Writes `{"type":…,"value":…}` as canonical bytes have it.
    pub fn write(&self, out: &mut Vec<u8>) {
        canonical::value(out, self);
    }
}

/// What was not read yet of canonical bytes. Each method takes something from its front, `None` when something else is there.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn has(&mut self, literal: &str) -> bool {
        let rest = self.0.strip_prefix(literal);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, literal: &str) -> Option<()> {
        self.has(literal).then_some(())
    }

    /// Everything up to the end of this mark.
    fn through(&mut self, mark: &str) -> Option<&'a str> {
        let (taken, rest) = self.0.split_once(mark)?;
        self.0 = rest;
        Some(taken)
    }

    /// A string without escapes, whose first quote was taken.
    fn plain(&mut self) -> Option<&'a str> {
        self.through("\"")
    }

    /// Any string, whose first quote was taken.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.0.as_bytes();
        let mut end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes[end] == b'"' {
            let (text, rest) = (&self.0[..end], &self.0[end + 1..]);
            self.0 = rest;
            return Some(Cow::Borrowed(text));
        }
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let escaped = format!("\"{}\"", self.0.get(..end)?);
        self.0 = self.0.get(end + 1..)?;
        serde_json::from_str(&escaped).ok().map(Cow::Owned)
    }

    /// A number as JSON has it.
    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        let end = self
            .0
            .bytes()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e'))?;
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits.parse().ok()
    }

    /// Behind `"type":"`.
    fn value(&mut self) -> Option<Value<'a>> {
        let kind = self.plain()?;
        self.expect(",\"value\":")?;
        match kind {
            "number" => self.number().map(Value::Number),
            "text" if self.has("\"") => self.string().map(Value::Text),
            "reference" if self.has("\"") => self.string().map(Value::Reference),
            "boolean" if self.has("true") => Some(Value::Boolean(true)),
            "boolean" if self.has("false") => Some(Value::Boolean(false)),
            _ => None,
        }
    }
}
