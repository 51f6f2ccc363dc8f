//! Answers as tables: the claims, the winner, or the disagreement.

use serde_json::Value;

use crate::dates;
use crate::output;

/// Longest value that a table cell shows.
const CELL_CHARS_MAX: usize = 60;

/// Width of the bar that shows a share of the weight.
const BAR_CHARS: usize = 20;

/// Ids are shown by their first digits: enough to tell them apart, and to find them in `--json`.
const ID_CHARS: usize = 12;

/// Prints the body of `/v1/query`.
pub(crate) fn print(answer: &Value) {
    let result = &answer["result"];
    if result.get("verdict").is_some() {
        skeptic(result);
    } else if result.get("winner").is_some() {
        winner(result);
    } else {
        records(result);
    }
    meta(result, &answer["meta"]);
}

fn records(result: &Value) {
    let records = result
        .get("records")
        .unwrap_or(result)
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if records.is_empty() {
        output::line("no claims");
        return;
    }
    let mut table = output::table([
        "SUBJECT",
        "PREDICATE",
        "VALUE",
        "SOURCE",
        "CLASS",
        "SURE",
        "STATE",
        "ASSERTED",
        "ID",
    ]);
    for record in records {
        table.add_row([
            cell(text(record, "subject")),
            cell(text(record, "predicate")),
            value(&record["object"]),
            cell(text(&record["source"], "uri")),
            text(&record["source"], "class").to_owned(),
            number(&record["confidence"]),
            text(record, "lifecycle").to_owned(),
            date(record),
            short_id(text(record, "id")),
        ]);
    }
    output::print(&table);
    let cursor = result
        .get("cursor")
        .and_then(Value::as_str)
        .filter(|cursor| !cursor.is_empty());
    if let Some(cursor) = cursor {
        output::line(format!("more: --cursor {cursor}"));
    }
}

fn winner(result: &Value) {
    let record = &result["winner"];
    if record.is_null() {
        output::line(format!("{}: no claims", text(result, "lens")));
        return;
    }
    output::line(format!(
        "{}: {}",
        text(result, "lens"),
        value(&result["value"])
    ));
    let mut table = output::table(["", ""]);
    table.set_header::<Vec<&str>>(Vec::new());
    table.add_row([
        "source".to_owned(),
        format!(
            "{} ({})",
            text(&record["source"], "uri"),
            text(&record["source"], "class")
        ),
    ]);
    table.add_row(["confidence".to_owned(), number(&result["confidence"])]);
    table.add_row(["asserted".to_owned(), date(record)]);
    if let Some(note) = record.get("note").and_then(Value::as_str) {
        table.add_row(["note".to_owned(), cell(note)]);
    }
    table.add_row(["claims".to_owned(), number(&result["candidates"])]);
    table.add_row(["values".to_owned(), number(&result["groups"])]);
    table.add_row(["conflict".to_owned(), number(&result["conflict_score"])]);
    table.add_row(["id".to_owned(), text(record, "id").to_owned()]);
    output::print(&table);
}

fn skeptic(result: &Value) {
    let Some(verdict) = result["verdict"].as_str() else {
        output::line("skeptic: no claims");
        return;
    };
    output::line(format!(
        "{verdict}: {} claims, conflict {}",
        number(&result["candidates"]),
        number(&result["conflict_score"])
    ));
    let mut table = output::table([
        "VALUE",
        "WEIGHT",
        "",
        "CLAIMS",
        "STRONGEST SOURCE",
        "CLASS",
        "ASSERTED",
    ]);
    for group in result["groups"].as_array().into_iter().flatten() {
        let share = group["share"].as_f64().unwrap_or(0.0);
        let strongest = &group["strongest"];
        table.add_row([
            value(&group["value"]),
            format!("{:.1} %", share * 100.0),
            bar(share),
            number(&group["claims"]),
            cell(text(&strongest["source"], "uri")),
            text(&strongest["source"], "class").to_owned(),
            date(strongest),
        ]);
    }
    output::print(&table);
    let shown = result["groups"].as_array().map_or(0, Vec::len) as u64;
    let total = result["groups_total"].as_u64().unwrap_or(shown);
    let more = total.saturating_sub(shown);
    if more > 0 {
        output::line(format!("and {more} more values: narrow the question"));
    }
}

/// What the answer is worth: complete or not, what was left out, and the digest to compare with.
fn meta(result: &Value, meta: &Value) {
    let mut parts = Vec::new();
    match meta["complete"].as_bool() {
        Some(true) => parts.push("complete".to_owned()),
        Some(false) => parts.push(incomplete(meta)),
        None => {}
    }
    for (reason, said) in [
        ("withdrawn", "deprecated or rejected"),
        ("filtered", "filtered out"),
    ] {
        let left = result["left_out"][reason].as_u64();
        parts.extend(
            left.filter(|left| *left > 0)
                .map(|left| format!("{left} {said}")),
        );
    }
    if let Some(node) = meta["node"].as_str() {
        parts.push(format!("from {node}"));
    }
    if let Some(digest) = result["set_digest"].as_str() {
        parts.push(format!("set {}", short_id(digest)));
    }
    if !parts.is_empty() {
        output::line(format!("({})", parts.join(", ")));
    }
}

fn incomplete(meta: &Value) -> String {
    let missing: Vec<&str> = meta["union"]["missing"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if missing.is_empty() {
        return "NOT complete: there may be claims that were not found".to_owned();
    }
    let names = missing.join(", ");
    format!("NOT complete: claims that {names} should hold may be missing")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn number(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn date(record: &Value) -> String {
    record["asserted_at"]
        .as_i64()
        .map(dates::show)
        .unwrap_or_default()
}

fn short_id(id: &str) -> String {
    id.chars().take(ID_CHARS).collect()
}

/// `{type, value}` as a person writes it.
fn value(object: &Value) -> String {
    match &object["value"] {
        Value::String(text) => cell(text),
        other => number(other),
    }
}

/// One line of bounded length, without control characters: claims are other people's text.
fn cell(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(CELL_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR_CHARS as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(BAR_CHARS - full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_of_strangers_stays_in_its_cell() {
        assert_eq!(cell("a\u{1b}[31mred\nline"), "a [31mred line");
        let long = cell(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), CELL_CHARS_MAX + 1);
    }

    #[test]
    fn an_answer_that_may_lack_something_says_whose() {
        let meta = json!({ "complete": false, "union": { "missing": ["node2", "node3"] } });
        assert!(incomplete(&meta).contains("node2, node3"));
        assert!(incomplete(&Value::Null).starts_with("NOT complete"));
    }

    #[test]
    fn values_are_written_plainly() {
        assert_eq!(
            value(&json!({ "type": "number", "value": 373.15 })),
            "373.15"
        );
        assert_eq!(value(&json!({ "type": "text", "value": "water" })), "water");
        assert_eq!(value(&Value::Null), "");
        assert_eq!(bar(0.5).chars().filter(|c| *c == '█').count(), 10);
    }
}
