//! Amounts on the command line, as networks count them: `MB` is a million bytes, `MiB` 1,048,576, `Mbit` a million bits.

use crate::base::fault::{Fault, Kind};
use crate::cli::cx::Stop;

/// Reads bytes: `1.2GB`, `300MiB`, `1048576`.
pub fn bytes(option: &str, text: &str) -> Result<u64, Stop> {
    const UNITS: &[(&str, u64)] = &[
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("b", 1),
        ("", 1),
    ];
    read(text, UNITS).ok_or_else(|| wrong(option, text, "write bytes like 1.2GB, 300MiB or 1048576"))
}

/// Reads bits a second: `100Mbit`, `2.5Gbit`, `1000000`.
pub fn bits(option: &str, text: &str) -> Result<u64, Stop> {
    const UNITS: &[(&str, u64)] = &[
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("tbit", 1_000_000_000_000),
        ("k", 1_000),
        ("m", 1_000_000),
        ("g", 1_000_000_000),
        ("bit", 1),
        ("", 1),
    ];
    let text_of = text.strip_suffix("/s").unwrap_or(text);
    read(text_of, UNITS)
        .ok_or_else(|| wrong(option, text, "write bits a second like 100Mbit, 2.5Gbit or 1000000"))
}

fn wrong(option: &str, text: &str, hint: &str) -> Stop {
    Stop::usage(&Fault::new(Kind::Invalid, format!("{option}: {text:?} is no such amount")).hint(hint))
}

/// A number above 0 with at most three digits behind the point, times its unit.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || rest.len() > 3 || (number.contains('.') && rest.is_empty()) {
        return None;
    }
    let thousandths: u64 = if rest.is_empty() { 0 } else { format!("{rest:0<3}").parse().ok()? };
    let all = whole.parse::<u64>().ok()?.checked_mul(*each)?;
    let part = u64::try_from(u128::from(*each) * u128::from(thousandths) / 1000).ok()?;
    all.checked_add(part).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_networks_count() {
        let told = |text: &str| bytes("--size", text).ok();
        assert_eq!(
            ["1.2GB", "300MiB", "7", "0.5kb", "1.25 TB"].map(told),
            [1_200_000_000, 300 << 20, 7, 500, 1_250_000_000_000].map(Some)
        );
        let rate = |text: &str| bits("--line", text).ok();
        assert_eq!(
            ["100Mbit", "2.5Gbit/s", "1000000", "10g"].map(rate),
            [100_000_000, 2_500_000_000, 1_000_000, 10_000_000_000].map(Some)
        );
        for bad in ["", "0", "-1", "1.GB", ".5GB", "1e9", "five", "1 GBit s", "99999999999999TB"] {
            assert!(told(bad).is_none() && rate(bad).is_none(), "{bad:?} passed");
        }
    }
}
