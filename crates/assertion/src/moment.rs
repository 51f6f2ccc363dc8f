//! Moments as people and programs write them: Unix milliseconds, or a calendar date (UTC, proleptic Gregorian). One reading for
//! every door, without a calendar library. The day arithmetic is Howard Hinnant's `days_from_civil` and its inverse
//! (<https://howardhinnant.github.io/date_algorithms.html>).

use std::fmt;
use std::ops::RangeInclusive;

use crate::limits::TIME_MAX_MS;

/// What to write.
pub const WANTED: &str =
    "milliseconds since 1970, or a date such as 2015-01-01 or 2015-01-01T10:30:00Z";

const DAY_MS: i64 = 86_400_000;

/// Records may lie within ±2^53 ms; years beyond ±9999 are given in milliseconds.
const YEAR_MAX: i64 = 9_999;

/// Numbers that are years, whoever writes them: as milliseconds they are two seconds after 1970 began.
const YEARS: RangeInclusive<i64> = 1_900..=2_100;

/// Smaller numbers that somebody types are seconds, or years: as milliseconds all of them lie within four years of 1970, which
/// dates reach. As seconds this is the year 5138.
const MILLISECONDS_MIN: u64 = 100_000_000_000;

/// Smaller numbers of seconds are before March 1973, and nobody means them.
const SECONDS_MIN: u64 = 100_000_000;

/// Something that is no moment, or hardly one that anybody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMoment {
    given: String,
    why: &'static str,
}

impl NotAMoment {
    /// What is wrong with it, as what follows `which`.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: write {WANTED}", self.given, self.why)
    }
}

impl std::error::Error for NotAMoment {}

/// Reads `2018-07-17`, `2018-07-17T10:30:00Z`, `2018-07-17T10:30:00.250Z` or Unix milliseconds, as programs send them. A bare year
/// is refused: it would ask about 1970, and the answer would be that there is nothing.
///
/// # Errors
/// What was written, and what to write instead.
pub fn read(text: &str) -> Result<i64, NotAMoment> {
    let not = |why| NotAMoment {
        given: text.to_owned(),
        why,
    };
    if let Ok(ms) = text.parse::<i64>() {
        return match ms {
            year if YEARS.contains(&year) => Err(not("looks like a year")),
            ms if (-TIME_MAX_MS..=TIME_MAX_MS).contains(&ms) => Ok(ms),
            _ => Err(not("is beyond what a record can say")),
        };
    }
    let wrong = || not("is no moment");
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z').ok_or_else(wrong)?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-').ok_or_else(wrong)?;
    let (time, millisecond) = match time.split_once('.') {
        Some((time, fraction)) => (time, thousandths(fraction).ok_or_else(wrong)?),
        None => (time, 0),
    };
    let [hour, minute, second] = numbers(time, ':').ok_or_else(wrong)?;
    // Looked at before any arithmetic: the numbers come from outside, and may be as large as numbers go.
    let possible = year <= YEAR_MAX
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (hour <= 23 && minute <= 59 && second <= 59);
    if !possible {
        return Err(wrong());
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return Err(wrong());
    }
    Ok(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + millisecond)
}

/// The same of what somebody typed. A number that is hardly meant as milliseconds is refused as well; a date says such a moment.
///
/// # Errors
/// What was written, and what to write instead.
pub fn read_typed(text: &str) -> Result<i64, NotAMoment> {
    let ms = read(text)?;
    let is_number = text.parse::<i64>().is_ok();
    let looks = match ms.unsigned_abs() {
        MILLISECONDS_MIN.. => return Ok(ms),
        _ if !is_number => return Ok(ms),
        SECONDS_MIN.. => "looks like seconds",
        1_000..=9_999 => "looks like a year",
        _ => "would be 1970 or thereabouts",
    };
    Err(NotAMoment {
        given: text.to_owned(),
        why: looks,
    })
}

/// One to three digits after the point.
fn thousandths(fraction: &str) -> Option<i64> {
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let scale = [100, 10, 1].get(fraction.len().checked_sub(1)?)?;
    let number: i64 = digits.then(|| fraction.parse().ok())??;
    Some(number * scale)
}

/// A moment as [`read_typed`] takes it: milliseconds, and a date where a number would be taken for a slip.
pub fn write(ms: i64) -> String {
    if ms.unsigned_abs() >= MILLISECONDS_MIN {
        return ms.to_string();
    }
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (second, millisecond) = (of_day / 1_000, of_day % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millisecond:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut next = || {
        let part = parts.next()?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse().ok())
            .flatten()
    };
    let found = [next()?, next()?, next()?];
    parts.next().is_none().then_some(found)
}

/// `2018-07-17`, with the time of day unless it is midnight.
pub fn show(ms: i64) -> String {
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    if !(-YEAR_MAX..=YEAR_MAX).contains(&year) {
        return format!("{ms} ms");
    }
    let second = ms.rem_euclid(DAY_MS) / 1_000;
    let date = format!("{year:04}-{month:02}-{day:02}");
    match second {
        0 => date,
        _ => format!(
            "{date} {:02}:{:02}:{:02}",
            second / 3_600,
            second / 60 % 60,
            second % 60
        ),
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2018-07-17", 1_531_785_600_000),
            ("1929-03-15", -1_287_532_800_000),
            ("2000-02-29", 951_782_400_000),
        ] {
            assert_eq!(read(text), Ok(ms), "{text}");
            assert_eq!(show(ms), text);
        }
        assert_eq!(read("2018-07-17T10:30:01Z"), Ok(1_531_823_401_000));
        assert_eq!(show(1_531_823_401_999), "2018-07-17 10:30:01");
        assert_eq!(read("100000000000"), Ok(100_000_000_000));
        assert_eq!(read("-1287532800000"), Ok(-1_287_532_800_000));
    }

    #[test]
    fn numbers_that_are_no_milliseconds_are_refused() {
        for (text, looks) in [
            ("2015", "2015 looks like a year"),
            ("1388534400", "1388534400 looks like seconds"),
            ("-1287532800", "-1287532800 looks like seconds"),
            ("99999999999", "99999999999 looks like seconds"),
            ("0", "0 would be 1970 or thereabouts"),
            ("-5", "-5 would be 1970 or thereabouts"),
        ] {
            let said = read_typed(text).unwrap_err().to_string();
            assert!(
                said.starts_with(looks) && said.contains("2015-01-01"),
                "{said}"
            );
        }
    }

    #[test]
    fn programs_may_send_any_milliseconds_but_what_is_a_year() {
        for ms in [0, 8, -5, 1_000, 1_899, 2_101, 9_999, 1_388_534_400] {
            assert_eq!(read(&ms.to_string()), Ok(ms));
        }
        for year in ["1900", "2015", "2100"] {
            assert_eq!(read(year).unwrap_err().why(), "looks like a year");
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in [
            "2019-02-29",
            "2018-13-01",
            "2018-07",
            "yesterday",
            "2018-07-17T25:00:00Z",
            "2018-07-17T10:30:00",
            "10000-01-01",
            "9223372036854775807-01-01",
            "2018-9223372036854775807-01",
            "2018-07-9223372036854775807",
            "2018-07-17T9223372036854775807:00:00Z",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_moment_can_be_written_so_that_it_is_read() {
        for ms in [
            0,
            8,
            -5,
            2_020,
            86_400_000,
            -86_400_001,
            13_046_400_250,
            99_999_999_999,
            -99_999_999_999,
            100_000_000_000,
            TIME_MAX_MS,
            -TIME_MAX_MS,
        ] {
            assert_eq!(read_typed(&write(ms)), Ok(ms), "{}", write(ms));
        }
        assert_eq!(write(86_400_000), "1970-01-02T00:00:00.000Z");
        assert_eq!(write(1_531_785_600_000), "1531785600000");
        assert_eq!(read("1970-01-01T00:00:01.5Z"), Ok(1_500));
        for text in [
            "1970-01-01T00:00:01.Z",
            "1970-01-01T00:00:01.1234Z",
            "1970-01-01T00:00:01.+1Z",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in ["9007199254740993", "-9223372036854775808"] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.why(), "is beyond what a record can say");
        }
    }
}
