//! The machine's clock with the machine's time zone: schedules and hours of budgets are in local time, through every change of it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::clock::{Clock, Millis, SystemClock};

/// The machine's wall clock in its own zone.
pub struct LocalClock {
    zone: TimeZone,
}

impl LocalClock {
    /// In the zone that `TZ` or the machine's configuration names; UTC where neither does.
    pub fn of_this_machine() -> LocalClock {
        LocalClock { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC) }
    }
}

impl Clock for LocalClock {
    fn now(&self) -> Millis {
        SystemClock.now()
    }

    fn offset_min(&self, at: Millis) -> i32 {
        Timestamp::from_millisecond(at.0).map_or(0, |at| self.zone.to_offset(at).seconds() / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stamp::parse_rfc3339;

    #[test]
    fn summer_time_is_minded() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = LocalClock { zone };
        let offset = |text: &str| clock.offset_min(parse_rfc3339(text).unwrap());
        assert_eq!(offset("2026-03-29T00:59:59Z"), 60);
        assert_eq!(offset("2026-03-29T01:00:00Z"), 120);
        assert_eq!(offset("2026-10-25T01:00:00Z"), 60);
        assert_eq!(LocalClock { zone: TimeZone::UTC }.offset_min(Millis(0)), 0);
    }
}
