//! Harbor's date-times (RFC 3339), where its zero time, the year 1, means that there is none.

use crate::base::clock::Millis;

/// Reads a whole stamp such as `2026-11-20T21:42:32.123Z`; `None` for anything else, and for years before 1970.
pub(super) fn millis(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let date = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let thousandths = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east(zone)?;
    Some(Millis(seconds * 1000 + thousandths))
}

/// `Z` or `+01:00`, in seconds.
fn east(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let two = |text: &str| -> Option<i64> {
        let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok())?
    };
    Some(sign * (two(hours)? * 3600 + two(minutes)? * 60))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stamps_are_read() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-20T21:42:32.5Z", Some(1_795_210_952_500)),
            ("2024-02-29T12:00:00.123456789+02:00", Some(1_709_200_800_123)),
            ("2024-02-29T12:00:00.123-02:00", Some(1_709_215_200_123)),
            ("0001-01-01T00:00:00.000Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-20 21:42:32Z", None),
            ("2026-11-20T21:42:32", None),
            ("2026-11-20T21:42:32Zé", None),
            ("", None),
        ] {
            assert_eq!(millis(text).map(|m| m.0), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})?.{0,12}") {
            let _read = millis(&text);
        }
    }
}
