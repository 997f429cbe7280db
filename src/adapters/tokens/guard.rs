//! Failed log-ins: how many are too many, and what the journal is told of them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::adapters::tokens::limits::{FAILURE_LINES, FAILURES_MAX, Limits};
use crate::base::ids::UserName;
use crate::base::text::{self, fit, safe};
use crate::model::access::Subject;

/// The widest name in a journal line.
const NAME_COLUMNS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String, IpAddr),
    Address(IpAddr),
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

#[derive(Default)]
struct Untold {
    failed: u64,
    untried: u64,
}

/// Counts failures by name and address.
pub struct Guard {
    limits: Limits,
    failures: HashMap<Key, Failures>,
    untold: BTreeMap<(String, IpAddr), Untold>,
    /// Those for which there was no room in `untold`.
    beyond: u64,
    /// Connections that were closed, since their address had too many: how many, and the address of the last.
    crowded: Option<(u64, IpAddr)>,
    /// Rights that were asked for and not given, in words, how often.
    denied: BTreeMap<String, u64>,
    /// Those for which there was no room in `denied`.
    denied_beyond: u64,
    /// Changes that each user asked for lately. Only who has logged in is in it, so there are no more than users.
    changes: HashMap<UserName, Changes>,
}

/// What became of a user's changes: each is a line of the journal.
struct Changes {
    refused: u32,
    all: u32,
    since: Instant,
}

/// Whoever has one address of an IPv6 network usually has the whole /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Guard {
    /// Nothing has failed yet.
    pub fn new(limits: Limits) -> Guard {
        Guard {
            limits,
            failures: HashMap::new(),
            untold: BTreeMap::new(),
            beyond: 0,
            crowded: None,
            denied: BTreeMap::new(),
            denied_beyond: 0,
            changes: HashMap::new(),
        }
    }

    fn keys(&self, name: &str, address: IpAddr) -> [(Key, u32); 2] {
        let network = network(address);
        [
            (Key::Name(cut(name), network), self.limits.failures_of_name),
            (Key::Address(network), self.limits.failures_of_address),
        ]
    }

    /// How long this name may not log in from there; `None` when it may. Robots always may: nobody guesses their secrets, and
    /// whole sites log in with one from one address.
    pub fn blocked(&self, name: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        if is_robot(name) {
            return None;
        }
        let left = self.keys(name, address).into_iter().filter_map(|(key, max)| {
            let failures = self.failures.get(&key).filter(|f| f.count >= max)?;
            (failures.since + self.limits.window).checked_duration_since(now).filter(|left| !left.is_zero())
        });
        left.max()
    }

    /// A log-in was wrong.
    pub fn failed(&mut self, name: &str, address: IpAddr, now: Instant) {
        let keys = self.keys(name, address).into_iter().filter(|_| !is_robot(name));
        for (key, _) in keys {
            self.make_room(now);
            let failures = self.failures.entry(key).or_insert(Failures { count: 0, since: now });
            if now.saturating_duration_since(failures.since) >= self.limits.window {
                *failures = Failures { count: 0, since: now };
            }
            failures.count = failures.count.saturating_add(1);
        }
        if let Some(untold) = self.untold(name, address) {
            untold.failed += 1;
        }
    }

    /// A log-in was not looked at, since too many were wrong.
    pub fn untried(&mut self, name: &str, address: IpAddr) {
        if let Some(untold) = self.untold(name, address) {
            untold.untried += 1;
        }
    }

    /// A log-in was right: this name's failures there are forgotten, not those of the address under other names.
    pub fn succeeded(&mut self, name: &str, address: IpAddr) {
        self.failures.remove(&Key::Name(cut(name), network(address)));
    }

    /// A connection was closed at once: its address has too many.
    pub fn crowded(&mut self, address: IpAddr) {
        let before = self.crowded.map_or(0, |(count, _)| count);
        self.crowded = Some((before + 1, address.to_canonical()));
    }

    /// A right was asked for and not given: `push of feed/web: gail is guest of feed`.
    pub fn denied(&mut self, what: &str) {
        if self.denied.len() >= FAILURES_MAX && !self.denied.contains_key(what) {
            self.denied_beyond += 1;
            return;
        }
        *self.denied.entry(what.to_owned()).or_default() += 1;
    }

    /// A user asks for a change.
    ///
    /// # Errors
    /// Why they may ask for nothing now, and how long.
    pub fn asks(&mut self, user: &UserName, now: Instant) -> Result<(), (&'static str, Duration)> {
        let window = self.limits.window;
        self.changes.retain(|_, c| now.saturating_duration_since(c.since) < window);
        let Some(changes) = self.changes.get(user) else { return Ok(()) };
        let why = match () {
            () if changes.refused >= self.limits.refusals_of_user => "too many changes were refused",
            () if changes.all >= self.limits.changes_of_user => "these are too many changes at once",
            () => return Ok(()),
        };
        Err((why, (changes.since + window).saturating_duration_since(now)))
    }

    /// The engine has answered a user's change: that is a line of the journal. (Of those that are under way together each counts
    /// only now: there are no more than connections.)
    pub fn answered(&mut self, user: &UserName, was_refused: bool, now: Instant) {
        let none = Changes { refused: 0, all: 0, since: now };
        let changes = self.changes.entry(user.clone()).or_insert(none);
        changes.refused += u32::from(was_refused);
        changes.all += 1;
    }

    /// What was denied since this was asked last, the most frequent first.
    fn told_denied(&mut self, lines: &mut Vec<String>) {
        let mut all: Vec<_> = std::mem::take(&mut self.denied).into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest = all.split_off(all.len().min(FAILURE_LINES));
        lines.extend(all.into_iter().map(|(what, count)| {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!("{} ({times})", safe(&what.replacen(": ", " refused: ", 1)))
        }));
        let others =
            rest.iter().map(|(_, count)| count).sum::<u64>() + std::mem::take(&mut self.denied_beyond);
        if others > 0 {
            lines
                .push(format!("{others} more rights in the registries were refused, to others or elsewhere"));
        }
    }

    fn untold(&mut self, name: &str, address: IpAddr) -> Option<&mut Untold> {
        let key = (cut(name), address.to_canonical());
        if self.untold.len() >= FAILURES_MAX && !self.untold.contains_key(&key) {
            self.beyond += 1;
            return None;
        }
        Some(self.untold.entry(key).or_default())
    }

    /// Forgets what no longer counts, and the oldest if that is not enough.
    fn make_room(&mut self, now: Instant) {
        if self.failures.len() < FAILURES_MAX {
            return;
        }
        let window = self.limits.window;
        self.failures.retain(|_, f| now.saturating_duration_since(f.since) < window);
        while self.failures.len() >= FAILURES_MAX {
            let oldest = self.failures.iter().min_by_key(|(_, f)| f.since).map(|(key, _)| key.clone());
            oldest.map(|key| self.failures.remove(&key));
        }
    }

    /// What the journal has not been told yet, in a few sentences, the most frequent first.
    pub fn told(&mut self) -> Vec<String> {
        let mut all: Vec<_> = std::mem::take(&mut self.untold).into_iter().collect();
        all.sort_by_key(|(_, u)| std::cmp::Reverse(u.failed + u.untried));
        let rest = all.split_off(all.len().min(FAILURE_LINES));
        let sentence = |((name, address), u): ((String, IpAddr), Untold)| {
            let times = if u.failed == 1 { "once".to_owned() } else { format!("{} times", u.failed) };
            let untried = if u.untried == 0 {
                String::new()
            } else {
                format!("; {} more were not looked at", u.untried)
            };
            format!("log-in to the registries as {name} from {address} failed {times}{untried}")
        };
        let mut lines: Vec<String> = all.into_iter().map(sentence).collect();
        let others =
            rest.iter().map(|(_, u)| u.failed + u.untried).sum::<u64>() + std::mem::take(&mut self.beyond);
        if others > 0 {
            lines.push(format!(
                "{others} more log-ins to the registries failed, under other names or from elsewhere"
            ));
        }
        self.told_denied(&mut lines);
        if let Some((count, last)) = self.crowded.take() {
            let most = self.limits.connections_of_address;
            let count = text::count(count, "connection");
            lines.push(format!(
                "{count} to the token service closed at once, the last from {last}: one address may have {most} at a time"
            ));
        }
        lines
    }
}

/// Whether this is a robot's log-in name: its secret has 256 random bits.
fn is_robot(name: &str) -> bool {
    matches!(name.parse(), Ok(Subject::Robot(..)))
}

/// A name that anybody may have sent: safe to show, and short.
fn cut(name: &str) -> String {
    fit(&safe(name), NAME_COLUMNS).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_failures_block_a_name_from_there_for_a_while() {
        let mut guard = Guard::new(Limits::default());
        let here = at("10.0.0.1");
        for _ in 0..10 {
            assert_eq!(guard.blocked("alice", here, Instant::now()), None);
            guard.failed("alice", here, Instant::now());
        }
        assert_eq!(guard.blocked("alice", here, Instant::now()), Some(Duration::from_secs(60)));
        assert_eq!(
            guard.blocked("alice", at("10.0.0.2"), Instant::now()),
            None,
            "nobody locks alice out elsewhere"
        );
        assert_eq!(guard.blocked("bob", here, Instant::now()), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(guard.blocked("alice", here, Instant::now()), None);
        guard.failed("alice", here, Instant::now());
        assert_eq!(guard.blocked("alice", here, Instant::now()), None, "a new window counts anew");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_tries_many_names_is_blocked_and_a_network_counts_as_one() {
        let mut guard = Guard::new(Limits::default());
        for i in 0..60 {
            guard.failed(&format!("user-{i}"), at(&format!("2001:db8::{i:x}")), Instant::now());
        }
        guard.succeeded("user-1", at("2001:db8::1"));
        assert!(guard.blocked("anybody", at("2001:db8::ffff"), Instant::now()).is_some());
        assert!(guard.blocked("anybody", at("2001:db8:0:1::1"), Instant::now()).is_none());
        let mut guard = Guard::new(Limits::default());
        (0..9).for_each(|_| guard.failed("alice", at("::ffff:10.0.0.1"), Instant::now()));
        guard.succeeded("alice", at("10.0.0.1"));
        guard.failed("alice", at("10.0.0.1"), Instant::now());
        assert!(guard.blocked("alice", at("10.0.0.1"), Instant::now()).is_none(), "right once, counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_robot_is_never_kept_out_and_keeps_nobody_out() {
        let mut guard = Guard::new(Limits::default());
        let here = at("10.0.0.1");
        for _ in 0..1000 {
            guard.failed("robot$feed+ci", here, Instant::now());
        }
        for name in ["robot$feed+ci", "robot$feed+cd", "alice"] {
            assert_eq!(guard.blocked(name, here, Instant::now()), None, "{name}");
        }
        assert_eq!(
            guard.told(),
            ["log-in to the registries as robot$feed+ci from 10.0.0.1 failed 1000 times"]
        );
        (0..60).for_each(|_| guard.failed("robot$", here, Instant::now()));
        assert!(guard.blocked("alice", here, Instant::now()).is_some(), "what names no robot is none");
        assert!(guard.blocked("robot$feed+ci", here, Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_too_often_waits_and_nobody_else_does() {
        let mut guard = Guard::new(Limits { refusals_of_user: 3, changes_of_user: 100, ..Limits::default() });
        let (dev, ada): (UserName, UserName) = ("dev".parse().unwrap(), "ada".parse().unwrap());
        let change = |guard: &mut Guard, user: &UserName, was_refused: bool| {
            assert_eq!(guard.asks(user, Instant::now()), Ok(()));
            guard.answered(user, was_refused, Instant::now());
        };
        (0..99).for_each(|_| change(&mut guard, &ada, false));
        (0..3).for_each(|_| change(&mut guard, &dev, true));
        tokio::time::advance(Duration::from_secs(20)).await;
        let left = Duration::from_secs(40);
        assert_eq!(guard.asks(&dev, Instant::now()), Err(("too many changes were refused", left)));
        change(&mut guard, &ada, false);
        assert_eq!(guard.asks(&ada, Instant::now()), Err(("these are too many changes at once", left)));
        tokio::time::advance(left).await;
        change(&mut guard, &dev, true);
        assert_eq!(guard.changes.len(), 1, "a new window counts anew, and what is over is forgotten");
    }

    #[test]
    fn what_was_denied_is_told_in_a_few_lines() {
        let mut guard = Guard::new(Limits::default());
        (0..12).for_each(|_| guard.denied("push of feed/web: gail is guest of feed"));
        guard.denied("pull of pay/db: dev is a user, but not a member of pay");
        assert_eq!(
            guard.told(),
            [
                "push of feed/web refused: gail is guest of feed (12 times)",
                "pull of pay/db refused: dev is a user, but not a member of pay (once)",
            ]
        );
        assert!(guard.told().is_empty());
        (0..10_000).for_each(|n| guard.denied(&format!("pull of r{n}: there is no project r{n}")));
        let lines = guard.told();
        assert_eq!(lines.len(), FAILURE_LINES + 1);
        assert!(lines[FAILURE_LINES].starts_with("9992 more rights"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_journal_gets_a_few_lines_however_many_fail() {
        let mut guard = Guard::new(Limits::default());
        (0..30).for_each(|_| guard.failed("alice", at("10.0.0.1"), Instant::now()));
        guard.untried("alice", at("10.0.0.1"));
        guard.failed("a\u{1b}[2J", at("10.0.0.2"), Instant::now());
        let lines = guard.told();
        assert_eq!(
            lines,
            [
                "log-in to the registries as alice from 10.0.0.1 failed 30 times; 1 more were not looked at",
                r"log-in to the registries as a\e[2J from 10.0.0.2 failed once",
            ]
        );
        assert!(guard.told().is_empty());
        for i in 0..10_000u32 {
            guard.failed(&format!("{}{i}", "x".repeat(50)), at("10.0.0.1"), Instant::now());
        }
        assert!(guard.failures.len() <= FAILURES_MAX && guard.untold.len() <= FAILURES_MAX);
        let lines = guard.told();
        assert_eq!(lines.len(), FAILURE_LINES + 1);
        assert!(lines[FAILURE_LINES].starts_with("9992 more"), "{lines:?}");
    }
}
