//! The many ways to write one record as JSON: order of fields, white space, escapes, forms of numbers.

use assertion::{Assertion, Content, Epoch, Object, Record, SourceRecord, Vote};
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
    /// A list whose order means nothing.
    Set(Vec<Json>),
}

type Fields = Vec<(&'static str, Json)>;

impl Json {
    /// All fields of a record, stamped ones included.
    pub(crate) fn of(record: &Record) -> Json {
        let mut fields = match record.content() {
            Content::Assertion(claim) => assertion(claim),
            Content::Vote(vote) => voted(vote),
            Content::Epoch(epoch) => epoch_fields(epoch),
            Content::Source(source) => source_fields(source),
        };
        fields.push(("kind", text(record.kind().name())));
        fields.push(("v", Json::Number(1.0)));
        let signatures = record.signatures().iter().map(|one| {
            Json::Fields(vec![
                ("signature", text(&one.signature)),
                ("agent", text(&one.agent)),
            ])
        });
        fields.push(("signatures", Json::Set(signatures.collect())));
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

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn time(milliseconds: i64) -> Json {
    #[allow(
        clippy::cast_precision_loss,
        reason = "times of a record are exact in an f64"
    )]
    Json::Number(milliseconds as f64)
}

fn optional(name: &'static str, value: Option<&String>) -> Option<(&'static str, Json)> {
    Some((name, text(value?)))
}

fn assertion(claim: &Assertion) -> Fields {
    let value = match &claim.object {
        Object::Text(value) | Object::Reference(value) => text(value),
        Object::Number(value) => Json::Number(*value),
        Object::Boolean(value) => Json::Boolean(*value),
    };
    let object = vec![("type", text(claim.object.type_name())), ("value", value)];
    let mut source = vec![
        ("uri", text(&claim.source.uri)),
        ("class", text(claim.source.class.name())),
    ];
    source.extend(optional("hash", claim.source.hash.as_ref()));
    let mut fields = vec![
        ("subject", text(&claim.subject)),
        ("predicate", text(&claim.predicate)),
        ("object", Json::Fields(object)),
        ("source", Json::Fields(source)),
        ("confidence", Json::Number(claim.confidence)),
        ("lifecycle", text(claim.lifecycle.name())),
        ("asserted_at", time(claim.asserted_at)),
    ];
    fields.extend(optional("epoch", claim.epoch.as_ref()));
    fields.extend(optional("parent", claim.parent.as_ref()));
    fields.extend(optional("note", claim.note.as_ref()));
    fields
}

fn voted(vote: &Vote) -> Fields {
    vec![
        ("subject", text(&vote.subject)),
        ("assertion", text(&vote.assertion)),
        ("voter", text(&vote.voter)),
        ("weight", Json::Number(vote.weight)),
        ("voted_at", time(vote.voted_at)),
    ]
}

fn epoch_fields(epoch: &Epoch) -> Fields {
    let supersedes = epoch.supersedes.iter().map(|id| text(id)).collect();
    let mut fields = vec![
        ("name", text(&epoch.name)),
        ("supersedes", Json::Set(supersedes)),
        ("started_at", time(epoch.started_at)),
    ];
    fields.extend(optional("reason", epoch.reason.as_ref()));
    fields
}

fn source_fields(source: &SourceRecord) -> Fields {
    let mut fields = vec![
        ("uri", text(&source.uri)),
        ("class", text(source.class.name())),
        ("recorded_at", time(source.recorded_at)),
    ];
    fields.extend(optional("title", source.title.as_ref()));
    let retracted = source.retracted.map(Json::Boolean);
    fields.extend(retracted.map(|value| ("retracted", value)));
    fields
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
            Json::Fields(fields) => self.items(['{', '}'], fields, |writer, (name, value)| {
                writer.space();
                writer.string(name);
                writer.space();
                writer.out.push(':');
                writer.value(value);
            }),
            Json::Set(items) => self.items(['[', ']'], items, Writer::value),
        }
        self.space();
    }

    /// Items in whatever order, between brackets.
    fn items<T>(
        &mut self,
        [open, close]: [char; 2],
        mut items: Vec<T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.out.push(open);
        while !items.is_empty() {
            let next = usize::from(self.choose(255)) % items.len();
            write(self, items.remove(next));
            if !items.is_empty() {
                self.out.push(',');
            }
        }
        self.space();
        self.out.push(close);
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
