//! `stemedb trace`: the provenance of a record, where it comes from and what stands behind it.

use serde_json::Value;

use crate::commands::cell::{cell, date, number, text, value};
use crate::commands::ids::{self, Ids};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The record, by its id or the first 8 digits of it or more
    #[arg(value_parser = ids::given)]
    id: String,
    #[command(flatten)]
    ids: Ids,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Provenance: the record, the claims that it comes from (parents, nearest first, at most 32), its epoch, what is known of its source, the
votes on it, who signed it, and which nodes hold it. The `trace id` of a write is something else: that of its distributed trace, for Jaeger
and logs.

Examples:
  stemedb trace 8f2110f3d44c
  stemedb trace 8f2110f3d44c1351b3442e4690ccfa935fc18391bbe17054916bcb434b9c90e9 --json";

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = arguments.connection.client()?;
    let id = ids::whole(&client, &arguments.id).await?;
    let said = client.get_json(format!("/v1/trace/{id}")).await?;
    if arguments.connection.json {
        output::json(&said);
        return Ok(());
    }
    let mut table = output::table(["", ""]);
    table.set_header::<Vec<&str>>(Vec::new());
    for (name, shown) in rows(&said["result"], arguments.ids) {
        table.add_row([name.to_owned(), shown]);
    }
    output::print(&table);
    if said["meta"]["complete"] == false {
        output::line("(NOT complete: votes, parents or copies may be missing)");
    }
    Ok(())
}

fn rows(result: &Value, ids: Ids) -> Vec<(&'static str, String)> {
    let record = &result["record"];
    let mut rows = vec![
        ("record", summary(record, ids)),
        ("dated", date(record)),
        ("id", text(result, "id").to_owned()),
    ];
    if let Some(note) = record["note"].as_str() {
        rows.push(("note", cell(note)));
    }
    let parents = list(&result["parents"]);
    for parent in parents {
        rows.push(("comes from", named(parent, ids)));
    }
    if let Some(further) = parents.last().unwrap_or(record)["parent"].as_str() {
        rows.push(("comes from", format!("{further} (not shown)")));
    }
    match (&result["epoch"], record["epoch"].as_str()) {
        (Value::Null, None) => {}
        (Value::Null, Some(unknown)) => rows.push(("epoch", format!("{unknown} (not found)"))),
        (epoch, _) => rows.push((
            "epoch",
            format!(
                "{} [{}]",
                cell(text(epoch, "name")),
                ids.show(text(epoch, "id"))
            ),
        )),
    }
    let superseded_by = ids.all(&result["superseded_by"]);
    if !superseded_by.is_empty() {
        let whose = match text(record, "kind") {
            "epoch" => "it is",
            _ => "its epoch is",
        };
        rows.push((
            "superseded",
            format!("{whose} superseded by {superseded_by}"),
        ));
    }
    if !record["source"].is_null() || !result["source"].is_null() {
        rows.push(("source", source(record, &result["source"])));
    }
    let votes = &result["votes"];
    if !votes["count"].is_null() {
        rows.push((
            "votes",
            format!("{}, weight {}", votes["count"], votes["weight"]),
        ));
    }
    for agent in list(&result["signatures"]) {
        rows.push(("signed by", agent.as_str().unwrap_or_default().to_owned()));
    }
    for replica in list(&result["replicas"]) {
        let arrival = text(replica, "arrival");
        rows.push(("held by", format!("{} ({arrival})", text(replica, "node"))));
    }
    rows
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What a record of any kind says, on one line.
pub(crate) fn summary(record: &Value, ids: Ids) -> String {
    match text(record, "kind") {
        "vote" => format!(
            "{} votes {} for {} about {}",
            cell(text(record, "voter")),
            number(&record["weight"]),
            ids.show(text(record, "assertion")),
            cell(text(record, "subject")),
        ),
        "epoch" => {
            let replaced = list(&record["supersedes"]).len();
            let name = cell(text(record, "name"));
            match replaced {
                0 => format!("epoch {name}"),
                replaced => format!("epoch {name}, supersedes {replaced}"),
            }
        }
        "source" => {
            let standing = match record["retracted"].as_bool() {
                Some(true) => ", retracted",
                _ => "",
            };
            format!(
                "source {} ({}{standing})",
                cell(text(record, "uri")),
                text(record, "class")
            )
        }
        _ => format!(
            "{} {} = {}",
            cell(text(record, "subject")),
            cell(text(record, "predicate")),
            value(&record["object"]),
        ),
    }
}

/// A record that is referred to.
fn named(record: &Value, ids: Ids) -> String {
    let id = ids.show(text(record, "id"));
    format!("{} [{id}]", summary(record, ids))
}

fn source(record: &Value, latest: &Value) -> String {
    let claimed = &record["source"];
    // A claim counts by the class that it names itself.
    let of = |key: &str| match text(claimed, key) {
        "" => cell(text(latest, key)),
        own => cell(own),
    };
    let mut shown = format!("{} ({})", of("uri"), of("class"));
    if !text(latest, "title").is_empty() {
        shown.push_str(&format!(", {}", cell(text(latest, "title"))));
    }
    if latest["retracted"] == true {
        shown.push_str(", RETRACTED");
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_shows_everything_behind_a_claim() {
        let claim = json!({
            "id": "aa11", "kind": "assertion", "subject": "water", "predicate": "boils",
            "object": { "type": "number", "value": 373.15 },
            "source": { "uri": "doi:1", "class": "expert" }, "asserted_at": 0, "parent": "bb22",
        });
        let result = json!({
            "id": "aa11",
            "record": claim,
            "parents": [claim],
            "epoch": { "id": "cc33", "kind": "epoch", "name": "ITS-90", "supersedes": ["dd44"] },
            "superseded_by": ["ff66"],
            "source": { "kind": "source", "uri": "doi:1", "class": "clinical", "title": "A trial", "retracted": true },
            "votes": { "count": 2, "weight": 1.5 },
            "signatures": ["ee55"],
            "replicas": [{ "node": "node1", "arrival": "push" }, { "node": "node2", "arrival": "repair" }],
        });
        assert_eq!(
            rows(&result, Ids::default())
                .iter()
                .map(|(name, shown)| format!("{name}: {shown}"))
                .collect::<Vec<_>>(),
            [
                "record: water boils = 373.15",
                "dated: 1970-01-01",
                "id: aa11",
                "comes from: water boils = 373.15 [aa11]",
                "comes from: bb22 (not shown)",
                "epoch: ITS-90 [cc33]",
                "superseded: its epoch is superseded by ff66",
                "source: doi:1 (expert), A trial, RETRACTED",
                "votes: 2, weight 1.5",
                "signed by: ee55",
                "held by: node1 (push)",
                "held by: node2 (repair)",
            ]
        );
    }

    #[test]
    fn every_kind_has_a_line() {
        let vote = json!({ "kind": "vote", "voter": "ann", "weight": 0.5, "subject": "water", "assertion": "0123456789abcdef" });
        assert_eq!(
            summary(&vote, Ids::default()),
            "ann votes 0.5 for 0123456789ab about water"
        );
        let source =
            json!({ "kind": "source", "uri": "doi:1", "class": "expert", "retracted": true });
        assert_eq!(
            summary(&source, Ids::default()),
            "source doi:1 (expert, retracted)"
        );
    }
}
