//! Durations, byte sizes and shares of a processor, as the Compose Specification writes them.

use crate::base::clock::Millis;
use crate::base::stamp::parse_rfc3339;

/// Longest duration that we accept: a year, in milliseconds. Engines count nanoseconds in 63 bits.
pub const DURATION_MAX_MS: u64 = 366 * 24 * 3_600_000;
/// Most processors that we accept, in thousandths: far beyond any machine.
pub const CPU_MAX_MILLI: u64 = 1_000_000_000;

/// What a duration looks like, for messages.
pub const DURATION_EXPECTED: &str = "a duration like 30s, 1m30s or 500ms, at most 366 days";
/// What a size looks like, for messages.
pub const SIZE_EXPECTED: &str = "a size like 512M, 1gb or 1048576";
/// What a bandwidth looks like, for messages.
pub const BANDWIDTH_EXPECTED: &str = "bits per second like 100M, 2.5G or 1000000";
/// What a day looks like, for messages.
pub const DAY_EXPECTED: &str = "a day like 2024-03-31";
/// What a share of processors looks like, for messages.
pub const CPUS_EXPECTED: &str = "a number of processors like 0.5 or 2, in steps of 0.001";

/// A duration in milliseconds: numbers with the units `us`, `ms`, `s`, `m`, `h` in a row (`1h5m30s20ms`), or `0`.
/// Less than a millisecond counts as one, so that nothing becomes zero by rounding.
pub fn duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0);
    }
    let mut micros: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let each: u128 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        micros = micros.checked_add(scaled(number, each)?)?;
        rest = tail;
    }
    if text.trim().is_empty() {
        return None;
    }
    u64::try_from(micros.div_ceil(1_000)).ok().filter(|ms| *ms <= DURATION_MAX_MS)
}

/// A size in bytes: a number with `b`, `k`, `kb`, `m`, `mb`, `g`, `gb`, `t`, `tb` (also `KiB`, `Ki`), any case; all units are
/// powers of 1024, as in Docker. Without a unit: bytes.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let power: u32 = match unit.strip_suffix('b').map_or(unit.as_str(), |u| u) {
        "" => 0,
        "k" | "ki" => 1,
        "m" | "mi" => 2,
        "g" | "gi" => 3,
        "t" | "ti" => 4,
        "p" | "pi" => 5,
        _ => return None,
    };
    let bytes = scaled(number, 1024u128.pow(power))?;
    u64::try_from(bytes).ok().filter(|b| i64::try_from(*b).is_ok())
}

/// A bandwidth in bits per second: a number with `k`, `m`, `g` or `t` (powers of 1000, as lines are sold), with or without
/// `bit`, `bps` or `bit/s` behind it.
pub fn bandwidth(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let prefix = ["bit/s", "bits", "bit", "bps"].iter().find_map(|word| unit.strip_suffix(word));
    let power: u32 = match prefix.unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let bits = scaled(number, 1_000u128.pow(power))?;
    u64::try_from(bits).ok().filter(|b| i64::try_from(*b).is_ok())
}

/// The first moment of a day in UTC, `YYYY-MM-DD`.
pub fn day(text: &str) -> Option<Millis> {
    let text = text.trim();
    if text.len() != 10 { None } else { parse_rfc3339(&format!("{text}T00:00:00Z")).ok() }
}

/// Processors in thousandths: `0.5` is 500. `None` also for a share that is not zero but rounds to it.
pub fn cpus(text: &str) -> Option<u64> {
    let text = text.trim();
    let milli = u64::try_from(scaled(text, 1_000)?).ok()?;
    let is_zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    ((milli > 0 || is_zero) && milli <= CPU_MAX_MILLI).then_some(milli)
}

/// `number` times `each`, rounded down; the number is decimal, with digits before or after the point.
fn scaled(number: &str, each: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let part = &part[..part.len().min(9)];
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let tens = 10u128.pow(u32::try_from(part.len()).ok()?);
    whole.checked_mul(each)?.checked_add(parts.checked_mul(each)? / tens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_of_the_specification() {
        let cases = [
            ("10ms", 10),
            ("40s", 40_000),
            ("1m30s", 90_000),
            ("1h5m30s20ms", 3_930_020),
            ("1.5s", 1_500),
            ("0", 0),
            ("0s", 0),
            ("1us", 1),
        ];
        for (text, ms) in cases {
            assert_eq!(duration(text), Some(ms), "{text}");
        }
        for bad in ["", "10", "s", "1 m", "-1s", "1d", "1s5", "1..5s", ".s", "99999999999h", "１s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_of_the_specification() {
        let cases =
            [("2b", 2), ("1024kb", 1 << 20), ("2048k", 2 << 20), ("300m", 300 << 20), ("1gb", 1 << 30)];
        for (text, bytes) in cases {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(size(&text.to_uppercase()), Some(bytes), "{text}");
        }
        assert_eq!([size("512"), size("1.5g"), size("1GiB")], [Some(512), Some(3 << 29), Some(1 << 30)]);
        for bad in ["", "m", "-1", "1x", "1mm", "1 000", "99999999999999t"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(
            [cpus("0.5"), cpus("2"), cpus(".25"), cpus("0")],
            [Some(500), Some(2000), Some(250), Some(0)]
        );
        assert_eq!([cpus("0.0001"), cpus("two"), cpus("-1"), cpus("")], [None; 4]);
    }

    #[test]
    fn bandwidths_are_decimal_and_days_are_days() {
        let cases =
            [("100M", 100_000_000), ("2.5 Gbit/s", 2_500_000_000), ("10kbps", 10_000), ("7", 7), ("0", 0)];
        for (text, bits) in cases {
            assert_eq!(bandwidth(text), Some(bits), "{text}");
        }
        for bad in ["", "M", "1MB", "-1", "1e9", "99999999999t"] {
            assert_eq!(bandwidth(bad), None, "{bad}");
        }
        assert_eq!(day("2000-02-29"), Some(Millis(951_782_400_000)));
        assert_eq!([day("2001-02-29"), day("29.2.2000"), day(""), day("2000-2-29")], [None; 4]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0..=DURATION_MAX_MS, bytes in 0..=u64::MAX >> 1, milli in 0..=CPU_MAX_MILLI) {
            prop_assert_eq!(duration(&format!("{ms}ms")), Some(ms));
            let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
            prop_assert_eq!(duration(&format!("{h}h{m}m{s}s{}ms", ms % 1_000)), Some(ms));
            prop_assert_eq!(size(&format!("{bytes}b")), Some(bytes));
            prop_assert_eq!(size(&format!("{}k", bytes >> 10)), Some(bytes >> 10 << 10));
            prop_assert_eq!(cpus(&format!("{}.{:03}", milli / 1000, milli % 1000)), Some(milli));
        }

        #[test]
        fn nothing_panics(text in "\\PC*", near in "[0-9.]{0,60}[a-zA-Z]{0,3}[0-9.]{0,4}[a-z]{0,2}") {
            for t in [text, near] {
                let _ = (duration(&t), size(&t), cpus(&t), bandwidth(&t), day(&t));
            }
        }
    }
}
