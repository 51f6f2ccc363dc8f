//! A question as the API takes it, checked.

use assertion::RecordId;
use assertion::limits::{PREDICATE_MAX, SUBJECT_MAX, TIME_MAX_MS, URI_MAX};
use bytes::Bytes;
use lens::{InvalidParameters, Lens, Selection};
use proto::cursor::{self, Position};
use proto::{convert, v1};

use crate::parameters::{Parameters, bad_value};
use crate::problem::Problem;

/// Names that a question may have.
const KNOWN: [&str; 13] = [
    "subject",
    "predicate",
    "source",
    "lens",
    "tolerance",
    "as_of",
    "lifecycle",
    "class",
    "min_confidence",
    "limit",
    "cursor",
    "consistency",
    "include",
];

/// Names that a later version knows.
const LATER: [&str; 5] = ["subject_prefix", "epoch", "decay", "evaluated_at", "inner"];

/// Records on a page, when nothing is said.
const LIMIT: u32 = 100;

/// Most records on a page.
pub const LIMIT_MAX: u32 = 1_000;

/// Most ids that an answer waits for.
const INCLUDE_MAX: usize = 100;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The claims it is about; normalised.
    pub selection: Selection,
    /// The lens, if any; echoes the selection.
    pub lens: Option<lens::Parameters>,
    /// Records on a page.
    pub limit: u32,
    /// Where the page before ended.
    pub from: Option<Position>,
    /// Ask all live nodes, whatever one of them says.
    pub all: bool,
    /// Records that the answer has to know of.
    pub include: Vec<RecordId>,
}

impl Question {
    /// Reads a question. `lens`: the one that the path names.
    ///
    /// # Errors
    /// 400 and 422, naming the parameter.
    pub fn read(given: &Parameters, lens: Option<Lens>) -> Result<Question, Problem> {
        given.only(&KNOWN, &LATER)?;
        let mut selection = selection(given)?;
        selection.normalise();
        let lens = match (lens, given.one("lens")?) {
            (Some(lens), None) => Some(lens),
            (Some(lens), Some(name)) if name == lens.name() => Some(lens),
            (Some(lens), Some(name)) => {
                return Err(bad_value(
                    "lens",
                    name,
                    &format!("{lens}, or ask /v1/query"),
                ));
            }
            (None, Some(name)) => Some(name.parse::<Lens>().map_err(of_lens)?),
            (None, None) => None,
        };
        let tolerance = given.parsed::<f64>("tolerance", "a number of 0 to 1")?;
        let paged = given.one("limit")?.is_some() || given.one("cursor")?.is_some();
        let lens = match (lens, tolerance) {
            (Some(_), _) if paged => {
                return Err(Problem::unprocessable(
                    "not_with_lens",
                    "a lens gives one answer, not pages",
                    "leave out limit and cursor, or leave out lens",
                )
                .at("limit"));
            }
            (Some(lens), _) => {
                Some(lens::Parameters::new(lens, tolerance, selection.clone()).map_err(of_lens)?)
            }
            (None, Some(_)) => {
                return Err(Problem::unprocessable(
                    "only_with_lens",
                    "`tolerance` says what a lens takes for one value",
                    "add lens=skeptic or another one, or leave it out",
                )
                .at("tolerance"));
            }
            (None, None) => None,
        };
        Ok(Question {
            limit: limit(given)?,
            from: from(given, &selection)?,
            all: consistency(given)?,
            include: include(given)?,
            lens,
            selection,
        })
    }

    /// The subject; there always is one.
    pub fn subject(&self) -> &str {
        self.selection.subject.as_deref().unwrap_or_default()
    }

    /// The question for a store that answers alone.
    pub fn to_wire(&self) -> v1::QueryRequest {
        let cursor = self.from.map(|from| cursor::write(&self.selection, from));
        v1::QueryRequest {
            selection: Some(convert::selection_to_wire(&self.selection)),
            lens: self.lens.as_ref().map(convert::lens_call),
            limit: if self.lens.is_some() { 0 } else { self.limit },
            cursor: cursor.unwrap_or_default(),
            include: self
                .include
                .iter()
                .map(|id| Bytes::copy_from_slice(id.as_bytes()))
                .collect(),
        }
    }
}

fn selection(given: &Parameters) -> Result<Selection, Problem> {
    let subject = text(given, "subject", SUBJECT_MAX)?.ok_or_else(|| {
        Problem::unprocessable(
            "subject_required",
            "the question names no subject, so it would go through everything",
            "add subject=, as subject=cas:7732-18-5",
        )
        .at("subject")
    })?;
    let min_confidence = given.parsed::<f64>("min_confidence", "a number of 0 to 1")?;
    if let Some(least) = min_confidence
        && !(0.0..=1.0).contains(&least)
    {
        return Err(bad_value(
            "min_confidence",
            &least.to_string(),
            "a number of 0 to 1",
        ));
    }
    let milliseconds = "Unix milliseconds, a whole number";
    let as_of = given.parsed::<i64>("as_of", milliseconds)?;
    if let Some(time) = as_of
        && !(-TIME_MAX_MS..=TIME_MAX_MS).contains(&time)
    {
        return Err(bad_value("as_of", &time.to_string(), milliseconds));
    }
    Ok(Selection {
        subject: Some(subject),
        subject_prefix: None,
        predicate: text(given, "predicate", PREDICATE_MAX)?,
        source: text(given, "source", URI_MAX)?,
        classes: names(given, "class")?,
        lifecycles: names(given, "lifecycle")?,
        min_confidence,
        as_of,
    })
}

fn text(given: &Parameters, name: &str, max: usize) -> Result<Option<String>, Problem> {
    match given.one(name)? {
        Some(text) if text.is_empty() || text.len() > max => {
            let wanted = format!("1 to {max} bytes of UTF-8");
            Err(bad_value(name, text, &wanted).limit(max as u64))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn names<T>(given: &Parameters, name: &str) -> Result<Vec<T>, Problem>
where
    T: std::str::FromStr<Err = assertion::UnknownName>,
{
    let parse = |text: String| {
        let read = text.parse::<T>();
        read.map_err(|error| bad_value(name, &text, &format!("one of {}", error.accepted())))
    };
    given.list(name)?.into_iter().map(parse).collect()
}

fn of_lens(error: InvalidParameters) -> Problem {
    let (code, path) = match error {
        InvalidParameters::UnknownLens(_) => ("unknown_lens", "lens"),
        InvalidParameters::Tolerance(_) => ("bad_value", "tolerance"),
        InvalidParameters::MinConfidence(_) => ("bad_value", "min_confidence"),
    };
    let text = error.to_string();
    let (detail, next) = text
        .split_once(": ")
        .unwrap_or((&text, "see docs/lenses.md"));
    Problem::unprocessable(code, detail, next).at(path)
}

fn limit(given: &Parameters) -> Result<u32, Problem> {
    let wanted = format!("a whole number of 1 to {LIMIT_MAX}");
    match given.parsed::<u32>("limit", &wanted)? {
        None => Ok(LIMIT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(bad_value("limit", &limit.to_string(), &wanted).limit(LIMIT_MAX.into())),
    }
}

fn from(given: &Parameters, selection: &Selection) -> Result<Option<Position>, Problem> {
    let Some(text) = given.one("cursor")? else {
        return Ok(None);
    };
    let token = unhex(text);
    let read = token.as_deref().map(|token| cursor::read(selection, token));
    match read {
        Some(Ok(position)) => Ok(position),
        Some(Err(error)) => {
            let next = "send the cursor with the parameters it came with, or start without one";
            Err(Problem::unprocessable("bad_cursor", error.to_string(), next).at("cursor"))
        }
        None => Err(bad_value("cursor", text, "it as it was returned")),
    }
}

fn consistency(given: &Parameters) -> Result<bool, Problem> {
    match given.one("consistency")? {
        None => Ok(false),
        Some("all") => Ok(true),
        Some(other) => Err(bad_value("consistency", other, "all, or leave it out")),
    }
}

fn include(given: &Parameters) -> Result<Vec<RecordId>, Problem> {
    let ids = given.list("include")?;
    if ids.len() > INCLUDE_MAX {
        let problem = bad_value("include", &ids.len().to_string(), "fewer ids");
        return Err(problem.limit(INCLUDE_MAX as u64));
    }
    let parse = |text: String| {
        let read = text.parse::<RecordId>();
        read.map_err(|_| bad_value("include", &text, "record ids, 64 lowercase hex digits each"))
    };
    ids.into_iter().map(parse).collect()
}

/// Bytes from lowercase or uppercase hex.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Bytes as lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Question, Problem> {
        let uri = format!("/v1/query?{query}").parse().unwrap();
        Question::read(&Parameters::of_uri(&uri)?, None)
    }

    fn refused(query: &str) -> (String, Option<String>) {
        let problem = read(query).unwrap_err();
        (problem.code.clone(), problem.path.clone())
    }

    #[test]
    fn a_whole_question_is_read() {
        let asked = read(
            "subject=cas:7732-18-5&predicate=boiling_point_k&lens=skeptic&tolerance=0.001&as_of=-5\
             &class=expert,clinical&lifecycle=approved&min_confidence=0.5&source=u&consistency=all",
        )
        .unwrap();
        assert_eq!(asked.subject(), "cas:7732-18-5");
        assert!(asked.all);
        let wire = asked.to_wire();
        assert_eq!(wire.lens.unwrap().tolerance, Some(0.001));
        let selection = wire.selection.unwrap();
        assert_eq!(selection.classes, ["clinical", "expert"]);
        assert_eq!(selection.as_of_ms, Some(-5));
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        let at = |code: &str, path: &str| (code.to_owned(), Some(path.to_owned()));
        assert_eq!(refused("predicate=p"), at("subject_required", "subject"));
        assert_eq!(refused("subject=s&lens=oracle"), at("unknown_lens", "lens"));
        assert_eq!(
            refused("subject=s&lens=skeptic&tolerance=2"),
            at("bad_value", "tolerance")
        );
        assert_eq!(
            refused("subject=s&lens=skeptic&tolerance=NaN"),
            at("bad_value", "tolerance")
        );
        assert_eq!(
            refused("subject=s&tolerance=0.1"),
            at("only_with_lens", "tolerance")
        );
        assert_eq!(
            refused("subject=s&lens=skeptic&limit=5"),
            at("not_with_lens", "limit")
        );
        assert_eq!(refused("subject=s&limit=0"), at("bad_value", "limit"));
        assert_eq!(refused("subject=s&limit=1001"), at("bad_value", "limit"));
        assert_eq!(refused("subject=s&class=gossip"), at("bad_value", "class"));
        assert_eq!(
            refused("subject=s&min_confidence=1.5"),
            at("bad_value", "min_confidence")
        );
        assert_eq!(
            refused("subject=s&as_of=yesterday"),
            at("bad_value", "as_of")
        );
        assert_eq!(refused("subject=s&cursor=xyz"), at("bad_value", "cursor"));
        assert_eq!(refused("subject=s&cursor=ff"), at("bad_cursor", "cursor"));
        assert_eq!(
            refused("subject=s&consistency=one"),
            at("bad_value", "consistency")
        );
        assert_eq!(refused("subject=s&include=1"), at("bad_value", "include"));
        assert_eq!(refused("subject="), at("bad_value", "subject"));
        for later in LATER {
            assert_eq!(
                refused(&format!("subject=s&{later}=1")),
                at("parameter_not_supported", later)
            );
        }
    }

    #[test]
    fn a_cursor_goes_to_the_store_as_it_came() {
        let asked = read("subject=s&limit=7").unwrap();
        let place = Position {
            at: 5,
            id: RecordId::of(b"x"),
        };
        let token = hex(&cursor::write(&asked.selection, place));
        let next = read(&format!("subject=s&limit=7&cursor={token}")).unwrap();
        assert_eq!(next.from, Some(place));
        assert_eq!(hex(&next.to_wire().cursor), token);
        assert_eq!(
            refused(&format!("subject=t&cursor={token}")).0,
            "bad_cursor"
        );
    }

    #[test]
    fn the_path_may_name_the_lens() {
        let of = |query: &str| {
            let uri = format!("/v1/skeptic?{query}").parse().unwrap();
            Question::read(&Parameters::of_uri(&uri).unwrap(), Some(Lens::Skeptic))
        };
        assert_eq!(of("subject=s").unwrap().lens.unwrap().lens, Lens::Skeptic);
        assert!(of("subject=s&lens=skeptic").is_ok());
        assert!(of("subject=s&lens=recency").is_err());
    }
}
