//! Parameters by name, from a URL or from a JSON object: each known, each once unless it is a list.

use std::fmt;

use assertion::moment::{self, WANTED};
use http::{StatusCode, Uri};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::problem::Problem;

/// More parameters than any call has.
const COUNT_MAX: usize = 128;

/// Names and values, in the order they were given.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

/// The members of a JSON object as they were given, repeated ones too: which of two was meant is not for us to guess.
#[derive(Debug)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// The value of the only member, if it has this name.
    pub fn only(&self, wanted: &str) -> Option<&Value> {
        match self.0.as_slice() {
            [(name, value)] if name == wanted => Some(value),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// What a member of a JSON object has to be. A URL has texts only; JSON says what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A number.
    Number,
    /// true or false.
    Truth,
    /// An array of strings, or one string.
    Texts,
    /// A number of milliseconds, or a date as a string.
    Moment,
}

impl Parameters {
    /// Reads the query part of a URL.
    ///
    /// # Errors
    /// 400 when it is not UTF-8, or holds too much.
    pub fn of_uri(uri: &Uri) -> Result<Parameters, Problem> {
        let mut given = Parameters::default();
        for pair in uri.query().unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.push(decode(name)?, decode(value)?)?;
        }
        Ok(given)
    }

    /// Takes the members of a JSON object by their text, a list as several values; null is as good as left out.
    ///
    /// # Errors
    /// 400 when a member is not `known` or there twice, 422 when a value is of another type.
    pub fn of_json(members: &Members, known: &[(&str, Type)]) -> Result<Parameters, Problem> {
        let mut given = Parameters::default();
        for (place, (name, value)) in members.0.iter().enumerate() {
            let wanted = known.iter().find(|(known, _)| known == name);
            let (_, wanted) = wanted.ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
                unknown(name, &names)
            })?;
            if members.0[..place]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(repeated(name));
            }
            match (wanted, value) {
                (_, Value::Null) => {}
                (Type::Texts, Value::Array(values)) if values.is_empty() => {
                    return Err(bad_value(name, "", "at least one value, or leave it out"));
                }
                (Type::Texts, Value::Array(values)) => {
                    for (place, value) in values.iter().enumerate() {
                        let Value::String(text) = value else {
                            return Err(wrong_type(&format!("{name}[{place}]"), Type::Text));
                        };
                        given.push(name.clone(), text.clone())?;
                    }
                }
                (Type::Text | Type::Texts | Type::Moment, Value::String(text)) => {
                    given.push(name.clone(), text.clone())?;
                }
                (Type::Number | Type::Moment, Value::Number(number)) => {
                    given.push(name.clone(), number.to_string())?;
                }
                (Type::Truth, Value::Bool(truth)) => given.push(name.clone(), truth.to_string())?,
                (wanted, _) => return Err(wrong_type(name, *wanted)),
            }
        }
        Ok(given)
    }

    fn push(&mut self, name: String, value: String) -> Result<(), Problem> {
        if self.0.len() == COUNT_MAX {
            return Err(Problem::bad_request(
                "too_many_parameters",
                format!("more than {COUNT_MAX} parameters"),
                "leave out what the call does not need; docs/api.md lists its parameters",
            )
            .limit(COUNT_MAX as u64));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Refuses every name but these.
    ///
    /// # Errors
    /// 400, naming the first stranger.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (name, _) in &self.0 {
            if !known.contains(&name.as_str()) {
                return Err(unknown(name, known));
            }
        }
        Ok(())
    }

    /// The value of a parameter that is given once at most.
    ///
    /// # Errors
    /// 400 when it is there twice.
    pub fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(repeated(name));
        }
        Ok(first)
    }

    /// The values of a list: given several times, or with commas between them.
    ///
    /// # Errors
    /// 422 when one is empty: a filter that was meant to narrow must not be taken for none.
    pub fn list(&self, name: &str) -> Result<Vec<String>, Problem> {
        let values = self.values(name).flat_map(|value| value.split(','));
        values
            .map(|value| match value.trim() {
                "" => Err(bad_value(name, "", "a value, or leave it out")),
                value => Ok(value.to_owned()),
            })
            .collect()
    }

    /// A value that can be read as `T`.
    ///
    /// # Errors
    /// 400 or 422, saying what is `wanted`.
    pub fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| bad_value(name, text, wanted))
    }

    /// A moment in Unix milliseconds: given as these, or as a date.
    ///
    /// # Errors
    /// 422 for what is none, and for a bare year, which as milliseconds would ask about 1970 and find nothing.
    pub fn moment(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        moment::read(text).map(Some).map_err(|slip| {
            let shown: String = text.chars().take(64).collect();
            let detail = format!("`{name}` is `{shown}`, which {}", slip.why());
            Problem::unprocessable("bad_value", detail, format!("give {WANTED}")).at(name)
        })
    }

    /// Where the page before ended. One that is there and empty was lost on its way: the first page again would look like the
    /// next one.
    ///
    /// # Errors
    /// 400 when it is empty or there twice.
    pub fn cursor(&self) -> Result<Option<&str>, Problem> {
        match self.one("cursor")? {
            Some("") => Err(Problem::bad_request(
                "empty_cursor",
                "`cursor` is empty",
                "send the cursor of the page before; leave it out for the first page, and after the last one there is none",
            )
            .at("cursor")),
            cursor => Ok(cursor),
        }
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let shown: String = name.chars().take(64).collect();
    let next_step = if known.is_empty() {
        "leave it out; this call has no parameters".to_owned()
    } else {
        format!("leave it out; known here are: {}", known.join(", "))
    };
    let detail = format!("`{shown}` is no parameter of this call");
    Problem::bad_request("unknown_parameter", detail, next_step).at(shown)
}

fn repeated(name: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::bad_request(
        "repeated_parameter",
        format!("`{shown}` is given more than once"),
        "give it once",
    )
    .at(shown)
}

/// A value that its parameter cannot have.
pub fn bad_value(name: &str, given: &str, wanted: &str) -> Problem {
    let shown: String = given.chars().take(64).collect();
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_value",
        format!("`{name}` is `{shown}`"),
        format!("give {wanted}"),
    )
    .at(name)
}

fn wrong_type(name: &str, wanted: Type) -> Problem {
    let shown: String = name.chars().take(64).collect();
    let wanted = match wanted {
        Type::Text => "a string",
        Type::Number => "a number, without quotes",
        Type::Truth => "true or false, without quotes",
        Type::Texts => "an array of strings",
        Type::Moment => "milliseconds since 1970 as a number, or a date as a string",
    };
    let detail = format!("`{shown}` is of another type than this parameter");
    Problem::unprocessable("wrong_type", detail, format!("give {wanted}")).at(shown)
}

/// Undoes percent-encoding. A text that is not UTF-8 names no subject: it is refused, not mended.
pub fn decode(text: &str) -> Result<String, Problem> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                match (digit(bytes.next()), digit(bytes.next())) {
                    (Some(high), Some(low)) => {
                        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    }
                    _ => return Err(not_encoded()),
                }
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| not_encoded())
}

fn not_encoded() -> Problem {
    Problem::bad_request(
        "malformed_url",
        "the URL holds a percent-encoding that is broken, or bytes that are not UTF-8",
        "percent-encode names and values as UTF-8",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Parameters, Problem> {
        Parameters::of_uri(&format!("/v1/query?{query}").parse().unwrap())
    }

    #[test]
    fn values_are_decoded_and_strangers_named() {
        let given =
            of("subject=cas%3A7732-18-5&class=expert%2Cclinical&class=regulatory&x=a+b").unwrap();
        assert_eq!(given.one("subject").unwrap(), Some("cas:7732-18-5"));
        assert_eq!(
            given.list("class").unwrap(),
            ["expert", "clinical", "regulatory"]
        );
        assert_eq!(given.one("x").unwrap(), Some("a b"));
        let refused = given.only(&["subject", "class"]).unwrap_err();
        assert_eq!(
            (refused.code.as_str(), refused.path.as_deref()),
            ("unknown_parameter", Some("x"))
        );
        assert!(given.one("class").is_err());
    }

    #[test]
    fn broken_encodings_are_refused_not_mended() {
        for query in ["subject=%ff", "subject=%2", "subject=%zz", "%=1"] {
            assert_eq!(of(query).unwrap_err().code, "malformed_url", "{query}");
        }
        let many = "a=1&".repeat(COUNT_MAX + 1);
        assert_eq!(of(&many).unwrap_err().code, "too_many_parameters");
    }

    const KNOWN: [(&str, Type); 6] = [
        ("subject", Type::Text),
        ("tolerance", Type::Number),
        ("min_confidence", Type::Number),
        ("decay", Type::Truth),
        ("class", Type::Texts),
        ("cursor", Type::Text),
    ];

    fn json(text: &str) -> Result<Parameters, Problem> {
        Parameters::of_json(&serde_json::from_str(text).unwrap(), &KNOWN)
    }

    #[test]
    fn json_gives_the_same() {
        let given = json(
            r#"{"subject": "s", "tolerance": 0.001, "class": ["expert", "clinical"], "cursor": null}"#,
        )
        .unwrap();
        assert_eq!(
            given.parsed::<f64>("tolerance", "a number").unwrap(),
            Some(0.001)
        );
        assert_eq!(given.list("class").unwrap().len(), 2);
        assert_eq!(given.one("cursor").unwrap(), None);
        assert_eq!(
            json(r#"{"class": "expert,clinical"}"#)
                .unwrap()
                .list("class")
                .unwrap()
                .len(),
            2
        );
        assert!(serde_json::from_str::<Members>("[]").is_err());
    }

    #[test]
    fn json_of_another_type_is_refused_by_name() {
        for (text, path) in [
            (r#"{"subject": 5}"#, "subject"),
            (r#"{"subject": ["a"]}"#, "subject"),
            (r#"{"subject": {}}"#, "subject"),
            (r#"{"tolerance": "0.1"}"#, "tolerance"),
            (r#"{"tolerance": true}"#, "tolerance"),
            (r#"{"decay": "true"}"#, "decay"),
            (r#"{"decay": 1}"#, "decay"),
            (r#"{"class": 5}"#, "class"),
            (r#"{"class": ["expert", null]}"#, "class[1]"),
        ] {
            let refused = json(text).unwrap_err();
            let said = (refused.code.as_str(), refused.path.as_deref());
            assert_eq!(said, ("wrong_type", Some(path)), "{text}");
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        }
        let refused = json(r#"{"colour": {}}"#).unwrap_err();
        assert_eq!(refused.code, "unknown_parameter");
    }

    #[test]
    fn an_empty_cursor_is_not_the_first_page() {
        let refused = of("cursor=").unwrap().cursor().unwrap_err().code.clone();
        assert_eq!(refused, "empty_cursor");
        assert_eq!(of("cursor=ff").unwrap().cursor().unwrap(), Some("ff"));
        assert_eq!(of("").unwrap().cursor().unwrap(), None);
        assert!(json(r#"{"cursor": ""}"#).unwrap().cursor().is_err());
    }

    #[test]
    fn a_filter_is_never_widened_by_a_slip() {
        let twice = r#"{"subject": "a", "min_confidence": 0.9, "min_confid\u0065nce": 0}"#;
        assert_eq!(json(twice).unwrap_err().code, "repeated_parameter");
        assert_eq!(json(r#"{"class": []}"#).unwrap_err().code, "bad_value");
        for query in ["class=", "class=,", "class=expert,"] {
            let refused = of(query).unwrap().list("class").unwrap_err();
            assert_eq!(refused.code, "bad_value", "{query}");
        }
    }
}
