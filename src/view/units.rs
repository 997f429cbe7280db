//! Numbers in few characters, rounded so coarsely that an idle fleet does not make the screen flicker.

use crate::base::text;

/// How good or bad a thing stands. Each grade has a sign of its own, so that colour is never the only cue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Nothing is wanted and nothing runs.
    Off,
    /// As wanted.
    #[default]
    Ok,
    /// On its way to what is wanted.
    Busy,
    /// Less than wanted, and waiting for something.
    Warn,
    /// Not current: the host does not answer.
    Lost,
    /// Failing.
    Bad,
}

impl Grade {
    /// One character that stands before a row: a problem is marked even without colours.
    pub fn sign(self) -> char {
        match self {
            Grade::Off | Grade::Ok => ' ',
            Grade::Busy => '~',
            Grade::Warn | Grade::Bad => '!',
            Grade::Lost => '?',
        }
    }

    /// True when a person should look at it.
    pub fn is_problem(self) -> bool {
        matches!(self, Grade::Warn | Grade::Lost | Grade::Bad)
    }
}

/// Cores in use: `0.0`, `0.7`, `27`. A tenth of a core is the finest step.
pub fn cores(milli: u64) -> String {
    let tenths = (milli + 50) / 100;
    if tenths < 100 { format!("{}.{}", tenths / 10, tenths % 10) } else { ((milli + 500) / 1000).to_string() }
}

/// Bytes with two significant digits: `410M`, `1.5G`.
pub fn memory(bytes: u64) -> String {
    let mut step = 1;
    while bytes / step >= 100 {
        step *= 10;
    }
    text::bytes((bytes + step / 2) / step * step)
}

/// Bytes of something whose length is known and does not flicker, such as a blob: `80M`, `1.5G`.
pub fn size(bytes: u64) -> String {
    text::bytes(bytes)
}

/// Bytes that go over a network, which counts in powers of ten: `1.2 GB`, `300 MB`.
pub fn transfer(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let Some((unit, size)) = UNITS.iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(size / 2)) / u128::from(*size);
    let (whole, rest) = (tenths / 10, tenths % 10);
    if rest == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") }
}

/// A share in whole per cent.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{}%", (part.saturating_mul(100) + whole / 2) / whole)
}

/// An age in steps that do not tick every second: below a minute by ten seconds, then as [`text::age`].
pub fn age(ms: u64) -> String {
    match ms / 1000 {
        0..5 => "now".to_owned(),
        5..10 => "5s".to_owned(),
        s @ 10..60 => format!("{}s", s / 10 * 10),
        _ => text::age(ms),
    }
}

/// "8s ago" in coarse steps; "just now" below five seconds.
pub fn ago(ms: u64) -> String {
    if ms < 5_000 { "just now".to_owned() } else { format!("{} ago", age(ms)) }
}

/// The time of day in UTC as `HH:MM`, from milliseconds since the Unix epoch.
pub fn clock(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000).rem_euclid(1440);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The time of day in UTC as `HH:MM:SS`.
pub fn clock_seconds(ms: i64) -> String {
    format!("{}:{:02}", clock(ms), ms.div_euclid(1000).rem_euclid(60))
}

/// The time of day in UTC as `HH:MM:SS.mmm`.
pub fn clock_millis(ms: i64) -> String {
    format!("{}.{:03}", clock_seconds(ms), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_coarse() {
        assert_eq!([cores(0), cores(44), cores(712), cores(27_140)], ["0.0", "0.0", "0.7", "27"]);
        assert_eq!([memory(432_013_312), memory(1_600_000_000)], ["410M", "1.4G"]);
        assert_eq!([age(4_000), age(19_000), age(61_000)], ["now", "10s", "1m"]);
        assert_eq!(clock_millis(50_531_031), "14:02:11.031");
        assert_eq!(clock(-1), "23:59");
        assert_eq!(percent(61, 100), "61%");
        assert_eq!(
            [transfer(999), transfer(1_249_000_000), transfer(310_000_000)],
            ["999 B", "1.2 GB", "310 MB"]
        );
    }
}
