//! Figures as people read them, and the middle of several runs.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart, in microseconds: beyond it a call has failed.
const LONGEST_US: u64 = 60_000_000;

/// Three digits: 1.23 ms and 1.24 ms are told apart.
const DIGITS: u8 = 3;

/// An empty histogram of microseconds.
pub fn histogram() -> Histogram<u64> {
    // Bounds and digits are constants that fit.
    let mut histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
        .unwrap_or_else(|error| panic!("a histogram of 1..{LONGEST_US}: {error}"));
    histogram.auto(false);
    histogram
}

/// Writes down a time.
pub fn record(histogram: &mut Histogram<u64>, took: Duration) {
    let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
    histogram.saturating_record(us.clamp(1, LONGEST_US));
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// Half of the calls were faster.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
}

impl Percentiles {
    /// Of what was written down.
    pub fn of(histogram: &Histogram<u64>) -> Percentiles {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Percentiles {
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
        }
    }

    /// The middle of each over several runs.
    pub fn median(runs: &[Percentiles]) -> Percentiles {
        let of = |pick: fn(&Percentiles) -> f64| median(runs.iter().map(pick));
        Percentiles {
            p50: of(|run| run.p50),
            p95: of(|run| run.p95),
            p99: of(|run| run.p99),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {}, p95 {}, p99 {} ms",
            digits(self.p50),
            digits(self.p95),
            digits(self.p99)
        )
    }
}

/// The middle value; of an even number of values the lower of the two in the middle. Zero when there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

/// A number with three digits that count, thousands grouped.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// Milliseconds of a time.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The runs one after the other.
pub fn each(values: impl IntoIterator<Item = f64>) -> String {
    let texts: Vec<String> = values.into_iter().map(digits).collect();
    texts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let texts = [0.0, 0.456, 3.456, 45.67, 456.7, 4_567.8, 1_234_567.0].map(digits);
        assert_eq!(
            texts,
            ["0.00", "0.46", "3.46", "45.7", "457", "4,568", "1,234,567"]
        );
    }

    #[test]
    fn the_median_is_one_of_the_runs() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn percentiles_come_from_the_histogram() {
        let mut all = histogram();
        for us in 1..=1_000 {
            record(&mut all, Duration::from_micros(us * 10));
        }
        record(&mut all, Duration::from_secs(100));
        let seen = Percentiles::of(&all);
        assert!(
            (seen.p50 - 5.0).abs() < 0.05 && (seen.p99 - 9.9).abs() < 0.1,
            "{seen}"
        );
    }
}
