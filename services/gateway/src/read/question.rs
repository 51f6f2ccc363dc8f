//! A question as the API takes it, checked.

use assertion::limits::{PREDICATE_MAX, SUBJECT_MAX, URI_MAX};
use assertion::{RecordId, hex};
use bytes::Bytes;
use lens::{InvalidParameters, Lens, Options, Selection};
use proto::cursor::{self, Position};
use proto::{convert, v1};

use crate::parameters::{Parameters, Type, bad_value};
use crate::problem::Problem;

/// What a question may name, and as what a JSON object gives it.
pub(crate) const KNOWN: [(&str, Type); 18] = [
    ("subject", Type::Text),
    ("subject_prefix", Type::Text),
    ("predicate", Type::Text),
    ("source", Type::Text),
    ("lens", Type::Text),
    ("inner", Type::Text),
    ("tolerance", Type::Number),
    ("decay", Type::Truth),
    ("evaluated_at", Type::Moment),
    ("as_of", Type::Moment),
    ("lifecycle", Type::Texts),
    ("epoch", Type::Text),
    ("class", Type::Texts),
    ("min_confidence", Type::Number),
    ("limit", Type::Number),
    ("cursor", Type::Text),
    ("consistency", Type::Text),
    ("include", Type::Texts),
];

/// Names that mean nothing without a lens.
const OF_LENSES: [&str; 4] = ["tolerance", "decay", "evaluated_at", "inner"];

/// Records on a page, when nothing is said.
const LIMIT: u32 = 100;

/// Most records on a page.
pub const LIMIT_MAX: u32 = proto::PAGE_MAX;

/// Most ids that an answer waits for.
const INCLUDE_MAX: usize = 100;
const _: () = assert!(INCLUDE_MAX <= proto::GET_IDS_MAX);

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
    /// Reads a question. `lens`: the one that the path names. `now_ms`: the moment that ages are taken at, when the question
    /// does not say.
    ///
    /// # Errors
    /// 400 and 422, naming the parameter.
    pub fn read(given: &Parameters, lens: Option<Lens>, now_ms: i64) -> Result<Question, Problem> {
        given.only(&KNOWN.map(|(name, _)| name))?;
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
        let lens = match lens {
            Some(lens) => Some(parameters(given, lens, &selection, now_ms)?),
            None => {
                without_lens(given)?;
                None
            }
        };
        bounded(&selection, lens.is_some())?;
        Ok(Question {
            limit: limit(given)?,
            from: from(given, &selection)?,
            all: consistency(given)?,
            include: include(given)?,
            lens,
            selection,
        })
    }

    /// The subject, when it is about one.
    pub fn subject(&self) -> Option<&str> {
        self.selection.subject.as_deref()
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

/// What a lens is asked beside the selection.
fn parameters(
    given: &Parameters,
    lens: Lens,
    selection: &Selection,
    now_ms: i64,
) -> Result<lens::Parameters, Problem> {
    for name in ["limit", "cursor"] {
        if given.one(name)?.is_some() {
            return Err(Problem::unprocessable(
                "not_with_lens",
                "a lens gives one answer, not pages",
                "leave out limit and cursor, or leave out lens",
            )
            .at(name));
        }
    }
    let inner = given.one("inner")?;
    let inner = inner.map(|name| {
        name.parse::<Lens>()
            .map_err(|error| of_lens(error).at("inner"))
    });
    let decay = given.parsed("decay", "true or false")?.unwrap_or(false);
    let evaluated_at = given.moment("evaluated_at")?;
    let options = Options {
        tolerance: given.parsed("tolerance", "a number of 0 to 1")?,
        decay,
        evaluated_at: evaluated_at.or_else(|| decay.then_some(now_ms)),
        inner: inner.transpose()?,
    };
    lens::Parameters::new(lens, options, selection.clone()).map_err(of_lens)
}

/// Refuses what only lenses use.
fn without_lens(given: &Parameters) -> Result<(), Problem> {
    for name in OF_LENSES {
        if given.one(name)?.is_some() {
            return Err(Problem::unprocessable(
                "only_with_lens",
                format!("`{name}` says how a lens looks at claims, and the question names no lens"),
                "add lens=skeptic or another one, or leave it out",
            )
            .at(name));
        }
    }
    Ok(())
}

/// Refuses what would go through everything.
fn bounded(selection: &Selection, with_lens: bool) -> Result<(), Problem> {
    let Selection {
        subject,
        subject_prefix,
        predicate,
        source,
        ..
    } = selection;
    match (subject, subject_prefix) {
        (Some(_), Some(_)) => Err(of_lens(InvalidParameters::PrefixUnused)),
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) if with_lens => Err(Problem::unprocessable(
            "unbounded",
            "the question names no subject, and values of all subjects are no contradiction",
            "add subject=, or subject_prefix= and predicate=, or leave out lens",
        )
        .at("subject")),
        (None, None) if predicate.is_none() && source.is_none() => Err(Problem::unprocessable(
            "unbounded",
            "the question names neither subject nor source nor predicate, so it would go through everything",
            "add subject= (as subject=cas:7732-18-5), subject_prefix=, source= or predicate=",
        )
        .at("subject")),
        (None, None) => Ok(()),
    }
}

fn selection(given: &Parameters) -> Result<Selection, Problem> {
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
    let as_of = given.moment("as_of")?;
    let epoch = given.one("epoch")?;
    if let Some(id) = epoch
        && id.parse::<RecordId>().is_err()
    {
        return Err(bad_value(
            "epoch",
            id,
            "the epoch's id, 64 lowercase hex digits, as POST /v1/epoch returned it",
        ));
    }
    Ok(Selection {
        subject: text(given, "subject", SUBJECT_MAX)?,
        subject_prefix: text(given, "subject_prefix", SUBJECT_MAX)?,
        predicate: text(given, "predicate", PREDICATE_MAX)?,
        source: text(given, "source", URI_MAX)?,
        classes: names(given, "class")?,
        lifecycles: names(given, "lifecycle")?,
        epoch: epoch.map(str::to_owned),
        min_confidence,
        as_of,
    })
}

pub(crate) fn text(given: &Parameters, name: &str, max: usize) -> Result<Option<String>, Problem> {
    match given.one(name)? {
        Some(text) if text.is_empty() || text.len() > max => {
            let wanted = format!("1 to {max} bytes of UTF-8");
            Err(bad_value(name, text, &wanted).limit(max as u64))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

pub(crate) fn names<T>(given: &Parameters, name: &str) -> Result<Vec<T>, Problem>
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
    let code = match error {
        InvalidParameters::UnknownLens(_) => "unknown_lens",
        InvalidParameters::InnerUnused(_)
        | InvalidParameters::EvaluatedAtUnused
        | InvalidParameters::PrefixUnused => "unused_parameter",
        InvalidParameters::PrefixWithoutPredicate => "predicate_required",
        InvalidParameters::Tolerance(_)
        | InvalidParameters::MinConfidence(_)
        | InvalidParameters::Time(..)
        | InvalidParameters::Epoch
        | InvalidParameters::InnerEpoch
        | InvalidParameters::EvaluatedAtMissing => "bad_value",
    };
    let path = error.parameter();
    let text = error.to_string();
    let (detail, next) = text
        .split_once(": ")
        .unwrap_or((&text, "see docs/lenses.md"));
    Problem::unprocessable(code, detail, next).at(path)
}

pub(crate) fn limit(given: &Parameters) -> Result<u32, Problem> {
    let wanted = format!("a whole number of 1 to {LIMIT_MAX}");
    match given.parsed::<u32>("limit", &wanted)? {
        None => Ok(LIMIT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(bad_value("limit", &limit.to_string(), &wanted).limit(LIMIT_MAX.into())),
    }
}

fn from(given: &Parameters, selection: &Selection) -> Result<Option<Position>, Problem> {
    let Some(text) = given.cursor()? else {
        return Ok(None);
    };
    let token = hex::read(text);
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn read(query: &str) -> Result<Question, Problem> {
        let uri = format!("/v1/query?{query}").parse().unwrap();
        Question::read(&Parameters::of_uri(&uri)?, None, NOW)
    }

    fn refused(query: &str) -> (String, Option<String>) {
        let problem = read(query).unwrap_err();
        (problem.code.clone(), problem.path.clone())
    }

    #[test]
    fn a_whole_question_is_read() {
        let asked = read(
            "subject=cas:7732-18-5&predicate=boiling_point_k&lens=skeptic&tolerance=0.001&as_of=1929-03-15\
             &class=expert,clinical&lifecycle=approved&min_confidence=0.5&source=u&consistency=all",
        )
        .unwrap();
        assert_eq!(asked.subject(), Some("cas:7732-18-5"));
        assert!(asked.all);
        let wire = asked.to_wire();
        assert_eq!(wire.lens.unwrap().tolerance, Some(0.001));
        let selection = wire.selection.unwrap();
        assert_eq!(selection.classes, ["clinical", "expert"]);
        assert_eq!(selection.as_of_ms, Some(-1_287_532_800_000));
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        let at = |code: &str, path: &str| (code.to_owned(), Some(path.to_owned()));
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
        assert_eq!(refused("subject=s&epoch=1"), at("bad_value", "epoch"));
        assert_eq!(
            refused("subject=s&lens=recency&cursor=ff"),
            at("not_with_lens", "cursor")
        );
    }

    #[test]
    fn a_parameter_that_nothing_looks_at_is_named() {
        let at = |code: &str, path: &str| (code.to_owned(), Some(path.to_owned()));
        for name in OF_LENSES {
            assert_eq!(
                refused(&format!("subject=s&{name}=1")),
                at("only_with_lens", name)
            );
        }
        assert_eq!(
            refused("subject=s&lens=recency&inner=votes"),
            at("unused_parameter", "inner")
        );
        assert_eq!(
            refused("subject=s&lens=epoch&inner=epoch"),
            at("bad_value", "inner")
        );
        assert_eq!(
            refused("subject=s&lens=epoch&inner=oracle"),
            at("unknown_lens", "inner")
        );
        assert_eq!(
            refused("subject=s&lens=recency&evaluated_at=2018-07-17"),
            at("unused_parameter", "evaluated_at")
        );
        assert_eq!(
            refused("subject=s&lens=recency&decay=1"),
            at("bad_value", "decay")
        );
        for lens in ["", "&lens=recency&predicate=p"] {
            assert_eq!(
                refused(&format!("subject=s&subject_prefix=s{lens}")),
                at("unused_parameter", "subject_prefix")
            );
        }
    }

    #[test]
    fn what_would_go_through_everything_is_refused() {
        let at = |code: &str, path: &str| (code.to_owned(), Some(path.to_owned()));
        for query in ["", "class=expert", "as_of=2018-07-17&min_confidence=0.5"] {
            assert_eq!(refused(query), at("unbounded", "subject"), "{query}");
        }
        for query in ["source=u", "predicate=p", "subject_prefix=cas:"] {
            assert_eq!(read(query).unwrap().subject(), None, "{query}");
        }
        for query in ["source=u&lens=recency", "predicate=p&lens=skeptic"] {
            assert_eq!(refused(query), at("unbounded", "subject"), "{query}");
        }
        assert_eq!(
            refused("subject_prefix=cas:&lens=skeptic"),
            at("predicate_required", "subject_prefix")
        );
        assert!(read("subject_prefix=cas:&predicate=p&lens=skeptic").is_ok());
    }

    #[test]
    fn the_moment_of_decay_is_stamped_and_kept() {
        let moment = |query: &str| {
            let asked = read(&format!("subject=s&lens=epoch&inner=votes{query}")).unwrap();
            asked.to_wire().lens.unwrap().evaluated_at_ms
        };
        assert_eq!(moment("&decay=true"), Some(NOW));
        assert_eq!(
            moment("&decay=true&evaluated_at=1970-01-01T00:00:00.007Z"),
            Some(7)
        );
        assert_eq!(moment("&decay=false"), None);
        assert_eq!(moment(""), None);
    }

    #[test]
    fn a_cursor_goes_to_the_store_as_it_came() {
        let asked = read("subject=s&limit=7").unwrap();
        let place = Position {
            at: 5,
            id: RecordId::of(b"x"),
        };
        let token = hex::write(&cursor::write(&asked.selection, place));
        let next = read(&format!("subject=s&limit=7&cursor={token}")).unwrap();
        assert_eq!(next.from, Some(place));
        assert_eq!(hex::write(&next.to_wire().cursor), token);
        assert_eq!(
            refused(&format!("subject=t&cursor={token}")).0,
            "bad_cursor"
        );
    }

    #[test]
    fn the_path_may_name_the_lens() {
        let of = |query: &str| {
            let uri = format!("/v1/skeptic?{query}").parse().unwrap();
            Question::read(&Parameters::of_uri(&uri).unwrap(), Some(Lens::Skeptic), NOW)
        };
        let lens = of("subject=s").unwrap().lens.unwrap();
        assert_eq!(lens.lens(), Lens::Skeptic);
        assert!(of("subject=s&lens=skeptic").is_ok());
        assert!(of("subject=s&lens=recency").is_err());
    }
}
