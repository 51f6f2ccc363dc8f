//! Whether a store answers: a count of silences, and what ends it.

use std::time::Duration;

/// Silences in a row after which a store is out (protocol, section 4). Fewer: a pause of a busy machine makes stand-ins
/// work; more: every write of a frozen node's shards waits for it longer.
const SILENCES_MAX: u32 = 3;

/// How a store stands with this gateway. Silence is counted per store, not per call: one that answers anything is alive,
/// however long its queue is.
#[derive(Debug, Default)]
pub struct Standing {
    out: bool,
    silences: u32,
}

/// What changed for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It does not answer: writes go around it.
    Out,
    /// It answers again.
    In,
}

impl Standing {
    /// Whether it is out.
    pub fn is_out(&self) -> bool {
        self.out
    }

    /// It said something, whatever it was.
    pub fn heard(&mut self) {
        self.silences = 0;
    }

    /// Nothing was heard for `quiet`, although something was asked. How many periods of silence are new, and whether it
    /// is out for them.
    pub fn quiet(&mut self, quiet: Duration, hedge: Duration) -> (u32, Option<Change>) {
        let periods = quiet.as_millis() / hedge.as_millis().max(1);
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        let new = periods.saturating_sub(self.silences);
        self.silences = self.silences.max(periods);
        let change = if self.silences >= SILENCES_MAX {
            self.leave()
        } else {
            None
        };
        (new, change)
    }

    /// It refused, reset, or cannot take anything: out at once.
    pub fn leave(&mut self) -> Option<Change> {
        (!std::mem::replace(&mut self.out, true)).then_some(Change::Out)
    }

    /// It answers and takes.
    pub fn enter(&mut self) -> Option<Change> {
        self.silences = 0;
        std::mem::replace(&mut self.out, false).then_some(Change::In)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEDGE: Duration = Duration::from_millis(250);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn three_silences_in_a_row_are_enough_and_an_answer_ends_the_row() {
        let mut standing = Standing::default();
        assert_eq!(standing.quiet(ms(249), HEDGE), (0, None));
        assert_eq!(standing.quiet(ms(250), HEDGE), (1, None));
        assert_eq!(standing.quiet(ms(260), HEDGE), (0, None), "told already");
        assert_eq!(standing.quiet(ms(510), HEDGE), (1, None));
        standing.heard();
        assert_eq!(standing.quiet(ms(250), HEDGE), (1, None));
        assert_eq!(standing.quiet(ms(750), HEDGE), (2, Some(Change::Out)));
        assert_eq!(standing.quiet(ms(1_000), HEDGE), (1, None), "told already");
        assert_eq!(standing.enter(), Some(Change::In));
        assert_eq!(standing.enter(), None);
    }

    #[test]
    fn a_refusal_is_enough_by_itself() {
        let mut standing = Standing::default();
        assert_eq!(standing.leave(), Some(Change::Out));
        assert_eq!(standing.leave(), None);
        standing.heard();
        assert!(standing.is_out(), "it answers, but what it answers is no");
    }
}
