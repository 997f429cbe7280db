//! Civil time in UTC: stamps as RFC 3339 text and back, and as a time of day.

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};

const DAY_MS: i64 = 86_400_000;

/// A stamp as RFC 3339 in UTC with milliseconds: `2026-11-20T21:42:30.123Z`.
///
/// Years outside 0 to 9999 are shown as the nearest stamp that RFC 3339 can write.
pub fn rfc3339(at: Millis) -> String {
    let ms = at.0.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let rest = ms.rem_euclid(DAY_MS);
    let (h, m, s) = clock_of(rest);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", rest % 1000)
}

/// The time of day of a stamp, in UTC: `21:42:30`.
pub fn hms(at: Millis) -> String {
    let (h, m, s) = clock_of(at.0.rem_euclid(DAY_MS));
    format!("{h:02}:{m:02}:{s:02}")
}

fn clock_of(ms_of_day: i64) -> (i64, i64, i64) {
    (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day / 1000 % 60)
}

/// Reads RFC 3339: a date, `T` or a space, a time, an optional fraction, and `Z` or an offset.
///
/// # Errors
/// `Invalid` when it is not such a stamp, or names a day or a time that there is not.
pub fn parse_rfc3339(text: &str) -> Outcome<Millis> {
    read(text.as_bytes()).ok_or_else(|| {
        Fault::new(Kind::Invalid, format!("{text:?} is not a time"))
            .hint("write it as 2026-11-20T21:42:30Z (RFC 3339)")
    })
}

fn read(text: &[u8]) -> Option<Millis> {
    let (head, tail) = text.split_at_checked(19)?;
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| head[*at] != *mark) || !b"Tt ".contains(&head[10]) {
        return None;
    }
    let (year, month, day) = (number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (h, m, s) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?);
    let days = days_from_civil(year, month, day);
    // The day must come back as it was written; second 60 (a leap second) counts as the next second.
    if civil(days) != (year, month, day) || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let (fraction, zone) = match tail.strip_prefix(b".") {
        None => (0, tail),
        Some(rest) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let ms = (0..3).fold(0, |ms, i| {
                ms * 10 + rest.get(i).filter(|_| i < digits).map_or(0, |b| i64::from(b - b'0'))
            });
            (ms, &rest[digits..])
        }
    };
    let offset = minutes_of_zone(zone)?;
    Some(Millis(days * DAY_MS + ((h * 60 + m - offset) * 60 + s) * 1000 + fraction))
}

fn minutes_of_zone(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (h, m) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let minutes = (h <= 23 && m <= 59).then_some(h * 60 + m)?;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms": years begin in March, so that the leap day is the last of a year).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day counted from 1970-01-01: the inverse of [`days_from_civil`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_stamps() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(Millis(i64::MAX)), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(Millis(i64::MIN)), "0000-01-01T00:00:00.000Z");
        assert_eq!(hms(Millis(1_763_674_950_123)), "21:42:30");
    }

    #[test]
    fn stamps_are_read() {
        let read = |text: &str| parse_rfc3339(text).ok().map(|at| at.0);
        assert_eq!(read("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(read("2000-02-29 01:30:00.5+01:30"), Some(951_782_400_500));
        assert_eq!(read("2000-02-28T23:00:00.123456789-01:00"), Some(951_782_400_123));
        for bad in [
            "",
            "2000-02-30T00:00:00Z",
            "1999-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29T00:00:00",
            "2000-02-29T00:00:00.Z",
            "2000-02-29T00:00:00+1:00",
            "2000-02-29T00:00:0éZ",
            "yesterday",
        ] {
            assert!(parse_rfc3339(bad).is_err(), "{bad:?} passed");
        }
    }

    proptest! {
        #[test]
        fn stamps_survive_their_text(ms in -62_167_219_200_000i64..=253_402_300_799_999) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(Millis(ms))), Ok(Millis(ms)));
        }

        #[test]
        fn no_text_breaks_the_reader(text in any::<String>()) {
            let _ = parse_rfc3339(&text);
        }
    }
}
