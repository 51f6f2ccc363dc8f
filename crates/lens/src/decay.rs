//! Decay: what time leaves of a confidence.

use assertion::Claim;

/// Half-lives by tier, in days: what a regulator states holds until it is withdrawn, hearsay is half forgotten in a month.
const HALF_LIFE_DAYS: [Option<u16>; 6] =
    [None, Some(730), Some(365), Some(180), Some(90), Some(30)];

const DAY_MS: f64 = 86_400_000.0;

/// The moment that ages are taken at; none: nothing decays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay(pub(crate) Option<i64>);

impl Decay {
    /// The confidence of a claim at that moment. Claims of the future have not begun to decay.
    pub(crate) fn confidence(self, claim: &Claim<'_>) -> f64 {
        let half_life = HALF_LIFE_DAYS[usize::from(claim.class.tier())];
        let (Some(evaluated_at), Some(days)) = (self.0, half_life) else {
            return claim.confidence;
        };
        let age = evaluated_at.saturating_sub(claim.asserted_at).max(0);
        #[allow(
            clippy::cast_precision_loss,
            reason = "times are within 2^53, and a rounded age is rounded alike everywhere"
        )]
        let half_lives = age as f64 / (f64::from(days) * DAY_MS);
        // Software, not the processor's or the system's: the same bits on every machine.
        claim.confidence * libm::exp2(-half_lives)
    }
}

#[cfg(test)]
mod tests {
    use assertion::{Lifecycle, RecordId, SourceClass, Value};

    use super::*;

    const DAY: i64 = 86_400_000;

    fn left(class: SourceClass, confidence: f64, age: i64) -> f64 {
        let claim = Claim {
            id: RecordId::from_bytes([0; 32]),
            canonical: b"",
            subject: "s".into(),
            predicate: "p".into(),
            value: Value::Boolean(true),
            uri: "u".into(),
            class,
            confidence,
            lifecycle: Lifecycle::Approved,
            asserted_at: -7,
            epoch: None,
        };
        Decay(Some(age - 7)).confidence(&claim)
    }

    #[test]
    fn each_tier_has_its_half_life() {
        for (class, days) in SourceClass::ALL.iter().zip(HALF_LIFE_DAYS) {
            let Some(days) = days else {
                assert_eq!(left(*class, 0.75, 1 << 53), 0.75);
                continue;
            };
            let half_life = i64::from(days) * DAY;
            assert_eq!(left(*class, 0.75, 0), 0.75);
            assert_eq!(left(*class, 0.75, -half_life), 0.75, "of the future");
            assert_eq!(left(*class, 0.75, half_life), 0.375);
            assert_eq!(left(*class, 0.75, 3 * half_life), 0.09375);
        }
    }

    /// The doubles nearest to the exact values, reckoned with 60 decimal digits.
    #[test]
    fn the_bits_are_the_same_on_every_machine() {
        let bits = |class, confidence, age| left(class, confidence, age).to_bits();
        assert_eq!(
            bits(SourceClass::Anecdotal, 1.0, DAY),
            0x3fef_44e4_fb6c_55d7
        );
        assert_eq!(
            bits(SourceClass::Clinical, 0.92, 4_015 * DAY),
            0x3f94_d135_917f_4b7f
        );
    }

    #[test]
    fn the_oldest_claims_keep_nothing() {
        assert_eq!(left(SourceClass::Anecdotal, 1.0, 1 << 53), 0.0);
        assert_eq!(left(SourceClass::Anecdotal, 1.0, i64::MAX), 0.0);
    }

    #[test]
    fn a_millisecond_more_never_leaves_more() {
        for class in SourceClass::ALL {
            for age in (0..40 * 365 * DAY).step_by(777_777_777_777) {
                assert!(left(*class, 1.0, age + 1) <= left(*class, 1.0, age));
            }
        }
    }
}
