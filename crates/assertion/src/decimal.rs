//! Numbers as JSON text: only those that an f64 holds as they are written.
//!
//! `0.1` is taken: its shortest f64 form is `0.1` again. `9007199254740993` is not: the nearest f64 is
//! 9007199254740992, and a store that keeps claims may not change them.

/// Up to here an f64 holds every whole number.
const WHOLE_MAX: u64 = 1 << 53;

/// So many decimal digits come back from an f64 whatever they are (`DBL_DIG` of C), unless an exponent leads out of the range of
/// normal numbers.
const DIGITS_SURE: usize = 15;

/// Reads a JSON number. `None`: too large for an f64, or its value would change.
pub(crate) fn exact(text: &str) -> Option<f64> {
    // The common case of integers, times among them, needs no comparison.
    if let Ok(whole) = text.parse::<i64>()
        && whole.unsigned_abs() <= WHOLE_MAX
    {
        #[allow(clippy::cast_precision_loss, reason = "bounded by 2^53")]
        return Some(whole as f64);
    }
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    // -0 and 0 are one number.
    let value = if value == 0.0 { 0.0 } else { value };
    if text.len() <= DIGITS_SURE && !text.contains(['e', 'E']) {
        return Some(value);
    }
    let mut buffer = ryu_js::Buffer::new();
    let shortest = buffer.format_finite(value);
    if text == shortest || Decimal::read(text)? == Decimal::read(shortest)? {
        return Some(value);
    }
    None
}

/// A decimal without leading or trailing zeros: value = 0.digits × 10^exponent.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|&&d| d == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        // Zero has been dealt with: an exponent beyond i64 is beyond an f64.
        let exponent = exponent.parse::<i64>().ok()?;
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        Some(Decimal {
            negative,
            digits,
            exponent: point.checked_add(exponent)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decimal, exact};

    proptest! {
        /// Short ones are not compared; they need not be.
        #[test]
        fn what_is_taken_is_printed_as_the_same_decimal(
            text in "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,9})?(e[-+]?[0-9]{1,2})?",
        ) {
            let mut buffer = ryu_js::Buffer::new();
            let value = exact(&text);
            let expected: f64 = text.parse().unwrap();
            let printed = Decimal::read(buffer.format_finite(expected));
            prop_assert_eq!(value.is_some(), printed == Decimal::read(&text));
            prop_assert!(value.is_none_or(|value| value == expected));
        }
    }

    #[test]
    fn numbers_that_an_f64_holds_are_taken_however_they_are_written() {
        for (text, value) in [
            ("0.1", 0.1_f64),
            ("1.0", 1.0),
            ("100e-2", 1.0),
            ("1E2", 100.0),
            ("0.00", 0.0),
            ("-0", 0.0),
            ("-0.0e5", 0.0),
            ("0e99999999999999999999", 0.0),
            ("1e+5", 100_000.0),
            ("373.124295848", 373.124295848),
            ("-12.50", -12.5),
            ("1e21", 1e21),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("-9007199254740992", -9_007_199_254_740_992.0),
            ("9007199254740994", 9_007_199_254_740_994.0),
            ("1767225600000", 1_767_225_600_000.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(
                exact(text).map(f64::to_bits),
                Some(value.to_bits()),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_that_would_change_are_refused() {
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "1e400",
            "-1e400",
            "1e-400",
            "0.1000000000000000055511151231257827",
            "3.14159265358979323846",
            "1e99999999999999999999",
        ] {
            assert_eq!(exact(text), None, "{text}");
        }
    }
}
