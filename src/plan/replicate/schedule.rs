//! When a rule runs by itself, whether it has missed its time, and what a line may carry at an hour of the day.
//!
//! Local time is UTC and an offset in minutes that the caller's zone gives for each moment: a time behind a change to or from
//! summer time is reckoned with the offset that counts there. In the hour of the change itself it may come an hour early or late.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::stamp::{parse_rfc3339, rfc3339};
use crate::model::replication::{Budget, Trigger};

/// The shortest time between two runs of a rule by itself: below that, comparing would never end.
pub const EVERY_MIN_MS: u64 = 1_000;

/// Checks a trigger.
///
/// # Errors
/// `Invalid` when the cron line cannot be understood, names no day that there is, or the time between two runs is too short.
pub fn check(trigger: &Trigger) -> Outcome<()> {
    if let Some(every) = trigger.every_ms.filter(|ms| *ms < EVERY_MIN_MS) {
        return Err(Fault::new(Kind::Invalid, format!("every {every} ms is too often"))
            .hint("let at least a second pass between two runs"));
    }
    let Some(line) = &trigger.cron else { return Ok(()) };
    cron_after(line, Millis(0), 0).map(|_| ())
}

/// When a rule runs by itself next, after `after`: the beginning of its last run, or when the rule was made. None when it has
/// no schedule. All runs of a rule are at their exact times; nothing is spread at random.
///
/// # Errors
/// As [`check`].
pub fn next(trigger: &Trigger, after: Millis, zone: impl Fn(Millis) -> i32) -> Outcome<Option<Millis>> {
    check(trigger)?;
    let every = trigger.every_ms.map(|ms| after.plus(ms));
    let cron = trigger.cron.as_deref().map(|line| local_after(line, after, zone)).transpose()?;
    Ok(every.into_iter().chain(cron).min())
}

/// The next time of a cron line as the clocks on the wall will show it then, whatever they show now.
fn local_after(line: &str, after: Millis, zone: impl Fn(Millis) -> i32) -> Outcome<Millis> {
    let offset = zone(after);
    let first = cron_after(line, after, offset)?;
    let then = zone(first);
    if then == offset {
        return Ok(first);
    }
    let second = cron_after(line, after, then)?;
    Ok(if zone(second) == then && second > after { second } else { first })
}

/// Since when a rule should have run: its time has passed by more than `patience_ms`, and it did not begin. (A run that goes
/// on when the time comes has not missed it: ask only while none does.)
///
/// # Errors
/// As [`check`].
pub fn missed(
    trigger: &Trigger,
    last_began: Millis,
    now: Millis,
    patience_ms: u64,
    zone: impl Fn(Millis) -> i32,
) -> Outcome<Option<Millis>> {
    let due = next(trigger, last_began, zone)?;
    Ok(due.filter(|due| now.since(*due) > patience_ms))
}

fn cron_after(line: &str, after: Millis, offset_minutes: i32) -> Outcome<Millis> {
    let wrong = |why: String| {
        Fault::new(Kind::Invalid, why)
            .because(format!("the schedule {line:?} cannot be understood"))
            .hint("five fields: minute hour day month weekday, such as `30 2 * * 1-5`")
    };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let fields = line.split_whitespace().count();
    if fields != 5 && !line.trim_start().starts_with('@') {
        return Err(wrong(format!("it has {fields} fields")));
    }
    let cron: Cron = parser.parse(line).map_err(|e| wrong(e.to_string()))?;
    let offset = i64::from(offset_minutes) * 60;
    let start = Local(after.0.div_euclid(1000) + offset);
    let Local(next) = cron.find_next_occurrence(&start, false).map_err(|e| match e {
        CronError::TimeSearchLimitExceeded => wrong("there is no such day".to_owned()),
        other => wrong(other.to_string()),
    })?;
    Ok(Millis((next - offset) * 1000))
}

/// Seconds since the epoch as a clock on the wall shows them.
#[derive(Clone, Copy)]
struct Local(i64);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let text = rfc3339(Millis(self.0.saturating_mul(1000)));
        let part = |range: std::ops::Range<usize>| text.get(range).and_then(|p| p.parse::<u32>().ok());
        let read = || {
            let year = i32::try_from(part(0..4)?).ok()?;
            let (month, day) = (part(5..7)?, part(8..10)?);
            CivilDateTime::from_ymd_hms_opt(year, month, day, part(11..13)?, part(14..16)?, part(17..19)?)
        };
        // (RFC 3339 text always has these parts.)
        read().unwrap_or_else(|| {
            let epoch = croner::CivilDate::from_parts_unchecked(1970, 1, 1);
            CivilDateTime::new(epoch, croner::CivilTime::MIDNIGHT)
        })
    }

    fn civil_weekday(&self) -> Weekday {
        // The epoch was a Thursday.
        let days = (self.0.div_euclid(86_400) + 4).rem_euclid(7);
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or(0))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Local>, CronError> {
        let at = parse_rfc3339(&format!("{civil}Z")).map_err(|_| CronError::InvalidDate)?;
        Ok(Resolution::Single(Local(at.0.div_euclid(1000))))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Local> {
        self.0.checked_add(seconds).map(Local)
    }

    fn cmp_instant(&self, other: &Local) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// The hour of the day, 0 to 23, in local time.
pub fn hour_of(at: Millis, offset_minutes: i32) -> u8 {
    let minutes = at.0.div_euclid(60_000) + i64::from(offset_minutes);
    u8::try_from(minutes.rem_euclid(1440) / 60).unwrap_or(0)
}

/// True when this budget counts in that hour of the day. One that ends where it begins counts all day.
pub fn counts(budget: &Budget, hour: u8) -> bool {
    let until = if budget.until == 24 { 0 } else { budget.until };
    match budget.from.cmp(&until) {
        Ordering::Less => (budget.from..until).contains(&hour),
        Ordering::Equal => true,
        Ordering::Greater => hour >= budget.from || hour < until,
    }
}

/// What a line may carry now: of all budgets that count in this hour, the tightest of each kind. None when nothing is limited.
pub fn budget_at(budgets: &[Budget], at: Millis, offset_minutes: i32) -> Option<Budget> {
    let hour = hour_of(at, offset_minutes);
    let tighter = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    budgets.iter().filter(|b| counts(b, hour)).copied().reduce(|a, b| Budget {
        bytes_per_s: tighter(a.bytes_per_s, b.bytes_per_s),
        requests_per_hour: tighter(a.requests_per_hour, b.requests_per_hour),
        ..a
    })
}

/// The next moment at which another budget may count: the next full hour of local time.
pub fn next_hour(at: Millis, offset_minutes: i32) -> Millis {
    let offset = i64::from(offset_minutes) * 60_000;
    let local = at.0 + offset;
    Millis((local.div_euclid(3_600_000) + 1) * 3_600_000 - offset)
}

/// Checks the hours of a line's budgets.
///
/// # Errors
/// `Invalid` when an hour is none, or a budget allows nothing at all for ever.
pub fn check_budgets(budgets: &[Budget]) -> Outcome<()> {
    for budget in budgets {
        let said = format!("the budget from {} to {}", budget.from, budget.until);
        if budget.from > 23 || !(1..=24).contains(&budget.until) {
            return Err(Fault::new(Kind::Invalid, format!("{said} has no such hours"))
                .hint("begin at 0 to 23 and end at 1 to 24"));
        }
        if budget.bytes_per_s.is_none() && budget.requests_per_hour.is_none() {
            return Err(Fault::new(Kind::Invalid, format!("{said} limits nothing"))
                .hint("give bytes a second, requests an hour, or both"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cron(line: &str) -> Trigger {
        Trigger { cron: Some(line.into()), ..Trigger::default() }
    }

    fn at(text: &str) -> Millis {
        parse_rfc3339(text).unwrap()
    }

    fn after(line: &str, from: &str, offset: i32) -> String {
        rfc3339(next(&cron(line), at(from), |_| offset).unwrap().unwrap())
    }

    #[test]
    fn times_are_local_and_strictly_after() {
        assert_eq!(after("30 2 * * *", "2026-11-20T00:00:00Z", 0), "2026-11-20T02:30:00.000Z");
        assert_eq!(after("30 2 * * *", "2026-11-20T02:30:00Z", 0), "2026-11-21T02:30:00.000Z");
        assert_eq!(after("30 2 * * *", "2026-11-20T00:00:00Z", 480), "2026-11-20T18:30:00.000Z");
        assert_eq!(after("30 2 * * *", "2026-11-20T00:00:00Z", -330), "2026-11-20T08:00:00.000Z");
        assert_eq!(after("0 0 * * 1", "2026-11-20T12:00:00.5Z", 0), "2026-11-23T00:00:00.000Z", "a Monday");
        assert_eq!(after("0 0 29 2 *", "2026-03-01T00:00:00Z", 0), "2028-02-29T00:00:00.000Z");
        assert_eq!(after("*/15 9-17 * * mon-fri", "2026-11-20T17:50:00Z", 0), "2026-11-23T09:00:00.000Z");
    }

    /// Berlin in 2026: summer time from 29 March 01:00 to 25 October 01:00 UTC.
    fn berlin(moment: Millis) -> i32 {
        let summer = at("2026-03-29T01:00:00Z")..at("2026-10-25T01:00:00Z");
        if summer.contains(&moment) { 120 } else { 60 }
    }

    #[test]
    fn a_time_behind_a_change_of_the_clocks_is_as_they_show_it_then() {
        let after = |line: &str, from: &str| rfc3339(next(&cron(line), at(from), berlin).unwrap().unwrap());
        assert_eq!(after("0 6 * * *", "2026-03-28T12:00:00Z"), "2026-03-29T04:00:00.000Z", "summer begins");
        assert_eq!(after("0 6 * * *", "2026-10-24T12:00:00Z"), "2026-10-25T05:00:00.000Z", "it ends");
        assert_eq!(after("0 0 * * 1", "2026-10-24T12:00:00Z"), "2026-10-25T23:00:00.000Z", "a Monday");
        // 02:30 is not there in the one night, and twice in the other: it comes once, an hour off at most.
        assert_eq!(after("30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-29T01:30:00.000Z");
        assert_eq!(after("30 2 * * *", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00.000Z");
        assert_eq!(after("30 2 * * *", "2026-10-25T02:00:00Z"), "2026-10-26T01:30:00.000Z");
    }

    #[test]
    fn the_earlier_of_two_counts_and_none_is_none() {
        let both = Trigger { every_ms: Some(60_000), ..cron("0 * * * *") };
        let from = at("2026-11-20T10:59:30Z");
        assert_eq!(next(&both, from, |_| 0).unwrap(), Some(at("2026-11-20T11:00:00Z")));
        assert_eq!(next(&both, at("2026-11-20T11:00:00Z"), |_| 0).unwrap(), Some(at("2026-11-20T11:01:00Z")));
        assert_eq!(next(&Trigger { event: true, ..Trigger::default() }, from, |_| 0).unwrap(), None);
    }

    #[test]
    fn a_schedule_that_makes_no_sense_is_refused() {
        let said = |trigger: Trigger| check(&trigger).unwrap_err().to_string();
        assert!(said(cron("0 30 2 * * *")).contains("it has 6 fields"));
        assert!(said(cron("60 2 * * *")).contains("60 2 * * *"));
        assert!(said(cron("0 0 30 2 *")).contains("no such day"), "{}", said(cron("0 0 30 2 *")));
        assert!(said(cron("")).contains("0 fields"));
        assert!(said(Trigger { every_ms: Some(10), ..Trigger::default() }).contains("too often"));
        assert!(check(&cron("@daily")).is_ok());
    }

    #[test]
    fn a_time_that_passed_without_a_run_is_missed() {
        let (rule, last) = (cron("0 2 * * *"), at("2026-11-20T02:00:00Z"));
        let ask = |now: &str| missed(&rule, last, at(now), 60_000, |_| 0).unwrap();
        assert_eq!(ask("2026-11-21T02:00:59Z"), None);
        assert_eq!(ask("2026-11-21T02:01:01Z"), Some(at("2026-11-21T02:00:00Z")));
        assert_eq!(ask("2026-11-25T00:00:00Z"), Some(at("2026-11-21T02:00:00Z")), "since the first one");
    }

    fn budget(from: u8, until: u8, bytes_per_s: u64) -> Budget {
        Budget { from, until, bytes_per_s: Some(bytes_per_s), requests_per_hour: None }
    }

    #[test]
    fn budgets_reach_over_midnight_and_the_tightest_counts() {
        let hours = |b: &Budget| (0..24).filter(|h| counts(b, *h)).collect::<Vec<u8>>();
        assert_eq!(hours(&budget(22, 2, 1)), [0, 1, 22, 23]);
        assert_eq!(hours(&budget(9, 11, 1)), [9, 10]);
        assert_eq!(hours(&budget(20, 24, 1)), [20, 21, 22, 23]);
        assert_eq!(hours(&budget(0, 24, 1)).len(), 24);
        assert_eq!(hours(&budget(7, 7, 1)).len(), 24);
        let all = [budget(8, 20, 100), budget(12, 13, 50), budget(12, 13, 70)];
        let rate = |text: &str| budget_at(&all, at(text), 60).and_then(|b| b.bytes_per_s);
        assert_eq!(rate("2026-11-20T11:30:00Z"), Some(50));
        assert_eq!(rate("2026-11-20T07:30:00Z"), Some(100));
        assert_eq!(rate("2026-11-20T22:30:00Z"), None);
        assert!(check_budgets(&all).is_ok());
        assert!(check_budgets(&[budget(24, 1, 1)]).is_err() && check_budgets(&[budget(1, 0, 1)]).is_err());
        assert!(check_budgets(&[Budget { bytes_per_s: None, ..budget(1, 2, 1) }]).is_err());
    }

    proptest! {
        #[test]
        fn the_next_hour_is_ahead_and_full(ms in 0..4_000_000_000_000i64, offset in -720..840i32) {
            let next = next_hour(Millis(ms), offset);
            prop_assert!(next.0 > ms && next.0 - ms <= 3_600_000);
            prop_assert_eq!((next.0 + i64::from(offset) * 60_000).rem_euclid(3_600_000), 0);
        }

        #[test]
        fn a_daily_time_is_within_a_day_at_its_hour(ms in 0..4_000_000_000_000i64, offset in -720..840i32, h in 0..24u8, m in 0..60u8) {
            let next = next(&cron(&format!("{m} {h} * * *")), Millis(ms), |_| offset).unwrap().unwrap();
            prop_assert!(next.0 > ms && next.0 - ms <= 86_400_000);
            prop_assert_eq!(hour_of(next, offset), h);
        }
    }
}
