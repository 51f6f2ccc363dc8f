//! docs/contradictions.md: questions and reasons are written by people, claims and answers by the lenses.
//!
//! A line `` `subject=…` `` opens a question. The table of claims below it, and all cells of the table of lenses between the
//! first (what is asked) and the last (why) are worked out; a new row may have those two alone. What stands between the marks
//! of the census is worked out too.

mod answers;
mod census;
mod questions;
mod table;

pub use questions::{lines, parameters, records};
use table::Kept;

use assertion::Record;
use lens::resolve;

/// The page, from the root of the repository.
pub const PAGE: &str = "docs/contradictions.md";

/// Records of the page's own: of every kind that a lens looks at.
pub const OWN: &str = "docs/contradictions.ndjson";

/// What `stemedb up` begins with.
pub const DEMO: &str = "cli/demo/claims.ndjson";

const CENSUS_BEGIN: &str = "<!-- census: begin -->";
const CENSUS_END: &str = "<!-- census: end -->";

/// A path of the repository.
pub fn path(name: &str) -> String {
    format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Every question of the page as `subject=…&predicate=…&lens=…`, in its order.
pub fn questions(page: &str) -> Vec<String> {
    let mut about = None;
    let mut questions = Vec::new();
    for line in page.lines() {
        about = table::question(line).or(about);
        if let Some((about, row)) = about.zip(table::row(line)) {
            questions.push(format!("{about}&{}", row.asked));
        }
    }
    questions
}

/// What a lens makes of the records, as the `result` of a reply has it.
///
/// # Errors
/// When the question means nothing, or is too wide.
pub fn result(question: &str, records: &[Record]) -> Result<String, String> {
    let answer = resolve(parameters(question)?, records).map_err(|error| error.to_string())?;
    String::from_utf8(answer.to_json()).map_err(|error| error.to_string())
}

/// The page with everything that is worked out worked out anew.
///
/// # Errors
/// When a question cannot be answered.
pub fn rebuild(page: &str, records: &[Record]) -> Result<String, String> {
    let mut kept = Kept::default();
    let mut about = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(question) = table::question(line) {
            question.clone_into(&mut about);
            kept.line(line);
        } else if line.starts_with(table::CLAIMS) {
            kept.claims(table::claims(&about, records)?);
        } else if let Some(row) = table::row(line) {
            let result = result(&format!("{about}&{}", row.asked), records)?;
            kept.line(&table::answered(&row, &result)?);
        } else if line == CENSUS_BEGIN {
            kept.line(line);
            kept.line(&census::text(&crate::claims::lines(0, usize::MAX))?);
            for skipped in lines.by_ref() {
                if skipped == CENSUS_END {
                    break;
                }
            }
            kept.line(CENSUS_END);
        } else {
            kept.other(line);
        }
    }
    Ok(kept.text())
}
