//! The many ways to write one record as JSON: order of fields, white space, escapes, forms of numbers.

use assertion::{Assertion, Object};
use proptest::prelude::*;

/// Choices of a writer: taken one by one, from the start again when they run out.
#[derive(Debug, Clone)]
pub(crate) struct Spelling(Vec<u8>);

impl Arbitrary for Spelling {
    type Parameters = ();
    type Strategy = BoxedStrategy<Spelling>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop::collection::vec(any::<u8>(), 1..200)
            .prop_map(Spelling)
            .boxed()
    }
}

/// A JSON value whose spelling is not decided yet.
pub(crate) enum Json {
    Text(String),
    Number(f64),
    Boolean(bool),
    Fields(Vec<(&'static str, Json)>),
}

impl Json {
    /// All fields of a claim, stamped ones included.
    pub(crate) fn of(claim: &Assertion) -> Json {
        let text = |text: &str| Json::Text(text.to_owned());
        let value = match &claim.object {
            Object::Text(value) | Object::Reference(value) => text(value),
            Object::Number(value) => Json::Number(*value),
            Object::Boolean(value) => Json::Boolean(*value),
        };
        let mut source = vec![
            ("uri", text(&claim.source.uri)),
            ("class", text(claim.source.class.name())),
        ];
        source.extend(
            claim
                .source
                .hash
                .as_deref()
                .map(|hash| ("hash", text(hash))),
        );
        #[allow(
            clippy::cast_precision_loss,
            reason = "times of a record are exact in an f64"
        )]
        let asserted_at = claim.asserted_at as f64;
        let mut fields = vec![
            ("kind", text("assertion")),
            ("v", Json::Number(1.0)),
            ("subject", text(&claim.subject)),
            ("predicate", text(&claim.predicate)),
            (
                "object",
                Json::Fields(vec![
                    ("type", text(claim.object.type_name())),
                    ("value", value),
                ]),
            ),
            ("source", Json::Fields(source)),
            ("confidence", Json::Number(claim.confidence)),
            ("lifecycle", text(claim.lifecycle.name())),
            ("asserted_at", Json::Number(asserted_at)),
        ];
        let links = [
            ("epoch", &claim.epoch),
            ("parent", &claim.parent),
            ("note", &claim.note),
        ];
        fields.extend(
            links
                .into_iter()
                .filter_map(|(name, value)| Some((name, text(value.as_deref()?)))),
        );
        Json::Fields(fields)
    }

    /// The text that these choices give.
    pub(crate) fn write(self, spelling: &Spelling) -> String {
        let mut writer = Writer {
            choices: spelling.0.iter().copied().cycle(),
            out: String::new(),
        };
        writer.value(self);
        writer.out
    }
}

struct Writer<C> {
    choices: C,
    out: String,
}

impl<C: Iterator<Item = u8>> Writer<C> {
    fn choose(&mut self, from: u8) -> u8 {
        self.choices.next().unwrap_or(0) % from
    }

    fn space(&mut self) {
        let space = ["", "", "", " ", "\n", "\t ", "\r\n"][usize::from(self.choose(7))];
        self.out.push_str(space);
    }

    fn value(&mut self, value: Json) {
        self.space();
        match value {
            Json::Text(text) => self.string(&text),
            Json::Number(number) => self.number(number),
            Json::Boolean(value) => self.out.push_str(if value { "true" } else { "false" }),
            Json::Fields(mut fields) => {
                self.out.push('{');
                while !fields.is_empty() {
                    let next = usize::from(self.choose(255)) % fields.len();
                    let (name, value) = fields.remove(next);
                    self.space();
                    self.string(name);
                    self.space();
                    self.out.push(':');
                    self.value(value);
                    if !fields.is_empty() {
                        self.out.push(',');
                    }
                }
                self.space();
                self.out.push('}');
            }
        }
        self.space();
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let must = character < ' ' || character == '"' || character == '\\';
            let short = match character {
                '"' | '\\' | '/' => Some(character),
                '\u{8}' => Some('b'),
                '\t' => Some('t'),
                '\n' => Some('n'),
                '\u{c}' => Some('f'),
                '\r' => Some('r'),
                _ => None,
            };
            match (self.choose(4), short) {
                (0 | 1, _) if !must => self.out.push(character),
                (0..3, Some(letter)) => self.out.extend(['\\', letter]),
                (case, _) => self.long_escape(character, case == 3),
            }
        }
        self.out.push('"');
    }

    fn long_escape(&mut self, character: char, capitals: bool) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let escape = if capitals {
                format!("\\u{unit:04X}")
            } else {
                format!("\\u{unit:04x}")
            };
            self.out.push_str(&escape);
        }
    }

    /// Forms that all stand for exactly this number.
    fn number(&mut self, number: f64) {
        let shortest = match self.choose(4) {
            0 => format!("{number:?}"),
            1 => format!("{number}"),
            2 => format!("{number:e}"),
            _ => format!("{number:E}")
                .replace("E-", "E-00")
                .replacen("E0", "E+0", 1),
        };
        self.out.push_str(&shortest);
    }
}
