//! Metrics that somebody asks for, in dashboards, alert rules and documents, are metrics that the code has.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::source::{is_test_file, lines};
use crate::yaml::documents;
use crate::{Fault, House, SourceFile};

/// Series that do not come from us: the name and who has it.
const STANDARD: [(&str, &str); 1] = [("up", "Prometheus itself: whether a target answered")];

/// What a histogram's series have after its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Words of PromQL between expressions.
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

/// Words of PromQL before a list of labels.
const GROUPINGS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Every metric that a query or a document names exists.
pub fn check(house: &House) -> Vec<Fault> {
    let known = in_code(house);
    let mut faults = Vec::new();
    for file in &house.files {
        let asked = match file.ending() {
            "json" | "yml" | "yaml" if file.path.starts_with("ops/") => match in_queries(file) {
                Ok(names) => names,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            },
            "md" => in_prose(&file.text),
            _ => continue,
        };
        for name in asked.iter().filter(|name| !exists(name, &known)) {
            faults.push(Fault::of(&file.path, format!("no code counts {name}")));
        }
    }
    faults
}

fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    let whole = |name: &str| known.contains(name);
    let part = PARTS
        .iter()
        .filter_map(|part| name.strip_suffix(part))
        .any(whole);
    whole(name) || part || STANDARD.iter().any(|(standard, _)| *standard == name)
}

/// Texts in quotes that could name a metric, in code that ships.
fn in_code(house: &House) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in house.ending("rs").filter(|file| {
        file.path.starts_with("services/") || file.path.starts_with("crates/sidecar/")
    }) {
        for line in lines(&file.text, is_test_file(house, file)) {
            if line.test || line.text.trim_start().starts_with("//") {
                continue;
            }
            let quoted = line.text.split('"').skip(1).step_by(2);
            names.extend(
                quoted
                    .filter(|text| text.contains('_') && text.chars().all(part_of_name))
                    .map(str::to_owned),
            );
        }
    }
    names
}

/// The metrics of all `expr` of a file, wherever they are: dashboards and rules call a query that.
fn in_queries(file: &SourceFile) -> Result<BTreeSet<String>, Fault> {
    let mut names = BTreeSet::new();
    let mut open = documents(file)?;
    while let Some(value) = open.pop() {
        match value {
            Value::Array(entries) => open.extend(entries),
            Value::Object(entries) => {
                for (key, entry) in entries {
                    match entry {
                        Value::String(query) if key == "expr" => names.extend(in_query(&query)),
                        entry => open.push(entry),
                    }
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The metrics of a query: names that are no function, no word of the language, and no label.
fn in_query(query: &str) -> BTreeSet<String> {
    let bare = without(&without(&without(query, '"', '"'), '{', '}'), '[', ']');
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(|c: char| part_of_name(c) && !c.is_ascii_digit()) {
        let number = rest[..start].ends_with(|c: char| c.is_ascii_digit() || c == '.');
        rest = &rest[start..];
        let end = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = rest[end..].trim_start();
        let next = rest.split(|c| !part_of_name(c)).next().unwrap_or_default();
        if GROUPINGS.contains(&word) {
            rest = match rest.starts_with('(') {
                true => rest.split_once(')').map_or("", |(_, after)| after),
                false => rest,
            };
        } else if !(rest.starts_with('(')
            || ["by", "without"].contains(&next)
            || OPERATORS.contains(&word)
            // The unit of `5m`.
            || number)
        {
            names.insert(word.to_owned());
        }
    }
    names
}

fn part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// A text without what is between two characters.
fn without(text: &str, open: char, close: char) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        kept.push_str(before);
        kept.push(' ');
        rest = after.split_once(close).map_or("", |(_, after)| after);
    }
    kept + rest
}

/// Words of a document that begin like our metrics.
fn in_prose(text: &str) -> BTreeSet<String> {
    text.split(|c| !part_of_name(c))
        .filter(|word| word.starts_with("stemedb_"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn a_query_is_taken_apart() {
        let names = |query| in_query(query).into_iter().collect::<Vec<_>>();
        let rate = "histogram_quantile(0.99, sum by (le, node) (rate(a_seconds_bucket{x=\"y\"}[$__rate_interval])))";
        assert_eq!(names(rate), ["a_seconds_bucket"]);
        let both =
            "sum(a_total) without (b) / on (c) group_left d_bytes > bool 1e3 and up offset 5m";
        assert_eq!(names(both), ["a_total", "d_bytes", "up"]);
        assert_eq!(
            names("max by (e) (f{g=\"h(i)\"}) unless j:k:sum"),
            ["f", "j:k:sum"]
        );
    }

    #[test]
    fn a_metric_of_nobody_is_found() {
        let dashboard = "ops/grafana/dashboards/stemedb.json";
        notices(
            check,
            &[
                (
                    dashboard,
                    "stemedb_gateway_shed_total",
                    "stemedb_gateway_shed",
                    "no code counts stemedb_gateway_shed",
                ),
                (
                    dashboard,
                    "(process_cpu_seconds[",
                    "(process_cpu_seconds_total[",
                    "process_cpu_seconds_total",
                ),
                (
                    "services/store/src/metrics.rs",
                    "\"stemedb_store_disk_bytes\"",
                    "\"stemedb_store_bytes\"",
                    "stemedb_store_disk_bytes",
                ),
                (
                    "ops/prometheus/prometheus.yml",
                    "global:",
                    "groups: [{ rules: [{ expr: up == 0 or stemedb_store_rows > 1 }] }]\nglobal:",
                    "no code counts stemedb_store_rows",
                ),
                (
                    "docs/api.md",
                    "stemedb_gateway_service_up",
                    "stemedb_service_up",
                    "no code counts stemedb_service_up",
                ),
            ],
        );
    }
}
