//! Texts of the Prometheus format as one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::metrics::SERVICE_UP;

/// Series of a scrape that are kept. A service has some hundreds; one that has grown without bound must not take the
/// gateway with it.
const SERIES_MAX: usize = 50_000;

/// One family.
#[derive(Debug, Default)]
struct Family {
    help: Option<String>,
    kind: Option<String>,
    series: Vec<String>,
}

/// Families by name, so that equal input gives equal text.
#[derive(Debug, Default)]
pub(super) struct Merged {
    families: BTreeMap<String, Family>,
    up: Vec<(&'static str, bool)>,
    series: usize,
}

impl Merged {
    /// Takes one service's text.
    pub(super) fn add(&mut self, service: &str, text: &str) {
        // Types first: they say which family `x_count` belongs to, and what the family is called here.
        let kinds: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| {
                let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
                Some((name, kind.trim()))
            })
            .collect();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                let family = self.family(&shown(name, kinds.get(name).copied()));
                if !help.trim().is_empty() {
                    family.help.get_or_insert_with(|| help.to_owned());
                }
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                self.add_series(service, line, &kinds);
            }
        }
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.to_owned()).or_default()
    }

    fn add_series(&mut self, service: &str, line: &str, kinds: &BTreeMap<&str, &str>) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let family = family_of(name, kinds);
        let kind = kinds.get(family).copied();
        if self.series == SERIES_MAX {
            return;
        }
        let family_shown = shown(family, kind);
        let name_shown = format!("{family_shown}{}", &name[family.len()..]);
        let entry = self.family(&family_shown);
        let kind = kind.unwrap_or("untyped");
        // Two services that mean different things by one name: the first one is believed.
        if *entry.kind.get_or_insert_with(|| kind.to_owned()) != kind {
            return;
        }
        let labelled = match rest.strip_prefix('{') {
            Some(labels) if labels.starts_with('}') => {
                format!("{name_shown}{{service=\"{service}\"{labels}")
            }
            Some(labels) => format!("{name_shown}{{service=\"{service}\",{labels}"),
            None => format!("{name_shown}{{service=\"{service}\"}}{rest}"),
        };
        entry.series.push(labelled);
        self.series += 1;
    }

    /// Whether a service answered.
    pub(super) fn up(&mut self, service: &'static str, up: bool) {
        self.up.push((service, up));
    }

    /// The whole text.
    pub(super) fn render(mut self) -> String {
        let up = Family {
            help: Some("Whether a service of this node answered this scrape".to_owned()),
            kind: Some("gauge".to_owned()),
            series: self
                .up
                .iter()
                .map(|(service, up)| {
                    format!("{SERVICE_UP}{{service=\"{service}\"}} {}", u8::from(*up))
                })
                .collect(),
        };
        self.families.insert(SERVICE_UP.to_owned(), up);
        let mut text = String::new();
        for (name, family) in &self.families {
            if family.series.is_empty() {
                continue;
            }
            let help = family
                .help
                .as_deref()
                .unwrap_or("Counted by a library that does not explain it");
            let kind = family.kind.as_deref().unwrap_or("untyped");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for series in &family.series {
                text.push_str(series);
                text.push('\n');
            }
        }
        text
    }
}

/// The family that a series belongs to: its own name, or that of the histogram or summary whose part it is.
fn family_of<'a>(name: &'a str, kinds: &BTreeMap<&str, &str>) -> &'a str {
    if kinds.contains_key(name) {
        return name;
    }
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|family| matches!(kinds.get(family), Some(&"histogram" | &"summary")))
        .unwrap_or(name)
}

/// The name that a family has here: counters end in `_total`, whatever their library calls them.
fn shown(name: &str, kind: Option<&str>) -> String {
    if kind == Some("counter") && !name.ends_with("_total") {
        format!("{name}_total")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "\
# HELP process_open_fds Open file descriptors of the process.
# TYPE process_open_fds gauge
process_open_fds 21

# HELP stemedb_store_seconds How long
# TYPE stemedb_store_seconds histogram
stemedb_store_seconds_bucket{lens=\"none\",le=\"+Inf\"} 3
stemedb_store_seconds_sum{lens=\"none\"} 0.5
stemedb_store_seconds_count{lens=\"none\"} 3
";

    const MEMBERSHIP: &str = "\
# TYPE process_open_fds gauge
process_open_fds 17
# TYPE memberlist_sent counter
memberlist_sent{kind=\"a b\"} 5
# TYPE stemedb_store_seconds gauge
stemedb_store_seconds{} 9
";

    fn merged() -> String {
        let mut merged = Merged::default();
        merged.add("store", STORE);
        merged.add("membership", MEMBERSHIP);
        merged.up("store", true);
        merged.up("antientropy", false);
        merged.render()
    }

    #[test]
    fn families_are_one_and_series_say_whose_they_are() {
        let text = merged();
        assert_eq!(text.matches("# TYPE process_open_fds gauge").count(), 1);
        assert_eq!(text.matches("# HELP process_open_fds Open").count(), 1);
        for series in [
            "process_open_fds{service=\"store\"} 21",
            "process_open_fds{service=\"membership\"} 17",
            "stemedb_store_seconds_bucket{service=\"store\",lens=\"none\",le=\"+Inf\"} 3",
            "stemedb_store_seconds_count{service=\"store\",lens=\"none\"} 3",
            "memberlist_sent_total{service=\"membership\",kind=\"a b\"} 5",
            "stemedb_gateway_service_up{service=\"store\"} 1",
            "stemedb_gateway_service_up{service=\"antientropy\"} 0",
        ] {
            assert!(
                text.lines().any(|line| line == series),
                "{series} in\n{text}"
            );
        }
    }

    #[test]
    fn every_family_has_help_and_type_before_its_series() {
        let text = merged();
        let mut known = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                known.push(rest.split(' ').next().unwrap().to_owned());
            } else if !line.starts_with('#') {
                let family = known.last().unwrap();
                assert!(line.starts_with(family.as_str()), "{line} after {family}");
            }
        }
        let mut sorted = known.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(known, sorted, "each family once");
    }

    #[test]
    fn a_family_that_means_two_things_means_the_first() {
        assert!(!merged().contains("service=\"membership\",} 9"));
        assert!(!merged().contains("stemedb_store_seconds{service=\"membership\"}"));
    }
}
