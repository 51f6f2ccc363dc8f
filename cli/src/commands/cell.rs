//! What a cell of a table shows: short, on one line, without control characters. Records are other people's text.

use serde_json::Value;

use crate::commands::assert::looks;
use crate::dates;

/// Longest value that a cell shows.
pub(crate) const CHARS_MAX: usize = 60;

/// Width of the bar that shows a share of the weight.
const BAR_CHARS: usize = 20;

/// The time of each kind of record, by the name of its member.
const TIMES: [&str; 4] = ["asserted_at", "voted_at", "started_at", "recorded_at"];

/// A member that is text; empty when it is something else.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A number, or nothing for null.
pub(crate) fn number(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The day that a record of any kind is dated.
pub(crate) fn date(record: &Value) -> String {
    TIMES
        .iter()
        .find_map(|time| record[*time].as_i64())
        .map(dates::show)
        .unwrap_or_default()
}

/// Stands before a reference, which is text otherwise.
const REFERENCE: &str = "→ ";

/// `{type, value}` as a person writes it; a reference behind an arrow, text that looks like something else in quotes.
pub(crate) fn value(object: &Value) -> String {
    match &object["value"] {
        Value::String(text) if object["type"] == "reference" => {
            format!("{REFERENCE}{}", cell(text))
        }
        Value::String(text)
            if text.starts_with('"') || text.starts_with(REFERENCE) || looks(text) != "text" =>
        {
            format!("\"{}\"", cell(text))
        }
        Value::String(text) => cell(text),
        other => number(other),
    }
}

/// One line of bounded length.
pub(crate) fn cell(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A share as a bar.
pub(crate) fn bar(share: f64) -> String {
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
        assert_eq!(long.chars().count(), CHARS_MAX + 1);
    }

    #[test]
    fn values_are_written_plainly() {
        assert_eq!(
            value(&json!({ "type": "number", "value": 373.15 })),
            "373.15"
        );
        assert_eq!(value(&json!({ "type": "text", "value": "water" })), "water");
        for text in ["373.15", "true", "-1e3"] {
            let quoted = value(&json!({ "type": "text", "value": text }));
            assert_eq!(quoted, format!("\"{text}\""));
        }
        assert_eq!(value(&json!({ "type": "text", "value": "1,5" })), "1,5");
        let reference = |text: &str| value(&json!({ "type": "reference", "value": text }));
        assert_eq!(reference("water"), "→ water");
        assert_eq!(
            value(&json!({ "type": "text", "value": "→ water" })),
            "\"→ water\""
        );
        assert_eq!(value(&Value::Null), "");
        assert_eq!(bar(0.5).chars().filter(|c| *c == '█').count(), 10);
        assert_eq!(percent(0.3333), "33.3 %");
    }

    #[test]
    fn numbers_keep_every_digit() {
        for digits in [
            "373.124295848",
            "0.1000000000000000055511151231257827",
            "1.7976931348623157e+308",
        ] {
            let exact: f64 = digits.parse().unwrap();
            let read: Value = serde_json::from_str(digits).unwrap();
            assert_eq!(read.as_f64(), Some(exact), "{digits}");
        }
    }

    #[test]
    fn every_kind_is_dated_by_its_own_time() {
        for time in TIMES {
            let record = json!({ time: 1_531_785_600_000_i64 });
            assert_eq!(date(&record), "2018-07-17", "{time}");
        }
        assert_eq!(date(&json!({})), "");
    }
}
