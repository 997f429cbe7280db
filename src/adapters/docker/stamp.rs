//! RFC 3339 stamps as engines write them (`2026-11-20T21:42:32.123456789Z`), to nanoseconds since 1970.

use crate::base::clock::Millis;

const NANOS: i64 = 1_000_000_000;

/// Reads a stamp at the start of a text; gives nanoseconds since 1970 and what follows the stamp.
/// `None` for anything else and for years outside 1970 to 2261, as Go's zero time (year 1) is.
pub(super) fn take(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?
            .iter()
            .try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|b| wanted.contains(b));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let fits = (1970..=2261).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = fraction(text.get(19..)?);
    let (offset, rest) = offset(rest)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((seconds.checked_mul(NANOS)?.checked_add(fraction)?, rest))
}

/// A whole text that is a stamp, in milliseconds.
pub(super) fn millis(text: &str) -> Option<Millis> {
    nanos(text).map(|n| Millis(n / 1_000_000))
}

/// A whole text that is a stamp, in nanoseconds.
pub(super) fn nanos(text: &str) -> Option<i64> {
    take(text.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(nanos, _)| nanos)
}

/// `.123` as nanoseconds; digits beyond the ninth are dropped.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some(rest) = text.strip_prefix(b".") else { return (0, text) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(length);
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    (padded.fold(0, |n, b| n * 10 + i64::from(b - b'0')), rest)
}

/// `Z` or `+01:00`, in seconds east.
fn offset(text: &[u8]) -> Option<(i64, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"Z").or_else(|| text.strip_prefix(b"z")) {
        return Some((0, rest));
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    if ![h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
    let seconds = two(h1, h2) * 3600 + two(m1, m2) * 60;
    Some((if *sign == b'-' { -seconds } else { seconds }, rest))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stamps_are_read() {
        assert_eq!(nanos("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanos("2026-11-20T21:42:32.5Z"), Some(1_795_210_952_500_000_000));
        assert_eq!(nanos("2024-02-29T12:00:00.123456789+02:00"), Some(1_709_200_800_123_456_789));
        assert_eq!(take(b"1970-01-01T00:00:01Z hello"), Some((NANOS, &b" hello"[..])));
        for bad in [
            "",
            "0001-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20 21:42:32Z",
            "2026-11-20T21:42:32",
        ] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_go_up_by_one(n in 0i64..100_000) {
            // Walk a plain calendar beside it.
            let (mut y, mut left) = (1970, n);
            let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            while left >= 365 + i64::from(leap(y)) { left -= 365 + i64::from(leap(y)); y += 1; }
            let lengths = [31, 28 + i64::from(leap(y)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut m = 0;
            while left >= lengths[m] { left -= lengths[m]; m += 1; }
            prop_assert_eq!(days(y, i64::try_from(m).unwrap() + 1, left + 1), n);
        }

        #[test]
        fn nothing_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _read = take(&text);
        }
    }
}
