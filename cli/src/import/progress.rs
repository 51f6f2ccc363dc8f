//! Progress with rate and time left: a bar at a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::{Counts, grouped, lines, rate};
use crate::output;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far an import is. The input's bytes are the measure: the number of lines is not known before the end.
pub(crate) struct Progress {
    look: Look,
    total_bytes: Option<u64>,
    done_bytes: u64,
    started: Instant,
}

enum Look {
    Silent,
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// `total_bytes` is the size of the file, when it is one.
    pub(crate) fn new(total_bytes: Option<u64>, silent: bool) -> Progress {
        let started = Instant::now();
        let look = if silent {
            Look::Silent
        } else if io::stderr().is_terminal() {
            Look::Bar(bar(total_bytes))
        } else {
            Look::Lines { last: started }
        };
        Progress {
            look,
            total_bytes,
            done_bytes: 0,
            started,
        }
    }

    /// Notes that the lines of `input_bytes` more bytes are settled.
    pub(crate) fn advance(&mut self, input_bytes: u64, counts: &Counts) {
        self.done_bytes += input_bytes;
        match &mut self.look {
            Look::Silent => {}
            Look::Bar(bar) => {
                bar.set_position(self.done_bytes);
                bar.set_message(said(counts, self.started.elapsed()));
            }
            Look::Lines { last } => {
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    let left = left(self.done_bytes, self.total_bytes, self.started.elapsed());
                    output::note(format!(
                        "import: {}{left}",
                        said(counts, self.started.elapsed())
                    ));
                }
            }
        }
    }

    /// Says something between.
    pub(crate) fn note(&self, text: &str) {
        match &self.look {
            Look::Silent => {}
            Look::Bar(bar) => bar.suspend(|| output::note(text)),
            Look::Lines { .. } => output::note(text),
        }
    }

    /// Clears the bar.
    pub(crate) fn finish(&self) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
    }
}

fn bar(total_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match total_bytes {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {percent:>3} %  {msg}  {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    // The templates above are constants that parse; were one broken, the default look would do.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn said(counts: &Counts, took: Duration) -> String {
    let mut text = format!(
        "{}, {}/s",
        lines(counts.lines()),
        grouped(rate(counts.lines(), took))
    );
    if counts.refused > 0 {
        text.push_str(&format!(", {} refused", grouped(counts.refused)));
    }
    text
}

fn left(done: u64, total: Option<u64>, took: Duration) -> String {
    let Some(total) = total.filter(|total| *total > 0 && done > 0) else {
        return String::new();
    };
    let seconds = took.as_secs_f64() * (total.saturating_sub(done)) as f64 / done as f64;
    format!(
        ", {} %, about {seconds:.0} s left",
        100 * done.min(total) / total
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_rate_share_and_time_left() {
        let counts = Counts {
            stored: 50_000,
            refused: 3,
            ..Counts::default()
        };
        let took = Duration::from_secs(10);
        assert_eq!(said(&counts, took), "50,003 lines, 5,000/s, 3 refused");
        assert_eq!(left(250, Some(1_000), took), ", 25 %, about 30 s left");
        assert_eq!(left(250, None, took), "");
        assert_eq!(left(0, Some(1_000), took), "");
    }
}
