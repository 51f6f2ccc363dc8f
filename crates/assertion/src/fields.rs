//! One JSON object at a time, strictly: every field once, none unknown, each taken by name with its path in errors.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::decimal;
use crate::invalid::Invalid;
use crate::limits::{SIGNATURES_MAX, SUPERSEDES_MAX};

/// More fields than any record has; what comes after is not looked at.
const FIELDS_MAX: usize = 32;

/// Items of the longest list that a record may have. One more is kept, what comes after is not looked at.
const ITEMS_MAX: usize = SUPERSEDES_MAX;
const _: () = assert!(SIGNATURES_MAX <= ITEMS_MAX);

/// Characters of a field name that came from outside and is shown in an error.
const NAME_SHOWN: usize = 64;

/// The fields of one object that were not taken yet.
pub(crate) struct Fields<'a> {
    prefix: &'static str,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// One field: where it is and its JSON text, which is well-formed.
pub(crate) struct Field<'a> {
    prefix: &'static str,
    name: &'static str,
    raw: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads an object. `prefix` is its path with a dot behind, or nothing for the record itself.
    pub(crate) fn read(text: &'a str, prefix: &'static str) -> Result<Fields<'a>, Invalid> {
        let Object(entries) =
            serde_json::from_str(text).map_err(|error| malformed(prefix, &error))?;
        if entries.len() > FIELDS_MAX {
            return Err(Invalid::new(
                "too_many_fields",
                root(prefix),
                "has more fields than any record",
                "remove the fields that a record does not have",
            )
            .with_limit(FIELDS_MAX as u64));
        }
        for (position, (name, _)) in entries.iter().enumerate() {
            if entries[..position]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(Invalid::new(
                    "duplicate_field",
                    shown(prefix, name),
                    "is given twice",
                    "give each field once",
                ));
            }
        }
        Ok(Fields { prefix, entries })
    }

    /// Takes a field that may be absent.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Field<'a>> {
        let position = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.entries.swap_remove(position);
        Some(Field {
            prefix: self.prefix,
            name,
            raw: raw.get(),
        })
    }

    /// Takes a field that must be there.
    pub(crate) fn require(&mut self, name: &'static str) -> Result<Field<'a>, Invalid> {
        self.take(name)
            .ok_or_else(|| Invalid::missing(format!("{}{name}", self.prefix)))
    }

    /// Refuses whatever was not taken.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        match self.entries.into_iter().map(|(name, _)| name).min() {
            None => Ok(()),
            Some(name) => Err(Invalid::new(
                "unknown_field",
                shown(self.prefix, &name),
                "is not a field of this record",
                "remove it, or check its spelling",
            )),
        }
    }
}

impl<'a> Field<'a> {
    /// Its path, dotted.
    pub(crate) fn path(&self) -> String {
        format!("{}{}", self.prefix, self.name)
    }

    /// A string of `min..=max` bytes.
    pub(crate) fn string(&self, min: usize, max: usize) -> Result<Cow<'a, str>, Invalid> {
        let text = self.text()?;
        if text.len() < min {
            return Err(Invalid::new(
                "empty",
                self.path(),
                "is empty",
                "give a value",
            ));
        }
        if text.len() > max {
            return Err(Invalid::new(
                "too_long",
                self.path(),
                format!("has {} bytes, the limit is {max}", text.len()),
                format!("shorten it to {max} bytes of UTF-8"),
            )
            .with_limit(max as u64));
        }
        Ok(text)
    }

    fn text(&self) -> Result<Cow<'a, str>, Invalid> {
        let quoted = self
            .raw
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let Some(inside) = quoted else {
            return Err(self.wrong_type("a string"));
        };
        // Well-formed JSON without a backslash stands for itself, and most strings are so.
        if !inside.as_bytes().contains(&b'\\') {
            return Ok(Cow::Borrowed(inside));
        }
        let text = serde_json::from_str(self.raw).map_err(|_| {
            Invalid::new(
                "malformed_string",
                self.path(),
                "is not a string of Unicode scalar values",
                "escape characters beyond U+FFFF as a pair of surrogates, or send them as UTF-8",
            )
        })?;
        Ok(Cow::Owned(text))
    }

    /// A finite number that an f64 holds as written.
    pub(crate) fn number(&self) -> Result<f64, Invalid> {
        if !self
            .raw
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
        {
            return Err(self.wrong_type("a number"));
        }
        decimal::exact(self.raw).ok_or_else(|| {
            Invalid::new(
                "number_not_exact",
                self.path(),
                "is a number that an IEEE 754 double cannot hold as it is written",
                "round it to at most 17 significant digits that read back the same, or send it as text",
            )
        })
    }

    /// A whole number of `min..=max`.
    pub(crate) fn integer(&self, min: i64, max: i64) -> Result<i64, Invalid> {
        let value = self.number()?;
        // Bounds are at most 2^53, so the casts are exact.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "bounded by 2^53"
        )]
        let whole = (value.fract() == 0.0 && value >= min as f64 && value <= max as f64)
            .then_some(value as i64);
        whole.ok_or_else(|| {
            Invalid::new(
                "out_of_range",
                self.path(),
                format!("is not a whole number of {min} to {max}"),
                "give a whole number in that range",
            )
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, Invalid> {
        match self.raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// An object of its own.
    pub(crate) fn object(&self, prefix: &'static str) -> Result<Fields<'a>, Invalid> {
        if !self.raw.starts_with('{') {
            return Err(self.wrong_type("an object"));
        }
        Fields::read(self.raw, prefix)
    }

    /// The items of an array of at most `max`. Their path is that of the array: see [`Invalid::within`].
    pub(crate) fn list(&self, max: usize) -> Result<Vec<Field<'a>>, Invalid> {
        if !self.raw.starts_with('[') {
            return Err(self.wrong_type("an array"));
        }
        let List(items) = serde_json::from_str(self.raw)
            .map_err(|error| malformed(&format!("{}.", self.path()), &error))?;
        if items.len() > max {
            return Err(Invalid::new(
                "too_many_items",
                self.path(),
                format!("has more than {max} items"),
                format!("give at most {max}"),
            )
            .with_limit(max as u64));
        }
        let item = |raw: &'a RawValue| Field {
            prefix: self.prefix,
            name: self.name,
            raw: raw.get(),
        };
        Ok(items.into_iter().map(item).collect())
    }

    fn wrong_type(&self, wanted: &str) -> Invalid {
        let found = match self.raw.as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        Invalid::new(
            "wrong_type",
            self.path(),
            format!("is {found}, not {wanted}"),
            format!("give {wanted}"),
        )
    }
}

/// The path of a field whose name came from outside: as much of it as a person needs to find it.
fn shown(prefix: &str, name: &str) -> String {
    if name.is_empty() {
        // A path of nothing would name no field.
        return format!("{prefix}\"\"");
    }
    let mut path = prefix.to_owned();
    path.extend(name.chars().take(NAME_SHOWN));
    if name.chars().nth(NAME_SHOWN).is_some() {
        path.push('…');
    }
    path
}

/// The parser's own words are used only where they cannot quote the input: that may be a mebibyte.
fn malformed(prefix: &str, error: &serde_json::Error) -> Invalid {
    let place = (error.line(), error.column());
    let detail = match error.classify() {
        Category::Data => "is JSON, but not an object".to_owned(),
        Category::Eof => "ends in the middle".to_owned(),
        _ => format!("is not JSON: line {}, column {}", place.0, place.1),
    };
    Invalid::new(
        "malformed_json",
        root(prefix),
        detail,
        "send one JSON object per record",
    )
}

fn root(prefix: &str) -> String {
    let path = prefix.trim_end_matches('.');
    if path.is_empty() {
        "$".to_owned()
    } else {
        path.to_owned()
    }
}

/// Name and text of each field, in the order given, repeats included.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field name, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::with_capacity(12);
                while let Some(Name(name)) = map.next_key()? {
                    let raw: &RawValue = map.next_value()?;
                    // One beyond the limit is kept so that the caller sees that there were more.
                    if entries.len() <= FIELDS_MAX {
                        entries.push((name, raw));
                    }
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Text of each item of an array, in order.
struct List<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    // One beyond the longest is kept so that the caller sees that there were more.
                    if items.len() <= ITEMS_MAX {
                        items.push(raw);
                    }
                }
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}
