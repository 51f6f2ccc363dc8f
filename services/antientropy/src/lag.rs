//! How far this node may be behind one peer, in seconds (protocol, section 6).

use std::time::Duration;

/// What is needed to say it. Times are milliseconds of CLOCK_BOOTTIME, given by the caller.
#[derive(Debug, Clone)]
pub struct Lag {
    /// Since when the peer is known to this process: before the first proof, lag counts from here.
    known_since: u64,
    /// When the last session that ended well ended, and whether it found nothing old missing.
    last: Option<(u64, bool)>,
    /// The date of the last proof over every shard of this node.
    proved_at: Option<u64>,
}

impl Lag {
    /// A peer that has just become known.
    pub fn new(now: u64) -> Lag {
        Lag {
            known_since: now,
            last: None,
            proved_at: None,
        }
    }

    /// A session ended well. `in_step`: nothing was missing that should have arrived by push already.
    pub fn ended(&mut self, now: u64, in_step: bool) {
        self.last = Some((now, in_step));
    }

    /// Every shard was proved; the proof has this date.
    pub fn proved(&mut self, date: u64) {
        self.proved_at = Some(self.proved_at.map_or(date, |old| old.max(date)));
    }

    /// How old the last proof over every shard is, or how long the peer has been known without one.
    pub fn proof_age(&self, now: u64) -> Duration {
        let from = self.proved_at.unwrap_or(self.known_since);
        Duration::from_millis(now.saturating_sub(from))
    }

    /// 0 while the last session ended within two intervals and found this node in step; else the age of the last proof.
    pub fn seconds(&self, now: u64, interval: Duration) -> f64 {
        let fresh = 2 * u64::try_from(interval.as_millis()).unwrap_or(u64::MAX / 2);
        let in_step = self
            .last
            .is_some_and(|(ended, in_step)| in_step && now.saturating_sub(ended) <= fresh);
        if in_step {
            return 0.0;
        }
        self.proof_age(now).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn is(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() < 1e-9
    }

    #[test]
    fn lag_is_zero_while_sessions_end_in_step() {
        let mut lag = Lag::new(10_000);
        lag.proved(10_600);
        lag.ended(11_100, true);
        assert!(is(lag.seconds(11_100, INTERVAL), 0.0));
        assert!(is(lag.seconds(13_100, INTERVAL), 0.0));
    }

    #[test]
    fn lag_is_the_age_of_the_last_proof_once_sessions_stop() {
        let mut lag = Lag::new(10_000);
        lag.proved(10_600);
        lag.ended(11_100, true);
        assert!(is(lag.seconds(13_101, INTERVAL), 2.501));
        assert!(is(lag.seconds(70_600, INTERVAL), 60.0));
    }

    #[test]
    fn lag_counts_from_the_first_sight_of_a_peer_that_never_answered() {
        let lag = Lag::new(10_000);
        assert!(is(lag.seconds(10_000, INTERVAL), 0.0));
        assert!(is(lag.seconds(40_000, INTERVAL), 30.0));
    }

    #[test]
    fn a_session_that_found_old_records_missing_shows_the_age_of_its_proof() {
        let mut lag = Lag::new(0);
        lag.proved(9_500);
        lag.ended(10_200, false);
        assert!(is(lag.seconds(10_200, INTERVAL), 0.7));
        lag.proved(10_500);
        lag.ended(11_100, true);
        assert!(is(lag.seconds(11_200, INTERVAL), 0.0));
    }

    #[test]
    fn proofs_never_go_back() {
        let mut lag = Lag::new(0);
        lag.proved(9_500);
        lag.proved(9_000);
        assert!(is(lag.seconds(10_000, INTERVAL), 0.5));
    }
}
