//! When the next session with a peer starts.
//!
//! Repair may not eat a busy machine, and may not fall so far behind that answers lose their `complete`: a session that
//! took long is followed by a pause of a multiple of that time, and the pause ends early enough to keep proofs young.

use std::time::Duration;

/// A session is followed by a pause of this many times its own length: one peer's repair takes at most a fifth of the
/// time. Larger is gentler and keeps proofs older.
const PAUSE_PER_SESSION: u32 = 4;

/// Proofs are to stay this young under full load; answers judge by 10 s, so one missed session does no harm.
const PROOF_AGE_MAX: Duration = Duration::from_secs(5);

/// A proof is dated this long before its session's start: ids younger than this may still be on their way by push, and
/// are left for the next session.
pub const YOUNG: Duration = Duration::from_millis(500);

/// Longest back-off after failures, in intervals: a peer that comes back is seen within a few seconds even when SWIM
/// says nothing.
const BACK_OFF_INTERVALS: u32 = 4;

/// Intervals are spread by this share to both sides, so that peers do not meet in step.
const JITTER: f64 = 0.2;

/// How a session ended, as far as the next start is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything named was compared.
    Whole,
    /// It stopped at its time limit with work left.
    Unfinished,
    /// It failed, for the n-th time in a row (from 1).
    Failed(u32),
}

/// The pause before the next session. `chance` is in 0..1.
pub fn pause(interval: Duration, ending: Ending, took: Duration, chance: f64) -> Duration {
    let jittered = interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0));
    match ending {
        // What is left moves under back-pressure of both stores; a pause would only stretch the repair.
        Ending::Unfinished => Duration::ZERO,
        Ending::Failed(times) => {
            let doubled = 1_u32 << times.saturating_sub(1).min(8);
            jittered * doubled.min(BACK_OFF_INTERVALS)
        }
        Ending::Whole => {
            // The next session takes about as long as the last one, and its proof exists only at its end.
            let left = PROOF_AGE_MAX.saturating_sub(YOUNG).saturating_sub(took * 2);
            (took * PAUSE_PER_SESSION).min(left).max(jittered)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_quick_session_is_followed_by_the_jittered_interval() {
        let quick = Duration::from_millis(3);
        assert_eq!(
            pause(SECOND, Ending::Whole, quick, 0.0),
            SECOND.mul_f64(0.8)
        );
        assert_eq!(pause(SECOND, Ending::Whole, quick, 0.5), SECOND);
        assert_eq!(
            pause(SECOND, Ending::Whole, quick, 1.0),
            SECOND.mul_f64(1.2)
        );
    }

    #[test]
    fn a_slow_session_is_followed_by_a_longer_pause() {
        let took = Duration::from_millis(500);
        assert_eq!(pause(SECOND, Ending::Whole, took, 0.5), 2 * SECOND);
    }

    #[test]
    fn proofs_stay_young_however_long_sessions_take() {
        for took_ms in (0..2_000).step_by(50) {
            let took = Duration::from_millis(took_ms);
            let pause = pause(SECOND, Ending::Whole, took, 0.5);
            // The old proof is replaced when the next session ends.
            let oldest = YOUNG + took + pause + took;
            let least = YOUNG + took + SECOND + took;
            assert!(oldest <= PROOF_AGE_MAX.max(least), "{took:?}: {oldest:?}");
        }
    }

    #[test]
    fn failures_back_off_to_a_few_intervals_and_no_further() {
        let pauses: Vec<Duration> = (1..=40)
            .map(|times| pause(SECOND, Ending::Failed(times), SECOND, 0.5))
            .collect();
        assert_eq!(pauses[..4], [SECOND, 2 * SECOND, 4 * SECOND, 4 * SECOND]);
        assert_eq!(pauses[39], 4 * SECOND);
    }

    #[test]
    fn unfinished_work_goes_on_at_once() {
        assert_eq!(
            pause(SECOND, Ending::Unfinished, SECOND, 0.9),
            Duration::ZERO
        );
    }
}
