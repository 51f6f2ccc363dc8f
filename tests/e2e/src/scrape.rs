//! Prometheus text as a scraper reads it, with its rules held: each family once, described before its samples, together.

use std::collections::{BTreeMap, BTreeSet};

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name with suffix: `x_seconds_bucket`.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// A scrape: its samples, and the rules it breaks.
#[derive(Debug, Default)]
pub struct Scrape {
    /// All series, in order.
    pub samples: Vec<Sample>,
    /// What is wrong with the text, for people.
    pub faults: Vec<String>,
}

impl Scrape {
    /// Reads the text of a scrape.
    pub fn read(text: &str) -> Scrape {
        let mut scrape = Scrape::default();
        let mut described = BTreeSet::new();
        let mut family = String::new();
        let mut series = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.split(' ');
                let (kind, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                if !described.insert((kind.to_owned(), name.to_owned())) {
                    scrape.faults.push(format!("{kind} of {name} twice"));
                }
                name.clone_into(&mut family);
                continue;
            }
            let Some(sample) = sample(line) else {
                scrape.faults.push(format!("not a sample: {line}"));
                continue;
            };
            if !belongs(&sample.name, &family) {
                scrape
                    .faults
                    .push(format!("{} stands in the family {family:?}", sample.name));
            }
            if !series.insert(format!("{} {:?}", sample.name, sample.labels)) {
                scrape.faults.push(format!("twice: {line}"));
            }
            scrape.samples.push(sample);
        }
        scrape
    }

    /// Values of all series with this name, whatever their labels.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.named(name).map(|sample| sample.value)
    }

    /// All series with this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> + 'a {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name)
    }

    /// The values that a label has.
    pub fn label(&self, label: &str) -> BTreeSet<&str> {
        let values = self
            .samples
            .iter()
            .filter_map(|sample| sample.labels.get(label));
        values.map(String::as_str).collect()
    }
}

fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
}

fn sample(line: &str) -> Option<Sample> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        let mut inside = inside;
        while !inside.starts_with('}') {
            let (label, after) = inside.split_once("=\"")?;
            // No value of ours holds a quote.
            let (value, after) = after.split_once('"')?;
            labels.insert(label.to_owned(), value.to_owned());
            inside = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &inside[1..];
    }
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: rest.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_and_broken_rules_are_named() {
        let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{service=\"store\",x=\"1\"} 3\na_total 4\n";
        let scrape = Scrape::read(text);
        assert!(scrape.faults.is_empty(), "{:?}", scrape.faults);
        assert_eq!(scrape.values("a_total").sum::<f64>(), 7.0);
        assert_eq!(scrape.label("service"), BTreeSet::from(["store"]));
        let twice = format!("{text}# TYPE b gauge\nc 1\n{text}");
        let faults = Scrape::read(&twice).faults;
        // A stranger in b, two descriptions and two series twice.
        assert_eq!(faults.len(), 5, "{faults:?}");
    }
}
