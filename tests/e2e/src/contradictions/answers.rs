//! A `result` in a few words.

use serde_json::Value;

/// Groups of a skeptic that are named; of the others, how many there are.
const GROUPS_NAMED: usize = 4;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What was answered.
pub(super) fn answer(result: &Value) -> String {
    let mut text = match result["verdict"].as_str() {
        Some(verdict) => skeptic(result, verdict),
        None => winner(result),
    };
    for (reason, count) in result["left_out"].as_object().into_iter().flatten() {
        if count != 0 {
            text.push_str(&format!("; {count} {reason}"));
        }
    }
    text
}

fn winner(result: &Value) -> String {
    let mut text = format!("**{}**", value(&result["value"]));
    if let Some(votes) = result["votes"].as_u64() {
        let share = result["vote_share"].as_f64();
        let share = share.map_or_else(String::new, |share| format!(", {}", percent(share)));
        text.push_str(&format!(" ({votes} votes{share})"));
    }
    let layers = result["layers"].as_array().into_iter().flatten();
    let layers: Vec<String> = layers
        .map(|layer| {
            let class = layer["class"].as_str().unwrap_or_default();
            format!("{class} {}", value(&layer["value"]))
        })
        .collect();
    if !layers.is_empty() {
        text.push_str(&format!(": {}", layers.join(", ")));
    }
    text
}

fn skeptic(result: &Value, verdict: &str) -> String {
    let groups = result["groups"].as_array().map(Vec::as_slice);
    let groups = groups.unwrap_or_default();
    let named: Vec<String> = groups
        .iter()
        .take(GROUPS_NAMED)
        .map(|group| {
            let share = group["share"].as_f64().unwrap_or_default();
            format!("{} {}", value(&group["value"]), percent(share))
        })
        .collect();
    let others = groups.len().saturating_sub(GROUPS_NAMED);
    let others = match others {
        0 => String::new(),
        others => format!(", {others} more"),
    };
    format!(
        "**{verdict}**, {}: {}{others}",
        result["conflict_score"],
        named.join(", ")
    )
}

/// Who said it: what decides is there.
pub(super) fn said_by(result: &Value) -> String {
    let winner = &result["winner"];
    let Some(uri) = winner["source"]["uri"].as_str() else {
        let groups = result["groups"].as_array().map_or(0, Vec::len);
        let plural = if groups == 1 { "" } else { "s" };
        return format!("{} claims, {groups} value{plural}", result["candidates"]);
    };
    let uri = match uri.strip_prefix("chem-tables:") {
        Some(table) => table.rsplit('/').next().unwrap_or(table),
        None => uri,
    };
    let confidence = result["confidence"].as_f64().unwrap_or_default();
    format!(
        "{uri}, {}, {}, {}",
        winner["source"]["class"].as_str().unwrap_or_default(),
        (confidence * 1e4).round() / 1e4,
        day(winner["asserted_at"].as_i64().unwrap_or_default())
    )
}

/// A value as people read it.
pub(super) fn value(object: &Value) -> String {
    match (object["type"].as_str(), object["value"].as_str()) {
        (Some("reference"), Some(subject)) => format!("→ {subject}"),
        (_, Some(text)) => text.to_owned(),
        _ => object["value"].to_string(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The UTC date of a Unix millisecond: days counted in eras of 400 years that begin in March.
pub(super) fn day(ms: i64) -> String {
    let days = ms.div_euclid(DAY_MS) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{}-{month:02}-{date:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let seen = [0, -1, 951_782_400_000, -1_287_532_800_000].map(day);
        assert_eq!(
            seen,
            ["1970-01-01", "1969-12-31", "2000-02-29", "1929-03-15"]
        );
    }
}
