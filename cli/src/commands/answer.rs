//! Answers as tables: the claims, the winner, the layers, or the disagreement.

use serde_json::Value;

use crate::commands::cell::{bar, cell, date, number, percent, text, value};
use crate::commands::ids::Ids;
use crate::dates;
use crate::output;

/// Why claims were left out, and how it is said.
const LEFT_OUT: [(&str, &str); 4] = [
    ("withdrawn", "deprecated or rejected"),
    ("retracted", "of retracted sources"),
    ("superseded", "of superseded epochs"),
    ("filtered", "filtered out"),
];

/// Prints the body of `/v1/query`.
pub(crate) fn print(answer: &Value, ids: Ids) {
    let result = &answer["result"];
    if result.get("verdict").is_some() {
        skeptic(result);
    } else if result.get("winner").is_some() {
        winner(result, ids);
    } else {
        records(result, ids);
    }
    if let Some(mixed) = mixed(&result["mixes"]) {
        output::line(mixed);
    }
    let worth = worth(result, &answer["meta"], ids);
    if !worth.is_empty() {
        output::line(format!("({})", worth.join(", ")));
    }
}

fn records(result: &Value, ids: Ids) {
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
            state(record, &result["marks"]),
            date(record),
            ids.show(text(record, "id")),
        ]);
    }
    output::print(&table);
    let cursor = text(result, "cursor");
    if !cursor.is_empty() {
        output::line(format!("more: --cursor {cursor}"));
    }
}

/// What an answer about several things or properties compares that is no contradiction.
fn mixed(mixes: &Value) -> Option<String> {
    let count = |key: &str| mixes[key].as_u64().unwrap_or_default();
    match (count("predicates"), count("subjects")) {
        (0 | 1, 0 | 1) => None,
        (0 | 1, subjects) => Some(format!(
            "these are {subjects} different subjects; narrow by naming one"
        )),
        (predicates, _) => Some(format!(
            "these are {predicates} different predicates; narrow with --predicate"
        )),
    }
}

/// How far the claim is, and why lenses leave it out whatever it says itself.
fn state(record: &Value, marks: &Value) -> String {
    let mark = &marks[text(record, "id")];
    let retracted = (mark["retracted"] == true).then_some("RETRACTED");
    let superseded = mark["superseded_by"].as_array().map(|_| "SUPERSEDED");
    let parts = [Some(text(record, "lifecycle")), retracted, superseded];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// The lens by its name, the epoch lens with the one inside it.
fn lens(result: &Value) -> String {
    match text(result, "lens") {
        "epoch" => {
            let inner = text(&result["parameters"], "inner");
            let inner = if inner.is_empty() { "recency" } else { inner };
            format!("epoch, {inner}")
        }
        lens => lens.to_owned(),
    }
}

fn winner(result: &Value, ids: Ids) {
    if result["winner"].is_null() {
        output::line(format!("{}: no claims", lens(result)));
        return;
    }
    output::line(format!("{}: {}", lens(result), value(&result["value"])));
    let mut table = output::table(["", ""]);
    table.set_header::<Vec<&str>>(Vec::new());
    for (name, shown) in winner_rows(result) {
        table.add_row([name.to_owned(), shown]);
    }
    output::print(&table);
    if let Some(layers) = result["layers"].as_array() {
        output::line("");
        self::layers(layers, ids);
    }
}

fn winner_rows(result: &Value) -> Vec<(&'static str, String)> {
    let record = &result["winner"];
    let source = &record["source"];
    let mut rows = vec![
        (
            "source",
            format!("{} ({})", cell(text(source, "uri")), text(source, "class")),
        ),
        ("confidence", confidence(result)),
        ("asserted", date(record)),
    ];
    if let Some(note) = record.get("note").and_then(Value::as_str) {
        rows.push(("note", cell(note)));
    }
    if let Some(votes) = result.get("votes") {
        rows.push(("votes", votes_cast(votes, &result["vote_share"])));
    }
    rows.push(("claims", number(&result["candidates"])));
    rows.push(("values", number(&result["groups"])));
    rows.push(("conflict", number(&result["conflict_score"])));
    rows.push(("id", text(record, "id").to_owned()));
    rows
}

/// The confidence that counted, and the stated one where age has taken some of it.
fn confidence(result: &Value) -> String {
    let (counted, stated) = (&result["confidence"], &result["winner"]["confidence"]);
    if stated.is_null() || counted.as_f64() == stated.as_f64() {
        return number(counted);
    }
    let when = result["parameters"]["evaluated_at"]
        .as_i64()
        .map(|at| format!(", aged to {}", dates::show(at)))
        .unwrap_or_default();
    format!("{} (stated {}{when})", number(counted), number(stated))
}

fn votes_cast(votes: &Value, share: &Value) -> String {
    match share.as_f64() {
        Some(share) => format!(
            "{} in all, {} of their weight",
            number(votes),
            percent(share)
        ),
        None => "none".to_owned(),
    }
}

fn layers(layers: &[Value], ids: Ids) {
    let mut table = output::table([
        "TIER", "CLASS", "VALUE", "SOURCE", "SURE", "ASSERTED", "CLAIMS", "ID",
    ]);
    for layer in layers {
        let record = &layer["winner"];
        table.add_row([
            number(&layer["tier"]),
            text(layer, "class").to_owned(),
            value(&layer["value"]),
            cell(text(&record["source"], "uri")),
            number(&record["confidence"]),
            date(record),
            number(&layer["candidates"]),
            ids.show(text(record, "id")),
        ]);
    }
    output::print(&table);
}

fn skeptic(result: &Value) {
    let prefix = match lens(result).as_str() {
        "skeptic" => String::new(),
        lens => format!("{lens}: "),
    };
    let Some(verdict) = result["verdict"].as_str() else {
        output::line(format!("{}: no claims", lens(result)));
        return;
    };
    output::line(format!(
        "{prefix}{verdict}: {}, conflict {}",
        output::count(result["candidates"].as_u64().unwrap_or(0), "claim"),
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
            percent(share),
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
        let more = output::count(more, "more value");
        output::line(format!("and {more}: narrow the question"));
    }
}

/// What the answer is worth: complete or not, what was left out, and the digest to compare with.
fn worth(result: &Value, meta: &Value, ids: Ids) -> Vec<String> {
    let mut parts = Vec::new();
    match meta["complete"].as_bool() {
        Some(true) => parts.push(complete(meta)),
        Some(false) => parts.push(incomplete(meta)),
        None => {}
    }
    for (reason, said) in LEFT_OUT {
        let left = result["left_out"][reason].as_u64();
        parts.extend(
            left.filter(|left| *left > 0)
                .map(|left| format!("{left} {said}")),
        );
    }
    let cycles = result["epoch_cycles_total"].as_u64();
    parts.extend(
        cycles
            .filter(|cycles| *cycles > 0)
            .map(|cycles| format!("{cycles} epochs supersede each other and are kept")),
    );
    if let Some(at) = result["parameters"]["evaluated_at"].as_i64() {
        parts.push(format!("aged to {}", dates::show(at)));
    }
    if let Some(node) = meta["node"].as_str() {
        parts.push(format!("from {node}"));
    }
    if let Some(digest) = result["set_digest"].as_str() {
        parts.push(format!("set {}", ids.show(digest)));
    }
    parts
}

/// Complete, and up to when.
fn complete(meta: &Value) -> String {
    match meta["proved_through"].as_i64() {
        Some(at) => format!("complete up to {} UTC", dates::moment(at)),
        None => "complete".to_owned(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_that_no_lens_counts_says_so_in_the_table() {
        let record = json!({ "id": "aa11", "lifecycle": "approved" });
        let of = |mark: Value| state(&record, &json!({ "aa11": mark }));
        assert_eq!(of(json!({ "retracted": true })), "approved, RETRACTED");
        let both = json!({ "retracted": true, "superseded_by": ["bb22"] });
        assert_eq!(of(both), "approved, RETRACTED, SUPERSEDED");
        assert_eq!(state(&record, &json!({})), "approved");
        assert_eq!(state(&record, &Value::Null), "approved");
    }

    #[test]
    fn what_is_mixed_is_told_in_a_line() {
        let of = |predicates: u64, subjects: u64| {
            mixed(&json!({ "predicates": predicates, "subjects": subjects }))
        };
        assert_eq!(
            of(3, 1).unwrap(),
            "these are 3 different predicates; narrow with --predicate"
        );
        assert_eq!(
            of(1, 7).unwrap(),
            "these are 7 different subjects; narrow by naming one"
        );
        assert_eq!(
            (of(1, 1), of(0, 0), mixed(&Value::Null)),
            (None, None, None)
        );
    }

    #[test]
    fn an_answer_that_may_lack_something_says_whose() {
        let meta = json!({ "complete": false, "union": { "missing": ["node2", "node3"] } });
        assert!(incomplete(&meta).contains("node2, node3"));
        assert!(incomplete(&Value::Null).starts_with("NOT complete"));
    }

    #[test]
    fn what_was_left_out_is_said_by_reason() {
        let result = json!({
            "left_out": { "withdrawn": 0, "superseded": 2, "retracted": 1, "filtered": 3 },
            "epoch_cycles": [], "epoch_cycles_total": 0,
            "parameters": { "evaluated_at": 0 },
            "set_digest": "39343aac273d76b3b7e97295",
        });
        let meta = json!({ "complete": true, "proved_through": 86_400_000, "node": "node1" });
        assert_eq!(
            worth(&result, &meta, Ids::default()),
            [
                "complete up to 1970-01-02 00:00:00 UTC",
                "1 of retracted sources",
                "2 of superseded epochs",
                "3 filtered out",
                "aged to 1970-01-01",
                "from node1",
                "set 39343aac273d",
            ]
        );
    }

    #[test]
    fn the_epoch_lens_names_the_one_inside_it() {
        let of = |inner: Value| lens(&json!({ "lens": "epoch", "parameters": { "inner": inner } }));
        assert_eq!(of(Value::Null), "epoch, recency");
        assert_eq!(of(json!("skeptic")), "epoch, skeptic");
        assert_eq!(lens(&json!({ "lens": "votes" })), "votes");
    }

    #[test]
    fn age_and_votes_are_told_beside_the_winner() {
        let result = json!({
            "confidence": 0.25, "winner": { "confidence": 0.5 },
            "parameters": { "evaluated_at": 86_400_000 },
            "votes": 4, "vote_share": 0.4,
        });
        assert_eq!(confidence(&result), "0.25 (stated 0.5, aged to 1970-01-02)");
        let rows = winner_rows(&result);
        assert!(rows.contains(&("votes", "4 in all, 40.0 % of their weight".to_owned())));
        assert_eq!(votes_cast(&json!(0), &Value::Null), "none");
        let plain = json!({ "confidence": 1, "winner": { "confidence": 1 } });
        assert_eq!(confidence(&plain), "1");
    }
}
